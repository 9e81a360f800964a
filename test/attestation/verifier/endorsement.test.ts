import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importRoots, reportRoots } from '../../../attestation/verifier/index.ts'
import { SoftNode } from '../../support/agent-peer.ts'
import {
  caExtensions,
  ecKey,
  ekExtensions,
  type KeyPair,
  makeCertificate,
  type TestCertificate,
} from '../../support/certificates.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'

const caKey = ecKey()
const ca = (key: KeyPair, over: Partial<TestCertificate> = {}): Uint8Array =>
  makeCertificate({
    subject: 'Maker CA',
    key,
    issuer: 'Maker CA',
    issuerKey: key,
    extensions: caExtensions({ keyId: 1 }),
    ...over,
  })

describe('an EK certificate', () => {
  let fleet: Fleet
  let rootFile: string
  before(async () => {
    fleet = await startFleet(0, { enrolment: 'admission: manual' })
    rootFile = join(fleet.verifier.directory, 'maker.der')
    writeFileSync(rootFile, ca(caKey))
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  const certified = (over: Partial<TestCertificate> = {}): { node: SoftNode; ekCertificate: Uint8Array } => {
    const tpm = new SoftTpm()
    const ekCertificate = makeCertificate({
      subject: '',
      key: { spki: tpm.ekSpki() },
      issuer: 'Maker CA',
      issuerKey: caKey,
      extensions: Object.values(ekExtensions('ec')),
      ...over,
    })
    return { node: new SoftNode(tpm, fleet.verifier.trust.verifierId), ekCertificate }
  }

  it('of a maker that is not trusted is refused; after its root was imported, it is believed', async () => {
    const { node, ekCertificate } = certified()
    const early = await fleet.connect(node)
    early.hello({ ekCertificate })
    const error = await early.next('error')
    assert.equal(error.code, 'EK_NOT_TRUSTED')
    assert.match(error.message, /EK_CHAIN_ISSUER_UNKNOWN/)
    importRoots(fleet.verifier.config.enrolment.roots, [rootFile])
    assert.deepEqual(
      reportRoots(fleet.verifier.config.enrolment.roots, undefined, new Date()).map((r) => r.kind),
      ['root'],
    )
    await fleet.verifier.reload()
    const peer = await fleet.connect(node)
    assert.equal((await peer.enrol({ ekCertificate })).admission, 'pending')
    const known = await fleet.verifier.withStore(async (s) => await s.node(node.nodeId))
    assert.match(known?.ekCertificateSha256 ?? '', /^[0-9a-f]{64}$/)
  })

  const refused: readonly [string, (own: KeyPair) => Partial<TestCertificate>, RegExp][] = [
    ['by another CA of the same name', (own) => ({ issuerKey: own }), /EK_CHAIN_(SIGNATURE_INVALID|ISSUER_UNKNOWN)/],
    ['for another key', (own) => ({ key: own }), /EK_CERT_KEY_MISMATCH/],
    ['from the future', () => ({ notBefore: new Date(Date.now() + 86_400_000) }), /EK_CERT_VALIDITY/],
    ['that is a CA itself', () => ({ extensions: caExtensions() }), /EK_CERT_PROFILE/],
  ]
  for (const [what, over, code] of refused) {
    it(`${what} is refused`, async () => {
      importRoots(fleet.verifier.config.enrolment.roots, [rootFile])
      await fleet.verifier.reload()
      const { node, ekCertificate } = certified(over(ecKey()))
      const peer = await fleet.connect(node)
      peer.hello({ ekCertificate })
      const error = await peer.next('error')
      assert.equal(error.code, 'EK_NOT_TRUSTED')
      assert.match(error.message, code)
    })
  }
})

describe('an EK certificate past its date', () => {
  for (const [validity, accepted] of [
    ['ignore-expiry', true],
    ['strict', false],
  ] as const) {
    it(`is ${accepted ? 'believed' : 'refused'} where the configuration says ${validity}`, async () => {
      const fleet = await startFleet(0, { enrolment: `ekCertificateValidity: ${validity}` })
      try {
        const { roots } = fleet.verifier.config.enrolment
        mkdirSync(roots, { recursive: true })
        writeFileSync(join(roots, 'maker.der'), ca(caKey, { notAfter: new Date('2022-01-01T00:00:00Z') }))
        await fleet.verifier.reload()
        const tpm = new SoftTpm()
        const ekCertificate = makeCertificate({
          subject: '',
          key: { spki: tpm.ekSpki() },
          issuer: 'Maker CA',
          issuerKey: caKey,
          notAfter: new Date('2021-01-01T00:00:00Z'),
          extensions: Object.values(ekExtensions('ec')),
        })
        const peer = await fleet.connect(new SoftNode(tpm, fleet.verifier.trust.verifierId))
        peer.hello({ ekCertificate })
        if (accepted) await peer.next('activate')
        else assert.match((await peer.next('error')).message, /EK_CERT_VALIDITY/)
      } finally {
        await fleet.stop()
      }
    })
  }
})

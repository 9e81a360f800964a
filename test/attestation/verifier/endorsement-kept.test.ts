import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type NodeRecord, reliedOn } from '../../../attestation/store/index.ts'
import { endorsementFindings } from '../../../attestation/verifier/endorsement-findings.ts'
import { reportRoots } from '../../../attestation/verifier/index.ts'
import { SoftNode } from '../../support/agent-peer.ts'
import { caExtensions, ecKey, ekExtensions, makeCertificate } from '../../support/certificates.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { makeAttributeCertificate } from '../../support/platform-certificate.ts'
import { makeCrl } from '../../support/revocation.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'

const [rootKey, midKey, platformKey] = [ecKey(), ecKey(), ecKey()]
const root = makeCertificate({
  ...{ subject: 'Maker Root', key: rootKey, issuer: 'Maker Root', issuerKey: rootKey },
  extensions: caExtensions({ keyId: 2 }),
})
const mid = makeCertificate({
  ...{ subject: 'Maker CA', key: midKey, issuer: 'Maker Root', issuerKey: rootKey },
  extensions: caExtensions({ keyId: 1, authorityId: 2 }),
})
const platformCa = makeCertificate({
  ...{ subject: 'Chassis CA', key: platformKey, issuer: 'Chassis CA', issuerKey: platformKey },
  extensions: caExtensions(),
})
const EK_SERIAL = Uint8Array.of(0x31)

describe('what endorsed a node', () => {
  let fleet: Fleet
  let roots: string
  const put = (name: string, bytes: Uint8Array): void => writeFileSync(join(roots, name), bytes)
  beforeEach(async () => {
    fleet = await startFleet(0, { enrolment: 'admission: manual' })
    roots = fleet.verifier.config.enrolment.roots
    mkdirSync(roots, { recursive: true })
    put('root.der', root)
    put('platform.der', platformCa)
    await fleet.verifier.reload()
  })
  afterEach(async () => await fleet.stop())

  /** A node that came with its intermediate, and with what else is given. */
  async function enrolled(more: { readonly platformCertificate?: Uint8Array } = {}) {
    const tpm = new SoftTpm()
    const ekCertificate = makeCertificate({
      ...{ subject: '', key: { spki: tpm.ekSpki() }, issuer: 'Maker CA', issuerKey: midKey, serial: EK_SERIAL },
      extensions: Object.values(ekExtensions('ec')),
    })
    const node = new SoftNode(tpm, fleet.verifier.trust.verifierId)
    const peer = await fleet.connect(node)
    await peer.enrol({ ekCertificate, ekChain: [mid], ...more })
    return { node, peer, ekCertificate }
  }
  const record = async (nodeId: string): Promise<NodeRecord> =>
    (await fleet.verifier.withStore(async (s) => await s.node(nodeId))) ?? assert.fail('no such node')

  it('is kept with its path, and tells which roots the node relies on', async () => {
    const { node } = await enrolled()
    const { endorsement } = await record(node.nodeId)
    assert.ok(endorsement !== undefined)
    assert.deepEqual(
      [endorsement.kind, endorsement.validity, endorsement.path.map((c) => c.subject), endorsement.tpm?.vendor],
      ['chain', 'ignore-expiry', ['', 'CN=Maker CA', 'CN=Maker Root'], 'Infineon'],
    )
    const nodes = await fleet.verifier.withStore(async (s) => await s.nodes())
    const used = reportRoots(roots, nodes, new Date()).filter((r) => r.nodes?.includes(node.nodeId))
    assert.deepEqual(
      used.map((r) => r.subject),
      ['CN=Maker Root'],
    )
    assert.equal(reliedOn(endorsement).length, 2)
    const stored = await fleet.verifier.withStore(async (s) => await s.evidence(endorsement.path[1]?.fingerprint ?? ''))
    assert.deepEqual(Buffer.from(stored ?? []), Buffer.from(mid))
  })
  it('is looked at again when the node comes back: a removed root ends it, even a connection that stands', async () => {
    const { node, peer } = await enrolled()
    const back = await fleet.connect(node)
    back.hello()
    assert.equal((await back.next('status')).admission, 'pending')
    put('root.der', platformCa)
    await fleet.verifier.reload()
    assert.equal(await peer.refused(), 'EK_NOT_TRUSTED')
    const later = await fleet.connect(node)
    later.hello()
    const error = await later.next('error')
    assert.equal(error.code, 'EK_NOT_TRUSTED')
    assert.match(error.message, /EK_CHAIN_ISSUER_UNKNOWN: "CN=Maker Root" is its own issuer/)
  })
  it('is ended by a CRL that lists its EK certificate', async () => {
    const { node, peer } = await enrolled()
    put('maker.crl', makeCrl({ issuer: 'Maker CA', issuerKey: midKey, revoked: [[EK_SERIAL, 1]] }))
    await fleet.verifier.reload()
    assert.equal(await peer.refused(), 'EK_NOT_TRUSTED')
    const later = await fleet.connect(node)
    later.hello()
    assert.match((await later.next('error')).message, /EK_CERT_REVOKED: .*keyCompromise.*maker takes it back/)
  })
  it('names the machine where a platform certificate binds it, and the operator trusts its maker', async () => {
    const holder = { issuer: 'Maker CA', serial: EK_SERIAL }
    const platformCertificate = makeAttributeCertificate({ holder, issuer: 'Chassis CA', issuerKey: platformKey })
    const { node } = await enrolled({ platformCertificate })
    const { endorsement } = await record(node.nodeId)
    assert.ok(endorsement?.platform?.state === 'bound')
    assert.deepEqual(
      [endorsement.platform.manufacturer, endorsement.platform.model, endorsement.platform.serial],
      ['Maker Ltd', 'Server 9', 'SN-1'],
    )
    const findings = endorsementFindings({ ekCertified: true, endorsement })
    assert.deepEqual(
      findings.map((f) => [f.rule, f.tier]),
      [
        ['enrolment.ek', 'affirming'],
        ['enrolment.platform', 'affirming'],
      ],
    )
    assert.match(
      findings[0]?.message ?? '',
      /Infineon Model id:00010002 led to root CN=Maker Root \([0-9a-f]{16}\) on .* policy ignore-expiry/,
    )
    assert.match(
      findings[1]?.message ?? '',
      /binds this TPM to Maker Ltd Server 9 1\.0 serial number SN-1; its root is CN=Chassis CA/,
    )
  })
  const lesser: readonly (readonly [string, () => Uint8Array, readonly string[], RegExp])[] = [
    [
      'of an unknown maker takes nothing away',
      () =>
        makeAttributeCertificate({
          holder: { issuer: 'Maker CA', serial: EK_SERIAL },
          issuer: 'Else',
          issuerKey: ecKey(),
        }),
      ['enrolment.ek affirming'],
      /platform certificate proves nothing: .*CN=Else/,
    ],
    [
      'of another TPM takes nothing away',
      () =>
        makeAttributeCertificate({
          holder: { issuer: 'Maker CA', serial: Uint8Array.of(1) },
          issuer: 'Chassis CA',
          issuerKey: platformKey,
        }),
      ['enrolment.ek affirming'],
      /platform certificate is for another TPM/,
    ],
    [
      'with a forged signature is a warning',
      () =>
        makeAttributeCertificate({
          holder: { issuer: 'Maker CA', serial: EK_SERIAL },
          issuer: 'Chassis CA',
          issuerKey: ecKey(),
        }),
      ['enrolment.ek affirming', 'enrolment.platform warning'],
      /EK_CHAIN_SIGNATURE_INVALID/,
    ],
    [
      'that is none is a warning',
      () => Uint8Array.of(1, 2, 3),
      ['enrolment.ek affirming', 'enrolment.platform warning'],
      /CERT_MALFORMED/,
    ],
  ]
  for (const [what, make, rules, message] of lesser) {
    it(`a platform certificate ${what}, and never ends an enrolment`, async () => {
      const { node } = await enrolled({ platformCertificate: make() })
      const { endorsement } = await record(node.nodeId)
      const findings = endorsementFindings({ ekCertified: true, endorsement })
      assert.deepEqual(
        findings.map((f) => `${f.rule} ${f.tier}`),
        rules,
      )
      assert.match(findings.map((f) => f.message).join(), message)
    })
  }
})

describe('findings about a node’s endorsement', () => {
  it('say no more than is known of nodes that were bound before it was kept', () => {
    const told = (ekCertified: boolean) =>
      endorsementFindings({ ekCertified, endorsement: undefined }).map((f) => f.message)
    assert.deepEqual(
      [...told(true), ...told(false)],
      ['its EK certificate led to a trusted root at enrolment', 'an operator listed its EK'],
    )
  })
  it('tell warnings that the settings have taken', () => {
    const findings = [{ rule: 'ek-chain.sha1', message: '"CN=x" is signed over SHA-1' }]
    const endorsement = {
      at: '2026-11-24T00:00:00.000Z',
      kind: 'listed',
      validity: 'strict',
      path: [],
      findings,
    } as const
    const [only] = endorsementFindings({ ekCertified: false, endorsement })
    assert.match(
      only?.message ?? '',
      /an operator listed its EK, as of 2026-11-24; ek-chain\.sha1: "CN=x" is signed over SHA-1/,
    )
  })
})

import { strict as assert } from 'node:assert'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { evidenceCommand } from '../../../attestation/cli/evidence.ts'
import { encodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import {
  EAR_PROFILE,
  type Ear,
  readEarCbor,
  readEarJson,
  signEar,
  writeEarJson,
} from '../../../attestation/results/index.ts'
import { honestBoot } from '../../support/boot.ts'
import { runCommand } from '../../support/command.ts'
import { madeEvidence, systemdRecord } from '../../support/evidence.ts'
import { cryptoAgileLog } from '../../support/firmware-log.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** What `holdfast evidence ARGS` writes to standard output. */
const evidence = async (...args: readonly string[]): Promise<Buffer> =>
  (await runCommand(evidenceCommand(new Command('collect')), args)).out

const PHASES = systemdRecord(11, 'phase', 'ready')

describe('holdfast evidence, on files of any origin', () => {
  const dir = tempDir()
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir.path, name), content)
    return join(dir.path, name)
  }
  after(() => dir.remove())

  const ear: Ear = {
    dialect: 'draft-03',
    profile: EAR_PROFILE,
    issuedAt: Math.floor(Date.now() / 1000),
    nonces: [],
    verifier: { developer: 'example', build: '1' },
    submods: new Map([['node', { status: 'affirming', vector: { hardware: 2 }, policyIds: [], nonces: [] }]]),
  }

  it('shows a result, and says whose signature it has only where a key is named', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    const jwt = file('result.jwt', await signEar(ear, privateKey))
    const jwk = (key: typeof publicKey) => key.export({ format: 'jwk' })
    const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString()
    assert.match(
      String(await evidence('show', jwt)),
      /^attestation result \(EAR, draft-03; JWT, ES256\).*\nnot verified: anybody/,
    )
    for (const key of [
      file('key.pem', pem),
      file('key.jwk', JSON.stringify(jwk(publicKey))),
      file('trust.json', JSON.stringify({ v: 1, ticketKeys: [jwk(other), jwk(publicKey)] })),
    ]) {
      assert.match(String(await evidence('show', jwt, '--key', key)), /\nsigned by the key that you named/)
      assert.equal(JSON.parse(String(await evidence('show', jwt, '--key', key, '--json'))).signature, 'verified')
    }
    const wrong = file('other.jwk', JSON.stringify(jwk(other)))
    await assert.rejects(evidence('show', jwt, '--key', wrong), { code: 'RESULT_SIGNATURE' })
    await assert.rejects(evidence('show', jwt, '--key', file('no.key', '{"keys": []}')), /there is no key in it/)
    await assert.rejects(
      evidence('show', jwt, '--key', file('bad.key', 'x')),
      /no public key in PEM, JWK or trust.json/,
    )
    const old = file('old.jwt', await signEar({ ...ear, issuedAt: 1, expiresAt: 2 }, privateKey))
    await assert.rejects(evidence('show', old, '--key', file('key.pem', pem)), { code: 'RESULT_EXPIRED' })
    assert.match(String(await evidence('show', old)), / expires +1970-01-01T00:00:02/)
    const bare = file('bare.json', writeEarJson(ear))
    await assert.rejects(evidence('show', bare, '--key', wrong), /bare claims, which nobody signed/)
    await assert.rejects(evidence('verify', jwt), /a verdict, not evidence/)
    await assert.rejects(evidence('show', file('phases', PHASES), '--key', wrong), /is no attestation result/)
  })

  it('converts logs to CEL', async () => {
    const made = file('node.evidence', encodeEvidenceFile(madeEvidence().file))
    const json = await evidence('convert', made, '--to', 'cel-json', '--source', 'launch-log')
    assert.equal(JSON.parse(String(json))[0].content_type, 'holdfast')
    const tlv = await evidence('convert', made, '--to', 'cel-tlv')
    assert.match(String(await evidence('show', file('node.cel', tlv))), /^canonical event log \(CEL-TLV\)/)
    assert.equal(JSON.parse(String(await evidence('show', file('node.cel', tlv), '--json'))).kind, 'cel')
    const none = evidence('convert', made, '--to', 'cel-json', '--source', 'systemd')
    await assert.rejects(none, { code: 'EVIDENCE_NO_LOG' })
  })

  it('writes its verdict as the claims of a result, in JSON and CBOR', async () => {
    const made = file('node.evidence', encodeEvidenceFile(madeEvidence().file))
    const json = readEarJson(await evidence('verify', made, '--format', 'ear'))
    const cbor = readEarCbor(await evidence('verify', made, '--format', 'ear-cbor'))
    assert.deepEqual([...cbor.submods.values()][0]?.vector, [...json.submods.values()][0]?.vector)
  })

  it('says of a CCEL that it can be shown, not appraised', async () => {
    const events = honestBoot().map((event) => ({ ...event, register: Math.min(event.register, 3) + 1 }))
    const ccel = file('ccel', cryptoAgileLog(events, { banks: ['sha384'] }))
    assert.match(String(await evidence('show', ccel)), /^TDX firmware log \(CCEL\)/)
    await assert.rejects(evidence('verify', ccel), /RTMRs are proved by a TDX quote, and none is read here/)
  })
})

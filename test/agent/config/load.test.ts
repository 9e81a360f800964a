import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findGroup, loadAgentConfig } from '../../../agent/config/index.ts'
import { createCa } from '../../../attestation/ca/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const id = createHash('sha256')
  .update(publicKey.export({ type: 'spki', format: 'der' }))
  .digest('hex')
const PIN = 'ab'.repeat(32)
const TRUST = { v: 1, verifierId: id, ticketKeys: [publicKey.export({ format: 'jwk' })], tlsSpkiSha256: [PIN] }

describe('loading the agent configuration', () => {
  const dir = tempDir()
  after(() => dir.remove())
  const file = (name: string, content: string): string => {
    writeFileSync(join(dir.path, name), content)
    return join(dir.path, name)
  }
  const load = (verifier: string, more = '') =>
    loadAgentConfig(file('agent.yaml', `tcti: x\nverifier:\n  url: wss://v.example\n${verifier}${more}`))

  it('takes verifier id, ticket keys and TLS pins from trust.json', async () => {
    const { trust, sha256 } = await load(`  trust: ${file('trust.json', JSON.stringify(TRUST))}\n`)
    assert.equal(trust?.verifierId, id)
    assert.deepEqual(
      trust?.ticketKeys.map((k) => k.id),
      [id],
    )
    assert.deepEqual(trust?.tlsSpkiSha256, [PIN])
    assert.match(sha256, /^[0-9a-f]{64}$/)
  })

  it('takes ticket keys as PEM and as JWK, and a CA', async () => {
    const pem = file('key.pem', publicKey.export({ type: 'spki', format: 'pem' }).toString())
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    const jwk = file('key.jwk', JSON.stringify(other.export({ format: 'jwk' })))
    const ca = file('ca.pem', createCa('test', new Date()).certPem)
    const { trust } = await load(`  ca: ${ca}\n  ticketKeys: [${pem}, ${jwk}]\n`)
    assert.equal(trust?.verifierId, id)
    assert.equal(trust?.ticketKeys.length, 2)
    assert.match(trust?.ca ?? '', /BEGIN CERTIFICATE/)
  })

  it('reads the token from its file, without the line end', async () => {
    const trust = file('trust.json', JSON.stringify(TRUST))
    const token = file('token', 'secret-token\n')
    const { enrolmentToken } = await load(`  trust: ${trust}\n`, `enrolmentTokenFile: ${token}\n`)
    assert.equal(enrolmentToken, 'secret-token')
  })

  it('says which file is missing', async () => {
    await assert.rejects(loadAgentConfig(join(dir.path, 'none.yaml')), {
      code: 'AGENT_CONFIG_UNREADABLE',
      message: `configuration ${dir.path}/none.yaml: there is no such file`,
    })
    await assert.rejects(load(`  trust: ${dir.path}/none.json\n`), { code: 'AGENT_CONFIG_UNREADABLE' })
  })

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
  const refused = [
    { name: 'trust.json that is no JSON', trust: 'v: 1' },
    { name: 'trust.json of another version', trust: JSON.stringify({ ...TRUST, v: 2 }) },
    { name: 'trust.json without keys', trust: JSON.stringify({ ...TRUST, ticketKeys: [] }) },
    { name: 'trust.json without pins', trust: JSON.stringify({ ...TRUST, tlsSpkiSha256: [] }) },
    { name: 'trust.json whose id is of another key', trust: JSON.stringify({ ...TRUST, verifierId: 'cd'.repeat(32) }) },
    {
      name: 'trust.json with a point that is not on the curve',
      trust: JSON.stringify({ ...TRUST, ticketKeys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }] }),
    },
    { name: 'trust.json that is far too long', trust: JSON.stringify({ ...TRUST, more: 'x'.repeat(70_000) }) },
    { name: 'an RSA ticket key', key: rsa.export({ type: 'spki', format: 'pem' }).toString() },
    { name: 'a private ticket key', key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
    { name: 'a ticket key that is no key', key: 'hello' },
  ]
  for (const { name, trust, key } of refused) {
    it(`refuses ${name}`, async () => {
      const verifier =
        trust === undefined
          ? `  ca: ${file('ca.pem', createCa('t', new Date()).certPem)}\n  ticketKeys: [${file('k', key ?? '')}]\n`
          : `  trust: ${file('trust.json', trust)}\n`
      await assert.rejects(load(verifier), { code: 'AGENT_TRUST_INVALID' })
    })
  }

  it('refuses a CA file without a certificate', async () => {
    const trust = file('trust.json', JSON.stringify(TRUST))
    await assert.rejects(load(`  trust: ${trust}\n  ca: ${file('ca.pem', 'nothing')}\n`), {
      code: 'AGENT_TRUST_INVALID',
    })
  })

  it('finds a group by its whole name only, and says how to make one', () => {
    const groups = 'root:x:0:\nholdfast2:x:7:\nholdfast:x:998:alice,bob\n'
    assert.equal(findGroup(groups, 'holdfast'), 998)
    assert.throws(() => findGroup(groups, 'hold'), { code: 'AGENT_GROUP_UNKNOWN', message: /groupadd --system hold/ })
  })
})

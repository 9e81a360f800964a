import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import {
  appraiseIma,
  checkFileSignature,
  compileImaPolicy,
  imaStateStart,
  type NamedFileKey,
  readFileKeys,
} from '../../../attestation/appraisal/ima/index.ts'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { imaEntries, imaMeasurement, readImaList } from '../../../attestation/event-log/index.ts'
import { readKeylimeAllowlist } from '../../../attestation/reference-values/index.ts'
import { bootAggregateEntry, encodeList, fileEntry, registerAfter } from '../../support/ima-log.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const hashOf = (content: string) => toHex(digest('sha256', utf8(content)))
const publicKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
const pem = () => publicKey().export({ format: 'pem', type: 'spki' }).toString()

describe('readKeylimeAllowlist', () => {
  it('reads a flat allowlist', () => {
    const text = `${hashOf('a')}  /usr/bin/a\nsha256:${hashOf('b')}  /usr/bin/b c\n\n# comment\n${hashOf('k')} %keyring:.ima\nno digest here\n`
    const { policy, problems } = readKeylimeAllowlist(text)
    assert.deepEqual(
      [...policy.files],
      [
        ['/usr/bin/a', [hashOf('a')]],
        ['/usr/bin/b c', [hashOf('b')]],
      ],
    )
    assert.deepEqual([...policy.keyrings], [['.ima', [hashOf('k')]]])
    assert.deepEqual(problems, ['line 6: no digest and path'])
  })

  it('reads a runtime policy, and a machine of that policy passes', () => {
    const der = publicKey().export({ format: 'der', type: 'spki' }).toString('base64')
    const text = JSON.stringify({
      meta: { version: 1 },
      release: 0,
      digests: { '/usr/bin/a': [hashOf('a')] },
      excludes: ['/tmp/.*', '^/var/log/[^/]*\\.log$', '(a|b)'],
      keyrings: { '.ima': [hashOf('key')] },
      ima: { ignored_keyrings: ['.evm'], log_hash_alg: 'sha1', dm_policy: { version: 1 } },
      'ima-buf': { 'kexec-cmdline': [hashOf('quiet')] },
      'verification-keys': JSON.stringify({ pubkeys: [der], keyids: [1] }),
    })
    const { policy, problems } = readKeylimeAllowlist(text)
    assert.deepEqual(policy.excludes, ['/tmp/**', '/var/log/*.log'])
    assert.deepEqual(policy.ignoredKeyrings, ['.evm'])
    assert.deepEqual(policy.learnKeysFrom, ['.ima'])
    assert.equal(policy.signatureKeys.length, 1)
    assert.deepEqual([...policy.buffers], [['kexec-cmdline', [hashOf('quiet')]]])
    assert.equal(problems.length, 2)
    assert.match(problems.join('\n'), /"\(a\|b\)" cannot be said as a pattern.*\n.*dm_policy/)
    const entries = [
      bootAggregateEntry(),
      fileEntry('/usr/bin/a', 'a'),
      fileEntry('/tmp/x/y', 'x'),
      fileEntry('/var/log/a.log', 'l'),
    ]
    const quoted = { sha256: registerAfter(entries, 'sha256') }
    const result = appraiseIma(imaStateStart(['sha256']), encodeList(entries), quoted, compileImaPolicy(policy))
    assert.ok(result.outcome === 'proved')
    assert.deepEqual(result.state.counts.failures, {})
  })

  it('reads an older allowlist in JSON', () => {
    const { policy } = readKeylimeAllowlist(
      JSON.stringify({ hashes: { '/a': [`sha256:${hashOf('a')}`] }, exclude: ['/b$'] }),
    )
    assert.deepEqual([...policy.files], [['/a', [hashOf('a')]]])
    assert.deepEqual(policy.excludes, ['/b'])
  })

  for (const [expression, glob] of [
    ['/tmp/.*', ['/tmp/**']],
    ['/tmp/', ['/tmp/**']],
    ['^/a$', ['/a']],
    ['/a\\.b$', ['/a.b']],
    ['/a/[^/]/b$', ['/a/?/b']],
    ['/a+', []],
    ['/(x)?/y', []],
    ['\\d', []],
    ['/a\\*b', []],
    ['[abc]', []],
  ] as const) {
    it(`takes the expression ${expression} over as ${glob[0] ?? 'a problem'}`, () => {
      const { policy, problems } = readKeylimeAllowlist(JSON.stringify({ digests: {}, excludes: [expression] }))
      assert.deepEqual(policy.excludes, glob)
      assert.equal(problems.length, glob.length === 0 ? 1 : 0)
    })
  }

  it('says what is wrong with text that is no policy', () => {
    for (const text of ['{', '{"digests": {"/a": ["zz"]}}', '{"verification-keys": "nonsense"}', 'nonsense']) {
      assert.equal(readKeylimeAllowlist(text).problems.length, 1, text)
    }
    assert.deepEqual(readKeylimeAllowlist('{"digests": 7, "keyrings": [], "ima": null}').problems, [])
  })

  it('finds no file in what tells the kernel what to measure', function () {
    const set = externalVectors('keylime/ima')
    if (set === undefined) return skipWithoutVectors(this, 'keylime/ima')
    const { policy, problems } = readKeylimeAllowlist(set.text('ima-policy-keylime-tests'))
    assert.equal(policy.files.size, 0)
    assert.match(problems[0] ?? '', /^line \d+: no digest and path$/)
  })

  it('reads the allowlist of Keylime itself', function () {
    const set = externalVectors('keylime/ima')
    if (set === undefined) return skipWithoutVectors(this, 'keylime/ima')
    const { policy, problems } = readKeylimeAllowlist(set.text('ima-allowlist-short.txt'))
    assert.deepEqual(problems, [])
    assert.equal(policy.files.size, 21)
    assert.deepEqual([...policy.keyrings.keys()], ['.ima'])
    const compiled = compileImaPolicy({ ...policy, learnKeysFrom: ['.ima'] })
    const { bytes } = readImaList(set.read('keylime-keyrings.txt'))
    const specs = Array.from(imaEntries(bytes), (e) => ({ template: e.template, fields: e.fields.map((f) => f.bytes) }))
    const result = appraiseIma(imaStateStart(['sha256']), bytes, { sha256: registerAfter(specs, 'sha256') }, compiled)
    assert.ok(result.outcome === 'proved')
    assert.deepEqual(result.state.counts.failures, {})
    assert.equal(result.state.learnedKeys.length, 1)
  })
})

describe('readFileKeys', () => {
  it('reads PEM of several keys, DER, and says what is none', () => {
    assert.equal(readFileKeys(utf8(`notes\n${pem()}more\n${pem()}`)).keys.length, 2)
    assert.equal(readFileKeys(new Uint8Array(publicKey().export({ format: 'der', type: 'spki' }))).keys.length, 1)
    assert.deepEqual(readFileKeys(utf8('nothing')), { keys: [], problems: ['no certificate and no public key in it'] })
    assert.equal(readFileKeys(Uint8Array.of(0x30, 1, 0)).problems.length, 1)
    const ed25519 = generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }).toString()
    assert.match(readFileKeys(utf8(ed25519)).problems.join(), /^key 1: .*ed25519/)
    assert.throws(() => readFileKeys(new Uint8Array((1 << 20) + 1)), RangeError)
  })
})

describe('file signatures of other projects', () => {
  const check = (list: Uint8Array, keys: readonly NamedFileKey[]): Record<string, string[]> => {
    const results: Record<string, string[]> = {}
    for (const { fields } of imaEntries(list)) {
      const { name = '', signature, digest: measured } = imaMeasurement(fields)
      if (signature === undefined || measured === undefined) continue
      const of = (id: number) => keys.filter(({ keyIds }) => keyIds.includes(id)).map(({ key }) => key)
      const { result } = checkFileSignature(signature, measured, of)
      const names = results[result] ?? []
      names.push(name)
      results[result] = names
    }
    return results
  }

  it('ima: acs-imasig.log has one bad signature, one by another key, and one of SHA-1', function () {
    const set = externalVectors('ima')
    if (set === undefined) return skipWithoutVectors(this, 'ima')
    const { keys, problems } = readFileKeys(set.read('acs-imakey.der'))
    assert.deepEqual(problems, [])
    const results = check(set.read('acs-imasig.log'), keys)
    assert.equal(results['good']?.length, 896)
    assert.deepEqual(results['bad'], ['/usr/bin/trojan_badsig'])
    assert.equal(results['unknown-key']?.length, 1)
    assert.equal(results['unchecked']?.length, 1)
  })

  it('keylime: RSA and secp256k1, and one whose length is a lie', function () {
    const set = externalVectors('keylime/ima')
    if (set === undefined) return skipWithoutVectors(this, 'keylime/ima')
    const { keys } = readFileKeys(set.read('keylime-ima_keyring_string.txt'))
    assert.deepEqual(
      keys.flatMap(({ keyIds }) => keyIds),
      [4081397027, 1394556965],
    )
    const list = (name: string) => readImaList(set.read(name)).bytes
    assert.deepEqual(check(list('keylime-signatures.txt'), keys), { good: ['/usr/bin/dd', '/usr/bin/zmore'] })
    assert.deepEqual(check(list('keylime-bad_signatures.txt'), keys), { unchecked: ['/usr/bin/zmore'] })
    const [rsa] = readFileKeys(set.read('keys/rsa2048pub.pem')).keys
    assert.deepEqual(rsa?.keyIds, [4081397027])
    for (const file of ['keys/rsa2048.pem', 'keys/secp256k1.pem']) {
      assert.equal(readFileKeys(set.read(file)).keys.length, 0, `${file}: a private key is not taken for a public one`)
    }
    const secp256k1 = createPublicKey(set.text('keys/secp256k1.pem')).export({ format: 'der', type: 'spki' })
    assert.deepEqual(readFileKeys(new Uint8Array(secp256k1)).keys[0]?.keyIds, [1394556965])
  })
})

import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import {
  appraiseIma,
  compileImaPolicy,
  EMPTY_IMA_POLICY,
  fileKey,
  type ImaAppraisal,
  type ImaPolicy,
  type ImaState,
  imaStateStart,
  type NamedFileKey,
} from '../../../../attestation/appraisal/ima/index.ts'
import { concatBytes, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  bootAggregateEntry,
  bufferEntry,
  digestField,
  encodeList,
  fileEntry,
  type ImaEntrySpec,
  registerAfter,
  templateData,
  u32,
  violationEntry,
} from '../../../support/ima-log.ts'

const hashOf = (content: string) => toHex(digest('sha256', utf8(content)))
const policyOf = (changes: Partial<ImaPolicy>) => compileImaPolicy({ ...EMPTY_IMA_POLICY, ...changes })
const LISTED = new Map([
  ['/usr/bin/true', [hashOf('true')]],
  ['/usr/bin/false', [hashOf('old false'), hashOf('false')]],
  ['/with space', [hashOf('space')]],
])

function appraise(entries: readonly ImaEntrySpec[], policy: ReturnType<typeof policyOf>): ImaState {
  const result = appraiseIma(
    imaStateStart(['sha256']),
    encodeList(entries),
    { sha256: registerAfter(entries, 'sha256') },
    policy,
  )
  assert.equal(result.outcome, 'proved', JSON.stringify(result))
  return (result as ImaAppraisal & { outcome: 'proved' }).state // just asserted
}

/** Kinds of failures of a list that begins with boot_aggregate. */
const failures = (entries: readonly ImaEntrySpec[], changes: Partial<ImaPolicy>) =>
  appraise([bootAggregateEntry(), ...entries], policyOf(changes)).counts.failures

function signer(curve: string): { key: NamedFileKey; der: Uint8Array; sign: (content: string) => Uint8Array } {
  const { publicKey, privateKey } =
    curve === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: curve })
  const der = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
  const key = fileKey(der)
  return {
    key,
    der,
    sign: (content) => {
      const signature = new Uint8Array(sign('sha256', utf8(content), privateKey))
      return concatBytes(
        Uint8Array.of(3, 2, 4),
        idOf(key),
        Uint8Array.of(signature.length >> 8, signature.length),
        signature,
      )
    },
  }
}

function idOf({ keyIds: [id = 0] }: NamedFileKey): Uint8Array {
  return u32(id).reverse()
}

describe('appraiseIma', () => {
  it('counts what is listed, excluded and signed, and fails nothing of it', () => {
    const { key, sign: signed } = signer('rsa')
    const entries = [
      bootAggregateEntry(),
      fileEntry('/usr/bin/true', 'true'),
      fileEntry('/usr/bin/false', 'false'),
      fileEntry('/with_space', 'space'),
      fileEntry('/var/log/any/file', 'whatever'),
      fileEntry('/opt/vendor/tool', 'tool', signed('tool')),
    ]
    const policy = policyOf({ files: LISTED, excludes: ['/var/log/**'], signatureKeys: [key] })
    for (let machine = 0; machine < 2; machine++) {
      const { counts, failures: list, bootAggregate } = appraise(entries, policy)
      assert.deepEqual(
        { listed: counts.listed, excluded: counts.excluded, signed: counts.signed, failures: counts.failures },
        { listed: 3, excluded: 1, signed: 1, failures: {} },
      )
      assert.deepEqual(list, [])
      assert.deepEqual(bootAggregate, { algorithm: 'sha256', digest: '5a'.repeat(32), old: false })
    }
  })

  it('fails a path that nobody listed, and content that is not what is listed', () => {
    const entries = [fileEntry('/usr/bin/evil', 'true'), fileEntry('/usr/bin/true', 'trojan')]
    assert.deepEqual(failures(entries, { files: LISTED }), { 'unknown-file': 1, 'changed-file': 1 })
    assert.deepEqual(failures(entries, {}), { 'unknown-file': 2 })
  })

  it('says which entry failed and what was seen', () => {
    const { failures: list } = appraise([bootAggregateEntry(), fileEntry('/e\nvil', 'x')], policyOf({}))
    assert.deepEqual(
      list.map(({ kind, index, name }) => ({ kind, index, name })),
      [{ kind: 'unknown-file', index: 1, name: '/e\\x0avil' }],
    )
    assert.match(list[0]?.seen ?? '', new RegExp(`^sha256:${hashOf('x')}`))
  })

  it('keeps a bounded list of failures and counts on', () => {
    const entries = Array.from({ length: 1000 }, (_, i) => fileEntry(`/x/${'y'.repeat(3000)}${i}`, `${i}`))
    const state = appraise([bootAggregateEntry(), ...entries], policyOf({}))
    assert.equal(state.counts.failures['unknown-file'], 1000)
    assert.equal(state.failures.length, 64)
    assert.ok(JSON.stringify(state).length < 64 * 1000)
  })

  it('does not take fs-verity digests and digests of content for each other', () => {
    const entry = (kind: string): ImaEntrySpec => ({
      template: 'ima-ngv2',
      fields: [digestField(`${kind}:sha256`, digest('sha256', utf8('true'))), utf8('/usr/bin/true\0')],
    })
    assert.deepEqual(failures([entry('ima')], { files: LISTED }), {})
    assert.deepEqual(failures([entry('verity')], { files: LISTED }), { 'changed-file': 1 })
    const verity = new Map([['/usr/bin/true', [`verity:${hashOf('true')}`]]])
    assert.deepEqual(failures([entry('verity')], { files: verity }), {})
    assert.deepEqual(failures([entry('ima'), fileEntry('/usr/bin/true', 'true')], { files: verity }), {
      'changed-file': 2,
    })
  })

  it('counts violations apart from files: what they name is not proved', () => {
    assert.deepEqual(failures([violationEntry('/usr/bin/true')], { files: LISTED, excludes: ['**'] }), { violation: 1 })
  })

  it('never takes boot_aggregate in the middle for the one at the start', () => {
    const again = fileEntry('boot_aggregate', 'trojan')
    assert.deepEqual(failures([again], {}), { 'unknown-file': 1 })
    assert.deepEqual(failures([bootAggregateEntry()], {}), {}, 'a list carried over a kexec says the same again')
  })

  describe('signatures', () => {
    for (const curve of ['rsa', 'P-256', 'P-384', 'secp256k1']) {
      it(`accepts a good one by a listed ${curve} key, and no other`, () => {
        const { key, sign: signed } = signer(curve)
        const other = signer(curve)
        const by = { signatureKeys: [key] }
        assert.deepEqual(failures([fileEntry('/a', 'a', signed('a'))], by), {})
        assert.deepEqual(failures([fileEntry('/a', 'b', signed('a'))], by), { 'bad-signature': 1 })
        assert.deepEqual(failures([fileEntry('/a', 'a', other.sign('a'))], by), { 'unknown-file': 1 })
        const claimed = concatBytes(Uint8Array.of(3, 2, 4), idOf(key), other.sign('a').subarray(7))
        assert.deepEqual(failures([fileEntry('/a', 'a', claimed)], by), { 'bad-signature': 1 })
      })
    }

    it('can be required: a listed digest is not enough then, an excluded path is', () => {
      const { key, sign: signed } = signer('P-256')
      const entries = [
        fileEntry('/usr/bin/true', 'true'),
        fileEntry('/usr/bin/false', 'false', signed('false')),
        fileEntry('/tmp/x', 'x'),
        fileEntry('/usr/bin/true', 'true', signer('P-256').sign('true')),
      ]
      const changes = { files: LISTED, requireSignature: true, signatureKeys: [key], excludes: ['/tmp/*'] }
      assert.deepEqual(failures(entries, changes), { 'no-signature': 1, 'unknown-key': 1 })
    })

    it('of fs-verity digests are over type, hash and digest', () => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const key = fileKey(new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })))
      const measured = digest('sha256', utf8('descriptor'))
      const signature = new Uint8Array(sign('sha256', concatBytes(Uint8Array.of(6, 4), measured), privateKey))
      const xattr = (type: number, version: number) =>
        concatBytes(Uint8Array.of(type, version, 4), idOf(key), Uint8Array.of(0, signature.length), signature)
      const entry = (signed: Uint8Array): ImaEntrySpec => ({
        template: 'ima-sigv2',
        fields: [digestField('verity:sha256', measured), utf8('/v\0'), signed],
      })
      assert.deepEqual(failures([entry(xattr(6, 3))], { signatureKeys: [key] }), {})
      assert.deepEqual(failures([entry(xattr(3, 2))], { signatureKeys: [key] }), { 'unknown-file': 1 })
      assert.deepEqual(failures([entry(xattr(6, 2))], { signatureKeys: [key] }), { 'unknown-file': 1 })
    })

    it('that are bad cost no more than a bound', () => {
      const { key } = signer('P-384')
      const bad = (i: number) =>
        concatBytes(
          Uint8Array.of(3, 2, 4),
          idOf(key),
          Uint8Array.of(0, 8),
          utf8('30060201'.slice(0, 7)),
          Uint8Array.of(i),
        )
      const entries = Array.from({ length: 200 }, (_, i) => fileEntry(`/${i}`, `${i}`, bad(i)))
      assert.deepEqual(failures(entries, { signatureKeys: [key] }), { 'bad-signature': 64, 'unknown-file': 136 })
    })

    it('by keys of the machine itself count where their keyring is one to learn from, and on this machine only', () => {
      const { der, sign: signed } = signer('P-256')
      const keyEntry = bufferEntry('.ima', der)
      const entries = [bootAggregateEntry(), keyEntry, fileEntry('/a', 'a', signed('a'))]
      const listed = { keyrings: new Map([['.ima', [toHex(digest('sha256', der))]]]) }
      const learning = policyOf({ ...listed, learnKeysFrom: ['.ima'] })
      assert.deepEqual(appraise(entries, learning).counts.failures, {})
      assert.equal(appraise(entries, learning).learnedKeys.length, 1)
      const elsewhere = [bootAggregateEntry(), fileEntry('/a', 'a', signed('a'))]
      assert.deepEqual(appraise(elsewhere, learning).counts.failures, { 'unknown-file': 1 })
      assert.deepEqual(appraise(entries, policyOf(listed)).counts.failures, { 'unknown-file': 1 })
      const ignoring = policyOf({ ignoredKeyrings: ['*'], learnKeysFrom: ['.ima'] })
      assert.deepEqual(
        appraise(entries, ignoring).counts.failures,
        { 'unknown-file': 1 },
        'only accepted keys are learned',
      )
    })

    it('learned before count for pieces that come later', () => {
      const { der, sign: signed } = signer('P-256')
      const policy = policyOf({
        keyrings: new Map([['.ima', [toHex(digest('sha256', der))]]]),
        learnKeysFrom: ['.ima'],
      })
      const first = [bootAggregateEntry(), bufferEntry('.ima', der)]
      const second = [fileEntry('/a', 'a', signed('a'))]
      const state = JSON.parse(JSON.stringify(appraise(first, policy))) as ImaState
      const quoted = { sha256: registerAfter([...first, ...second], 'sha256') }
      const after = appraiseIma(state, encodeList(second), quoted, policy)
      assert.equal(after.outcome === 'proved' && after.state.counts.signed, 1)
    })
  })

  describe('keyrings and buffers', () => {
    const key = Uint8Array.of(0x30, 0x03, 1, 2, 3)

    it('fail where nothing accepts them', () => {
      const entries = [bufferEntry('.ima', key), bufferEntry('kexec-cmdline', utf8('quiet'))]
      assert.deepEqual(failures(entries, {}), { keyring: 1, buffer: 1 })
    })

    it('are accepted by digest, by pattern, or ignored', () => {
      const entries = [
        bufferEntry('.ima', key),
        bufferEntry('dm_table_load', utf8('x')),
        bufferEntry('kexec-cmdline', utf8('quiet')),
      ]
      assert.deepEqual(
        failures(entries, {
          keyrings: new Map([['.ima', [toHex(digest('sha256', key))]]]),
          buffers: new Map<string, readonly string[] | 'any'>([
            ['dm_*', 'any'],
            ['kexec-cmdline', [hashOf('quiet')]],
          ]),
        }),
        {},
      )
      assert.deepEqual(failures([bufferEntry('.x', key)], { ignoredKeyrings: ['.x'] }), {})
      assert.deepEqual(failures([bufferEntry('.y', key)], { ignoredKeyrings: ['.x'] }), { keyring: 1 })
    })

    it('fail when the digest is not that of the buffer, whatever the policy says', () => {
      const forged: ImaEntrySpec = {
        template: 'ima-buf',
        fields: [digestField('sha256', digest('sha256', key)), utf8('.ima\0'), utf8('another key')],
      }
      const listed = { keyrings: new Map([['.ima', [toHex(digest('sha256', key))]]]), ignoredKeyrings: ['*'] }
      assert.deepEqual(failures([forged], listed), { buffer: 1 })
    })
  })

  describe('a template under another name, which no digest covers', () => {
    it('does not make a buffer of a file', () => {
      const content = '\x03 a script that is its own signature'
      const disguised = { ...fileEntry('/tmp/evil', content, utf8(content)), template: 'ima-buf' }
      assert.deepEqual(failures([disguised], { buffers: new Map([['**', 'any']]) }), { buffer: 1 })
    })

    it('does not make an old entry of a new one with 276 bytes of data', () => {
      // digest bytes 8 and on become the path of the old template: an attacker can look for content that begins them
      // with an excluded directory
      const honest: ImaEntrySpec = {
        fields: [
          digestField('sha256', concatBytes(new Uint8Array(8), utf8('/tmp/'), new Uint8Array(19).fill(0x41))),
          utf8(`/${'e'.repeat(226)}\0`),
        ],
      }
      const data = templateData(honest)
      assert.equal(data.length, 276)
      const disguised: ImaEntrySpec = { template: 'ima', fields: [data.subarray(0, 20), data.subarray(20, 275)] }
      assert.deepEqual(templateData(disguised), data, 'the same template digest')
      assert.deepEqual(failures([disguised], { excludes: ['/tmp/**'] }), { unreadable: 1 })
    })

    it('leaves lists alone that are of the old template throughout', () => {
      const old = (path: string, content: string): ImaEntrySpec => ({
        template: 'ima',
        fields: [digest('sha1', utf8(content)), utf8(path)],
      })
      const entries = [old('boot_aggregate', 'pcrs'), old('/sbin/init', 'init')]
      const files = new Map([['/sbin/init', [createHash('sha1').update('init').digest('hex')]]])
      assert.deepEqual(appraise(entries, policyOf({ files })).counts.failures, {})
    })

    it('is a failure where it is not known', () => {
      const renamed = { ...fileEntry('/usr/bin/true', 'true'), template: 'ima-no' }
      assert.deepEqual(failures([renamed], { files: LISTED }), { unreadable: 1 })
    })
  })

  describe('proof', () => {
    const entries = [bootAggregateEntry(), fileEntry('/usr/bin/true', 'true'), fileEntry('/evil', 'evil')]
    const policy = policyOf({ files: LISTED })

    it('is of what the quote shows only: what is behind is not judged yet', () => {
      const proven = entries.slice(0, 2)
      const result = appraiseIma(
        imaStateStart(['sha256']),
        encodeList(entries),
        { sha256: registerAfter(proven, 'sha256') },
        policy,
      )
      assert.ok(result.outcome === 'proved')
      assert.deepEqual(result.state.counts.failures, {})
      assert.equal(result.restBytes, encodeList(entries).length - encodeList(proven).length)
      const quoted = { sha256: registerAfter(entries, 'sha256') }
      const later = appraiseIma(result.state, encodeList(entries.slice(2)), quoted, policy)
      assert.ok(later.outcome === 'proved')
      assert.deepEqual(later.state.counts.failures, { 'unknown-file': 1 })
    })

    it('stays open while the list does not reach the quote', () => {
      const result = appraiseIma(
        imaStateStart(['sha256']),
        encodeList(entries.slice(0, 2)),
        { sha256: registerAfter(entries, 'sha256') },
        policy,
      )
      assert.equal(result.outcome, 'open')
    })

    it('counts once where the kernel pads SHA-1, which is tried second', () => {
      const quoted = { sha256: registerAfter(entries, 'sha256', 'sha1-padded') }
      const result = appraiseIma(imaStateStart(['sha256']), encodeList(entries), quoted, policy)
      assert.ok(result.outcome === 'proved')
      assert.equal(result.state.counts.listed, 1)
      assert.deepEqual(result.state.counts.failures, { 'unknown-file': 1 })
    })

    it('is refuted by a forged entry, and by banks that disagree', () => {
      const forged = [...entries, { ...fileEntry('/x', 'x'), templateDigest: new Uint8Array(20).fill(9) }]
      const quoted = { sha256: registerAfter(forged, 'sha256') }
      const result = appraiseIma(imaStateStart(['sha256']), encodeList(forged), quoted, policy)
      assert.deepEqual(result.outcome === 'refuted' && result.code, 'EVENT_LOG_DIGEST_MISMATCH')
      const banks = { sha1: registerAfter(entries.slice(1), 'sha1'), sha256: registerAfter(entries, 'sha256') }
      const apart = appraiseIma(imaStateStart(['sha1', 'sha256']), encodeList(entries), banks, policy)
      assert.deepEqual(apart.outcome === 'refuted' && apart.code, 'IMA_BANKS_DISAGREE')
    })
  })
})

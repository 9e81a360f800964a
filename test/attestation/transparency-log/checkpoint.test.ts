import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import { ed25519PublicKeyOf } from '../../../attestation/crypto/index.ts'
import {
  EMPTY_ROOT,
  ed25519NoteKey,
  formatCheckpoint,
  formatSignedNote,
  leafHash,
  type NoteSignature,
  parseCheckpoint,
  parseSignedNote,
  signNote,
  verifyCheckpoint,
} from '../../../attestation/transparency-log/index.ts'
import { testKey, testWitness } from '../../support/log-keys.ts'

const ORIGIN = 'log.example/audit'
const HEAD = { origin: ORIGIN, size: 1n, root: leafHash(utf8('first')), extensions: [] }
const TEXT = formatCheckpoint(HEAD)
const LOG_KEY = ed25519NoteKey(ORIGIN, ed25519PublicKeyOf(testKey(1)))
const NOTE = signNote(TEXT, ORIGIN, testKey(1))
const ONE = testWitness('witness.example/one', 2)
const TWO = testWitness('witness.example/two', 3)

const withSignatures = (...signatures: readonly NoteSignature[]): Uint8Array => {
  const { text, signatures: first } = parseSignedNote(NOTE)
  return formatSignedNote({ text, signatures: [...first, ...signatures] })
}

describe('the text of a checkpoint', () => {
  it('is origin, size and root, a line each', () => {
    assert.equal(TEXT, `log.example/audit\n1\n${Buffer.from(HEAD.root).toString('base64')}\n`)
    assert.deepEqual(parseCheckpoint(TEXT), HEAD)
  })
  it('keeps extension lines, sizes up to 2^63 - 1 and origins with spaces', () => {
    const other = { ...HEAD, origin: 'a log - 7', size: 2n ** 63n - 1n, extensions: ['one', 'two'] }
    assert.deepEqual(parseCheckpoint(formatCheckpoint(other)), other)
  })

  const root = TEXT.split('\n')[2] as string
  const refused = [
    { name: 'an empty text', text: '' },
    { name: 'two lines', text: 'o\n1\n' },
    { name: 'a text without a final line end', text: `o\n1\n${root}` },
    { name: 'an empty origin', text: `\n1\n${root}\n` },
    { name: 'a leading zero', text: `o\n01\n${root}\n` },
    { name: 'a sign', text: `o\n+1\n${root}\n` },
    { name: 'a space after the size', text: `o\n1 \n${root}\n` },
    { name: 'a hexadecimal size', text: `o\n0x1\n${root}\n` },
    { name: 'a size of 2^63', text: `o\n9223372036854775808\n${root}\n` },
    { name: 'a size of 30 digits', text: `o\n${'1'.repeat(30)}\n${root}\n` },
    { name: 'a root without padding', text: `o\n1\n${root.replace('=', '')}\n` },
    { name: 'a root with bits after its last byte', text: `o\n1\n${'A'.repeat(42)}B=\n` },
    { name: 'a root in base64url', text: `o\n1\n${'-'.repeat(43)}=\n` },
    { name: 'a root of 31 bytes', text: `o\n1\n${Buffer.alloc(31).toString('base64')}\n` },
    { name: 'an empty tree with a root of leaves', text: `o\n0\n${root}\n` },
    { name: 'an empty extension line', text: `o\n1\n${root}\nx\n\n` },
  ]
  for (const { name, text } of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => parseCheckpoint(text), { code: 'LOG_CHECKPOINT_INVALID' }))
  }
  it('is never written in a way that reads as another checkpoint', () => {
    for (const head of [
      { ...HEAD, origin: '' },
      { ...HEAD, origin: `${ORIGIN}\n2` },
      { ...HEAD, size: -1n },
      { ...HEAD, size: 2n ** 63n },
      { ...HEAD, root: HEAD.root.subarray(1) },
      { ...HEAD, extensions: ['one\ntwo'] },
    ]) {
      assert.throws(() => formatCheckpoint(head), { code: 'LOG_CHECKPOINT_INVALID' })
    }
  })
})

describe('a signed checkpoint', () => {
  const trust = { origin: ORIGIN, logKeys: [LOG_KEY] }

  it('is verified with a key of the log', () => {
    assert.deepEqual(verifyCheckpoint(NOTE, trust), { ...HEAD, witnesses: [] })
  })
  it('may be of an empty log', () => {
    const empty = signNote(formatCheckpoint({ ...HEAD, size: 0n, root: EMPTY_ROOT }), ORIGIN, testKey(1))
    assert.equal(verifyCheckpoint(empty, trust).size, 0n)
  })
  it('tells when each witness cosigned, and ignores witnesses it does not know', () => {
    const note = withSignatures(ONE.cosign(TEXT, 1_700_000_000n), TWO.cosign(TEXT, 1_700_000_001n))
    const { witnesses } = verifyCheckpoint(note, { ...trust, witnessKeys: [TWO.key], witnesses: 1 })
    assert.deepEqual(witnesses, [{ key: TWO.key, timeSeconds: 1_700_000_001n }])
  })

  const cosigned = withSignatures(ONE.cosign(TEXT, 5n))
  const bothWitnesses = { ...trust, witnessKeys: [ONE.key, TWO.key] }
  const twice = withSignatures(ONE.cosign(TEXT, 5n), ONE.cosign(TEXT, 6n))
  const sameKey = testWitness('witness.example/again', 2)
  const changed = NOTE.map((byte, i) => (i === TEXT.length - 3 ? byte ^ 1 : byte))
  const short = { ...ONE.cosign(TEXT, 5n), bytes: new Uint8Array(71) }
  const early = ONE.cosign(TEXT, 5n)
  early.bytes[7] = 4
  const far = ONE.cosign(TEXT, 2n ** 63n)
  const ofAnotherText = ONE.cosign(formatCheckpoint({ ...HEAD, size: 2n }), 5n)
  const asNote: NoteSignature = {
    ...(parseSignedNote(NOTE).signatures[0] as NoteSignature),
    name: ONE.key.name,
    keyId: ONE.key.keyId,
  }
  const onlyWitness = formatSignedNote({ text: TEXT, signatures: [ONE.cosign(TEXT, 5n)] })
  const refused = [
    {
      name: 'of another origin',
      bytes: NOTE,
      trust: { ...trust, origin: 'log.example/other' },
      code: 'LOG_CHECKPOINT_ORIGIN',
    },
    { name: 'that no known key signed', bytes: NOTE, trust: { ...trust, logKeys: [] }, code: 'LOG_NOTE_UNSIGNED' },
    { name: 'that only a witness signed', bytes: onlyWitness, trust: bothWitnesses, code: 'LOG_NOTE_UNSIGNED' },
    { name: 'with a changed root', bytes: changed, trust, code: 'LOG_NOTE_SIGNATURE_INVALID' },
    {
      name: 'with too few witnesses',
      bytes: cosigned,
      trust: { ...bothWitnesses, witnesses: 2 },
      code: 'LOG_CHECKPOINT_UNWITNESSED',
    },
    {
      name: 'that one witness cosigned twice',
      bytes: twice,
      trust: { ...bothWitnesses, witnesses: 2 },
      code: 'LOG_CHECKPOINT_UNWITNESSED',
    },
    {
      name: 'with one key as two witnesses',
      bytes: cosigned,
      trust: { ...trust, witnessKeys: [ONE.key, sameKey.key] },
      code: 'LOG_KEY_INVALID',
    },
    {
      name: 'with a witness whose key makes no cosignatures',
      bytes: cosigned,
      trust: { ...trust, witnessKeys: [LOG_KEY] },
      code: 'LOG_KEY_INVALID',
    },
    {
      name: 'with the log key given twice',
      bytes: NOTE,
      trust: { ...trust, logKeys: [LOG_KEY, LOG_KEY] },
      code: 'LOG_KEY_INVALID',
    },
    {
      name: 'with a cut cosignature',
      bytes: withSignatures(short),
      trust: bothWitnesses,
      code: 'LOG_NOTE_SIGNATURE_INVALID',
    },
    {
      name: 'with a cosignature of another time',
      bytes: withSignatures(early),
      trust: bothWitnesses,
      code: 'LOG_NOTE_SIGNATURE_INVALID',
    },
    { name: 'cosigned at 2^63', bytes: withSignatures(far), trust: bothWitnesses, code: 'LOG_NOTE_SIGNATURE_INVALID' },
    {
      name: 'with a cosignature of another text',
      bytes: withSignatures(ofAnotherText),
      trust: bothWitnesses,
      code: 'LOG_NOTE_SIGNATURE_INVALID',
    },
    {
      name: 'with a plain signature as a cosignature',
      bytes: withSignatures(asNote),
      trust: bothWitnesses,
      code: 'LOG_NOTE_SIGNATURE_INVALID',
    },
    {
      name: 'whose text is another note',
      bytes: signNote('no checkpoint\n', ORIGIN, testKey(1)),
      trust,
      code: 'LOG_CHECKPOINT_INVALID',
    },
  ]
  for (const { name, bytes, trust: by, code } of refused) {
    it(`${name} is refused with ${code}`, () => assert.throws(() => verifyCheckpoint(bytes, by), { code }))
  }
})

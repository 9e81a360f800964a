import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { concatBytes, fromUtf8, utf8 } from '../../../attestation/base/index.ts'
import { ed25519PublicKeyOf, importRsaPublicKey, importSpki } from '../../../attestation/crypto/index.ts'
import {
  ecdsaNoteKey,
  ed25519NoteKey,
  formatSignedNote,
  formatVerifierKey,
  MAX_NOTE_BYTES,
  MAX_NOTE_SIGNATURES,
  type NoteKey,
  parseSignedNote,
  parseVerifierKey,
  signNote,
  TransparencyLogError,
  verifyNote,
} from '../../../attestation/transparency-log/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { testKey, testWitness } from '../../support/log-keys.ts'

const NAME = 'log.example/audit'
const KEY = ed25519NoteKey(NAME, ed25519PublicKeyOf(testKey(1)))
const TEXT = 'first line\n\nand, after an empty one, the last — with a dash\n'
const NOTE = signNote(TEXT, NAME, testKey(1))
const LINE = fromUtf8(NOTE).slice(TEXT.length + 1)
const INVALID = { code: 'LOG_NOTE_INVALID' }
const INVALID_KEY = { code: 'LOG_KEY_INVALID' }

describe('a signed note', () => {
  it('is its text, a blank line and a line for each signature', () => {
    const { text, signatures } = parseSignedNote(NOTE)
    assert.equal(text, TEXT)
    assert.deepEqual(
      signatures.map(({ name, keyId }) => ({ name, keyId })),
      [{ name: NAME, keyId: KEY.keyId }],
    )
    assert.match(LINE, /^— log\.example\/audit [A-Za-z0-9+/]+=*\n$/)
    assert.deepEqual(formatSignedNote({ text, signatures }), NOTE)
  })
  it('is read with as many signatures as are allowed', () => {
    const note = utf8(`t\n\n${LINE.repeat(MAX_NOTE_SIGNATURES)}`)
    assert.equal(parseSignedNote(note).signatures.length, MAX_NOTE_SIGNATURES)
  })

  const refused = [
    { name: 'no bytes', note: '' },
    { name: 'a text alone', note: TEXT },
    { name: 'no signature', note: `${TEXT}\n` },
    { name: 'no blank line', note: `text\n${LINE}` },
    { name: 'no text', note: `\n${LINE}` },
    { name: 'no line end after the signature', note: `t\n\n${LINE.slice(0, -1)}` },
    { name: 'a line end too many', note: `t\n\n${LINE}\n` },
    { name: 'a carriage return', note: `t\r\n\n${LINE}` },
    { name: 'a tab in the text', note: `\tt\n\n${LINE}` },
    { name: 'a NUL in the text', note: `\0t\n\n${LINE}` },
    { name: 'a hyphen for the dash', note: `t\n\n${LINE.replace('—', '-')}` },
    { name: 'two spaces before the name', note: `t\n\n${LINE.replace('— ', '—  ')}` },
    { name: 'two spaces behind the name', note: `t\n\n${LINE.replace(NAME, `${NAME} `)}` },
    { name: 'an empty name', note: `t\n\n${LINE.replace(NAME, '')}` },
    { name: 'a plus sign in the name', note: `t\n\n${LINE.replace(NAME, 'a+b')}` },
    { name: 'a no-break space in the name', note: `t\n\n${LINE.replace(NAME, 'a\u00a0b')}` },
    { name: 'something behind the signature', note: `t\n\n${LINE.replace('\n', ' x\n')}` },
    { name: 'a signature of a key id alone', note: `t\n\n— n AAAAAA==\n` },
    { name: 'a signature without padding', note: `t\n\n— n AAAAAAA\n` },
    { name: 'a signature in base64url', note: `t\n\n— n AAAAAA-_\n` },
    { name: 'a signature with bits behind its last byte', note: `t\n\n— n AAAAAAB=\n` },
    { name: 'too many signatures', note: `t\n\n${LINE.repeat(MAX_NOTE_SIGNATURES + 1)}` },
    { name: 'more bytes than are read', note: `${'t'.repeat(MAX_NOTE_BYTES)}\n\n${LINE}` },
  ]
  for (const { name, note } of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => parseSignedNote(utf8(note)), INVALID))
  }
  it('is refused when it is not UTF-8, and with a byte of it cut', () => {
    assert.throws(() => parseSignedNote(concatBytes(Uint8Array.of(0xff), NOTE)), INVALID)
    for (let end = 0; end < NOTE.length; end++) {
      assert.throws(() => verifyNote(parseSignedNote(NOTE.subarray(0, end)), [KEY]), TransparencyLogError)
    }
  })
  it('is any bytes, or they are refused', () => {
    const pieces = fc.constantFrom('\n', '\n\n', '— ', 'n', ' ', '+', 'AAAAAAA=', LINE, TEXT, '\0')
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (list) => {
        const bytes = utf8(list.join(''))
        try {
          assert.deepEqual(formatSignedNote(parseSignedNote(bytes)), bytes)
        } catch (err) {
          assert.equal((err as { code?: string }).code, 'LOG_NOTE_INVALID')
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
  it('is not made of a text or a name that no note can have', () => {
    for (const text of ['', 'no line end', 'a tab\t\n']) assert.throws(() => signNote(text, NAME, testKey(1)), INVALID)
    for (const name of ['', 'a b', 'a+b', 'a\nb']) assert.throws(() => signNote(TEXT, name, testKey(1)), INVALID_KEY)
    assert.throws(() => signNote(TEXT, NAME, generateKeyPairSync('ed448').privateKey), { code: 'KEY_UNSUPPORTED' })
  })
})

describe('signatures of a note', () => {
  const other = ed25519NoteKey('log.example/other', ed25519PublicKeyOf(testKey(2)))
  const sameName = ed25519NoteKey(NAME, ed25519PublicKeyOf(testKey(2)))
  /** Another key of that name which claims the id. */
  const sameId: NoteKey = { ...sameName, keyId: KEY.keyId }

  it('are verified for known keys and ignored for others', () => {
    const both = utf8(`${fromUtf8(NOTE)}${fromUtf8(signNote(TEXT, other.name, testKey(2))).slice(TEXT.length + 1)}`)
    const note = parseSignedNote(both)
    assert.deepEqual(verifyNote(note, [KEY]), { text: TEXT, signedBy: [{ key: KEY }] })
    assert.deepEqual(verifyNote(note, [other, KEY, sameName]).signedBy, [{ key: KEY }, { key: other }])
  })
  it('do not count when no key of them is known', () => {
    for (const keys of [[], [other], [sameName]]) {
      assert.throws(() => verifyNote(parseSignedNote(NOTE), keys), { code: 'LOG_NOTE_UNSIGNED' })
    }
  })
  it('refuse the note when a known key did not make them', () => {
    assert.throws(() => verifyNote(parseSignedNote(NOTE), [sameId]), { code: 'LOG_NOTE_SIGNATURE_INVALID' })
    const bad = `${fromUtf8(NOTE)}— ${NAME} ${Buffer.from([...Buffer.alloc(4), 1]).toString('base64')}\n`
    assert.equal(verifyNote(parseSignedNote(utf8(bad)), [KEY]).signedBy.length, 1) // another id: another key
    const id = Buffer.alloc(4)
    id.writeUInt32BE(KEY.keyId)
    const wrong = `${fromUtf8(NOTE)}— ${NAME} ${Buffer.concat([id, Buffer.alloc(64)]).toString('base64')}\n`
    assert.throws(() => verifyNote(parseSignedNote(utf8(wrong)), [KEY]), { code: 'LOG_NOTE_SIGNATURE_INVALID' })
  })
  it('are asked of keys that no other has the name and id of', () => {
    assert.throws(() => verifyNote(parseSignedNote(NOTE), [KEY, sameId]), INVALID_KEY)
  })
  it('fail with any single bit of the note changed', () => {
    for (let bit = 0; bit < 8 * NOTE.length; bit++) {
      const changed = NOTE.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      assert.throws(() => verifyNote(parseSignedNote(changed), [KEY]), TransparencyLogError)
    }
  })
  it('may be ECDSA, as those of Rekor', () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const key = ecdsaNoteKey('rekor.example', importSpki(pair.publicKey.export({ format: 'der', type: 'spki' })))
    const signature = { name: key.name, keyId: key.keyId, bytes: sign('sha256', utf8(TEXT), pair.privateKey) }
    const note = parseSignedNote(formatSignedNote({ text: TEXT, signatures: [signature] }))
    assert.deepEqual(verifyNote(note, [key]).signedBy, [{ key }])
    assert.deepEqual(parseVerifierKey(formatVerifierKey(key)).keyId, key.keyId)
    assert.throws(() => verifyNote({ ...note, text: 'other\n' }, [key]), { code: 'LOG_NOTE_SIGNATURE_INVALID' })
  })
})

describe('a verifier key', () => {
  it('is name, id and key, and reads back', () => {
    const text = formatVerifierKey(KEY)
    assert.match(text, /^log\.example\/audit\+[0-9a-f]{8}\+A[A-Za-z0-9+/]{43}$/)
    assert.deepEqual(verifyNote(parseSignedNote(NOTE), [parseVerifierKey(text)]).text, TEXT)
  })
  it('of a witness has another id than one of a log with the same key', () => {
    const { key } = testWitness(NAME, 1)
    assert.notEqual(key.keyId, KEY.keyId)
    assert.equal(parseVerifierKey(formatVerifierKey(key)).kind, 'cosignature')
  })

  const [, id, material] = formatVerifierKey(KEY).split(/\+(.{8})\+/) as [string, string, string]
  const refused = [
    { name: 'an empty text', text: '' },
    { name: 'a name alone', text: NAME },
    { name: 'no key', text: `${NAME}+${id}+` },
    { name: 'an id of seven digits', text: `${NAME}+${id.slice(1)}+${material}` },
    { name: 'the id of another name', text: `log.example/other+${id}+${material}` },
    { name: 'an empty name', text: `+${id}+${material}` },
    { name: 'a space in the name', text: `a b+${id}+${material}` },
    { name: 'a key that is not base64', text: `${NAME}+${id}+${material.slice(1)}` },
    { name: 'a key of 31 bytes', text: `${NAME}+${id}+${Buffer.alloc(32, 1).toString('base64')}` },
    { name: 'an unknown type of key', text: `${NAME}+${id}+${Buffer.alloc(33, 9).toString('base64')}` },
    { name: 'an ECDSA key that is no SPKI', text: `${NAME}+${id}+${Buffer.alloc(33, 2).toString('base64')}` },
    { name: 'something behind it', text: `${formatVerifierKey(KEY)}\n` },
    { name: 'more text than is read', text: `${'a'.repeat(2000)}+${id}+${material}` },
  ]
  for (const { name, text } of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => parseVerifierKey(text), INVALID_KEY))
  }
  it('is not RSA', () => {
    const modulus = new Uint8Array(256).fill(0xff)
    assert.throws(() => ecdsaNoteKey('rekor.example', importRsaPublicKey(modulus, 65537)), INVALID_KEY)
  })
})

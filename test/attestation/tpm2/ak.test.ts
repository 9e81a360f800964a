import assert from 'node:assert/strict'
import { concatBytes } from '../../../attestation/base/index.ts'
import {
  AK_ERRORS,
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  decodePublic,
  type EccPublic,
  encodePublic,
  MAX_PUBLIC_BYTES,
  objectName,
  type RsaPublic,
  TPMA_OBJECT,
  type TpmPublic,
  verifyAkPublic,
} from '../../../attestation/tpm2/index.ts'
import { fixedRsaAk, softwareAk } from '../../support/software-ak.ts'
import { copiedVectors } from '../../support/vectors.ts'

const eccBytes = softwareAk().akPublic
const ecc = decodePublic(eccBytes) as EccPublic // from that template
const rsa = decodePublic(fixedRsaAk().akPublic) as RsaPublic // likewise
const without = (value: TpmPublic, bit: number): TpmPublic => ({ ...value, attributes: value.attributes & ~bit })
const withBit = (value: TpmPublic, bit: number): TpmPublic => ({ ...value, attributes: value.attributes | bit })
/** One byte of an encoded ECC public, by offset from its start. */
const patched = (at: number, ...bytes: number[]): Uint8Array => {
  const out = Uint8Array.from(eccBytes)
  out.set(bytes, at)
  return out
}

const refused: readonly { name: string; ak: TpmPublic | Uint8Array; code: string; expected?: object }[] = [
  { name: 'more bytes than any key has', ak: new Uint8Array(MAX_PUBLIC_BYTES + 1), code: 'AK_TOO_LARGE' },
  { name: 'no bytes', ak: new Uint8Array(0), code: 'AK_MALFORMED' },
  { name: 'reserved attributes', ak: patched(4, 0x80), code: 'AK_MALFORMED' },
  { name: 'a byte after the end', ak: concatBytes(eccBytes, Uint8Array.of(0)), code: 'AK_TRAILING_BYTES' },
  {
    name: 'a sealed blob',
    ak: { ...ecc, type: 'keyedhash', scheme: { alg: 'null' }, unique: new Uint8Array(32) },
    code: 'AK_TYPE',
  },
  { name: 'an object of no type', ak: patched(0, 0, 2), code: 'AK_TYPE' },
  { name: 'a Name by SHA-1', ak: { ...ecc, nameAlg: 'sha1' }, code: 'AK_NAME_ALG_WEAK' },
  { name: 'a key that leaves its TPM', ak: without(ecc, TPMA_OBJECT.fixedTPM), code: 'AK_NOT_FIXED_TPM' },
  { name: 'a key that leaves its parent', ak: without(ecc, TPMA_OBJECT.fixedParent), code: 'AK_NOT_FIXED_PARENT' },
  { name: 'an imported key', ak: without(ecc, TPMA_OBJECT.sensitiveDataOrigin), code: 'AK_NOT_TPM_GENERATED' },
  { name: 'a key that signs anything', ak: without(ecc, TPMA_OBJECT.restricted), code: 'AK_NOT_RESTRICTED' },
  { name: 'a key that signs nothing', ak: without(ecc, TPMA_OBJECT.sign), code: 'AK_NOT_SIGNING' },
  { name: 'a key that also decrypts', ak: withBit(ecc, TPMA_OBJECT.decrypt), code: 'AK_DECRYPTS' },
  {
    name: 'a key with a cipher',
    ak: { ...ecc, symmetric: { alg: 'aes', keyBits: 128, mode: 'cfb' } },
    code: 'AK_SYMMETRIC',
  },
  { name: 'a key with a derivation scheme', ak: { ...ecc, kdf: { alg: 'kdf2', hash: 'sha256' } }, code: 'AK_KDF' },
  { name: 'a key without a scheme', ak: { ...rsa, scheme: { alg: 'null' } }, code: 'AK_SCHEME_NULL' },
  { name: 'a scheme that does not sign', ak: { ...rsa, scheme: { alg: 'rsaes' } }, code: 'AK_SCHEME_UNKNOWN' },
  { name: 'ECDAA', ak: { ...ecc, scheme: { alg: 'ecdaa', hash: 'sha256', count: 0 } }, code: 'AK_SCHEME_UNKNOWN' },
  { name: 'a scheme number that is none', ak: patched(12, 0x00, 0x99), code: 'AK_SCHEME_UNKNOWN' },
  { name: 'SHA-1 signatures', ak: { ...ecc, scheme: { alg: 'ecdsa', hash: 'sha1' } }, code: 'AK_HASH_WEAK' },
  { name: 'RSA-1024', ak: { ...rsa, keyBits: 1024, unique: rsa.unique.slice(128) }, code: 'AK_RSA_TOO_SMALL' },
  { name: 'exponent 3', ak: { ...rsa, exponent: 3 }, code: 'AK_RSA_EXPONENT' },
  { name: 'exponent 1', ak: { ...rsa, exponent: 1 }, code: 'AK_RSA_EXPONENT' },
  { name: 'a curve that is none of ours', ak: patched(16, 0x00, 0x20), code: 'AK_CURVE' },
  { name: 'a point off its curve', ak: { ...ecc, unique: { ...ecc.unique, y: ecc.unique.x } }, code: 'AK_KEY_INVALID' },
  { name: 'the point at infinity', ak: { ...ecc, unique: AK_TEMPLATE_P256.unique }, code: 'AK_KEY_INVALID' },
  { name: 'a point of another curve', ak: { ...ecc, curve: 'P-384' }, code: 'AK_KEY_INVALID' },
  { name: 'a modulus of another size', ak: { ...rsa, keyBits: 3072 }, code: 'AK_KEY_INVALID' },
  { name: 'an empty modulus', ak: AK_TEMPLATE_RSA2048, code: 'AK_KEY_INVALID' },
  { name: 'an even modulus', ak: { ...rsa, unique: rsa.unique.with(255, 0) }, code: 'AK_KEY_INVALID' },
  { name: 'a policy where none is expected', ak: { ...ecc, authPolicy: new Uint8Array(32) }, code: 'AK_AUTH_POLICY' },
  {
    name: 'no policy where one is expected',
    ak: ecc,
    expected: { authPolicy: new Uint8Array(32) },
    code: 'AK_AUTH_POLICY',
  },
  {
    name: 'another Name than enrolled',
    ak: ecc,
    expected: { name: objectName(encodePublic(rsa)) },
    code: 'AK_NAME_MISMATCH',
  },
]

describe('verifyAkPublic', () => {
  for (const { name, ak, code, expected = {} } of refused) {
    it(`refuses ${name} with ${code}`, () => {
      const bytes = ak instanceof Uint8Array ? ak : encodePublic(ak)
      assert.throws(() => verifyAkPublic(bytes, expected), { name: 'AkError', code })
    })
  }

  it('provokes each code somewhere above', () => {
    assert.deepEqual([...new Set(refused.map((r) => r.code))].sort(), Object.keys(AK_ERRORS).sort())
  })

  it('refuses every strict prefix', () => {
    for (let size = 0; size < eccBytes.length; size++) {
      assert.throws(() => verifyAkPublic(eccBytes.slice(0, size), {}), { code: 'AK_MALFORMED' }, `${size} bytes`)
    }
  })

  it('accepts the attributes that are free: noDA, stClear, userWithAuth, adminWithPolicy', () => {
    for (const bit of [TPMA_OBJECT.noDA, TPMA_OBJECT.stClear, TPMA_OBJECT.userWithAuth, TPMA_OBJECT.adminWithPolicy]) {
      verifyAkPublic(encodePublic(withBit(ecc, bit)), {})
      verifyAkPublic(encodePublic(without(ecc, bit)), {})
    }
  })

  it('gives key, scheme and Name, and holds the key to the enrolled Name and policy', () => {
    const ak = verifyAkPublic(eccBytes, {})
    assert.deepEqual(ak.scheme, { alg: 'ecdsa', hash: 'sha256' })
    assert.equal(ak.key.kind, 'ec')
    assert.deepEqual(verifyAkPublic(eccBytes, { name: ak.name }).name, ak.name)
    const authPolicy = new Uint8Array(32).fill(7)
    verifyAkPublic(encodePublic({ ...ecc, authPolicy }), { authPolicy })
    assert.equal(verifyAkPublic(encodePublic({ ...rsa, exponent: 65537 }), {}).key.kind, 'rsa')
  })

  it('accepts coordinates with leading zeros and signs of every curve', () => {
    const { x, y } = ecc.unique
    const padded = { ...ecc, unique: { x: concatBytes(new Uint8Array(4), x), y: concatBytes(new Uint8Array(4), y) } }
    verifyAkPublic(encodePublic(padded), {})
    for (const curve of ['P-384', 'P-521'] as const) {
      const { akPublic } = softwareAk({ ...AK_TEMPLATE_P256, curve, scheme: { alg: 'ecdsa', hash: 'sha384' } })
      assert.equal(verifyAkPublic(akPublic, {}).key.kind, 'ec')
    }
  })

  it('refuses endorsement keys, sealed blobs and application keys that TPMs made', () => {
    const swtpm = copiedVectors('swtpm')
    for (const [path, code] of [
      ['ek/ek-rsa', 'AK_NOT_SIGNING'],
      ['ek/ek-ecc256', 'AK_NOT_SIGNING'],
      ['objects/app', 'AK_NOT_RESTRICTED'],
      ['objects/app2', 'AK_NOT_RESTRICTED'],
      ['launch-policy/v1-sealed', 'AK_TYPE'],
      ['attack/unrestricted-ak', 'AK_NOT_RESTRICTED'],
    ] as const) {
      assert.throws(() => verifyAkPublic(swtpm.read(`${path}.tpm2b_public`).slice(2), {}), { code }, path)
    }
  })
})

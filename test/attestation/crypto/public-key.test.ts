import assert from 'node:assert/strict'
import { createECDH, generateKeyPairSync, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { concatBytes, fromHex } from '../../../attestation/base/index.ts'
import {
  coordinateBytes,
  type EcCurve,
  ecPoint,
  exportSpki,
  importEcPublicKey,
  importRsaPublicKey,
  importSpki,
  KEY_ERRORS,
  leftPad,
  unsigned,
} from '../../../attestation/crypto/index.ts'

const CURVES = ['P-256', 'P-384', 'P-521'] as const
const spki = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ format: 'der', type: 'spki' }))
const ecKey = (namedCurve: string): Uint8Array => spki(generateKeyPairSync('ec', { namedCurve }).publicKey)
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
const modulus = new Uint8Array(Buffer.from(rsa.export({ format: 'jwk' }).n ?? '', 'base64url'))
const provoked = new Set<string>()
const refuses = (name: string, code: keyof typeof KEY_ERRORS, act: () => unknown): void => {
  provoked.add(code)
  it(`refuse ${name} with ${code}`, () => assert.throws(act, { name: 'KeyError', code }))
}

describe('public keys', () => {
  for (const curve of CURVES) {
    it(`come in by coordinates or by SubjectPublicKeyInfo and are the same, ${curve}`, () => {
      const der = ecKey(curve)
      const key = importSpki(der)
      assert.ok(key.kind === 'ec' && key.curve === curve)
      const { x, y } = ecPoint(key)
      assert.equal(x.length, coordinateBytes(curve))
      assert.deepEqual(exportSpki(importEcPublicKey(curve, x, y)), der)
      const zeros = new Uint8Array(3)
      assert.deepEqual(exportSpki(importEcPublicKey(curve, concatBytes(zeros, x), unsigned(y))), der)
    })

    it(`refuse every point that is near one, ${curve}`, () => {
      const { x, y } = ecPoint(importSpki(ecKey(curve)))
      for (let i = 0; i < x.length; i++) {
        const off = y.with(i, (y[i] as number) ^ 1)
        assert.throws(() => importEcPublicKey(curve, x, off), { code: 'KEY_INVALID' })
      }
    })
  }

  it('come in by modulus and exponent', () => {
    const key = importRsaPublicKey(concatBytes(new Uint8Array(2), modulus), 65537)
    assert.deepEqual(exportSpki(key), spki(rsa))
    assert.ok(key.kind === 'rsa' && key.bits === 2048)
  })

  refuses('the point at infinity', 'KEY_INVALID', () =>
    importEcPublicKey('P-256', new Uint8Array(0), new Uint8Array(32)),
  )
  refuses('a coordinate too long', 'KEY_INVALID', () =>
    importEcPublicKey('P-256', new Uint8Array(33).fill(1), new Uint8Array(32)),
  )
  refuses('an empty modulus', 'KEY_INVALID', () => importRsaPublicKey(new Uint8Array(256), 65537))
  refuses('bytes that are no DER', 'KEY_INVALID', () => importSpki(fromHex('3000')))
  refuses('a key for agreement only', 'KEY_UNSUPPORTED', () =>
    importSpki(spki(generateKeyPairSync('x25519').publicKey)),
  )
  refuses('another curve', 'KEY_UNSUPPORTED', () => importSpki(ecKey('secp256k1')))
  refuses('RSA that is bound to PSS', 'KEY_UNSUPPORTED', () =>
    importSpki(spki(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)),
  )

  it('provoke each code somewhere above', () => {
    assert.deepEqual([...provoked].sort(), Object.keys(KEY_ERRORS).sort())
  })

  it('give a KeyError for any bytes that are none', () => {
    const der = spki(rsa)
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), (at, byte) => {
        try {
          importSpki(der.with(at, byte))
        } catch (err) {
          assert.ok(err instanceof Error && err.name === 'KeyError', String(err))
        }
      }),
    )
  })
})

describe('unsigned and leftPad', () => {
  it('take leading zeros off and put them on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const stripped = unsigned(bytes)
        assert.notEqual(stripped[0], 0)
        assert.deepEqual(leftPad(stripped, 40).slice(40 - stripped.length), stripped)
        assert.equal(leftPad(stripped, 40).length, 40)
      }),
    )
    assert.throws(() => leftPad(new Uint8Array(3), 2), RangeError)
  })
})

/** Kept honest against OpenSSL's own encoding of a point. */
describe('ecPoint', () => {
  const names: Readonly<Record<EcCurve, string>> = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' }
  for (const curve of CURVES) {
    it(`gives padded coordinates, ${curve}`, () => {
      const size = coordinateBytes(curve)
      for (let i = 0; i < 40; i++) {
        const point = new Uint8Array(createECDH(names[curve]).generateKeys())
        const { x, y } = ecPoint(importEcPublicKey(curve, point.slice(1, 1 + size), point.slice(1 + size)))
        assert.deepEqual(concatBytes(Uint8Array.of(4), x, y), point)
      }
    })
  }

  it('takes an RSA key for our own mistake', () => {
    assert.throws(() => ecPoint(importRsaPublicKey(modulus, 65537)), TypeError)
  })
})

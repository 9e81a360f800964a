import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject, privateDecrypt, randomBytes } from 'node:crypto'
import { fromHex, toHex, utf8 } from '../../../attestation/base/index.ts'
import {
  aesCfbDecrypt,
  aesCfbEncrypt,
  coordinateBytes,
  ecdhEphemeral,
  ecdhStatic,
  importEcPublicKey,
  importSpki,
  rsaOaepDecrypt,
  rsaOaepEncrypt,
} from '../../../attestation/crypto/index.ts'

const imported = (key: KeyObject) => importSpki(new Uint8Array(key.export({ format: 'der', type: 'spki' })))
const random = (size: number): Uint8Array => new Uint8Array(randomBytes(size))
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

describe('aesCfbEncrypt', () => {
  // SP 800-38A F.3.13 and F.3.17, first two blocks.
  const IV = fromHex('000102030405060708090a0b0c0d0e0f')
  const PLAIN = fromHex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51')
  for (const [key, cipher] of [
    ['2b7e151628aed2a6abf7158809cf4f3c', '3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b'],
    [
      '603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4',
      'dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b',
    ],
  ] as const) {
    it(`gives the vectors of SP 800-38A for AES-${key.length * 4}, and back`, () => {
      assert.equal(toHex(aesCfbEncrypt(fromHex(key), IV, PLAIN)), cipher)
      assert.deepEqual(aesCfbDecrypt(fromHex(key), IV, fromHex(cipher)), PLAIN)
    })
  }

  it('keeps the length of any text', () => {
    for (const size of [0, 1, 15, 16, 17, 66]) {
      const text = random(size)
      const cipher = aesCfbEncrypt(new Uint8Array(16), IV, text)
      assert.equal(cipher.length, size)
      assert.deepEqual(aesCfbDecrypt(new Uint8Array(16), IV, cipher), text)
    }
  })

  it('refuses keys and vectors of another size', () => {
    assert.throws(() => aesCfbEncrypt(new Uint8Array(15), IV, PLAIN), RangeError)
    assert.throws(() => aesCfbDecrypt(new Uint8Array(16), IV.slice(1), PLAIN), RangeError)
  })
})

describe('rsaOaepEncrypt', () => {
  const label = utf8('IDENTITY\0')
  for (const hash of ['sha256', 'sha384'] as const) {
    it(`gives what OpenSSL opens with the same label, ${hash}`, () => {
      const message = random(32)
      const cipher = rsaOaepEncrypt(imported(rsa.publicKey), hash, label, message)
      const opened = privateDecrypt({ key: rsa.privateKey, oaepHash: hash, oaepLabel: label }, cipher)
      assert.deepEqual(new Uint8Array(opened), message)
      assert.deepEqual(rsaOaepDecrypt(rsa.privateKey, hash, label, cipher), message)
    })
  }

  it('does not open with another label, hash, key, or a changed byte', () => {
    const cipher = rsaOaepEncrypt(imported(rsa.publicKey), 'sha256', label, random(32))
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    assert.equal(rsaOaepDecrypt(rsa.privateKey, 'sha256', utf8('IDENTITY'), cipher), undefined)
    assert.equal(rsaOaepDecrypt(rsa.privateKey, 'sha384', label, cipher), undefined)
    assert.equal(rsaOaepDecrypt(other, 'sha256', label, cipher), undefined)
    assert.equal(rsaOaepDecrypt(rsa.privateKey, 'sha256', label, cipher.with(9, (cipher[9] as number) ^ 1)), undefined)
    assert.equal(rsaOaepDecrypt(rsa.privateKey, 'sha256', label, new Uint8Array(0)), undefined)
  })

  it('takes a message too long, or an EC key, for our own mistake', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    assert.throws(() => rsaOaepEncrypt(imported(rsa.publicKey), 'sha256', label, random(191)), RangeError)
    assert.throws(() => rsaOaepEncrypt(imported(ec), 'sha256', label, random(32)), TypeError)
  })
})

describe('ecdhEphemeral', () => {
  for (const curve of ['P-256', 'P-384', 'P-521'] as const) {
    it(`shares a point with the holder of the static key, ${curve}`, () => {
      for (let i = 0; i < 20; i++) {
        const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
        const { ephemeral, z } = ecdhEphemeral(imported(publicKey), random)
        assert.equal(z.length, coordinateBytes(curve))
        assert.deepEqual(ecdhStatic(privateKey, importEcPublicKey(curve, ephemeral.x, ephemeral.y)), z)
      }
    })
  }

  it('makes the same key of the same bytes, and draws again outside the range', () => {
    const peer = imported(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    const draws = [new Uint8Array(32), new Uint8Array(32).fill(0xff), new Uint8Array(32).fill(7)]
    const drawn = ecdhEphemeral(peer, () => draws.shift() ?? new Uint8Array(32))
    assert.equal(draws.length, 0)
    assert.deepEqual(
      ecdhEphemeral(peer, () => new Uint8Array(32).fill(7)),
      drawn,
    )
  })

  it('does not wipe the bytes it was given', () => {
    const peer = imported(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
    const seed = new Uint8Array(32).fill(7)
    ecdhEphemeral(peer, () => seed)
    assert.deepEqual(seed, new Uint8Array(32).fill(7))
  })

  it('gives up on a source of constants, of short bytes, and on an RSA key', () => {
    const peer = imported(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)
    assert.throws(() => ecdhEphemeral(peer, (size) => new Uint8Array(size)), RangeError)
    assert.throws(() => ecdhEphemeral(peer, (size) => new Uint8Array(size).fill(0xff)), RangeError)
    assert.throws(() => ecdhEphemeral(peer, () => new Uint8Array(4)), RangeError)
    assert.throws(() => ecdhEphemeral(imported(rsa.publicKey), random), TypeError)
  })
})

import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { type FileHash, importFileKey, verifyDigestSignature } from '../../../attestation/crypto/index.ts'

const MESSAGE = new TextEncoder().encode('#!/bin/sh\n')
const HASHES: readonly FileHash[] = ['sha224', 'sha256', 'sha384', 'sha512']
const hashed = (hash: FileHash): Uint8Array => new Uint8Array(createHash(hash).update(MESSAGE).digest())

function pair(what: string) {
  return what === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: what })
}

describe('verifyDigestSignature', () => {
  for (const what of ['rsa', 'P-256', 'P-384', 'P-521', 'secp256k1']) {
    const { privateKey, publicKey } = pair(what)
    const key = importFileKey(publicKey.export({ format: 'der', type: 'spki' }))
    const other = importFileKey(pair(what).publicKey.export({ format: 'der', type: 'spki' }))

    it(`accepts what the platform signed with ${what}, and nothing else`, () => {
      for (const hash of HASHES) {
        const signature = new Uint8Array(sign(hash, MESSAGE, privateKey))
        const digest = hashed(hash)
        assert.ok(verifyDigestSignature(key, hash, digest, signature), hash)
        assert.ok(!verifyDigestSignature(other, hash, digest, signature), 'another key')
        const changed = Uint8Array.from(digest)
        changed[0] = (changed[0] as number) ^ 1
        assert.ok(!verifyDigestSignature(key, hash, changed, signature), 'another digest')
        assert.ok(!verifyDigestSignature(key, hash, digest.subarray(1), signature), 'a digest too short')
        for (let i = 0; i < signature.length; i += 23) {
          const broken = Uint8Array.from(signature)
          broken[i] = (broken[i] as number) ^ 0x40
          assert.ok(!verifyDigestSignature(key, hash, digest, broken), `byte ${i} changed`)
        }
        assert.ok(!verifyDigestSignature(key, hash, digest, signature.subarray(0, -1)))
        assert.ok(!verifyDigestSignature(key, hash, digest, Uint8Array.from([...signature, 0])))
        assert.ok(!verifyDigestSignature(key, hash, digest, new Uint8Array(0)))
      }
    })
  }

  it('refuses r or s of zero or of the order and more', () => {
    const { publicKey } = pair('P-256')
    const key = importFileKey(publicKey.export({ format: 'der', type: 'spki' }))
    const n = '00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
    for (const signature of ['3006020100020100', '3006020101020100', `3026020101 0221${n}`, `30260221${n}020101`]) {
      const bytes = new Uint8Array(Buffer.from(signature.replaceAll(' ', ''), 'hex'))
      assert.ok(!verifyDigestSignature(key, 'sha256', hashed('sha256'), bytes), signature)
    }
  })

  it('refuses keys that sign nothing here', () => {
    for (const key of [
      generateKeyPairSync('ed25519').publicKey,
      generateKeyPairSync('ec', { namedCurve: 'brainpoolP256r1' }).publicKey,
      generateKeyPairSync('rsa', { modulusLength: 512 }).publicKey,
    ]) {
      assert.throws(() => importFileKey(key.export({ format: 'der', type: 'spki' })), { code: 'KEY_UNSUPPORTED' })
    }
    assert.throws(() => importFileKey(Uint8Array.of(0x30, 0)), { code: 'KEY_INVALID' })
  })
})

import { createPrivateKey, sign } from 'node:crypto'
import { concatBytes, fromHex } from '../../attestation/base/index.ts'
import { ed25519PublicKeyOf, type PrivateKey } from '../../attestation/crypto/index.ts'
import { ed25519NoteKey, type NoteKey, type NoteSignature } from '../../attestation/transparency-log/index.ts'

/** PKCS #8 of an Ed25519 key up to its 32 bytes. Source: RFC 8410 §7. */
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420')

/** @param seed the 32 bytes of RFC 8032 */
export function ed25519PrivateKey(seed: Uint8Array): PrivateKey {
  return createPrivateKey({ key: Buffer.from(concatBytes(PKCS8_PREFIX, seed)), format: 'der', type: 'pkcs8' })
}

/** A key of tests: the same for the same number. */
export function testKey(n: number): PrivateKey {
  return ed25519PrivateKey(new Uint8Array(32).fill(n))
}

/** A witness of tests, and how it cosigns. Written apart from the code under test, after C2SP tlog-cosignature. */
export function testWitness(name: string, n: number) {
  const key: NoteKey = ed25519NoteKey(name, ed25519PublicKeyOf(testKey(n)), 'cosignature')
  const cosign = (text: string, timeSeconds: bigint): NoteSignature => {
    const bytes = Buffer.alloc(8 + 64)
    bytes.writeBigUInt64BE(timeSeconds)
    bytes.set(sign(null, Buffer.from(`cosignature/v1\ntime ${timeSeconds}\n${text}`), testKey(n)), 8)
    return { name, keyId: key.keyId, bytes: new Uint8Array(bytes) }
  }
  return { key, cosign }
}

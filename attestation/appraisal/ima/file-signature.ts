import { concatBytes } from '../../base/index.ts'
import { digest, type FileHash, type FileKey, verifyDigestSignature } from '../../crypto/index.ts'
import type { ImaFileDigest } from '../../event-log/index.ts'

/**
 * Types of security.ima and security.evm values that are signatures. Source: Linux security/integrity/integrity.h,
 * evm_ima_xattr_type.
 */
const XATTR_SIGNATURE = { ima: 3, evmPortable: 5, verity: 6 } as const
const HEADER_BYTES = 9
/** RSA-16384; longer ones are none. */
const MAX_SIGNATURE_BYTES = 2048

/** Numbers of hashes in the header. Source: Linux include/uapi/linux/hash_info.h. Others are not checked here. */
const HASHES: ReadonlyMap<number, FileHash> = new Map([
  [4, 'sha256'],
  [5, 'sha384'],
  [6, 'sha512'],
  [7, 'sha224'],
])

/** Header and signature of a signed extended attribute. */
export interface FileSignature {
  readonly type: number
  /** 2: over the file's digest; 3: over the hash of type, hash number and digest. */
  readonly version: 2 | 3
  readonly hash: number
  /** Last four bytes of the key's identifier, as a number. */
  readonly keyId: number
  readonly bytes: Uint8Array
}

/** What a check of a signature came to. `unchecked` is as good as no signature. */
export type SignatureCheck =
  | { readonly result: 'good' | 'bad' | 'unknown-key'; readonly keyId: number }
  | { readonly result: 'unchecked'; readonly why: string }

/** @returns undefined for bytes that are no signature with a header of version 2 or 3 */
function decodeFileSignature(bytes: Uint8Array): FileSignature | undefined {
  if (bytes.length <= HEADER_BYTES || bytes.length > HEADER_BYTES + MAX_SIGNATURE_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const version = view.getUint8(1)
  if ((version !== 2 && version !== 3) || view.getUint16(7) !== bytes.length - HEADER_BYTES) return undefined
  return {
    type: view.getUint8(0),
    version,
    hash: view.getUint8(2),
    keyId: view.getUint32(3),
    bytes: bytes.subarray(HEADER_BYTES),
  }
}

/**
 * Checks the signature of a measured file against the digest that was measured.
 *
 * @param keysOf keys with that id: the id is short, so several may have it
 */
export function checkFileSignature(
  bytes: Uint8Array,
  measured: ImaFileDigest,
  keysOf: (keyId: number) => readonly FileKey[],
): SignatureCheck {
  const signature = decodeFileSignature(bytes)
  if (signature === undefined) return { result: 'unchecked', why: 'it is no signature of format 2 or 3' }
  const { type, version, keyId } = signature
  if (type === XATTR_SIGNATURE.evmPortable)
    return { result: 'unchecked', why: 'it is over metadata (EVM), which the list does not hold' }
  const fits =
    measured.of === 'verity' ? type === XATTR_SIGNATURE.verity && version === 3 : type === XATTR_SIGNATURE.ima
  if (!fits) return { result: 'unchecked', why: `type ${type}, version ${version} is not for a ${measured.of} digest` }
  const hash = HASHES.get(signature.hash)
  if (hash === undefined || hash !== measured.algorithm) {
    return {
      result: 'unchecked',
      why: `hash ${signature.hash} is not accepted, or not the measured ${measured.algorithm}`,
    }
  }
  const signed = version === 2 ? measured.bytes : fileIdDigest(type, signature.hash, hash, measured.bytes)
  const keys = signed === undefined ? [] : keysOf(keyId)
  if (signed === undefined) return { result: 'unchecked', why: `${hash} is not computed here` }
  if (keys.length === 0) return { result: 'unknown-key', keyId }
  const good = keys.some((key) => verifyDigestSignature(key, hash, signed, signature.bytes))
  return { result: good ? 'good' : 'bad', keyId }
}

/** Format 3 signs the hash of ima_file_id: type, hash number, digest. */
function fileIdDigest(type: number, number: number, hash: FileHash, measured: Uint8Array): Uint8Array | undefined {
  return hash === 'sha224' ? undefined : digest(hash, concatBytes(Uint8Array.of(type, number), measured))
}

import { concatBytes, toHex } from '../base/index.ts'
import { digest, type HashAlgorithm } from '../crypto/index.ts'
import { hashId } from './algorithms.ts'
import { encodeNvPublic, type NvPublic } from './nv.ts'
import { decodePublic } from './public.ts'

/** What a key hangs under: a hierarchy's handle (it is a primary key), or another key's qualified Name. */
export type QualifiedParent = { readonly hierarchy: number } | { readonly qualifiedName: Uint8Array }

/**
 * Name of an object: its nameAlg, big-endian, and the hash of its TPMT_PUBLIC.
 * Source: TPM 2.0 Part 1 r1.59 §16 (Names).
 *
 * @param publicBytes TPMT_PUBLIC as received; the Name is over these octets, never over a re-encoding
 * @throws WireError when they are none
 */
export function objectName(publicBytes: Uint8Array): Uint8Array {
  return nameOf(decodePublic(publicBytes).nameAlg, publicBytes)
}

/** Name of an NV index; its WRITTEN attribute is part of it. */
export function nvName(nvPublic: NvPublic): Uint8Array {
  return nameOf(nvPublic.nameAlg, encodeNvPublic(nvPublic))
}

/** Name of a hierarchy, a PCR or a session: its handle. */
export function handleName(handle: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, handle)
  return out
}

/**
 * Qualified Name: nameAlg, and the hash of the parent's qualified Name and the Name. It says under which hierarchy and
 * which keys an object is.
 * Source: TPM 2.0 Part 1 r1.59 §26.5 (Qualified Name).
 *
 * @param name of the object, from objectName()
 * @throws RangeError when `name` is no Name of an object
 */
export function qualifiedName(parent: QualifiedParent, name: Uint8Array): Uint8Array {
  const alg = nameHash(name)
  if (alg === undefined) throw new RangeError(`${toHex(name.subarray(0, 8))}... is no Name of an object`)
  return nameOf(alg, concatBytes('hierarchy' in parent ? handleName(parent.hierarchy) : parent.qualifiedName, name))
}

/**
 * A node's identity: the Name of its endorsement key without the algorithm in front, always SHA-256.
 *
 * @param ekPublic TPMT_PUBLIC of the EK
 * @returns 64 lowercase hexadecimal digits
 * @throws WireError when the bytes are no TPMT_PUBLIC
 */
export function nodeIdOf(ekPublic: Uint8Array): string {
  decodePublic(ekPublic)
  return toHex(digest('sha256', ekPublic))
}

/** @returns the hash of a Name that has the form algorithm, digest; undefined for any other bytes. Total. */
export function nameHash(name: Uint8Array): HashAlgorithm | undefined {
  const form = NAME_FORMS.find((f) => f.size === name.length)
  return form !== undefined && name[0] === form.id >> 8 && name[1] === (form.id & 0xff) ? form.alg : undefined
}

function nameOf(alg: HashAlgorithm, bytes: Uint8Array): Uint8Array {
  return concatBytes(algPrefix(alg), digest(alg, bytes))
}

function algPrefix(alg: HashAlgorithm): Uint8Array {
  return Uint8Array.of(hashId(alg) >> 8, hashId(alg) & 0xff)
}

const NAME_FORMS = (
  [
    ['sha1', 22],
    ['sha256', 34],
    ['sha384', 50],
    ['sha512', 66],
  ] as const
).map(([alg, size]) => ({
  alg,
  size,
  id: hashId(alg),
}))

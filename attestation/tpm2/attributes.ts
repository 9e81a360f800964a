import { hex, type WireReader } from './wire.ts'

/**
 * TPMA_OBJECT bits.
 * Source: TPM 2.0 Part 2 r1.59 §8.3.2; firmwareLimited and svnLimited came with r1.83.
 */
export const TPMA_OBJECT = {
  fixedTPM: 0x00000002,
  stClear: 0x00000004,
  fixedParent: 0x00000010,
  sensitiveDataOrigin: 0x00000020,
  userWithAuth: 0x00000040,
  adminWithPolicy: 0x00000080,
  firmwareLimited: 0x00000100,
  svnLimited: 0x00000200,
  noDA: 0x00000400,
  encryptedDuplication: 0x00000800,
  restricted: 0x00010000,
  decrypt: 0x00020000,
  sign: 0x00040000,
  x509sign: 0x00080000,
} as const

export type ObjectAttribute = keyof typeof TPMA_OBJECT

const DEFINED = Object.values(TPMA_OBJECT).reduce((all, bit) => all | bit, 0)

/** The TPMA_OBJECT with exactly these bits. */
export function objectAttributes(...names: readonly ObjectAttribute[]): number {
  let bits = 0
  for (const name of names) bits |= TPMA_OBJECT[name]
  return bits
}

/** @returns whether the bit is set. Total. */
export function hasAttribute(attributes: number, name: ObjectAttribute): boolean {
  return (attributes & TPMA_OBJECT[name]) !== 0
}

/** Names of the bits that are set, lowest first: for messages and reports. */
export function attributeNames(attributes: number): readonly ObjectAttribute[] {
  // The keys of the table are its closed union, which Object.keys widens to string.
  return (Object.keys(TPMA_OBJECT) as ObjectAttribute[]).filter((name) => hasAttribute(attributes, name))
}

/** TPMA_OBJECT; a reserved bit is refused, as the TPM does. */
export function readObjectAttributes(r: WireReader): number {
  const bits = r.u32('objectAttributes')
  const reserved = (bits & ~DEFINED) >>> 0
  if (reserved !== 0) throw r.badValue('objectAttributes', 4, `reserved bits ${hex(reserved, 8)} are set`)
  return bits
}

import { equalBytes } from '../base/index.ts'
import { unsigned } from '../crypto/index.ts'
import { EK_TEMPLATES, encodePublic, type TpmPublic } from '../tpm2/index.ts'
import type { SubjectPublicKey } from './public-key.ts'

/** TPMS_RSA_PARMS writes the usual exponent as 0 (TPM 2.0 Part 2 r1.59 §12.2.3.5). */
const DEFAULT_EXPONENT = 65537

/**
 * Is the key of a certificate the EK that the TPM has? Numbers are compared, not encodings.
 *
 * @returns undefined when it is, else what differs
 */
export function keyMismatch(certified: SubjectPublicKey, ek: TpmPublic): string | undefined {
  switch (certified.kind) {
    case 'unsupported':
      return `certificate is for a key that cannot be compared: ${certified.reason}`
    case 'rsa':
      if (ek.type !== 'rsa') return `certificate is for an RSA key, the EK is ${ek.type}`
      if (!sameNumber(certified.modulus, ek.unique)) return 'RSA modulus differs'
      return certified.exponent === (ek.exponent || DEFAULT_EXPONENT) ? undefined : 'RSA public exponent differs'
    case 'ec': {
      if (ek.type !== 'ecc') return `certificate is for an elliptic curve key, the EK is ${ek.type}`
      if (ek.curve !== certified.curve) return `certificate is for ${certified.curve}, the EK is on ${ek.curve}`
      const same = sameNumber(certified.x, ek.unique.x) && sameNumber(certified.y, ek.unique.y)
      return same ? undefined : 'elliptic curve point differs'
    }
  }
}

/**
 * Is this public area one of the TCG's templates with the TPM's own key in it? A certificate is about the key alone,
 * and activation works for the key alone; everything else in the area is the node's word, and goes into the Name that
 * it is known by.
 */
export function isOfEkTemplate(ek: TpmPublic): boolean {
  const bytes = encodePublic(ek)
  return EK_TEMPLATES.some(({ public: template }) => {
    if (template.type === 'rsa' && ek.type === 'rsa') {
      return equalBytes(encodePublic({ ...template, unique: ek.unique }), bytes)
    }
    return (
      template.type === 'ecc' &&
      ek.type === 'ecc' &&
      equalBytes(encodePublic({ ...template, unique: ek.unique }), bytes)
    )
  })
}

/** Are these two the same usable key? */
export function sameKey(a: SubjectPublicKey, b: SubjectPublicKey): boolean {
  if (a.kind === 'rsa') return b.kind === 'rsa' && a.exponent === b.exponent && sameNumber(a.modulus, b.modulus)
  return a.kind === 'ec' && b.kind === 'ec' && a.curve === b.curve && sameNumber(a.x, b.x) && sameNumber(a.y, b.y)
}

/** TPMs may drop or keep leading zeros of a coordinate. */
function sameNumber(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(unsigned(a), unsigned(b))
}

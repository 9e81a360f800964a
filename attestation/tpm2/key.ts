import { importEcPublicKey, importRsaPublicKey, KeyError, type PublicKey } from '../crypto/index.ts'
import type { TpmPublic } from './public.ts'

/** What TPM 2.0 Part 2 r1.59 §12.2.3.5 means by exponent 0. */
export const DEFAULT_RSA_EXPONENT = 65537

/**
 * The key in a TPMT_PUBLIC, parsed once by the platform. Says nothing of whose key it is or what it may be used for.
 *
 * @throws KeyError KEY_INVALID for a modulus that is not keyBits long, or a point that is not on the curve;
 *   KEY_UNSUPPORTED for an object that is no asymmetric key
 */
export function publicKeyOf(value: TpmPublic): PublicKey {
  switch (value.type) {
    case 'rsa': {
      // An even or short modulus would be a different, weaker key than keyBits says.
      const { unique, keyBits } = value
      const [first, last] = [unique[0], unique[unique.length - 1]]
      if (
        first === undefined ||
        last === undefined ||
        unique.length * 8 !== keyBits ||
        first < 0x80 ||
        (last & 1) === 0
      ) {
        throw new KeyError('KEY_INVALID', `the modulus (${unique.length} bytes) is no odd number of ${keyBits} bits`)
      }
      return importRsaPublicKey(unique, value.exponent === 0 ? DEFAULT_RSA_EXPONENT : value.exponent)
    }
    case 'ecc':
      return importEcPublicKey(value.curve, value.unique.x, value.unique.y)
    case 'keyedhash':
    case 'symcipher':
      throw new KeyError('KEY_UNSUPPORTED', `a ${value.type} object has no public key`)
  }
}

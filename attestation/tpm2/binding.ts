import { concatBytes, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'

/**
 * What one quote is bound to, beside the purpose. Every part has 32 bytes, so that no two bindings share their octets.
 */
export interface Binding {
  /** SHA-256 that names the verifier. */
  readonly verifierId: Uint8Array
  /** The verifier's challenge, used once. */
  readonly nonce: Uint8Array
  /** Exported keying material of this TLS connection (RFC 9266: label EXPORTER-Channel-Binding, no context). */
  readonly exporter: Uint8Array
  /** SHA-256 of the message the quote goes with. */
  readonly messageDigest: Uint8Array
}

const PART_BYTES = 32

/**
 * extraData of a quote: SHA-256(label ‖ 00 ‖ verifier id ‖ nonce ‖ exporter ‖ message digest). One label for each
 * purpose keeps a quote made for one from answering another; the exporter keeps it on its connection.
 *
 * @param label printable ASCII, e.g. 'holdfast/launch/v1'
 * @returns 32 bytes, which fit the TPM2B_DATA of any TPM
 * @throws RangeError for a part that is not 32 bytes, or a label that is empty or has other characters
 */
export function bindingDigest(label: string, binding: Binding): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(label))
    throw new RangeError(`binding label ${JSON.stringify(label)} is not printable ASCII`)
  const { verifierId, nonce, exporter, messageDigest } = binding
  for (const [name, part] of Object.entries({ verifierId, nonce, exporter, messageDigest })) {
    if (part.length !== PART_BYTES) throw new RangeError(`${name} has ${part.length} bytes, wanted ${PART_BYTES}`)
  }
  return digest('sha256', concatBytes(utf8(label), Uint8Array.of(0), verifierId, nonce, exporter, messageDigest))
}

import { concatBytes, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { bindingDigest } from '../tpm2/index.ts'
import {
  ACTIVATION_LABEL,
  COLLECTION_LABEL,
  QUOTE_LABELS,
  type QuotedBody,
  type QuotePurpose,
  TLS_EXPORTER_BYTES,
} from './messages.ts'

const ZERO = new Uint8Array(1)

/**
 * The extraData of a quote: SHA-256(label ‖ 00 ‖ verifier id ‖ nonce ‖ TLS exporter ‖ SHA-256(body)). It ties the quote
 * to one use, verifier, challenge, TLS connection and message, so that it cannot be carried to another of any of them.
 *
 * @param verifierId 32 bytes: SHA-256 of the SPKI of the verifier's ticket key
 * @param nonce 32 bytes, the verifier's, used once
 * @param exporter 32 bytes, EXPORTER-Channel-Binding of this connection (RFC 9266)
 * @param body the bytes of the inner message exactly as they are sent
 * @returns 32 bytes
 * @throws RangeError when a part has another length: parts are concatenated, so their lengths must be fixed
 */
export function quoteBinding(
  purpose: QuotePurpose,
  verifierId: Uint8Array,
  nonce: Uint8Array,
  exporter: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  return bindingDigest(QUOTE_LABELS[purpose], { verifierId, nonce, exporter, messageDigest: digest('sha256', body) })
}

/**
 * The extraData of a quote for an evidence file: SHA-256('holdfast/quote/collect/1' ‖ 00 ‖ nonce). Whoever may use the
 * agent's socket may choose the nonce, so it never becomes extraData itself: the quote of a login could be had that
 * way.
 */
export function collectionBinding(nonce: Uint8Array): Uint8Array {
  return digest('sha256', concatBytes(utf8(COLLECTION_LABEL), ZERO, nonce))
}

/** What a quote over this body is for; the verifier recomputes the binding with it. */
export function quotePurpose(body: QuotedBody): QuotePurpose {
  return body.t === 'launch' ? 'launch' : body.purpose
}

/**
 * Proof that the TPM released the secret of MakeCredential to this very connection:
 * SHA-256('holdfast/activation/1' ‖ 00 ‖ secret ‖ TLS exporter ‖ AK name).
 *
 * @param secret 32 bytes, what TPM2_ActivateCredential returned
 * @param exporter 32 bytes, as for quoteBinding
 * @param akName the AK's TPM name: algorithm and digest, last because its length depends on the algorithm
 * @returns 32 bytes
 * @throws RangeError as quoteBinding
 */
export function activationProof(secret: Uint8Array, exporter: Uint8Array, akName: Uint8Array): Uint8Array {
  expectLength('secret', secret, ACTIVATION_SECRET_BYTES)
  expectLength('TLS exporter', exporter, TLS_EXPORTER_BYTES)
  return digest('sha256', concatBytes(utf8(ACTIVATION_LABEL), ZERO, secret, exporter, akName))
}

/** Length of the secret a verifier puts into MakeCredential: fits every EK's name algorithm. */
export const ACTIVATION_SECRET_BYTES = 32

function expectLength(what: string, bytes: Uint8Array, size: number): void {
  if (bytes.length !== size) throw new RangeError(`${what} has ${bytes.length} bytes, expected ${size}`)
}

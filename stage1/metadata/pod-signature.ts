import { equalBytes, fromUtf8, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest, hmac } from '../../attestation/crypto/index.ts'

/** What a pod's key hangs on, besides the service's own. */
export interface SigningPod {
  readonly uuid: string
  /** The launch request as it was measured and authorised: RFC 8785 text. */
  readonly launchRequest: string
}

/**
 * The key that the service signs with for a pod: HMAC-SHA-256 under the service's key over a label, the UUID and the digest of the
 * measured launch request. It is nobody's but of exactly this pod, as it was measured, and is the same after the service, or
 * the machine, was started again.
 */
function podKey(serviceKey: Uint8Array, { uuid, launchRequest }: SigningPod): Uint8Array {
  const request = toHex(digest('sha256', utf8(launchRequest)))
  return hmac('sha256', serviceKey, utf8(`holdfast metadata hmac 1\0${uuid}\0${request}`))
}

/**
 * Base64 of the HMAC-SHA-512 over the content, as the specification has it: App Container specification v0.8.11, "Identity
 * Endpoint".
 */
export function signAsPod(serviceKey: Uint8Array, pod: SigningPod, content: string): string {
  return Buffer.from(hmac('sha512', podKey(serviceKey, pod), utf8(content))).toString('base64')
}

/** Whether signAsPod() gave this signature; takes the same time wherever the two differ. */
export function isSignedByPod(serviceKey: Uint8Array, pod: SigningPod, content: string, signature: string): boolean {
  return equalBytes(utf8(signAsPod(serviceKey, pod, content)), utf8(signature))
}

/** The measured request out of a pod's `launch.json`; undefined where it has none, as for a launch that was cut short. */
export function launchRequestOf(launchRecord: Uint8Array | undefined): string | undefined {
  if (launchRecord === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(launchRecord))
  } catch {
    return undefined // written in one piece before the pod starts: half of it is that of a pod that never did
  }
  const request = (value as { answer?: { request?: unknown } } | null)?.answer?.request
  return typeof request === 'string' ? request : undefined
}

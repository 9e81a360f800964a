import { malformed } from './errors.ts'
import { parseMembers } from './members.ts'

/** What a simple signature says: this reference is an image with this manifest. */
export interface SimpleSigning {
  /** `sha256:<hex>` */
  readonly manifestDigest: string
  readonly reference: string
}

const TYPES: ReadonlySet<string> = new Set(['cosign container image signature', 'atomic container signature'])

/**
 * Reads the payload that cosign signs (containers/image, "Signature JSON"; cosign's SIGNATURE_SPEC). What is `critical`
 * is refused if any of it is not understood; what is `optional` is left alone.
 *
 * @throws SigstoreError SIGSTORE_MALFORMED
 */
export function parseSimpleSigning(bytes: Uint8Array): SimpleSigning {
  const payload = parseMembers(bytes, 'payload')
  payload.only('critical', 'optional')
  const critical = payload.object('critical')
  critical.only('type', 'image', 'identity')
  const [image, identity] = [critical.object('image'), critical.object('identity')]
  image.only('docker-manifest-digest')
  identity.only('docker-reference')
  if (!TYPES.has(critical.text('type'))) throw malformed('payload: is no signature of a container image')
  const manifestDigest = image.text('docker-manifest-digest')
  if (!/^sha256:[0-9a-f]{64}$/.test(manifestDigest)) throw malformed('payload: the manifest digest is no SHA-256')
  return { manifestDigest, reference: identity.text('docker-reference') }
}

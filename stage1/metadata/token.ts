import { type PodUuid, podUuid } from '../pod/uuid.ts'

/**
 * Where pods find the metadata service: an address of this machine that no network gives out, so that the URL is known
 * before a pod has its network. Source: App Container specification v0.8.11, "App Container Metadata Service".
 */
export const METADATA_ADDRESS = '169.254.169.255'
export const METADATA_PORT = 18112
/** The variable by which an app finds it. */
export const METADATA_VARIABLE = 'AC_METADATA_URL'
export const METADATA_SECRET_BYTES = 32

const SECRET = /^[A-Za-z0-9_-]{43}$/

/** The value of AC_METADATA_URL: whoever has it is taken for the pod. Like any value of an environment it is measured as a keyed digest. */
export function metadataUrl(uuid: PodUuid, secret: Uint8Array): string {
  const token = `${uuid}.${Buffer.from(secret).toString('base64url')}`
  return `http://${METADATA_ADDRESS}:${METADATA_PORT}/${token}`
}

/** @returns undefined for what is no token of ours */
export function parseToken(token: string): { readonly uuid: PodUuid; readonly secret: Uint8Array } | undefined {
  const dot = token.indexOf('.')
  const text = token.slice(dot + 1)
  if (dot !== 36 || !SECRET.test(text)) return undefined
  const secret = Buffer.from(text, 'base64url')
  if (secret.toString('base64url') !== text) return undefined // its last bits are not all used: there is one form of a token
  try {
    return { uuid: podUuid(token.slice(0, dot)), secret: new Uint8Array(secret) }
  } catch {
    return undefined // no UUID
  }
}

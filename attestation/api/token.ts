import { createHash, randomBytes } from 'node:crypto'

/** A prefix that scanners for leaked secrets can look for. */
const PREFIX = 'hf_'
const SECRET_BYTES = 32
const FORM = /^hf_[\w-]{43}$/

/** @returns a new secret of 256 random bits, to be shown once */
export function newApiToken(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
}

export function isApiToken(text: string): boolean {
  return FORM.test(text)
}

/** SHA-256, lowercase hex. The secret has 256 bits of its own, so that a slow hash would add nothing. */
export function apiTokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

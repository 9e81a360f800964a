import type { CryptoKey, JWK, KeyObject } from 'jose'
import { CompactSign } from 'jose/jws/compact/sign'
import { compactVerify } from 'jose/jws/compact/verify'
import { utf8 } from '../base/index.ts'
import { EAR_TYPE, type Ear } from './ear.ts'
import { readEarJson } from './ear-read.ts'
import { writeEarJson } from './ear-write.ts'
import { ResultError } from './errors.ts'

const ALGORITHMS = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512', 'EdDSA', 'Ed25519']
const MAX_TOKEN = 6 << 20
/** Clocks of machines that keep time. */
const SKEW_S = 60

/** @param key private P-256 key that `ear.issuer` names */
export function signEar(ear: Ear, key: CryptoKey | KeyObject): Promise<string> {
  const header = { alg: 'ES256', typ: EAR_TYPE, ...(ear.issuer !== undefined && { kid: ear.issuer }) }
  return new CompactSign(utf8(writeEarJson(ear))).setProtectedHeader(header).sign(key)
}

/**
 * An EAR as a JWT: its signature under a key that the caller trusts for results, then its claims and times. What the
 * result is worth is earTier's to say, and its nonce and subject the caller's to compare.
 *
 * @throws ResultError RESULT_SIGNATURE, RESULT_EXPIRED, or of readEarJson
 */
export async function verifyEarJwt(token: string, key: CryptoKey | KeyObject | JWK, now: Date): Promise<Ear> {
  if (token.length > MAX_TOKEN) throw new ResultError('RESULT_TOO_LONG', `a token of ${token.length} characters`)
  let payload: Uint8Array
  try {
    payload = (await compactVerify(token, key, { algorithms: ALGORITHMS })).payload
  } catch (cause) {
    throw new ResultError('RESULT_SIGNATURE', 'the token is not signed by the key of this verifier', { cause })
  }
  const ear = readEarJson(payload)
  const nowS = now.getTime() / 1000
  if (ear.issuedAt > nowS + SKEW_S) {
    throw new ResultError('RESULT_EXPIRED', `the result is of ${isoTime(ear.issuedAt)}, which is not yet`)
  }
  if (ear.expiresAt !== undefined && ear.expiresAt <= nowS - SKEW_S) {
    throw new ResultError('RESULT_EXPIRED', `the result was good until ${isoTime(ear.expiresAt)}: ask for a new one`)
  }
  return ear
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

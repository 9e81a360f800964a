import type { CryptoKey, JWK, KeyObject } from 'jose'
import { CompactSign } from 'jose/jws/compact/sign'
import { compactVerify } from 'jose/jws/compact/verify'
import { utf8 } from '../base/index.ts'
import { EAR_TYPE, type Ear } from './ear.ts'
import { readEarJson } from './ear-read.ts'
import { writeEarJson } from './ear-write.ts'
import type { EatClaims } from './eat.ts'
import { readEatJson } from './eat-read.ts'
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
  const ear = readEarJson(await signedClaims(token, key))
  checkTimes(ear, now)
  return ear
}

/**
 * An entity attestation token as a JWT, as verifyEarJwt. Its times are optional; those that it has must hold.
 * @throws ResultError RESULT_SIGNATURE, RESULT_EXPIRED, or of readEatJson
 */
export async function verifyEatJwt(token: string, key: CryptoKey | KeyObject | JWK, now: Date): Promise<EatClaims> {
  const eat = readEatJson(await signedClaims(token, key))
  checkTimes(eat, now)
  return eat
}

async function signedClaims(token: string, key: CryptoKey | KeyObject | JWK): Promise<Uint8Array> {
  if (token.length > MAX_TOKEN) throw new ResultError('RESULT_TOO_LONG', `a token of ${token.length} characters`)
  try {
    return (await compactVerify(token, key, { algorithms: ALGORITHMS })).payload
  } catch (cause) {
    throw new ResultError('RESULT_SIGNATURE', 'the token is not signed by the key of this verifier', { cause })
  }
}

function checkTimes(
  { issuedAt, notBefore, expiresAt }: Pick<EatClaims, 'issuedAt' | 'notBefore' | 'expiresAt'>,
  now: Date,
): void {
  const nowS = now.getTime() / 1000
  for (const from of [issuedAt, notBefore]) {
    if (from !== undefined && from > nowS + SKEW_S) {
      throw new ResultError('RESULT_EXPIRED', `the result is of ${isoTime(from)}, which is not yet`)
    }
  }
  if (expiresAt !== undefined && expiresAt <= nowS - SKEW_S) {
    throw new ResultError('RESULT_EXPIRED', `the result was good until ${isoTime(expiresAt)}: ask for a new one`)
  }
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}

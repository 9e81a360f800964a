import type { CryptoKey, KeyObject } from 'jose'
import { JWSInvalid, JWSSignatureVerificationFailed } from 'jose/errors'
import { CompactSign } from 'jose/jws/compact/sign'
import { compactVerify } from 'jose/jws/compact/verify'
import { codeOf, fromUtf8, messageOf, utf8 } from '../base/index.ts'
import { MAX_TICKET_LIFETIME_S, parseTicketClaims, TICKET_TYPE, type TicketClaims } from './ticket.ts'
import { TicketError } from './ticket-error.ts'

/** A ticket of four banks and 64 policies stays below this; the decoder gets nothing longer. */
const MAX_TICKET_BYTES = 16_384

/** A P-256 key, private for signing, public for verifying. */
export type TicketKey = CryptoKey | KeyObject

/** Public ticket keys by verifier id (SHA-256 of the key's SPKI, lowercase hex). */
export type TrustedTicketKeys = ReadonlyMap<string, TicketKey>

/**
 * @param key private P-256 key of the verifier that `claims.iss` names
 * @returns a compact JWS (ES256) whose header names the key by the verifier id
 */
export function signTicket(claims: TicketClaims, key: TicketKey): Promise<string> {
  return new CompactSign(utf8(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ES256', typ: TICKET_TYPE, kid: claims.iss })
    .sign(key)
}

/**
 * Checks a ticket's form, signature and time. Whether it is for this node, pod and register is checkTicket's question.
 *
 * @param toleranceS how far the verifier's clock may be from `now`, in seconds, either way
 * @returns the claims
 * @throws TicketError TICKET_MALFORMED, TICKET_UNKNOWN_KEY, TICKET_SIGNATURE, TICKET_TOO_LONG, TICKET_NOT_YET_VALID,
 * TICKET_EXPIRED
 */
export async function verifyTicket(
  jwt: string,
  keys: TrustedTicketKeys,
  now: Date,
  toleranceS: number,
): Promise<TicketClaims> {
  if (jwt.length > MAX_TICKET_BYTES) {
    throw new TicketError(
      'TICKET_MALFORMED',
      `a ticket of ${jwt.length} characters, at most ${MAX_TICKET_BYTES} are read`,
    )
  }
  const { payload, protectedHeader } = await verifySignature(jwt, keys)
  const claims = parseTicketClaims(parsePayload(payload))
  if (claims.iss !== protectedHeader.kid) {
    throw new TicketError('TICKET_MALFORMED', `ticket: iss ${claims.iss} is not the signing key ${protectedHeader.kid}`)
  }
  checkTimes(claims, now, toleranceS)
  return claims
}

async function verifySignature(jwt: string, keys: TrustedTicketKeys) {
  try {
    return await compactVerify(
      jwt,
      ({ alg, typ, kid }) => {
        if (alg !== 'ES256' || typ !== TICKET_TYPE || typeof kid !== 'string') {
          throw new TicketError('TICKET_MALFORMED', `ticket: the header must say ES256, ${TICKET_TYPE} and the key`)
        }
        const key = keys.get(kid)
        if (key === undefined) {
          throw new TicketError(
            'TICKET_UNKNOWN_KEY',
            `ticket signed by verifier ${kid.slice(0, 64)}, which is not trusted here; pin its key in the configuration`,
          )
        }
        return key
      },
      { algorithms: ['ES256'] },
    )
  } catch (err) {
    if (err instanceof TicketError) throw err
    if (err instanceof JWSSignatureVerificationFailed) {
      throw new TicketError('TICKET_SIGNATURE', "the ticket's signature is not the named verifier's", { cause: err })
    }
    if (err instanceof JWSInvalid || codeOf(err)?.startsWith('ERR_JOSE_')) {
      throw new TicketError('TICKET_MALFORMED', `ticket: ${messageOf(err)}`, { cause: err })
    }
    throw err // a key that is not P-256: our own mistake
  }
}

function parsePayload(payload: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(payload))
  } catch (cause) {
    throw new TicketError('TICKET_MALFORMED', 'ticket: the payload is not UTF-8 JSON', { cause })
  }
}

function checkTimes(claims: TicketClaims, now: Date, toleranceS: number): void {
  const nowS = now.getTime() / 1000
  const at = (s: number) => `${s} s since 1970; here it is ${Math.floor(nowS)}`
  const lifetime = claims.exp - claims.iat
  if (lifetime > MAX_TICKET_LIFETIME_S || lifetime <= 0) {
    throw new TicketError(
      'TICKET_TOO_LONG',
      `the ticket lives ${lifetime} s, a ticket lives 1 to ${MAX_TICKET_LIFETIME_S}`,
    )
  }
  if (!(nowS + toleranceS >= Math.max(claims.nbf, claims.iat))) {
    throw new TicketError('TICKET_NOT_YET_VALID', `the ticket is valid from ${at(Math.max(claims.nbf, claims.iat))}`)
  }
  if (!(nowS - toleranceS < claims.exp)) {
    throw new TicketError('TICKET_EXPIRED', `the ticket expired at ${at(claims.exp)}`)
  }
}

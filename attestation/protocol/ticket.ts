import type { HashAlgorithm } from '../crypto/index.ts'
import { TicketError } from './ticket-error.ts'

/** A ticket lives at most this long: it is meant for the launch that asked for it and no other. */
export const MAX_TICKET_LIFETIME_S = 60
export const TICKET_TYPE = 'holdfast-ticket+jwt'

/** One bank's half of the compare-and-swap, lowercase hex. */
export interface RegisterSwap {
  readonly before: string
  readonly after: string
}

/**
 * Claims of the launch ticket. `register` makes it a compare-and-swap: it is good only while the register of every bank
 * holds `before`, and the launch record that names `jti` takes it to `after`. Any other event landing first kills it.
 */
export interface TicketClaims {
  readonly v: 1
  /** Verifier id: SHA-256 of the SPKI of the ticket key. */
  readonly iss: string
  /** Node ID. */
  readonly sub: string
  /** Random id of 16 bytes, which the launch record holds. */
  readonly jti: string
  /** Seconds since 1970, as nbf and exp. */
  readonly iat: number
  readonly nbf: number
  readonly exp: number
  /** TPM name of the AK, hex. */
  readonly cnf: { readonly akName: string }
  /** Pod UUID. */
  readonly pod: string
  /** SHA-256 of the launch request's bytes. */
  readonly request: string
  readonly resetCount: number
  readonly restartCount: number
  readonly register: { readonly pcr: number; readonly banks: { readonly [bank in HashAlgorithm]?: RegisterSwap } }
  /** Revision (SHA-256) of the launch policy set that allowed it, and the ids of the policies that did. */
  readonly policy: { readonly revision: string; readonly allowedBy: readonly string[] }
}

/** What a ticket says beside its times. */
export type TicketSubject = Omit<TicketClaims, 'v' | 'iat' | 'nbf' | 'exp'>

/**
 * @param now time of issue
 * @param lifetimeS whole seconds, 1 to MAX_TICKET_LIFETIME_S
 * @throws RangeError for another lifetime
 * @throws TicketError TICKET_MALFORMED for a subject that no reader would accept
 */
export function ticketClaims(subject: TicketSubject, now: Date, lifetimeS: number): TicketClaims {
  if (!Number.isInteger(lifetimeS) || lifetimeS < 1 || lifetimeS > MAX_TICKET_LIFETIME_S) {
    throw new RangeError(`a ticket lives 1 to ${MAX_TICKET_LIFETIME_S} s, not ${lifetimeS}`)
  }
  const iat = Math.floor(now.getTime() / 1000)
  return parseTicketClaims({ ...subject, v: 1, iat, nbf: iat, exp: iat + lifetimeS })
}

const HEX64 = /^[0-9a-f]{64}$/
const REGISTER_DIGITS: Readonly<Record<HashAlgorithm, RegExp>> = {
  sha1: /^[0-9a-f]{40}$/,
  sha256: HEX64,
  sha384: /^[0-9a-f]{96}$/,
  sha512: /^[0-9a-f]{128}$/,
}
/** TPMI_ALG_HASH of a name and as many digits as that algorithm's digest has. */
const AK_NAME = /^(000b[0-9a-f]{64}|000c[0-9a-f]{96}|000d[0-9a-f]{128})$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Checks claims by hand rather than by schema: stage0 reads a ticket on the way of every launch, and loading a schema
 * library costs it more than the launch's own work.
 *
 * @param value parsed JSON of a ticket's payload
 * @returns it, with exactly the fields of a ticket
 * @throws TicketError TICKET_MALFORMED naming the first field that is not as it must be
 */
export function parseTicketClaims(value: unknown): TicketClaims {
  const claims = object(value, 'claims', CLAIM_FIELDS)
  for (const field of ['iss', 'sub', 'request'] as const) text(claims[field], field, HEX64)
  text(claims['jti'], 'jti', /^[0-9a-f]{32}$/)
  text(claims['pod'], 'pod', UUID)
  if (claims['v'] !== 1) throw malformed('v', 'is not 1')
  for (const field of ['iat', 'nbf', 'exp'] as const) integer(claims[field], field, Number.MAX_SAFE_INTEGER)
  for (const field of ['resetCount', 'restartCount'] as const) integer(claims[field], field, 0xffffffff)
  text(object(claims['cnf'], 'cnf', ['akName'])['akName'], 'cnf.akName', AK_NAME)

  const register = object(claims['register'], 'register', ['pcr', 'banks'])
  integer(register['pcr'], 'register.pcr', 23)
  const banks = object(register['banks'], 'register.banks', [])
  if (Object.keys(banks).length === 0) throw malformed('register.banks', 'is empty')
  for (const [bank, swap] of Object.entries(banks)) {
    const digits = Object.hasOwn(REGISTER_DIGITS, bank) ? REGISTER_DIGITS[bank as HashAlgorithm] : undefined // own key of it
    if (digits === undefined) throw malformed('register.banks', 'has a bank that is not known')
    const { before, after } = object(swap, `register.banks.${bank}`, ['before', 'after'])
    text(before, `register.banks.${bank}.before`, digits)
    text(after, `register.banks.${bank}.after`, digits)
  }

  const policy = object(claims['policy'], 'policy', ['revision', 'allowedBy'])
  text(policy['revision'], 'policy.revision', HEX64)
  const { allowedBy } = policy
  if (!Array.isArray(allowedBy) || allowedBy.length > 64)
    throw malformed('policy.allowedBy', 'is not a list of at most 64')
  for (const id of allowedBy) {
    if (typeof id !== 'string' || id.length > 256)
      throw malformed('policy.allowedBy', 'has an entry that is no short text')
  }
  return value as TicketClaims // every field of it has been checked above
}

const CLAIM_FIELDS = [
  'v',
  'iss',
  'sub',
  'jti',
  'iat',
  'nbf',
  'exp',
  'cnf',
  'pod',
  'request',
  'resetCount',
  'restartCount',
  'register',
  'policy',
] as const satisfies readonly (keyof TicketClaims)[]

/** An object with exactly these fields; with any, where none are given. */
function object(value: unknown, path: string, fields: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'is not an object')
  const keys = Object.keys(value)
  for (const field of fields) {
    if (!Object.hasOwn(value, field)) throw malformed(path, `has no field ${field}`)
  }
  if (fields.length > 0 && keys.length !== fields.length) throw malformed(path, 'has fields that are not known')
  return value as Record<string, unknown> // an object that is no array
}

function text(value: unknown, path: string, form: RegExp): void {
  if (typeof value !== 'string' || !form.test(value)) throw malformed(path, 'is not as it must be')
}

function integer(value: unknown, path: string, max: number): void {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > max)
    throw malformed(path, `is not in 0..${max}`)
}

function malformed(path: string, what: string): TicketError {
  return new TicketError('TICKET_MALFORMED', `ticket: ${path} ${what}`)
}

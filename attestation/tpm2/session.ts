import { CodedError, equalBytes } from '../base/index.ts'
import { aesCfbDecrypt, aesCfbEncrypt, digest, hmac } from '../crypto/index.ts'
import { hashId } from './algorithms.ts'
import {
  decodePlainResponse,
  decodeSessionResponse,
  encodeCommand,
  type NamedHandle,
  type Refusal,
  type TpmCommand,
} from './command.ts'
import { MAX_DIGEST_BYTES, TPM_CC_StartAuthSession, TPM_RH_NULL } from './constants.ts'
import { kdfa } from './kdf.ts'
import { encodeSymDef } from './schemes.ts'
import type { SharedSecret } from './secret-sharing.ts'
import { WireReader, WireWriter } from './wire.ts'

/** TPMA_SESSION bits. Source: TPM 2.0 Part 2 r1.59 §8.4. */
export const TPMA_SESSION = {
  continueSession: 0x01,
  auditExclusive: 0x02,
  decrypt: 0x20,
  encrypt: 0x40,
  audit: 0x80,
} as const

/** Why the answer to a command in a session is not believed, one sentence each. */
export const SESSION_ERRORS = {
  SESSION_HMAC_WRONG:
    'The HMAC is not over this response to this command: one of the two was changed, or it is another one’s.',
  SESSION_ATTRIBUTES_WRONG: 'The TPM used the session in another way than it was told.',
} as const satisfies Record<string, string>

/** An answer that the TPM at the other end of the session did not give. */
export class SessionError extends CodedError<keyof typeof SESSION_ERRORS> {}

/**
 * A salted, unbound HMAC session with SHA-256 and AES-128-CFB, between two commands. It authorizes only what has an
 * empty authorization value.
 */
export interface HmacSession {
  readonly handle: number
  readonly key: Uint8Array
  /** What the TPM will take as nonceTPM of the next command. */
  readonly nonceTpm: Uint8Array
}

/** A command on its way, with what it takes to judge the answer. */
export interface SealedCommand {
  readonly bytes: Uint8Array
  readonly session: HmacSession
  readonly code: number
  readonly attributes: number
  readonly nonceCaller: Uint8Array
}

const HASH = 'sha256'
const DIGEST_BITS = 256
const SYMMETRIC = { alg: 'aes', keyBits: 128, mode: 'cfb' } as const
const BLOCK_BYTES = 16
const TPM_SE_HMAC = 0x00
const TPM_RC_SUCCESS = 0
/** A TPM gives as many as nonceCaller has; the least that Part 1 allows. */
const MIN_NONCE_BYTES = 16
const NONE = new Uint8Array(0)

/**
 * TPM2_StartAuthSession of an HMAC session that is salted and not bound.
 * Source: TPM 2.0 Part 3 r1.59 §11.1.
 *
 * @param saltKey handle of the key that the salt is shared with
 * @param nonceCaller 16 to 32 unpredictable bytes
 */
export function startSessionCommand(saltKey: number, salt: SharedSecret, nonceCaller: Uint8Array): Uint8Array {
  const handles: NamedHandle[] = [
    { handle: saltKey, name: NONE }, // Names are for the HMAC, and there is no session yet
    { handle: TPM_RH_NULL, name: NONE },
  ]
  const parameters = new WireWriter()
    .tpm2b(nonceCaller)
    .tpm2b(salt.encrypted)
    .u8(TPM_SE_HMAC)
    .bytes(encodeSymDef(SYMMETRIC))
    .u16(hashId(HASH))
    .finish()
  return encodeCommand({ code: TPM_CC_StartAuthSession, handles, parameters })
}

/**
 * The session that a TPM has started. Nothing in the answer is authenticated: only the holder of the salt key can
 * answer the next command.
 * Source: TPM 2.0 Part 1 r1.59 §19.6 (sessionKey).
 *
 * @param salt,nonceCaller as given to startSessionCommand()
 * @throws WireError
 */
export function openStartedSession(
  response: Uint8Array,
  salt: SharedSecret,
  nonceCaller: Uint8Array,
): Refusal | { readonly ok: true; readonly session: HmacSession } {
  const started = decodePlainResponse(response)
  if (!started.ok) return started
  const r = new WireReader(started.body, 'TPM2_StartAuthSession')
  const handle = r.u32('sessionHandle')
  const nonceTpm = r.tpm2b('nonceTPM', MAX_DIGEST_BYTES)
  if (nonceTpm.length < MIN_NONCE_BYTES) throw r.badValue('nonceTPM', nonceTpm.length, `${nonceTpm.length} bytes`)
  r.end()
  const key = kdfa(HASH, salt.secret, 'ATH', nonceTpm, nonceCaller, DIGEST_BITS)
  return { ok: true, session: { handle, key, nonceTpm } }
}

/**
 * Puts a command into the session. With `decrypt`, its first parameter, which must be a TPM2B, goes encrypted.
 * Source: TPM 2.0 Part 1 r1.59 §18.7 (cpHash), §19.6 (HMAC), §21.3 (AES-CFB).
 *
 * @param attributes TPMA_SESSION bits besides continueSession: `audit` where the command needs no authorization
 * @param nonceCaller 16 to 32 unpredictable bytes, never used before
 * @throws WireError when `decrypt` is asked for and the parameters begin with no TPM2B
 */
export function sealCommand(
  session: HmacSession,
  command: TpmCommand,
  attributes: number,
  nonceCaller: Uint8Array,
): SealedCommand {
  const all = attributes | TPMA_SESSION.continueSession
  const { key, nonceTpm } = session
  const parameters =
    (all & TPMA_SESSION.decrypt) === 0
      ? command.parameters
      : mapFirstParameter(command.parameters, (plain) => encrypt(key, nonceCaller, nonceTpm, plain))
  const names = command.handles.map((h) => h.name)
  const cpHash = digest(HASH, u32(command.code), ...names, parameters)
  const authorization = {
    session: session.handle,
    nonce: nonceCaller,
    attributes: all,
    hmac: hmac(HASH, key, cpHash, nonceCaller, nonceTpm, Uint8Array.of(all)),
  }
  const bytes = encodeCommand({ ...command, parameters }, authorization)
  return { bytes, session, code: command.code, attributes: all, nonceCaller }
}

/**
 * Judges the answer to a sealed command.
 * Source: TPM 2.0 Part 1 r1.59 §18.8 (rpHash), §19.6 (HMAC, nonces), §21.3.
 *
 * @returns the parameters, decrypted, and the session for the next command; or the TPM's refusal, which nobody has
 * authenticated and
 *   after which the session is as it was
 * @throws WireError for bytes that are no such answer
 * @throws SessionError
 */
export function openResponse(
  sealed: SealedCommand,
  response: Uint8Array,
): Refusal | { readonly ok: true; readonly parameters: Uint8Array; readonly session: HmacSession } {
  const answer = decodeSessionResponse(response)
  if (!answer.ok) return answer
  const { nonce, attributes, hmac: claimed } = answer.authorization
  const { key } = sealed.session
  const rpHash = digest(HASH, u32(TPM_RC_SUCCESS), u32(sealed.code), answer.parameters)
  const expected = hmac(HASH, key, rpHash, nonce, sealed.nonceCaller, Uint8Array.of(attributes))
  if (!equalBytes(claimed, expected)) {
    const message = `the answer to command 0x${sealed.code.toString(16)} has an HMAC that is not of the TPM of this session: it, or the command, was changed on the way`
    throw new SessionError('SESSION_HMAC_WRONG', message)
  }
  if ((attributes & ~TPMA_SESSION.auditExclusive) !== sealed.attributes) {
    const message = `session attributes 0x${attributes.toString(16)} in answer to 0x${sealed.attributes.toString(16)}`
    throw new SessionError('SESSION_ATTRIBUTES_WRONG', message)
  }
  const parameters =
    (attributes & TPMA_SESSION.encrypt) === 0
      ? answer.parameters
      : mapFirstParameter(answer.parameters, (secret) => decrypt(key, nonce, sealed.nonceCaller, secret))
  return { ok: true, parameters, session: { ...sealed.session, nonceTpm: nonce } }
}

/** The size of a TPM2B stays in the clear. */
function mapFirstParameter(parameters: Uint8Array, change: (content: Uint8Array) => Uint8Array): Uint8Array {
  const r = new WireReader(parameters, 'parameters')
  const content = r.tpm2b('first parameter', parameters.length)
  return new WireWriter().tpm2b(change(content)).bytes(r.rest('parameters', parameters.length)).finish()
}

function encrypt(key: Uint8Array, newer: Uint8Array, older: Uint8Array, plain: Uint8Array): Uint8Array {
  const { aesKey, iv } = cfbKey(key, newer, older)
  return aesCfbEncrypt(aesKey, iv, plain)
}

function decrypt(key: Uint8Array, newer: Uint8Array, older: Uint8Array, secret: Uint8Array): Uint8Array {
  const { aesKey, iv } = cfbKey(key, newer, older)
  return aesCfbDecrypt(aesKey, iv, secret)
}

function cfbKey(key: Uint8Array, newer: Uint8Array, older: Uint8Array) {
  const made = kdfa(HASH, key, 'CFB', newer, older, SYMMETRIC.keyBits + 8 * BLOCK_BYTES)
  const keyBytes = SYMMETRIC.keyBits / 8
  return { aesKey: made.subarray(0, keyBytes), iv: made.subarray(keyBytes) }
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}

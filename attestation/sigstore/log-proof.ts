import { canonicalJson, equalBytes, toHex, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import {
  ecdsaNoteKey,
  ed25519NoteKey,
  leafHash,
  type NoteKey,
  parseCheckpoint,
  parseSignedNote,
  TransparencyLogError,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyInclusion,
} from '../transparency-log/index.ts'
import type { LogEntry } from './bundle.ts'
import { SigstoreError } from './errors.ts'
import { base64Text, timeOfSeconds } from './members.ts'
import { type SigningKey, verifyMessage } from './signing-key.ts'
import { isWithin, type TrustedLog } from './trusted-root.ts'

/** What a log vouches for about an entry. */
export interface ProvenEntry {
  readonly log: SigningKey
  /** When the log took it, from a signed promise; a proof of inclusion says nothing of time. */
  readonly time?: Date
}

/**
 * Verifies that a trusted log has the entry: its inclusion proof under a signed checkpoint where there is one, else its
 * signed promise; and that promise in any case where there is one, as only it vouches for the time.
 *
 * @throws SigstoreError SIGSTORE_ENTRY_UNPROVEN, SIGSTORE_MALFORMED
 */
export function proveEntry(entry: LogEntry, logs: readonly TrustedLog[]): ProvenEntry {
  const log = logs.find(({ key }) => equalBytes(digest('sha256', key.spki), entry.logId))
  if (log === undefined) throw unproven(`the log ${toHex(entry.logId).slice(0, 16)}... is not trusted`)
  if (entry.promise === undefined && entry.proof === undefined) {
    throw unproven('the entry comes with neither a proof of inclusion nor a promise')
  }
  if (entry.proof !== undefined) verifyProof(entry.body, entry.proof, log.key)
  if (entry.promise === undefined) return { log: log.key }
  const time = verifyPromise(entry, entry.promise, log)
  return { log: log.key, ...(time && { time }) }
}

/** The signed entry timestamp: a signature over the canonical JSON of entry, index, log and time. */
function verifyPromise(entry: LogEntry, promise: Uint8Array, log: TrustedLog): Date | undefined {
  const signed = canonicalJson({
    body: base64Text(entry.body),
    integratedTime: safe(entry.integratedTime),
    logID: toHex(entry.logId),
    logIndex: safe(entry.logIndex),
  })
  if (!verifyMessage(log.key, utf8(signed), promise)) throw unproven("the promise is not the log's for this entry")
  if (entry.integratedTime === 0n) return undefined
  const time = timeOfSeconds(entry.integratedTime, 'integratedTime')
  if (!isWithin(log, time)) throw unproven(`the log's key did not count at ${time.toISOString()}`)
  return time
}

function verifyProof(body: Uint8Array, proof: NonNullable<LogEntry['proof']>, log: SigningKey): void {
  try {
    const head = openCheckpoint(utf8(proof.checkpoint), log)
    if (head.size !== proof.treeSize || !equalBytes(head.root, proof.root)) {
      throw unproven('the inclusion proof is for another tree than its checkpoint')
    }
    verifyInclusion(leafHash(body), proof.index, proof.path, head)
  } catch (cause) {
    if (!(cause instanceof TransparencyLogError)) throw cause
    throw unproven(cause.message, cause)
  }
}

/** A trusted root names keys, not origins: whatever tree this key signs for is this log's. */
function openCheckpoint(note: Uint8Array, log: SigningKey): VerifiedCheckpoint {
  const { text, signatures } = parseSignedNote(note)
  const { origin } = parseCheckpoint(text)
  const names = [...new Set(signatures.map((s) => s.name))]
  const keys = names.map((name) => noteKey(name, log))
  const used = keys.filter((key) => signatures.some((s) => s.name === key.name && s.keyId === key.keyId))
  return verifyCheckpoint(note, { origin, logKeys: used.length > 0 ? used : keys })
}

function noteKey(name: string, { key }: SigningKey): NoteKey {
  return 'kind' in key ? ecdsaNoteKey(name, key) : ed25519NoteKey(name, key)
}

function safe(n: bigint): number {
  if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw unproven(`${n} is beyond what a promise can be about`)
  return Number(n)
}

function unproven(why: string, cause?: unknown): SigstoreError {
  return new SigstoreError('SIGSTORE_ENTRY_UNPROVEN', why, { cause })
}

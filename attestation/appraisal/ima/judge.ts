import { fromHex, messageOf, toHex } from '../../base/index.ts'
import { bytesText, type FileKey, KeyError } from '../../crypto/index.ts'
import { EndorsementError } from '../../endorsement/index.ts'
import {
  EventLogError,
  type ImaCursor,
  type ImaFileDigest,
  type ImaMeasurement,
  type ImaVisitor,
  imaFields,
  imaMeasurement,
  isBufferDigest,
  printableName,
} from '../../event-log/index.ts'
import { fileKey } from './file-keys.ts'
import { checkFileSignature, type SignatureCheck } from './file-signature.ts'
import { isListedFile } from './listed.ts'
import { type CompiledImaPolicy, digestKey, isAccepted, keysById } from './policy.ts'
import {
  type BootAggregate,
  type ImaCounts,
  type ImaFailure,
  type ImaFailureKind,
  type ImaState,
  type LearnedKey,
  MAX_FAILURES,
  MAX_LEARNED_KEYS,
} from './state.ts'

/** Marks of entries that are the same verdict for every machine of this policy. */
const LISTED = 1
const EXCLUDED = 2
const SIGNED = 3

/** After so many bad signatures none is checked: each costs a millisecond, and the machine has failed anyway. */
const MAX_BAD_SIGNATURES = 64
const MAX_GOOD_SIGNATURES = 1 << 15
const BOOT_AGGREGATE = 'boot_aggregate'
const NO_SIGNATURE: SignatureCheck = { result: 'unchecked', why: 'it has none' }

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Judges the entries of a piece of a list while it is replayed. */
export class ImaJudge implements ImaVisitor {
  readonly #policy: CompiledImaPolicy
  readonly #from: ImaState
  #counts: Writable<ImaCounts>
  #failed: { [kind in ImaFailureKind]?: number } = {}
  #failures: ImaFailure[] = []
  #bootAggregate: BootAggregate | undefined
  #learned: LearnedKey[] = []
  /** Of `#learned`, made when a signature needs them. */
  #learnedById: Map<number, FileKey[]> | undefined

  constructor(policy: CompiledImaPolicy, from: ImaState) {
    this.#policy = policy
    this.#from = from
    this.#counts = from.counts
    this.restart()
  }

  restart(): void {
    const { counts, failures, bootAggregate, learnedKeys } = this.#from
    this.#counts = { ...counts }
    this.#failed = { ...counts.failures }
    this.#failures = [...failures]
    this.#bootAggregate = bootAggregate
    this.#learned = [...learnedKeys]
    this.#learnedById = undefined
  }

  /** What was judged so far; `replay` is left as it was. */
  state(): ImaState {
    return {
      replay: this.#from.replay,
      counts: { ...this.#counts, failures: { ...this.#failed } },
      failures: this.#failures,
      ...(this.#bootAggregate !== undefined && { bootAggregate: this.#bootAggregate }),
      learnedKeys: this.#learned,
    }
  }

  known(mark: number): void {
    if (mark === LISTED) this.#counts.listed++
    else if (mark === EXCLUDED) this.#counts.excluded++
    else this.#counts.signed++
  }

  visit(c: ImaCursor, violation: boolean): number {
    const { files, policy } = this.#policy
    if (!violation && c.index > 0 && !policy.requireSignature && isListedFile(c, files)) {
      this.#counts.listed++
      return LISTED
    }
    let measurement: ImaMeasurement
    try {
      measurement = imaMeasurement(imaFields(c).fields)
    } catch (err) {
      if (!(err instanceof EventLogError)) throw err
      this.#fail('unreadable', c.index, undefined, 'a known template', () => messageOf(err))
      return 0
    }
    const { name, buffer, digest } = measurement
    if (c.old && c.index > 0 && this.#bootAggregate?.old !== true) {
      // no digest covers a template's name, and 276 bytes of another one's data can be made to look like the old one's
      this.#fail('unreadable', c.index, name, 'a template like that of the first entry', () => 'the old one, ima')
      return 0
    }
    if (violation) {
      this.#fail(
        'violation',
        c.index,
        name,
        'a file that nobody writes',
        () => 'it could be written while it was measured',
      )
      return 0
    }
    if (measurement.appended?.signature !== undefined) this.#counts.appendedSignatures++
    if (c.index === 0 && name === BOOT_AGGREGATE && digest !== undefined) {
      this.#bootAggregate = { algorithm: digest.algorithm, digest: toHex(digest.bytes), old: c.old }
      return 0
    }
    if (buffer !== undefined) {
      this.#buffer(c.index, name ?? '', digest, buffer)
      return 0
    }
    return this.#file(c.index, name, measurement)
  }

  #file(index: number, name: string | undefined, measurement: ImaMeasurement): number {
    const { digest } = measurement
    const { files, excludes, policy } = this.#policy
    const accepted = name === undefined ? undefined : files.get(name)
    if (digest !== undefined && !policy.requireSignature && isAccepted(accepted, digestKey(digest.of, digest.bytes))) {
      this.#counts.listed++
      return LISTED
    }
    if (name !== undefined && excludes.some((excluded) => excluded(name))) {
      this.#counts.excluded++
      return EXCLUDED
    }
    if (digest === undefined) {
      this.#fail('unreadable', index, name, 'a digest', () => 'none that can be read')
      return 0
    }
    if (name === BOOT_AGGREGATE && toHex(digest.bytes) === this.#bootAggregate?.digest) {
      this.#counts.listed++ // the list of the kernel before a kexec, carried on: the same registers again
      return 0
    }
    const { check, mark } = this.#signature(digest, measurement.signature)
    if (check.result === 'good') {
      this.#counts.signed++
      return mark
    }
    const failure = failureOf(check, accepted !== undefined, policy.requireSignature)
    this.#fail(failure.kind, index, name, failure.expected, () => `${digestText(digest)}, ${failure.seen()}`)
    return 0
  }

  #signature(digest: ImaFileDigest, signature: Uint8Array | undefined): { check: SignatureCheck; mark: number } {
    if (signature === undefined) return { check: NO_SIGNATURE, mark: 0 }
    const { goodSignatures, keysById: own } = this.#policy
    const seen = `${digestKey(digest.of, digest.bytes)}/${bytesText(signature)}`
    if (goodSignatures.has(seen)) return { check: { result: 'good', keyId: 0 }, mark: SIGNED }
    if (this.#counts.badSignatures >= MAX_BAD_SIGNATURES) {
      return { check: { result: 'unchecked', why: `none is checked after ${MAX_BAD_SIGNATURES} bad ones` }, mark: 0 }
    }
    let check = checkFileSignature(signature, digest, (id) => own.get(id) ?? [])
    if (check.result === 'good') {
      if (goodSignatures.size >= MAX_GOOD_SIGNATURES) goodSignatures.clear()
      goodSignatures.add(seen)
      return { check, mark: SIGNED }
    }
    if (check.result === 'unknown-key') check = checkFileSignature(signature, digest, (id) => this.#learnedKeys(id))
    if (check.result === 'bad') this.#counts.badSignatures++
    return { check, mark: 0 } // keys of one machine's keyring allow nothing elsewhere
  }

  #learnedKeys(id: number): readonly FileKey[] {
    this.#learnedById ??= keysById(this.#learned.map(({ der }) => fileKey(fromHex(der))))
    return this.#learnedById.get(id) ?? []
  }

  #buffer(index: number, name: string, digest: ImaFileDigest | undefined, buffer: Uint8Array): void {
    const { keyrings, buffers, policy } = this.#policy
    const accepted = keyrings.get(name)
    const isKeyring = accepted !== undefined || name.startsWith('.') || name.startsWith('_')
    if (digest === undefined || isBufferDigest(digest, buffer) !== true) {
      this.#fail(
        'buffer',
        index,
        name,
        'a digest of the buffer',
        () => 'another digest, or one that is not computed here',
      )
      return
    }
    const key = digestKey('content', digest.bytes)
    if (name.startsWith('/')) {
      // a file with a signature that says to be a buffer: the template's name is not under its digest
      this.#fail('buffer', index, name, 'the name of a buffer', () => 'a path')
      return
    }
    if (!isKeyring) {
      const rules = buffers.filter(({ of }) => of(name))
      if (rules.some(({ digests }) => digests === 'any' || digests.has(key))) this.#counts.buffers++
      else this.#fail('buffer', index, name, 'a listed digest', () => digestText(digest))
      return
    }
    if (isAccepted(accepted, key)) {
      this.#counts.keys++
      if (policy.learnKeysFrom.includes(name)) this.#learn(name, buffer)
    } else if (policy.ignoredKeyrings.includes('*') || policy.ignoredKeyrings.includes(name)) this.#counts.keys++
    else this.#fail('keyring', index, name, 'a listed key', () => digestText(digest))
  }

  #learn(keyring: string, der: Uint8Array): void {
    if (this.#learned.length >= MAX_LEARNED_KEYS) return
    try {
      fileKey(der)
    } catch (err) {
      if (err instanceof KeyError || err instanceof EndorsementError) return // accepted, but it signs nothing here
      throw err
    }
    this.#learned.push({ keyring: printableName(keyring), der: toHex(der) })
    this.#learnedById = undefined
  }

  /** @param seen made only while failures are kept: a hostile list has many */
  #fail(kind: ImaFailureKind, index: number, name: string | undefined, expected: string, seen: () => string): void {
    this.#failed[kind] = (this.#failed[kind] ?? 0) + 1
    if (this.#failures.length >= MAX_FAILURES) return
    this.#failures.push({ kind, index, name: printableName(name ?? '(no name)'), expected, seen: seen().slice(0, 300) })
  }
}

const digestText = ({ of, algorithm, bytes }: ImaFileDigest): string =>
  `${of === 'verity' ? 'fs-verity ' : ''}${algorithm}:${toHex(bytes)}`

function failureOf(
  check: SignatureCheck,
  listed: boolean,
  signatureRequired: boolean,
): { kind: ImaFailureKind; expected: string; seen: () => string } {
  const key = () => ('keyId' in check ? `key ${check.keyId.toString(16).padStart(8, '0')}` : 'no key')
  if (check.result === 'bad') {
    return { kind: 'bad-signature', expected: 'a good signature', seen: () => `signed, and not by ${key()} as it says` }
  }
  const seen = () =>
    check.result === 'unchecked' ? `signature: ${check.why}` : `signed by ${key()}, which is not known`
  if (signatureRequired) {
    const kind = check.result === 'unknown-key' ? 'unknown-key' : 'no-signature'
    return { kind, expected: 'a signature by a known key', seen }
  }
  return listed
    ? { kind: 'changed-file', expected: 'a digest listed for this path', seen }
    : { kind: 'unknown-file', expected: 'a path that is listed or excluded', seen }
}

import { toHex } from '../../base/index.ts'
import { type DigestBuffer, digestBuffer, digestInto, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { BANK_ORDER, type BankRegisters, banksOf } from '../registers.ts'
import { type ImaCursor, imaCursor, isViolation, nextEntry } from './cursor.ts'
import type { KnownImaEntries } from './known-entries.ts'
import { bankValue, IMA_RULES, type ImaBankState, type ImaExtendRule, type ImaReplayState } from './replay-state.ts'
import { detectTemplateHash, hashedBytes, isTemplateDigest, templateMismatch } from './template-digest.ts'

/**
 * Looks at the entries of the replayed register while they are replayed; only a replay that ends `proved` makes what it
 * saw true.
 */
export interface ImaVisitor {
  /** Another walk over the same entries begins: what was seen since the replay began counts no more. */
  readonly restart: () => void
  /**
   * @param c on the entry, good until it returns
   * @returns 1 to 255 to have the same bytes remembered as good with that mark; 0 to be asked again
   */
  readonly visit: (c: ImaCursor, violation: boolean) => number
  /** An entry that was remembered with this mark. */
  readonly known: (mark: number) => void
}

export interface ImaReplay {
  /**
   * After the last entry that is proved; when none is the quoted one, after all. Keep it only if `proved`, or to go on
   * with the next piece.
   */
  readonly state: ImaReplayState
  /** Whether the register is the quoted one after that entry, in every bank. */
  readonly proved: boolean
  /** Bytes of entries behind it: the list runs ahead of the quote, and they are not proved yet. */
  readonly restBytes: number
  /** Banks that another one's last proved entry does not bring to the quoted value. */
  readonly disagreeing: readonly HashAlgorithm[]
}

/**
 * Replays a further piece of a binary IMA list to a quoted register. The list may run ahead of the quote: the replay
 * stops at the entry after which the register is the quoted one. Every template digest must be the one of its data.
 *
 * @param state after the entries before
 * @param bytes the list from `state.offset` on, whole entries
 * @param quoted the register in a verified quote; banks of the state that are not quoted are replayed along, and proved
 * when they are
 * @param options.known entries known to be good; only used together with a visitor, whose marks it keeps
 * @throws EventLogError for the first entry that is none or whose template digest is not its data's
 * @throws RangeError for a bank that the state was not started with, and for none
 */
export function replayIma(
  state: ImaReplayState,
  bytes: Uint8Array,
  quoted: BankRegisters,
  options: { readonly visitor?: ImaVisitor; readonly known?: KnownImaEntries } = {},
): ImaReplay {
  const banks = banksOf(quoted)
  const primary = banks.includes('sha256') ? 'sha256' : banks.at(-1)
  const kept = BANK_ORDER.filter((bank) => state.banks[bank] !== undefined)
  if (primary === undefined || !banks.every((bank) => kept.includes(bank))) {
    throw new RangeError(`the replay has the banks ${kept.join(', ')}, the quote ${banks.join(', ')}`)
  }
  const templateHash = state.templateHash ?? (bytes.length === 0 ? undefined : detectTemplateHash(bytes))
  const from: From = { state, bytes, templateHash: templateHash ?? 'sha1' }

  const { walk, values, matched } = replayBank(from, primary, quoted[primary] as Uint8Array, options) // it is one of banksOf
  const registers: { [bank in HashAlgorithm]?: ImaBankState } = { [primary]: values }
  const disagreeing: HashAlgorithm[] = []
  for (const bank of kept) {
    if (bank === primary) continue
    const reached = followBank(from, bank, walk.end)
    const value = quoted[bank]
    const agreeing = Object.entries(reached).filter(([, hex]) => value !== undefined && hex === toHex(value))
    if (matched && value !== undefined && agreeing.length === 0) disagreeing.push(bank)
    registers[bank] = value !== undefined && matched && walk.entries > 0 ? Object.fromEntries(agreeing) : reached
  }
  return {
    state: {
      pcr: state.pcr,
      ...(templateHash !== undefined && { templateHash }),
      banks: registers,
      offset: state.offset + walk.end,
      entries: state.entries + walk.entries,
      violations: state.violations + walk.violations,
      elsewhere: state.elsewhere + walk.elsewhere,
    },
    proved: matched && disagreeing.length === 0,
    restBytes: bytes.length - walk.end,
    disagreeing,
  }
}

interface From {
  readonly state: ImaReplayState
  readonly bytes: Uint8Array
  readonly templateHash: HashAlgorithm
}

interface Chain {
  readonly bank: HashAlgorithm
  readonly rule: ImaExtendRule
  readonly size: number
  /** The register, and behind it the digest to extend it with. */
  readonly bytes: DigestBuffer
  readonly words: Int32Array
}

interface Walk {
  readonly matched: boolean
  readonly end: number
  readonly entries: number
  readonly violations: number
  readonly elsewhere: number
}

/**
 * Walks by each rule that is still possible, until one comes to the quoted value. The visitor sees the first walk, and
 * another only if that is the one that proves: a list that proves nothing is not judged twice.
 */
function replayBank(
  from: From,
  bank: HashAlgorithm,
  quoted: Uint8Array,
  options: { readonly visitor?: ImaVisitor; readonly known?: KnownImaEntries },
): { walk: Walk; values: ImaBankState; matched: boolean } {
  const values: { [rule in ImaExtendRule]?: string } = {}
  const to = { quoted, limit: from.bytes.length }
  let first: Walk | undefined
  for (const rule of IMA_RULES) {
    const chain = chainFrom(from.state, bank, rule)
    if (chain === undefined) continue
    const walk = walkEntries(from, chain, to, first === undefined ? options : {})
    values[rule] = registerHex(chain)
    if (!walk.matched) {
      first ??= walk
      continue
    }
    if (first !== undefined && options.visitor !== undefined) {
      options.visitor.restart()
      const again = chainFrom(from.state, bank, rule)
      if (again !== undefined) walkEntries(from, again, to, options)
    }
    // without a new entry the rule is as open as before
    const kept = walk.entries === 0 ? (from.state.banks[bank] ?? {}) : { [rule]: registerHex(chain) }
    return { walk, values: kept, matched: true }
  }
  if (first === undefined) throw new RangeError(`the replay's ${bank} register has no value by any rule`)
  return { walk: first, values, matched: false }
}

/** The bank's register by each rule that is still possible, after the entries before `end`. */
function followBank(from: From, bank: HashAlgorithm, end: number): ImaBankState {
  const values: { [rule in ImaExtendRule]?: string } = {}
  for (const rule of IMA_RULES) {
    const chain = chainFrom(from.state, bank, rule)
    if (chain === undefined) continue
    walkEntries(from, chain, { limit: end }, {})
    values[rule] = registerHex(chain)
  }
  return values
}

function chainFrom(state: ImaReplayState, bank: HashAlgorithm, rule: ImaExtendRule): Chain | undefined {
  const start = bankValue(state, bank, rule)
  if (start === undefined) return undefined
  const size = hashSize(bank)
  if (start.length !== size) throw new RangeError(`a ${bank} register has ${size} bytes, got ${start.length}`)
  const bytes = digestBuffer(2 * size)
  bytes.set(start)
  return { bank, rule, size, bytes, words: new Int32Array(bytes.buffer, bytes.byteOffset, size / 2) }
}

const registerHex = (chain: Chain): string => toHex(chain.bytes.subarray(0, chain.size))

/**
 * The scan itself: no object for each entry, and no hash of what is known. All the time is in it.
 * @param to `limit` is where an entry ends; with `quoted` it stops at that value
 */
function walkEntries(
  from: From,
  chain: Chain,
  to: { readonly quoted?: Uint8Array; readonly limit: number },
  { visitor, known }: { readonly visitor?: ImaVisitor; readonly known?: KnownImaEntries },
): Walk {
  const { state } = from
  const c = imaCursor(from.bytes, from.templateHash, state.entries, state.offset)
  const remembered = known?.bank === chain.bank && chain.rule === 'template-data' ? known : undefined
  const target = to.quoted === undefined ? undefined : wordsOf(to.quoted)
  let violations = 0
  let elsewhere = 0
  let matched = target !== undefined && isAt(chain, target)
  while (!matched && c.end < to.limit && nextEntry(c)) {
    if (c.pcr !== state.pcr) {
      elsewhere++
      continue
    }
    if (isViolation(c)) {
      violations++
      chain.bytes.fill(0xff, chain.size)
      visitor?.visit(c, true)
    } else {
      const slot = remembered === undefined ? -1 : remembered.find(c)
      if (slot >= 0 && remembered !== undefined && visitor !== undefined) {
        remembered.digestInto(slot, chain.words, chain.size / 4)
        visitor.known(remembered.mark(slot))
      } else {
        eventDigest(c, chain)
        const mark = visitor === undefined ? 0 : visitor.visit(c, false)
        if (mark !== 0) remembered?.add(c, mark, chain.words, chain.size / 4)
      }
    }
    digestInto(chain.bank, chain.bytes, chain.bytes, 0)
    matched = target !== undefined && isAt(chain, target)
  }
  return { matched, end: c.end, entries: c.index + 1 - state.entries, violations, elsewhere }
}

/** Puts what the kernel extends for the entry behind the register. @throws EventLogError EVENT_LOG_DIGEST_MISMATCH */
function eventDigest(c: ImaCursor, chain: Chain): void {
  const hashed = hashedBytes(c)
  if (!isTemplateDigest(c, hashed)) throw templateMismatch(c)
  if (chain.rule === 'sha1-padded') {
    chain.bytes.fill(0, chain.size)
    digestInto('sha1', hashed, chain.bytes, chain.size)
  } else digestInto(chain.bank, hashed, chain.bytes, chain.size)
}

function wordsOf(value: Uint8Array): Int32Array {
  return new Int32Array(new Uint8Array(value).buffer) // a copy is aligned
}

function isAt(chain: Chain, target: Int32Array): boolean {
  const { words } = chain
  for (let i = 0; i < target.length; i++) if (words[i] !== target[i]) return false
  return true
}

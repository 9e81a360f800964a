import { type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import type { ImaCursor } from './cursor.ts'

/** Entries that are remembered; a fleet of one operating system runs some ten thousand different files. */
const SLOTS = 1 << 16
/** Bytes of entries that are remembered; when full, all are forgotten. */
const ARENA_BYTES = 16 << 20
/** Longer entries (measured buffers) are rare and not remembered. */
const MAX_ENTRY_BYTES = 1024
/** Slots in which an entry may stand. */
const WAYS = 4

/**
 * Entries that were seen and found good before, of any machine, with the digest that one bank is extended with. The
 * same bytes have the same digest and the same verdict, so neither need be found again. Found by the template digest
 * that the list claims, and believed only when every byte from there to the entry's end is the same. Bounded: at most
 * 20 MiB, whatever machines send.
 */
export interface KnownImaEntries {
  readonly bank: HashAlgorithm
  /** Slot of the entry that the cursor is on; -1 when it is not known. */
  readonly find: (c: ImaCursor) => number
  /** What was remembered with it: never 0. */
  readonly mark: (slot: number) => number
  /** Writes the digest into `words` from `at` on. */
  readonly digestInto: (slot: number, words: Int32Array, at: number) => void
  /**
   * @param mark 1 to 255
   * @param words the digest from `at` on
   */
  readonly add: (c: ImaCursor, mark: number, words: Int32Array, at: number) => void
}

/** @param bank the bank whose digests are remembered */
export function knownImaEntries(bank: HashAlgorithm): KnownImaEntries {
  const words = hashSize(bank) / 4
  const arena = new Uint8Array(ARENA_BYTES)
  const view = new DataView(arena.buffer)
  const tags = new Int32Array(SLOTS)
  const starts = new Int32Array(SLOTS)
  /** 0 for an empty slot; digest sizes apart, so that the same bytes cannot be read in two ways. */
  const forms = new Int32Array(SLOTS)
  const marks = new Uint8Array(SLOTS)
  const digests = new Int32Array(SLOTS * words)
  let used = 0
  let victim = 0

  const formOf = (c: ImaCursor): number => ((c.end - c.digestAt) << 8) | c.digestSize
  const slotOf = (tag: number, way: number): number => (tag + way) & (SLOTS - 1)

  function isSame(c: ImaCursor, slot: number): boolean {
    let theirs = c.digestAt
    let ours = starts[slot] as number // of SLOTS, as every index below
    const lastWord = c.end - 4
    for (; theirs <= lastWord; theirs += 4, ours += 4) {
      if (c.view.getInt32(theirs, true) !== view.getInt32(ours, true)) return false
    }
    for (; theirs < c.end; theirs++, ours++) if (c.bytes[theirs] !== arena[ours]) return false
    return true
  }

  function freeSlot(tag: number): number {
    for (let way = 0; way < WAYS; way++) if (forms[slotOf(tag, way)] === 0) return slotOf(tag, way)
    victim = (victim + 1) % WAYS
    return slotOf(tag, victim)
  }

  return {
    bank,
    find: (c) => {
      const tag = c.view.getInt32(c.digestAt, true)
      const form = formOf(c)
      for (let way = 0; way < WAYS; way++) {
        const slot = slotOf(tag, way)
        if (tags[slot] === tag && forms[slot] === form && isSame(c, slot)) return slot
      }
      return -1
    },
    mark: (slot) => marks[slot] as number,
    digestInto: (slot, to, at) => {
      const from = slot * words
      for (let i = 0; i < words; i++) to[at + i] = digests[from + i] as number
    },
    add: (c, mark, from, at) => {
      const size = c.end - c.digestAt
      if (size > MAX_ENTRY_BYTES) return
      if (used + size > ARENA_BYTES) {
        forms.fill(0)
        used = 0
      }
      const tag = c.view.getInt32(c.digestAt, true)
      const slot = freeSlot(tag)
      arena.set(c.bytes.subarray(c.digestAt, c.end), used)
      tags[slot] = tag
      starts[slot] = used
      forms[slot] = formOf(c)
      marks[slot] = mark
      for (let i = 0; i < words; i++) digests[slot * words + i] = from[at + i] as number
      used += size
    },
  }
}

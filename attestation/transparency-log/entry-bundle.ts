import { concatBytes, equalBytes } from '../base/index.ts'
import { TransparencyLogError } from './errors.ts'
import { leafHash } from './merkle-hash.ts'
import { decodeHashTile, entryBundlePath, TILE_WIDTH, type Tile } from './tile.ts'

/** Longest entry: its length is written as two bytes. */
export const MAX_ENTRY_BYTES = 0xffff
const LENGTH_BYTES = 2

/**
 * A bundle of 1 to 256 entries, each after its length in two bytes, big-endian. Source: C2SP tlog-tiles, Log entries.
 *
 * @throws TransparencyLogError LOG_ENTRIES_INVALID for another number of entries, or one of more than 65535 bytes
 */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length < 1 || entries.length > TILE_WIDTH) {
    throw badEntries(`a bundle has 1 to ${TILE_WIDTH} entries, not ${entries.length}`)
  }
  const long = entries.findIndex((entry) => entry.length > MAX_ENTRY_BYTES)
  if (long !== -1) throw badEntries(`entry ${long} of the bundle has more than ${MAX_ENTRY_BYTES} bytes`)
  return concatBytes(...entries.flatMap((entry) => [Uint8Array.of(entry.length >> 8, entry.length), entry]))
}

/**
 * Entries of a bundle, as sent: verifyEntries() tells whether they are the log's.
 *
 * @param bytes the bundle, or a wider one of the same place
 * @param count how many entries to take
 * @throws TransparencyLogError LOG_ENTRIES_INVALID for a bundle of fewer entries, a cut one, or one of more than 256
 */
export function decodeEntryBundle(bytes: Uint8Array, count: number): Uint8Array[] {
  const entries: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const [high = 0, low] = bytes.subarray(at, at + LENGTH_BYTES)
    const end = at + LENGTH_BYTES + (low === undefined ? 0 : (high << 8) | low)
    if (end > bytes.length) throw badEntries(`entry ${entries.length}, at offset ${at}, is cut`)
    if (entries.length === TILE_WIDTH) throw badEntries(`more than ${TILE_WIDTH} entries in a bundle`)
    entries.push(bytes.slice(at + LENGTH_BYTES, end))
    at = end
  }
  if (entries.length < count) throw badEntries(`${entries.length} entries in a bundle, expected ${count}`)
  return entries.slice(0, count)
}

/**
 * The entries of a bundle, if each is the one that the tile of hashes commits to. Of the tile it proves nothing.
 *
 * @param tile of level 0, whose place and width the bundle has too
 * @throws TransparencyLogError LOG_ENTRIES_INVALID, LOG_TILE_INVALID
 */
export function verifyEntries(bundle: Uint8Array, hashTile: Uint8Array, tile: Tile): Uint8Array[] {
  const hashes = decodeHashTile(hashTile, tile)
  const entries = decodeEntryBundle(bundle, tile.width)
  const other = entries.findIndex((entry, i) => !equalBytes(leafHash(entry), hashes[i] as Uint8Array))
  if (other !== -1) throw badEntries(`entry ${other} of ${entryBundlePath(tile)} is not what its hash tile has`)
  return entries
}

function badEntries(what: string): TransparencyLogError {
  return new TransparencyLogError('LOG_ENTRIES_INVALID', what)
}

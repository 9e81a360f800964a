import { concatBytes } from '../base/index.ts'
import { assertTreeSize } from './merkle-hash.ts'
import { decodeHashTile, TILE_HEIGHT, TILE_WIDTH, type Tile, tileOfTree } from './tile.ts'
import { rootOfLevel, type TileReader } from './tiled-tree.ts'

/** A tile and what is in it. */
export interface WrittenTile {
  readonly tile: Tile
  readonly bytes: Uint8Array
}

/**
 * The tiles of hashes that a log writes when entries are appended: full ones, and the partial one at the end of each
 * level that has grown. They are written before the checkpoint that needs them.
 * Source: C2SP tlog-tiles, Partial Tiles.
 *
 * @param size of the tree before
 * @param leaves leafHash() of each new entry; all of them are held in memory
 * @param read gives the partial tiles of the tree before
 * @throws TransparencyLogError LOG_TILE_INVALID, and whatever `read` throws
 */
export function growTiles(size: bigint, leaves: readonly Uint8Array[], read: TileReader): WrittenTile[] {
  assertTreeSize(size + BigInt(leaves.length))
  const written: WrittenTile[] = []
  let added = leaves
  for (let level = 0; added.length > 0; level++) {
    const before = size >> BigInt(TILE_HEIGHT * level)
    const firstIndex = before >> BigInt(TILE_HEIGHT)
    const partial = before % BigInt(TILE_WIDTH) === 0n ? undefined : tileOfTree(level, firstIndex, size)
    const hashes = [...(partial ? decodeHashTile(read(partial), partial) : []), ...added]
    const full: Uint8Array[] = []
    for (let at = 0; at < hashes.length; at += TILE_WIDTH) {
      const ofTile = hashes.slice(at, at + TILE_WIDTH)
      const index = firstIndex + BigInt(at / TILE_WIDTH)
      written.push({ tile: { level, index, width: ofTile.length }, bytes: concatBytes(...ofTile) })
      if (ofTile.length === TILE_WIDTH) full.push(rootOfLevel(ofTile)) // a partial tile is in no tile above
    }
    added = full
  }
  return written
}

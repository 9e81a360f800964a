import { CompactRange, rootOf } from './compact-range.ts'
import { assertTreeSize, nodeHash } from './merkle-hash.ts'
import { completeSubtrees, type Subtree, type TreeNode } from './subtree.ts'
import { decodeHashTile, TILE_HEIGHT, TILE_WIDTH, type Tile, tileOfTree } from './tile.ts'

/** Gives a tile's bytes: from memory, or out of what was fetched before; tilesOf() tells which will be asked for. */
export type TileReader = (tile: Tile) => Uint8Array

/**
 * The tiles that rootsFromTiles() reads, each once, for a shell to fetch beforehand: two of each level at most for a
 * proof. The tree's size is that of a verified checkpoint: a server need not have partial tiles of other sizes.
 */
export function tilesOf(subtrees: readonly Subtree[], size: bigint): Tile[] {
  const tiles = new Map<string, Tile>()
  for (const { start, end } of subtrees) {
    for (const node of completeSubtrees(start, end)) {
      const tile = placeOf(node, size).tile
      tiles.set(keyOf(tile), tile)
    }
  }
  return [...tiles.values()]
}

/**
 * Roots of subtrees, computed from tiles: of inclusionSubtrees() or consistencySubtrees() a proof. Tiles are not
 * believed here; whoever relies on the proof verifies it, the log itself before it hands one out.
 *
 * @param size of the tree, which has all of the subtrees
 * @throws TransparencyLogError LOG_TILE_INVALID, and whatever `read` throws
 * @throws RangeError for a subtree that the tree does not have
 */
export function rootsFromTiles(subtrees: readonly Subtree[], size: bigint, read: TileReader): Uint8Array[] {
  assertTreeSize(size)
  const hashesOf = readingOnce(read)
  return subtrees.map(({ start, end }) =>
    rootOf(completeSubtrees(start, end).map((node) => nodeFromTile(node, size, hashesOf))),
  )
}

/**
 * The tree as something to append to, read from the tiles of its right edge; its head() is to be compared with the
 * signed one.
 *
 * @throws TransparencyLogError LOG_TILE_INVALID, and whatever `read` throws
 */
export function compactRangeFromTiles(size: bigint, read: TileReader): CompactRange {
  assertTreeSize(size)
  const hashesOf = readingOnce(read)
  return new CompactRange(
    size,
    completeSubtrees(0n, size).map((node) => nodeFromTile(node, size, hashesOf)),
  )
}

/** Root of 2^n neighbouring complete subtrees. */
export function rootOfLevel(hashes: readonly Uint8Array[]): Uint8Array {
  let level = hashes
  while (level.length > 1) {
    level = Array.from({ length: level.length / 2 }, (_, i) =>
      nodeHash(level[2 * i] as Uint8Array, level[2 * i + 1] as Uint8Array),
    )
  }
  return level[0] as Uint8Array
}

function nodeFromTile(node: TreeNode, size: bigint, hashesOf: (tile: Tile) => Uint8Array[]): Uint8Array {
  const { tile, from, count } = placeOf(node, size)
  return rootOfLevel(hashesOf(tile).slice(from, from + count))
}

/** In which tile a node's root is, or the hashes below it that it is the root of. */
function placeOf({ level, index }: TreeNode, size: bigint): { tile: Tile; from: number; count: number } {
  const tileLevel = Math.floor(level / TILE_HEIGHT)
  const above = level % TILE_HEIGHT
  const first = index << BigInt(above)
  const tile = tileOfTree(tileLevel, first >> BigInt(TILE_HEIGHT), size)
  const from = Number(first & BigInt(TILE_WIDTH - 1))
  const count = 1 << above
  if (from + count > tile.width) throw new RangeError(`a tree of ${size} has no subtree ${index} at level ${level}`)
  return { tile, from, count }
}

function readingOnce(read: TileReader): (tile: Tile) => Uint8Array[] {
  const known = new Map<string, Uint8Array[]>()
  return (tile) => {
    const key = keyOf(tile)
    const hashes = known.get(key) ?? decodeHashTile(read(tile), tile)
    known.set(key, hashes)
    return hashes
  }
}

function keyOf({ level, index }: Tile): string {
  return `${level}/${index}`
}

import { printable } from '../base/index.ts'
import { TransparencyLogError } from './errors.ts'
import { HASH_BYTES, TREE_SIZE_LIMIT } from './merkle-hash.ts'

/** Levels of a tree that one tile spans. Source: C2SP tlog-tiles, Merkle Tree. */
export const TILE_HEIGHT = 8
/** Hashes of a full tile, and entries of a full bundle. */
export const TILE_WIDTH = 1 << TILE_HEIGHT

/** Neighbouring hashes of one level: each is the root of a complete subtree of 256^level entries. */
export interface Tile {
  /** 0 to 63; 0 has leaf hashes. */
  readonly level: number
  /** Counted from 0 within its level. */
  readonly index: bigint
  /** 256 for a full tile, 1 to 255 for a partial one. */
  readonly width: number
}

/** Where the checkpoint of a tiled log is, below its prefix. */
export const CHECKPOINT_PATH = 'checkpoint'

const MAX_LEVEL = 63
const MAX_PATH_CHARACTERS = 64
const TILE_PATH = /^tile\/(entries|0|[1-9][0-9]?)((?:\/x[0-9]{3})*\/[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** Path of a tile of hashes, below the log's prefix: `tile/0/x001/x234/067.p/8`. Source: C2SP tlog-tiles, Merkle Tree. */
export function hashTilePath(tile: Tile): string {
  return `tile/${tile.level}/${placeOf(tile)}`
}

/** Path of the bundle of entries that belongs to a tile of level 0. Source: C2SP tlog-tiles, Log entries. */
export function entryBundlePath(tile: Omit<Tile, 'level'>): string {
  return `tile/entries/${placeOf(tile)}`
}

/** What a server is asked for. */
export type TileRequest = { readonly kind: 'hashes' | 'entries'; readonly tile: Tile }

/**
 * Parses a path as hashTilePath() and entryBundlePath() write it; one tile has one path.
 *
 * @throws TransparencyLogError LOG_TILE_INVALID
 */
export function parseTilePath(path: string): TileRequest {
  const [, folder, place = '', width = String(TILE_WIDTH)] = TILE_PATH.exec(path.slice(0, MAX_PATH_CHARACTERS)) ?? []
  const kind = folder === 'entries' ? 'entries' : 'hashes'
  const tile = {
    level: kind === 'entries' ? 0 : Number(folder),
    index: BigInt(place.replaceAll(/[/x]/g, '')),
    width: Number(width),
  }
  const canonical = kind === 'entries' ? entryBundlePath : hashTilePath
  const exists = tile.level <= MAX_LEVEL && tile.index < TREE_SIZE_LIMIT && tile.width <= TILE_WIDTH
  if (folder === undefined || !exists || canonical(tile) !== path) {
    throw new TransparencyLogError('LOG_TILE_INVALID', `${printable(path, 80)} is no path of a tile`)
  }
  return { kind, tile }
}

/**
 * The tile at a place as a tree of that size has it, full or partial.
 *
 * @throws TransparencyLogError LOG_TILE_INVALID when no hash of it exists yet
 */
export function tileOfTree(level: number, index: bigint, size: bigint): Tile {
  const hashes = (size >> BigInt(TILE_HEIGHT * level)) - index * BigInt(TILE_WIDTH)
  if (index < 0n || hashes <= 0n) {
    throw new TransparencyLogError('LOG_TILE_INVALID', `a tree of ${size} has no tile ${index} at level ${level}`)
  }
  return { level, index, width: hashes < TILE_WIDTH ? Number(hashes) : TILE_WIDTH }
}

/**
 * Hashes of a tile. They are as believable as who sent them: a proof made of them is verified like any other.
 *
 * @param bytes the tile, or a wider one of the same place: servers may delete partial tiles that have grown
 * @returns as many hashes as the tile has
 * @throws TransparencyLogError LOG_TILE_INVALID
 */
export function decodeHashTile(bytes: Uint8Array, tile: Tile): Uint8Array[] {
  const width = bytes.length / HASH_BYTES
  if (!Number.isInteger(width) || width < tile.width || width > TILE_WIDTH) {
    const expected = `${tile.width * HASH_BYTES} or up to ${TILE_WIDTH * HASH_BYTES}, in steps of ${HASH_BYTES}`
    throw new TransparencyLogError(
      'LOG_TILE_INVALID',
      `${hashTilePath(tile)} has ${bytes.length} bytes, expected ${expected}`,
    )
  }
  return Array.from({ length: tile.width }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES))
}

/** 1234067 is x001/x234/067: no place of a tile is a folder of others. */
function placeOf({ index, width }: Omit<Tile, 'level'>): string {
  const digits = index.toString()
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) ?? []
  const place = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/')
  return width === TILE_WIDTH ? place : `${place}.p/${width}`
}

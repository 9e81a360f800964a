import {
  growTiles,
  hashTilePath,
  leafHash,
  type Tile,
  type TileReader,
} from '../../attestation/transparency-log/index.ts'

/** A tiled log in memory, as a server keeps it: files by their path. */
export class TileStore {
  readonly files = new Map<string, Uint8Array>()
  size = 0n

  readonly read: TileReader = (tile: Tile) => {
    const bytes = this.files.get(hashTilePath(tile))
    if (bytes === undefined) throw new Error(`no ${hashTilePath(tile)}`)
    return bytes
  }

  append(entries: readonly Uint8Array[]): void {
    for (const { tile, bytes } of growTiles(this.size, entries.map(leafHash), this.read)) {
      this.files.set(hashTilePath(tile), bytes)
    }
    this.size += BigInt(entries.length)
  }
}

/** better-sqlite3 binds Buffers as blobs; the view shares the bytes. */
export function blob(b: Uint8Array): Buffer {
  return Buffer.from(b.buffer, b.byteOffset, b.byteLength)
}

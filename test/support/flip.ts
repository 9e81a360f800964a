import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'

/** With one byte in the middle of a file changed, or that behind a text in it. */
export async function withFlipped(file: string, work: () => Promise<void>, behind?: string): Promise<void> {
  const restore = flip(file, behind)
  try {
    await work()
  } finally {
    restore()
  }
}

/** Changes one byte; a digit behind a text stays one. @returns what puts it back */
export function flip(file: string, behind?: string): () => void {
  const good = readFileSync(file)
  const found = behind === undefined ? good.length >> 1 : good.indexOf(behind)
  assert.ok(found >= 0, `${behind} is not in ${file}`)
  const at = behind === undefined ? found : found + behind.length
  const bad = Buffer.from(good)
  bad.writeUInt8(behind === undefined ? bad.readUInt8(at) ^ 1 : bad.readUInt8(at) === 0x31 ? 0x32 : 0x31, at)
  writeFileSync(file, bad)
  return () => writeFileSync(file, good)
}

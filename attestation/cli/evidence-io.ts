import { once } from 'node:events'
import { readFileSync, readSync, statSync } from 'node:fs'
import { codeOf, messageOf, UsageError } from '../base/index.ts'
import { MAX_EVIDENCE_FILE_BYTES } from '../evidence-file/index.ts'

const PIECE_BYTES = 1 << 20

/**
 * A file, or standard input for `-`. @throws UsageError for one that cannot be read, or is longer than any machine's
 * evidence
 */
export function readEvidenceBytes(path: string): Uint8Array {
  try {
    if (path === '-') return readStandardInput()
    if (statSync(path).size > MAX_EVIDENCE_FILE_BYTES) throw new RangeError(TOO_LONG)
    return new Uint8Array(readFileSync(path))
  } catch (err) {
    throw new UsageError(`${path === '-' ? 'standard input' : path}: ${messageOf(err)}`)
  }
}

const TOO_LONG = `longer than ${MAX_EVIDENCE_FILE_BYTES} bytes, which is more than any machine's evidence`

function readStandardInput(): Uint8Array {
  const pieces: Uint8Array[] = []
  let size = 0
  for (;;) {
    const piece = new Uint8Array(PIECE_BYTES)
    const read = readPiece(piece)
    if (read === 0) return new Uint8Array(Buffer.concat(pieces, size))
    pieces.push(piece.subarray(0, read))
    size += read
    if (size > MAX_EVIDENCE_FILE_BYTES) throw new RangeError(TOO_LONG)
  }
}

function readPiece(piece: Uint8Array): number {
  for (;;) {
    try {
      return readSync(0, piece)
    } catch (err) {
      if (codeOf(err) === 'EOF') return 0
      if (codeOf(err) !== 'EAGAIN') throw err // a pipe that another made non-blocking has nothing yet
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

const BUFFERED = 1 << 16

/** Writes pieces as the reader takes them: what is made one by one is never in memory as a whole. */
export async function writePieces(pieces: Iterable<string>): Promise<void> {
  let buffered = ''
  for (const piece of pieces) {
    buffered += piece
    if (buffered.length < BUFFERED) continue
    await write(buffered)
    buffered = ''
  }
  if (buffered !== '') await write(buffered)
}

/** As writePieces, of bytes. */
export async function writeBytes(pieces: Iterable<Uint8Array>): Promise<void> {
  let buffered: Uint8Array[] = []
  let size = 0
  for (const piece of pieces) {
    buffered.push(piece)
    size += piece.length
    if (size < BUFFERED) continue
    await write(Buffer.concat(buffered, size))
    buffered = []
    size = 0
  }
  if (size > 0) await write(Buffer.concat(buffered, size))
}

async function write(piece: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
}

import { type FileHandle, open } from 'node:fs/promises'
import { codeOf, concatBytes } from '../../attestation/base/index.ts'
import {
  MAX_MACHINE_LOG_BYTES,
  type MachineLogPiece,
  type MachineLogSource,
  type WantedMachineLogs,
} from '../../attestation/protocol/index.ts'

/** Where the logs of this machine are. */
export type MachineLogPaths = Readonly<Record<MachineLogSource, string>>

/** Gives the pieces that a verifier wants, at most `maxBytes` together. */
export type MachineLogReader = (wanted: WantedMachineLogs, maxBytes?: number) => Promise<MachineLogPiece[]>

/** Reads one log; undefined where this machine has none. */
type PieceReader = (path: string, offset: number, maxBytes: number) => Promise<Piece | undefined>
type Piece = Omit<MachineLogPiece, 'source'>

/**
 * @param onUnreadable told each time a log that exists cannot be read; the verifier then gets none of it
 */
export function machineLogReader(
  paths: MachineLogPaths,
  onUnreadable: (source: MachineLogSource, err: unknown) => void,
  read: PieceReader = readPiece,
): MachineLogReader {
  return async (wanted, maxBytes = MAX_MACHINE_LOG_BYTES) => {
    const pieces: MachineLogPiece[] = []
    let budget = maxBytes
    for (const { source, offset } of wanted) {
      try {
        const piece = await read(paths[source], offset, budget)
        if (piece === undefined) continue
        budget -= piece.bytes.length
        pieces.push({ source, ...piece })
      } catch (err) {
        onUnreadable(source, err)
      }
    }
    return pieces
  }
}

/**
 * The log from `offset` on, at most `maxBytes` of it. One that has become shorter than that, as the kernel's list after kexec, is given from
 * its beginning. Files of securityfs say that they have no size, so they are read to find their end.
 *
 * @returns undefined where there is no such log
 */
export async function readPiece(path: string, offset: number, maxBytes: number): Promise<Piece | undefined> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (err) {
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ENOTDIR') return undefined
    throw err
  }
  try {
    const start = offset > 0 && (await readAt(file, offset - 1, 1)).length === 0 ? 0 : offset
    const bytes = await readAt(file, start, maxBytes)
    const more = bytes.length === maxBytes && (await readAt(file, start + bytes.length, 1)).length > 0
    return { offset: start, bytes, more }
  } finally {
    await file.close()
  }
}

/** Memory for one read; the kernel gives a page of a seq_file at a time anyway. */
const READ_BYTES = 64 << 10

async function readAt(file: FileHandle, position: number, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  while (size < maxBytes) {
    const chunk = new Uint8Array(Math.min(READ_BYTES, maxBytes - size))
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position + size)
    if (bytesRead === 0) break
    chunks.push(chunk.subarray(0, bytesRead))
    size += bytesRead
  }
  return concatBytes(...chunks)
}

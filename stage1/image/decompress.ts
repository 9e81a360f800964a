import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** How an archive is compressed. */
export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz'

const CHUNK_BYTES = 1024 * 1024
/** Programs for what Node does not have, and the Debian package each comes in. */
const PROGRAMS = {
  zstd: { arguments: ['-q', '-d', '-c'], debianPackage: 'zstd' },
  bzip2: { arguments: ['-q', '-d', '-c'], debianPackage: 'bzip2' },
  xz: { arguments: ['-q', '-d', '-c', '--memlimit=256MiB'], debianPackage: 'xz-utils' },
} as const

/**
 * Decompresses a stream and bounds what comes out of it. All of the input has to be the compressed stream: bytes behind
 * its end are an error, since the digest of the blob covers them and nobody would ever see them.
 *
 * @param what for messages, e.g. the blob's digest
 * @param budgetBytes how much may come out
 * @throws ImageError IMAGE_COMPRESSION_BAD, IMAGE_TOO_LARGE, IMAGE_TOOL_MISSING; what the source throws rises as it is
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  compression: Compression,
  what: string,
  budgetBytes: number,
): AsyncGenerator<Buffer> {
  let inBytes = 0
  let outBytes = 0
  let sourceError: unknown
  async function* counted(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of source) {
        inBytes += chunk.length
        yield chunk
      }
    } catch (err) {
      sourceError = err
      throw err
    }
  }
  try {
    for await (const chunk of open(counted(), compression, what, () => inBytes)) {
      outBytes += chunk.length
      if (outBytes > budgetBytes) {
        throw new ImageError('IMAGE_TOO_LARGE', `${what} unpacks to more than the ${budgetBytes} bytes that are left`)
      }
      if (outBytes > LIMITS.ratioFloorBytes && outBytes > inBytes * LIMITS.ratio) {
        throw new ImageError('IMAGE_TOO_LARGE', `${what} grows by more than ${LIMITS.ratio} times when it is unpacked`)
      }
      yield chunk
    }
  } catch (err) {
    throw sourceError ?? err
  }
}

function open(
  source: AsyncGenerator<Buffer>,
  compression: Compression,
  what: string,
  inBytes: () => number,
): AsyncIterable<Buffer> {
  switch (compression) {
    case 'none':
      return source
    case 'gzip':
      return gunzip(source, what, inBytes)
    default:
      return throughProgram(source, compression, what)
  }
}

async function* gunzip(source: AsyncGenerator<Buffer>, what: string, inBytes: () => number): AsyncGenerator<Buffer> {
  const stream = createGunzip({ chunkSize: CHUNK_BYTES })
  const feeding = pipeline(source, stream)
  feeding.catch(() => {}) // it rises through the stream as well, below
  try {
    for await (const chunk of stream) yield chunk as Buffer // a zlib stream without an encoding gives Buffers
    await feeding
  } catch (cause) {
    throw new ImageError('IMAGE_COMPRESSION_BAD', `${what} is damaged or cut: ${messageOf(cause)}`, { cause })
  } finally {
    stream.destroy()
  }
  // zlib passes over zeros behind the last member, and over anything behind such zeros.
  if (stream.bytesWritten !== inBytes()) {
    throw new ImageError('IMAGE_COMPRESSION_BAD', `${what} has ${inBytes() - stream.bytesWritten} bytes behind its end`)
  }
}

async function* throughProgram(
  source: AsyncGenerator<Buffer>,
  compression: keyof typeof PROGRAMS,
  what: string,
): AsyncGenerator<Buffer> {
  const program = PROGRAMS[compression]
  const child = spawn(compression, program.arguments, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] },
  })
  const closed = once(child, 'close') as Promise<[number | null]> // its first argument is the exit status
  closed.catch(() => {}) // awaited below, but not when the reader stops early
  let complaint = ''
  child.stderr.on('data', (text: Buffer) => {
    if (complaint.length < 500) complaint += text.toString('latin1')
  })
  const feeding = pipeline(Readable.from(source), child.stdin)
  feeding.catch(() => {}) // a program that ends early breaks the pipe; its status says why
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer // no encoding is set
    const [status] = await closed
    if (status !== 0) throw new ImageError('IMAGE_COMPRESSION_BAD', `${what} is damaged or cut: ${complaint.trim()}`)
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause
    const hint = `install it (Debian: apt install ${program.debianPackage})`
    throw new ImageError('IMAGE_TOOL_MISSING', `${what} needs the program ${compression}: ${hint}`, { cause })
  } finally {
    child.kill('SIGKILL')
  }
  await feeding
}

/** Recognises the compression of an archive by its first bytes; anything unknown is taken for a plain tar. */
export function compressionOf(start: Buffer): Compression {
  const magic = start.subarray(0, 6).toString('latin1')
  if (magic.startsWith('\x1f\x8b')) return 'gzip'
  if (magic.startsWith('BZh')) return 'bzip2'
  if (magic === '\xfd7zXZ\0') return 'xz'
  if (magic.startsWith('\x28\xb5\x2f\xfd')) return 'zstd'
  return 'none'
}

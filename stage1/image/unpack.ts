import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { encodeOperation, type Operation, STREAM_MAGIC } from './operations.ts'

const SMALL_BYTES = 16 * 1024
const BATCH_BYTES = 128 * 1024

/**
 * Applies operations in a process that has left the host's file system behind (native/stage1/unpack.c).
 * Operations are collected into batches; whoever adds many awaits `drain` now and then, so that memory stays bounded.
 */
export class Unpacker {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>
  readonly #ended: Promise<number | null>
  #batch: Buffer[] = [STREAM_MAGIC]
  #batchBytes = STREAM_MAGIC.length
  #full = false
  #stderr = ''
  #spawnError: unknown

  constructor(stage1Program: string, root: string) {
    this.#child = spawn(stage1Program, ['unpack', root], { stdio: ['pipe', 'ignore', 'pipe'], env: {} })
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (err) => {
        this.#spawnError = err
        resolve(null)
      })
      this.#child.on('close', resolve)
    })
    this.#child.stderr.on('data', (text: Buffer) => {
      if (this.#stderr.length < 8192) this.#stderr += text.toString('latin1')
    })
    this.#child.stdin.on('error', () => {}) // it has ended: finish() and drain() say why
  }

  readonly emit = (op: Operation, data?: Buffer): void => {
    this.write(encodeOperation(op))
    if (data !== undefined) this.write(data)
  }

  /** Passes bytes on; they must not be changed afterwards. */
  write(bytes: Buffer): void {
    if (bytes.length > SMALL_BYTES) {
      this.#flush()
      this.#full = !this.#child.stdin.write(bytes)
      return
    }
    this.#batch.push(bytes)
    this.#batchBytes += bytes.length
    if (this.#batchBytes > BATCH_BYTES) this.#flush()
  }

  /** Waits until the process has taken enough; throws when it has ended. */
  async drain(): Promise<void> {
    if (this.#full) {
      const drained = new Promise<'drained'>((resolve) => this.#child.stdin.once('drain', () => resolve('drained')))
      if ((await Promise.race([drained, this.#ended])) !== 'drained') throw this.#failure()
      this.#full = false
    }
    if (this.#spawnError !== undefined || this.#child.exitCode !== null) throw await this.#endedEarly()
  }

  /** Closes the stream and waits until all is applied. */
  async finish(): Promise<void> {
    this.emit({ kind: 'end', path: '' })
    this.#flush()
    this.#child.stdin.end()
    const status = await this.#ended
    if (status !== 0) throw this.#failure()
  }

  /** Ends the process whatever it is at, and waits for its end: what it wrote can be removed then. */
  async abandon(): Promise<void> {
    this.#child.kill('SIGKILL')
    this.#child.stdin.destroy()
    await this.#ended
  }

  async #endedEarly(): Promise<ImageError> {
    await this.#ended // so that all of its message is there
    return this.#failure()
  }

  #failure(): ImageError {
    if (this.#spawnError !== undefined) {
      const missing = codeOf(this.#spawnError) === 'ENOENT'
      return new ImageError(
        missing ? 'IMAGE_TOOL_MISSING' : 'IMAGE_RENDER_FAILED',
        `cannot start ${this.#child.spawnfile}${missing ? ': it is not there; build it with config/setup.sh' : ''}`,
        { cause: this.#spawnError },
      )
    }
    const text = this.#stderr.trim() || `ended by ${this.#child.signalCode ?? `status ${this.#child.exitCode}`}`
    const errno = /^unpack: errno (\d+):/.exec(text)?.[1]
    if (errno === '28' || errno === '122') {
      return new ImageError('IMAGE_NO_SPACE', `no room to unpack the image (${text}); make room and try again`)
    }
    if (errno === '1' && /chroot/.test(text)) {
      return new ImageError('IMAGE_RENDER_FAILED', `images can be written to a directory by root only (${text})`)
    }
    return new ImageError('IMAGE_RENDER_FAILED', `holdfast-stage1 ${text}`)
  }

  #flush(): void {
    if (this.#batchBytes === 0) return
    this.#full = !this.#child.stdin.write(Buffer.concat(this.#batch, this.#batchBytes))
    this.#batch = []
    this.#batchBytes = 0
  }
}

import { createRequire } from 'node:module'
import { getSystemErrorMap } from 'node:util'
import { messageOf } from '../../attestation/base/index.ts'
import { ProcessError } from './errors.ts'

/**
 * The few calls of libc that Node does not have. Each gives what C gives, with errno as a positive number when it
 * failed.
 */
export interface Libc {
  fcntl(fd: number, command: number, argument: number): CallResult
  flock(fd: number, operation: number): CallResult
  /** The same on a thread of the pool: a blocking flock must not stop the event loop. */
  flockAsync(fd: number, operation: number): Promise<CallResult>
  /** Returns only when it failed. */
  execve(path: string, argv: readonly string[], env: readonly string[]): CallResult
  /** `message` begins with a struct msghdr, whose pointers address() made. */
  sendmsg(fd: number, message: Buffer, flags: number): CallResult
  /** `descriptors` holds one struct pollfd. */
  poll(descriptors: Buffer, timeoutMs: number): CallResult
  /** `length` is a socklen_t, in and out. */
  getsockopt(fd: number, level: number, option: number, value: Buffer, length: Buffer): CallResult
  /** Where the bytes of a buffer are, as long as something refers to it. */
  address(buffer: Buffer): bigint
}
export interface CallResult {
  readonly value: number
  /** 0 when the call succeeded. */
  readonly errno: number
}

/** An adapter's name and how it is loaded. */
export type LibcAdapter = 'koffi' | 'ffi-napi'

/** Stands for a failure whose errno got lost between threads: a failed call must never look like a good one. */
const EIO = 5
const require = createRequire(import.meta.url)
let loaded: Libc | undefined

/**
 * The libc of this process. koffi comes first: it loads in a third of ffi-napi's time (7 ms against 22 ms, measured on
 * Node 20), and this is on the way of every launch.
 *
 * @throws ProcessError PROCESS_FFI_UNAVAILABLE
 */
export function libc(): Libc {
  if (loaded !== undefined) return loaded
  const problems: string[] = []
  for (const adapter of ['koffi', 'ffi-napi'] as const) {
    try {
      loaded = loadLibc(adapter)
      return loaded
    } catch (err) {
      problems.push(`${adapter}: ${messageOf(err)}`)
    }
  }
  throw new ProcessError(
    'PROCESS_FFI_UNAVAILABLE',
    `libc cannot be called from here (${problems.join('; ')}); run \`npm ci\` for this version of Node`,
  )
}

/** Loads libc now rather than at the first call. @throws ProcessError PROCESS_FFI_UNAVAILABLE */
export function loadCalls(): void {
  libc()
}

/** One adapter by name, for the tests that run both. @throws whatever loading the package throws */
export function loadLibc(adapter: LibcAdapter): Libc {
  return adapter === 'koffi' ? loadKoffi() : loadFfiNapi()
}

/** The symbolic name of an errno, e.g. 'ENOENT', or `errno N` where Node knows none. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`
}

// The parts of koffi used here; its own declarations cover far more than we want to depend on.
interface Koffi {
  load(path: null): { func(prototype: string): KoffiFunction }
  errno(): number
  address(buffer: Buffer): bigint
}
interface KoffiFunction {
  (...args: unknown[]): number
  async(...args: unknown[]): void
}

function loadKoffi(): Libc {
  const koffi = require('koffi') as Koffi // shape checked by the tests that run through this adapter
  const self = koffi.load(null)
  const fcntl = self.func('int fcntl(int, int, int)')
  const flock = self.func('int flock(int, int)')
  const execve = self.func('int execve(const char *, const char **, const char **)')
  const sendmsg = self.func('long sendmsg(int, void *, int)')
  const getsockopt = self.func('int getsockopt(int, int, int, void *, void *)')
  const poll = self.func('int poll(void *, unsigned long, int)')
  const result = (value: number): CallResult => ({ value, errno: value < 0 ? koffi.errno() || EIO : 0 })
  return {
    fcntl: (fd, command, argument) => result(fcntl(fd, command, argument)),
    flock: (fd, operation) => result(flock(fd, operation)),
    flockAsync: (fd, operation) =>
      new Promise((resolve, reject) => {
        flock.async(fd, operation, (err: unknown, value: number) => (err ? reject(err) : resolve(result(value))))
      }),
    execve: (path, argv, env) => result(execve(path, [...argv, null], [...env, null])),
    sendmsg: (fd, message, flags) => result(sendmsg(fd, message, flags)),
    poll: (descriptors, timeoutMs) => result(poll(descriptors, 1, timeoutMs)),
    getsockopt: (fd, level, option, value, length) => result(getsockopt(fd, level, option, value, length)),
    address: (buffer) => BigInt(koffi.address(buffer)),
  }
}

// As above, for ffi-napi: buffers in, numbers out.
interface FfiNapi {
  Library(path: null, functions: Record<string, readonly [string, readonly string[]]>): Record<string, FfiFunction>
  errno(): number
}
interface FfiFunction {
  (...args: unknown[]): number
  async(...args: unknown[]): void
}

function loadFfiNapi(): Libc {
  const ffi = require('ffi-napi') as FfiNapi // shape checked by the tests that run through this adapter
  const ref = createRequire(require.resolve('ffi-napi'))('@2060.io/ref-napi') as { address(buffer: Buffer): number }
  const self = ffi.Library(null, {
    fcntl: ['int', ['int', 'int', 'int']],
    flock: ['int', ['int', 'int']],
    execve: ['int', ['pointer', 'pointer', 'pointer']],
    sendmsg: ['long', ['int', 'pointer', 'int']],
    poll: ['int', ['pointer', 'ulong', 'int']],
    getsockopt: ['int', ['int', 'int', 'int', 'pointer', 'pointer']],
  })
  const { fcntl, flock, execve, sendmsg, poll, getsockopt } = self
  if (!fcntl || !flock || !execve || !sendmsg || !poll || !getsockopt) throw new TypeError('ffi-napi found no libc')
  const result = (value: number): CallResult => ({ value, errno: value < 0 ? ffi.errno() || EIO : 0 })
  return {
    fcntl: (fd, command, argument) => result(fcntl(fd, command, argument)),
    flock: (fd, operation) => result(flock(fd, operation)),
    flockAsync: (fd, operation) =>
      new Promise((resolve, reject) => {
        flock.async(fd, operation, (err: unknown, value: number) => (err ? reject(err) : resolve(result(value))))
      }),
    execve: (path, argv, env) => {
      const strings = [...argv, ...env].map((s) => Buffer.from(`${s}\0`)) // referenced until the call returns
      const pointers = (list: readonly Buffer[]): Buffer => {
        const array = Buffer.alloc(8 * (list.length + 1))
        // x86_64 and aarch64 are both 64 bit, little-endian
        for (const [i, b] of list.entries()) array.writeBigUInt64LE(BigInt(ref.address(b)), 8 * i)
        return array
      }
      const args = pointers(strings.slice(0, argv.length))
      const vars = pointers(strings.slice(argv.length))
      return result(execve(Buffer.from(`${path}\0`), args, vars))
    },
    sendmsg: (fd, message, flags) => result(sendmsg(fd, message, flags)),
    poll: (descriptors, timeoutMs) => result(poll(descriptors, 1, timeoutMs)),
    getsockopt: (fd, level, option, value, length) => result(getsockopt(fd, level, option, value, length)),
    address: (buffer) => BigInt(ref.address(buffer)),
  }
}

import type { Socket } from 'node:net'
import { ProcessError } from './errors.ts'
import { errnoName, type Libc, libc } from './libc.ts'

// <sys/socket.h> of Linux; SOL_SOCKET and SO_PEERCRED are these on x86_64 and aarch64.
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SCM_RIGHTS = 1
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

// Sizes of struct msghdr, struct iovec, struct cmsghdr and struct ucred where pointers have 64 bits.
const MSGHDR_BYTES = 56
const IOVEC_BYTES = 16
const CMSGHDR_BYTES = 16
const UCRED_BYTES = 12

/** The kernel passes at most 253 at once (SCM_MAX_FD). */
export const MAX_SENT_DESCRIPTORS = 253

/** Who connected, as the kernel noted it at connect(2). `pid` is 0 where it cannot be seen from here. */
export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/**
 * The descriptor of a connection. Node has no public way to it; `_handle.fd` has been there since its beginnings.
 * @throws ProcessError PROCESS_CALL_FAILED when the connection is closed
 */
export function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: unknown } | null } // see above; checked below
  const fd = handle?.fd
  if (typeof fd !== 'number' || fd < 0) throw new ProcessError('PROCESS_CALL_FAILED', 'the connection is closed')
  return fd
}

/** SO_PEERCRED, see unix(7). @throws ProcessError PROCESS_CALL_FAILED */
export function peerCredentials(fd: number, calls: Libc = libc()): PeerCredentials {
  const value = Buffer.alloc(UCRED_BYTES)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(UCRED_BYTES)
  const { errno } = calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length)
  if (errno !== 0 || length.readUInt32LE() !== UCRED_BYTES) {
    throw new ProcessError('PROCESS_CALL_FAILED', `getsockopt(${fd}, SO_PEERCRED): ${errnoName(errno)}`)
  }
  return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) }
}

/**
 * Sends bytes on a unix stream socket together with copies of descriptors, which the receiver gets with the first byte
 * (SCM_RIGHTS, unix(7)). The caller's own may be closed afterwards: what is on its way stays open. Does not wait, so
 * what Node was given to write on this connection must be written before.
 *
 * @throws RangeError for no byte, or more than MAX_SENT_DESCRIPTORS
 * @throws ProcessError PROCESS_CALL_FAILED also when not all bytes could be sent; the connection is of no use then
 */
export function sendDescriptors(fd: number, bytes: Uint8Array, fds: readonly number[], calls: Libc = libc()): void {
  if (bytes.length === 0 || fds.length === 0 || fds.length > MAX_SENT_DESCRIPTORS) {
    throw new RangeError(`${bytes.length} bytes with ${fds.length} descriptors cannot be sent`)
  }
  const { value, errno } = calls.sendmsg(fd, message(bytes, fds, calls), MSG_DONTWAIT | MSG_NOSIGNAL)
  if (errno !== 0) throw new ProcessError('PROCESS_CALL_FAILED', `sendmsg(${fd}): ${errnoName(errno)}`)
  if (value !== bytes.length) {
    throw new ProcessError('PROCESS_CALL_FAILED', `sendmsg(${fd}): sent ${value} of ${bytes.length} bytes`)
  }
}

/**
 * One buffer with all of it, so that whoever holds it holds what its pointers lead to: msghdr, iovec, control, bytes.
 */
function message(bytes: Uint8Array, fds: readonly number[], calls: Libc): Buffer {
  const iovec = MSGHDR_BYTES
  const control = iovec + IOVEC_BYTES
  const controlBytes = CMSGHDR_BYTES + Math.ceil((4 * fds.length) / 8) * 8
  const data = control + controlBytes
  const whole = Buffer.alloc(data + bytes.length)
  const base = calls.address(whole)
  const put = (value: number | bigint, at: number): number => whole.writeBigUInt64LE(BigInt(value), at)
  // msghdr: name, its length, iovecs, their number, control, its length, flags
  put(base + BigInt(iovec), 16)
  put(1, 24)
  put(base + BigInt(control), 32)
  put(controlBytes, 40)
  // iovec: bytes, their number
  put(base + BigInt(data), iovec)
  put(bytes.length, iovec + 8)
  // cmsghdr: length without padding, level, type; then the descriptors
  put(CMSGHDR_BYTES + 4 * fds.length, control)
  whole.writeInt32LE(SOL_SOCKET, control + 8)
  whole.writeInt32LE(SCM_RIGHTS, control + 12)
  for (const [i, fd] of fds.entries()) whole.writeInt32LE(fd, control + CMSGHDR_BYTES + 4 * i)
  whole.set(bytes, data)
  return whole
}

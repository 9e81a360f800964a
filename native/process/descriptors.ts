import { ProcessError } from './errors.ts'
import { type CallResult, errnoName, libc } from './libc.ts'

// <fcntl.h> and <sys/file.h>, the same on every Linux that Node runs on.
const F_GETFD = 1
const F_SETFD = 2
const FD_CLOEXEC = 1
const F_SETLEASE = 1024
const F_RDLCK = 0
const F_UNLCK = 2
const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const LOCK_UN = 8

/**
 * Whether a descriptor is there after execve. Node opens everything with FD_CLOEXEC.
 * @throws ProcessError PROCESS_CALL_FAILED, e.g. for a closed descriptor
 */
export function setFdInheritable(fd: number, inheritable: boolean): void {
  const flags = checked(libc().fcntl(fd, F_GETFD, 0), `fcntl(${fd}, F_GETFD)`)
  const wanted = inheritable ? flags & ~FD_CLOEXEC : flags | FD_CLOEXEC
  if (wanted !== flags) checked(libc().fcntl(fd, F_SETFD, wanted), `fcntl(${fd}, F_SETFD)`)
}

/** `shared` goes with other shared locks, `exclusive` with none. */
export type LockKind = 'shared' | 'exclusive'

/**
 * flock(2) without waiting. The lock belongs to the open file description: it lives until the last descriptor of it,
 * also in other processes, is closed.
 *
 * @returns false when somebody else holds a lock that does not go with this one
 * @throws ProcessError PROCESS_CALL_FAILED
 */
export function tryFlock(fd: number, kind: LockKind): boolean {
  const result = libc().flock(fd, operation(kind) | LOCK_NB)
  if (result.errno !== 0 && errnoName(result.errno) === 'EAGAIN') return false
  checked(result, `flock(${fd}, ${kind})`)
  return true
}

/** As tryFlock. @throws ProcessError PROCESS_LOCK_HELD instead of giving false */
export function flock(fd: number, kind: LockKind): void {
  if (!tryFlock(fd, kind)) {
    throw new ProcessError('PROCESS_LOCK_HELD', `descriptor ${fd}: another process holds the lock`)
  }
}

/**
 * flock(2), waiting on a thread of the pool until the lock is there. It cannot be cancelled; the thread is busy
 * meanwhile.
 * @throws ProcessError PROCESS_CALL_FAILED
 */
export async function waitForFlock(fd: number, kind: LockKind): Promise<void> {
  for (;;) {
    const result = await libc().flockAsync(fd, operation(kind))
    if (result.errno !== 0 && errnoName(result.errno) === 'EINTR') continue
    checked(result, `flock(${fd}, ${kind})`)
    return
  }
}

/** Gives a lock back. @throws ProcessError PROCESS_CALL_FAILED */
export function unlock(fd: number): void {
  checked(libc().flock(fd, LOCK_UN), `flock(${fd}, unlock)`)
}

/**
 * Whether anybody has a file open for writing, or mapped so: the kernel gives a read lease only where nobody has
 * (fcntl(2), F_SETLEASE). It is given back at once.
 *
 * @param fd opened for reading; of a file of this user's own, or by root
 * @returns `unknown` where the file system has no leases
 * @throws ProcessError PROCESS_CALL_FAILED
 */
export function writersOf(fd: number): 'none' | 'some' | 'unknown' {
  const result = libc().fcntl(fd, F_SETLEASE, F_RDLCK)
  const errno = result.errno === 0 ? undefined : errnoName(result.errno)
  if (errno === 'EAGAIN') return 'some'
  if (errno === 'EINVAL' || errno === 'ENOLCK' || errno === 'EOPNOTSUPP') return 'unknown'
  checked(result, `fcntl(${fd}, F_SETLEASE)`)
  checked(libc().fcntl(fd, F_SETLEASE, F_UNLCK), `fcntl(${fd}, F_SETLEASE, F_UNLCK)`)
  return 'none'
}

function operation(kind: LockKind): number {
  return kind === 'shared' ? LOCK_SH : LOCK_EX
}

function checked(result: CallResult, call: string): number {
  if (result.errno !== 0) throw new ProcessError('PROCESS_CALL_FAILED', `${call}: ${errnoName(result.errno)}`)
  return result.value
}

export { flock, type LockKind, setFdInheritable, tryFlock, unlock, waitForFlock } from './descriptors.ts'
export { ProcessError, type ProcessErrorCode } from './errors.ts'
export { execve } from './execve.ts'
export { type LibcAdapter, loadLibc } from './libc.ts'

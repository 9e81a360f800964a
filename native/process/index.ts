export { flock, type LockKind, setFdInheritable, tryFlock, unlock, waitForFlock, writersOf } from './descriptors.ts'
export { ProcessError, type ProcessErrorCode } from './errors.ts'
export { execve } from './execve.ts'
export { type LibcAdapter, loadCalls, loadLibc } from './libc.ts'
export { lookForInput } from './poll.ts'
export {
  descriptorOf,
  MAX_SENT_DESCRIPTORS,
  type PeerCredentials,
  peerCredentials,
  sendDescriptors,
} from './unix-socket.ts'

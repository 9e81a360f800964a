import type { TssLibraries } from './libraries.ts'

const PR_SET_PDEATHSIG = 1
const SIGKILL = 9

/**
 * prctl(PR_SET_PDEATHSIG): the kernel kills this process when its parent ends, also while it is blocked in a call to a
 * TPM that does not answer. A parent that ended before the call is not noticed by it: the closed channel is.
 */
export function dieWithParent(libraries: TssLibraries): void {
  const memory = libraries.ffi.allocate(256)
  const frame = { memory, result: 0, argv: 64, args: 128 }
  for (let i = 0; i < 5; i++) {
    memory.bytes.writeBigUInt64LE(memory.address + BigInt(frame.args + 8 * i), frame.argv + 8 * i)
  }
  memory.bytes.writeBigUInt64LE(BigInt(PR_SET_PDEATHSIG), frame.args)
  memory.bytes.writeBigUInt64LE(BigInt(SIGKILL), frame.args + 8)
  const prctl = libraries.bind('rc', 'prctl', 'u32', ['u32', 'u64', 'u64', 'u64', 'u64'], frame)
  prctl.call()
  if (memory.bytes.readUInt32LE(frame.result) !== 0) throw new Error('prctl(PR_SET_PDEATHSIG) failed')
}

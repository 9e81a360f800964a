import { type Action, ALLOW, errno, give, type Instruction, loadArgument, skipIfAnyBit, skipIfEqual } from './bpf.ts'

const ENOSYS = 38

/**
 * CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; CLONE_NEWTIME shares its bit with the exit signal of clone, so only for
 * unshare.
 */
const NEW_NAMESPACES = 0x7e020000
const CLONE_NEWTIME = 0x80
const TIOCSTI = 0x5412
const TIOCLINUX = 0x541c
const AF_VSOCK = 40
/** PER_LINUX, PER_LINUX32, UNAME26 with each, and the query. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

/**
 * Calls that every program needs and that would, with some arguments, lead out of a pod: what to do about each.
 * @returns by name of the call, instructions that end in a return on every way through
 */
export function argumentRules(refusal: Action): ReadonlyMap<string, readonly Instruction[]> {
  const refuse = give(refusal)
  const allow = give(ALLOW)
  return new Map<string, readonly Instruction[]>([
    // its flags are in memory, where a filter cannot look; libc falls back to clone
    ['clone3', [give(errno(ENOSYS))]],
    ['clone', [loadArgument(0), skipIfAnyBit(NEW_NAMESPACES, 0, 1), refuse, allow]],
    ['unshare', [loadArgument(0), skipIfAnyBit(NEW_NAMESPACES | CLONE_NEWTIME, 0, 1), refuse, allow]],
    // both put input into a terminal that the caller of `holdfast run` may still read
    ['ioctl', [loadArgument(1), skipIfEqual(TIOCSTI, 1, 0), skipIfEqual(TIOCLINUX, 0, 1), refuse, allow]],
    // reaches the hypervisor of the host past any network namespace
    ['socket', [loadArgument(0), skipIfEqual(AF_VSOCK, 0, 1), refuse, allow]],
    [
      'personality',
      [loadArgument(0), ...PERSONALITIES.map((p, i) => skipIfEqual(p, PERSONALITIES.length - i, 0)), refuse, allow],
    ],
  ])
}

/**
 * The default seccomp filter of an app as classic BPF (Linux, Documentation/userspace-api/seccomp_filter.rst):
 * everything is allowed but what lets an app reach beyond its pod or into little-tested corners of the kernel. Refused
 * calls fail with EPERM, so that programs which only try them go on.
 */

/** Machines a filter can be made for, by process.arch's names. */
export type FilterArch = 'x64' | 'arm64'

// struct seccomp_data: offsets in bytes; arguments are 64 bit, little-endian, the low half comes first.
const AT_NR = 0
const AT_ARCH = 4
const argLow = (n: number): number => 16 + 8 * n

// <linux/bpf_common.h>
const LD_W_ABS = 0x20
const JEQ_K = 0x15
const JGE_K = 0x35
const JSET_K = 0x45
const RET_K = 0x06

const RET_ALLOW = 0x7fff0000
const RET_ERRNO = 0x00050000
const EPERM = 1
const ENOSYS = 38

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const
/** x86-64 calls with this bit come from the x32 ABI, whose numbers mean other calls. */
const X32_BIT = 0x40000000

/**
 * [x86-64, AArch64] numbers of the calls that are refused whatever their arguments; undefined where a machine has none.
 */
const REFUSED: Readonly<Record<string, readonly [number | undefined, number | undefined]>> = {
  // mounts and namespaces
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  setns: [308, 268],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  swapon: [167, 224],
  swapoff: [168, 225],
  // the kernel itself
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  reboot: [169, 142],
  syslog: [103, 116],
  acct: [163, 89],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  fanotify_init: [300, 262],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  lookup_dcookie: [212, 18],
  // hardware
  iopl: [172, undefined],
  ioperm: [173, undefined],
  // keys are not separated by namespaces
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  // a handle opens any file of the file system, also outside the app's root
  open_by_handle_at: [304, 265],
  // the clock is the host's
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  // long dead
  uselib: [134, undefined],
  ustat: [136, undefined],
  sysfs: [139, undefined],
  _sysctl: [156, undefined],
  create_module: [174, undefined],
  get_kernel_syms: [177, undefined],
  query_module: [178, undefined],
  nfsservctl: [180, 42],
  vhangup: [153, 58],
}

const CLONE = { x64: 56, arm64: 220 } as const
const UNSHARE = { x64: 272, arm64: 97 } as const
const CLONE3 = 435
const IOCTL = { x64: 16, arm64: 29 } as const
const SOCKET = { x64: 41, arm64: 198 } as const
const PERSONALITY = { x64: 135, arm64: 92 } as const

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

type Instruction = readonly [code: number, jt: number, jf: number, k: number]

const load = (at: number): Instruction => [LD_W_ABS, 0, 0, at]
const give = (value: number): Instruction => [RET_K, 0, 0, value]
const refuse = give(RET_ERRNO | EPERM)
const allow = give(RET_ALLOW)

/** `body` runs where the call number, which is loaded, is `nr`; it must end in a return on every way through. */
function onCall(nr: number, body: readonly Instruction[]): Instruction[] {
  return [[JEQ_K, 0, body.length, nr], ...body]
}

/**
 * @returns the program, 8 bytes an instruction, as SECCOMP_SET_MODE_FILTER takes it on a little-endian machine
 */
export function defaultSeccompFilter(arch: FilterArch): Uint8Array {
  const column = arch === 'x64' ? 0 : 1
  const program: Instruction[] = [
    load(AT_ARCH),
    [JEQ_K, 1, 0, AUDIT_ARCH[arch]],
    refuse, // 32-bit calls have other numbers
    load(AT_NR),
  ]
  if (arch === 'x64') program.push([JGE_K, 0, 1, X32_BIT], refuse)
  for (const numbers of Object.values(REFUSED)) {
    const nr = numbers[column]
    if (nr !== undefined) program.push(...onCall(nr, [refuse]))
  }
  program.push(
    // its flags are in memory, where a filter cannot look; libc falls back to clone
    ...onCall(CLONE3, [give(RET_ERRNO | ENOSYS)]),
    ...onCall(CLONE[arch], [load(argLow(0)), [JSET_K, 0, 1, NEW_NAMESPACES], refuse, allow]),
    ...onCall(UNSHARE[arch], [load(argLow(0)), [JSET_K, 0, 1, NEW_NAMESPACES | CLONE_NEWTIME], refuse, allow]),
    // both put input into a terminal that the caller of `holdfast run` may still read
    ...onCall(IOCTL[arch], [load(argLow(1)), [JEQ_K, 1, 0, TIOCSTI], [JEQ_K, 0, 1, TIOCLINUX], refuse, allow]),
    // reaches the hypervisor of the host past any network namespace
    ...onCall(SOCKET[arch], [load(argLow(0)), [JEQ_K, 0, 1, AF_VSOCK], refuse, allow]),
    ...onCall(PERSONALITY[arch], [
      load(argLow(0)),
      ...PERSONALITIES.map((p, i): Instruction => [JEQ_K, PERSONALITIES.length - i, 0, p]),
      refuse,
      allow,
    ]),
    allow,
  )
  return assemble(program)
}

function assemble(program: readonly Instruction[]): Uint8Array {
  const out = new Uint8Array(program.length * 8)
  const view = new DataView(out.buffer)
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    view.setUint16(8 * i, code, true)
    view.setUint8(8 * i + 2, jt)
    view.setUint8(8 * i + 3, jf)
    view.setUint32(8 * i + 4, k, true)
  }
  return out
}

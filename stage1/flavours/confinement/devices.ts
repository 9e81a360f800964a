/**
 * The devices an app may use: what the supervisor puts into /dev and nothing else. Making nodes is allowed for these
 * because the supervisor makes them inside the pod's cgroup; apps hold no CAP_MKNOD.
 */
interface Device {
  /** Absent for one whose number the kernel chooses anew at each boot. */
  readonly major?: number
  readonly minor?: number
  readonly what: string
}

const ALLOWED_DEVICES: readonly Device[] = [
  { major: 1, minor: 3, what: 'null' },
  { major: 1, minor: 5, what: 'zero' },
  { major: 1, minor: 7, what: 'full' },
  { major: 1, minor: 8, what: 'random' },
  { major: 1, minor: 9, what: 'urandom' },
  { major: 5, minor: 0, what: 'tty' },
  { major: 5, minor: 2, what: 'ptmx' },
  { major: 136, what: 'pts' },
]

/** What a monitor of virtual machines may use besides. */
export const MACHINE_DEVICES: readonly Device[] = [
  { major: 10, minor: 200, what: 'net/tun' },
  { major: 10, minor: 232, what: 'kvm' },
]

/** What apps of a guest with a TPM may use besides: its minor number is that of no other device. */
export const TPM_DEVICES: readonly Device[] = [{ minor: 65536, what: 'tpmrm0' }]

/**
 * Pairs of file and text for a v1 devices cgroup (Linux, Documentation/admin-guide/cgroup-v1/devices.rst).
 * @param more devices besides those of apps
 */
export function deviceRulesV1(more: readonly Device[] = []): (readonly ['devices.deny' | 'devices.allow', string])[] {
  return [
    ['devices.deny', 'a'],
    ...[...ALLOWED_DEVICES, ...more].map(
      ({ major, minor }) => ['devices.allow', `c ${major ?? '*'}:${minor ?? '*'} rwm`] as const,
    ),
  ]
}

// eBPF (Linux, Documentation/bpf/standardization/instruction-set.rst), the few instructions needed here.
const LDX_W = 0x61
const ALU64_AND_K = 0x57
const JMP_JNE_K = 0x55
const ALU64_MOV_K = 0xb7
const EXIT = 0x95
const BPF_DEVCG_DEV_CHAR = 2

/**
 * The same rules as an eBPF program of type CGROUP_DEVICE for v2, which has no devices controller. Its context is
 * struct bpf_cgroup_dev_ctx: access and type in one word, major, minor; it gives 1 to allow.
 */
export function devicePolicyProgram(more: readonly Device[] = []): Uint8Array {
  const program: (readonly [code: number, dst: number, src: number, offset: number, imm: number])[] = [
    [LDX_W, 2, 1, 0, 0], // r2 = access_type
    [ALU64_AND_K, 2, 0, 0, 0xffff], // the device's type is its low half
    [LDX_W, 3, 1, 4, 0], // r3 = major
    [LDX_W, 4, 1, 8, 0], // r4 = minor
    [JMP_JNE_K, 2, 0, 0, BPF_DEVCG_DEV_CHAR], // the offset to the refusal is filled in below
  ]
  for (const { major, minor } of [...ALLOWED_DEVICES, ...more]) {
    const accept = [[ALU64_MOV_K, 0, 0, 0, 1] as const, [EXIT, 0, 0, 0, 0] as const]
    const matchMinor = minor === undefined ? [] : [[JMP_JNE_K, 4, 0, accept.length, minor] as const]
    const rest = [...matchMinor, ...accept]
    if (major !== undefined) program.push([JMP_JNE_K, 3, 0, rest.length, major])
    program.push(...rest)
  }
  const refusal = program.length
  program.push([ALU64_MOV_K, 0, 0, 0, 0], [EXIT, 0, 0, 0, 0])
  program[4] = [JMP_JNE_K, 2, 0, refusal - 5, BPF_DEVCG_DEV_CHAR]

  const out = new Uint8Array(program.length * 8)
  const view = new DataView(out.buffer)
  for (const [i, [code, dst, src, offset, imm]] of program.entries()) {
    view.setUint8(8 * i, code)
    view.setUint8(8 * i + 1, dst | (src << 4))
    view.setInt16(8 * i + 2, offset, true)
    view.setInt32(8 * i + 4, imm, true)
  }
  return out
}

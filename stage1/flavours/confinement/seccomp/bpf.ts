import type { FilterArch } from './syscalls.ts'

// Classic BPF as seccomp takes it (Linux, Documentation/userspace-api/seccomp_filter.rst): the few instructions needed.

// struct seccomp_data: offsets in bytes; arguments are 64 bit, little-endian, the low half comes first.
const AT_NR = 0
const AT_ARCH = 4
const argLow = (n: number): number => 16 + 8 * n

// <linux/bpf_common.h>
const LD_W_ABS = 0x20
const JA = 0x05
const JEQ_K = 0x15
const JGE_K = 0x35
const JSET_K = 0x45
const RET_K = 0x06

/** What a filter says of a call. */
export type Action = number
export const ALLOW: Action = 0x7fff0000
/** The process ends as by SIGSYS. */
export const KILL: Action = 0x80000000
/** The call fails with this error number. */
export const errno = (number: number): Action => 0x00050000 | number

export type Instruction = readonly [code: number, jt: number, jf: number, k: number]

export const give = (action: Action): Instruction => [RET_K, 0, 0, action]
/** Loads the low 32 bits of an argument, which the kernel looks at alone where the argument is an int. */
export const loadArgument = (n: number): Instruction => [LD_W_ABS, 0, 0, argLow(n)]
export const skipIfEqual = (k: number, yes: number, no: number): Instruction => [JEQ_K, yes, no, k]
export const skipIfAnyBit = (k: number, yes: number, no: number): Instruction => [JSET_K, yes, no, k]

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const
/** x86-64 calls with this bit come from the x32 ABI, whose numbers mean other calls. */
const X32_BIT = 0x40000000

/** Refuses calls of other machines and of the x32 ABI, whose numbers mean other calls, and loads the call number. */
export function loadNumber(arch: FilterArch, refusal: Action): Instruction[] {
  const x32: Instruction[] = arch === 'x64' ? [[JGE_K, 0, 1, X32_BIT], give(refusal)] : []
  return [[LD_W_ABS, 0, 0, AT_ARCH], [JEQ_K, 1, 0, AUDIT_ARCH[arch]], give(refusal), [LD_W_ABS, 0, 0, AT_NR], ...x32]
}

/** `body` runs where the call number, which is loaded, is `nr`; it must end in a return on every way through. */
export function onCall(nr: number, body: readonly Instruction[]): Instruction[] {
  return [[JEQ_K, 0, body.length, nr], ...body]
}

/**
 * Tells members of a set from all other numbers by halving, so that a call costs some ten instructions however large
 * the set is.
 */
export function decide(members: ReadonlySet<number>, member: Action, other: Action): Instruction[] {
  const sorted = [...members].sort((a, b) => a - b)
  /** Where membership changes: members are from edges[0] to below edges[1], from edges[2], and so on. */
  const edges: number[] = []
  for (const n of sorted) {
    if (edges.at(-1) === n) edges.pop()
    else edges.push(n)
    edges.push(n + 1)
  }
  /** Of numbers that are known to lie from edges[from - 1] to below edges[to]. */
  const between = (from: number, to: number): Instruction[] => {
    if (from === to) return [give(from % 2 === 1 ? member : other)]
    const middle = (from + to) >> 1
    const below = between(from, middle)
    const above = between(middle + 1, to)
    return [[JGE_K, 0, 1, edges[middle] ?? 0], [JA, 0, 0, below.length], ...below, ...above]
  }
  return between(0, edges.length)
}

/** @returns the program, 8 bytes an instruction, as SECCOMP_SET_MODE_FILTER takes it on a little-endian machine */
export function assemble(program: readonly Instruction[]): Uint8Array {
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

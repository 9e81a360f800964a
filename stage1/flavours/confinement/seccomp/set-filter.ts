import { argumentRules } from './argument-rules.ts'
import { type Action, ALLOW, assemble, decide, loadNumber, onCall } from './bpf.ts'
import { type FilterArch, systemCalls } from './syscalls.ts'

/** What a seccomp isolator asks for, its wildcards resolved. */
export interface SystemCallSet {
  readonly mode: 'retain' | 'remove'
  /** Names of calls. */
  readonly calls: ReadonlySet<string>
  /** Calls that may be made with any argument; the argument rules of the default filter stay for all others. */
  readonly unconditional: ReadonlySet<string>
  /** What happens to a call that is not allowed. */
  readonly refusal: Action
}

/** Without these no program starts, ends or returns from a signal handler: a retain set has them without saying so. */
const ALWAYS_RETAINED = ['execve', 'exit', 'exit_group', 'rt_sigreturn']

/** The filter that a seccomp isolator stands for. */
export function setSeccompFilter(arch: FilterArch, set: SystemCallSet): Uint8Array {
  const numbers = systemCalls(arch)
  const named = new Set([...set.calls, ...(set.mode === 'retain' ? ALWAYS_RETAINED : [])])
  const isAllowed = (name: string): boolean => named.has(name) === (set.mode === 'retain')
  const rules = [...argumentRules(set.refusal)].flatMap(([name, body]) => {
    const nr = numbers.get(name)
    return nr === undefined || !isAllowed(name) || set.unconditional.has(name) ? [] : onCall(nr, body)
  })
  const members = new Set([...named].flatMap((name) => numbers.get(name) ?? []))
  const decision = set.mode === 'retain' ? decide(members, ALLOW, set.refusal) : decide(members, set.refusal, ALLOW)
  return assemble([...loadNumber(arch, set.refusal), ...rules, ...decision])
}

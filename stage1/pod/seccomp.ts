import {
  type Action,
  errno,
  errorNumber,
  isSystemCall,
  KILL,
  type SystemCallSet,
  systemCallGroup,
} from '../flavours/confinement/index.ts'
import { badIsolator } from './errors.ts'

/**
 * Reads a seccomp isolator (App Container specification v0.8.11, "os/linux/seccomp-retain-set" and
 * "-remove-set"): `{ "set": [...], "errno"?: "EPERM" }`, where the set names calls and wildcards (systemCallGroup). A
 * call that is not allowed ends the process as by SIGSYS, or fails with `errno`.
 *
 * A call that is named itself may be made with any argument; one that only a wildcard brings keeps the argument rules of
 * the default filter, except that @appc.io/all retained, and nothing removed, are no filter at all, as they say.
 *
 * @throws PodError POD_ISOLATOR_BAD for a name that no known machine has: a mistake in a set must not widen it
 */
export function readSeccomp(name: string, value: unknown): SystemCallSet {
  if (typeof value !== 'object' || value === null || !('set' in value) || !Array.isArray(value.set)) {
    throw badIsolator(name, 'must be an object with a list `set` of system calls')
  }
  const mode = name.endsWith('/seccomp-retain-set') ? 'retain' : 'remove'
  const set: unknown[] = value.set
  const named: string[] = []
  const calls = new Set<string>()
  for (const item of set) {
    if (typeof item !== 'string') throw badIsolator(name, '`set` holds something else than texts')
    if (!item.startsWith('@')) named.push(item)
    for (const call of item.startsWith('@') ? groupNamed(name, item) : [callNamed(name, item)]) calls.add(call)
  }
  const everything = mode === 'retain' ? set.includes('@appc.io/all') : calls.size === 0
  return {
    mode,
    calls,
    unconditional: new Set(everything ? (systemCallGroup('@appc.io/all') ?? []) : mode === 'retain' ? named : []),
    refusal: refusalOf(name, 'errno' in value ? value.errno : undefined),
  }
}

function groupNamed(name: string, wildcard: string): readonly string[] {
  const group = systemCallGroup(wildcard)
  if (group === undefined) throw badIsolator(name, `'${wildcard.slice(0, 40)}' is no set of system calls`)
  return group
}

function callNamed(name: string, call: string): string {
  if (!isSystemCall(call)) throw badIsolator(name, `'${call.slice(0, 40)}' is no system call of Linux 6.18`)
  return call
}

function refusalOf(name: string, error: unknown): Action {
  if (error === undefined || error === '') return KILL
  const number = typeof error === 'string' ? errorNumber(error) : undefined
  if (number === undefined) throw badIsolator(name, '`errno` must be the name of an error, such as EPERM')
  return errno(number)
}

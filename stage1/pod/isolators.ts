import type { SystemCallSet } from '../flavours/confinement/index.ts'
import type { Isolator } from '../manifest/index.ts'
import { badIsolator, PodError } from './errors.ts'
import { DISK_ISOLATOR } from './guest-disk.ts'
import { TPM_ISOLATOR } from './guest-tpm.ts'
import { PRIVATE_USERS_ISOLATOR } from './private-users.ts'
import { type ResourceLimits, readResource } from './resources.ts'
import { type RestartPolicy, readRestart } from './restart.ts'
import { readSeccomp } from './seccomp.ts'

/** Isolators of an app, read; what is absent is not limited, or has its default. */
export interface AppLimits {
  readonly resources: ResourceLimits
  /** Names that replace the default set. */
  readonly capabilitiesRetain?: readonly string[]
  /** Names taken out of the default set. */
  readonly capabilitiesRemove?: readonly string[]
  readonly noNewPrivileges: boolean
  readonly seccomp?: SystemCallSet
  /** From -1000, never chosen, to 1000, chosen first. */
  readonly oomScoreAdj?: number
  /** `user:role:type:level`. */
  readonly selinuxContext?: string
  readonly apparmorProfile?: string
  readonly restart: RestartPolicy
}

/**
 * Reads the isolators of the App Container specification (v0.8.11, "Isolators") that this version carries out, and
 * Holdfast's own: `holdfast/pids` and `holdfast/restart`.
 * @throws PodError POD_ISOLATOR_BAD, or POD_UNSUPPORTED for any other isolator: an app never runs with less than it
 * asks for
 */
export function readAppLimits(isolators: readonly Isolator[]): AppLimits {
  refuseTwice(isolators)
  const limits: { -readonly [K in keyof AppLimits]: AppLimits[K] } = {
    resources: readResourceIsolators(isolators),
    noNewPrivileges: false,
    restart: readRestart(undefined),
  }
  for (const { name, value } of isolators) {
    switch (name) {
      case 'os/linux/capabilities-retain-set':
        limits.capabilitiesRetain = setOf(name, value)
        break
      case 'os/linux/capabilities-remove-set':
        limits.capabilitiesRemove = setOf(name, value)
        break
      case 'os/linux/no-new-privileges':
        if (typeof value !== 'boolean') throw badIsolator(name, 'must be true or false')
        limits.noNewPrivileges = value
        break
      case 'os/linux/seccomp-retain-set':
      case 'os/linux/seccomp-remove-set':
        if (limits.seccomp !== undefined) throw badIsolator(name, 'excludes the other seccomp set')
        limits.seccomp = readSeccomp(name, value)
        break
      case 'os/linux/oom-score-adj':
        if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 1000) {
          throw badIsolator(name, 'must be a whole number from -1000 to 1000')
        }
        limits.oomScoreAdj = value
        break
      case 'os/linux/selinux-context':
        limits.selinuxContext = ['user', 'role', 'type', 'level'].map((part) => labelPart(name, value, part)).join(':')
        break
      case 'os/linux/apparmor-profile':
        limits.apparmorProfile = labelPart(name, value, 'profile')
        break
      case 'holdfast/restart':
        limits.restart = readRestart(value)
        break
      default:
        if (readResource(name, value) === undefined) throw unsupportedIsolator(name)
    }
  }
  return limits
}

/** By privateUsersWanted(), diskBytesWanted() and tpmWanted(). */
const READ_ELSEWHERE: readonly string[] = [PRIVATE_USERS_ISOLATOR, DISK_ISOLATOR, TPM_ISOLATOR]

/**
 * Reads the isolators of a pod: limits for all its apps together.
 * @throws PodError POD_ISOLATOR_BAD, POD_UNSUPPORTED for an isolator that is an app's
 */
export function readPodLimits(isolators: readonly Isolator[]): ResourceLimits {
  refuseTwice(isolators)
  for (const { name, value } of isolators) {
    if (READ_ELSEWHERE.includes(name)) continue
    if (readResource(name, value) === undefined) throw unsupportedIsolator(name)
  }
  return readResourceIsolators(isolators)
}

function readResourceIsolators(isolators: readonly Isolator[]): ResourceLimits {
  return Object.assign({}, ...isolators.map(({ name, value }) => readResource(name, value) ?? {}))
}

/** Whichever came last would hold, and a policy may have looked at the other. */
function refuseTwice(isolators: readonly Isolator[]): void {
  const seen = new Set<string>()
  for (const { name } of isolators) {
    if (seen.has(name)) throw badIsolator(name, 'occurs twice')
    seen.add(name)
  }
}

/** @returns the texts of a value `{ "set": [...] }` */
function setOf(name: string, value: unknown): string[] {
  if (typeof value === 'object' && value !== null && 'set' in value && Array.isArray(value.set)) {
    const set: unknown[] = value.set
    if (set.every((v) => typeof v === 'string')) return set
  }
  throw badIsolator(name, 'must be an object with a list `set` of names')
}

/** What is written to the kernel as part of one line. */
function labelPart(name: string, value: unknown, part: string): string {
  const text: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined
  if (typeof text === 'string' && /^[\x21-\x7e]{1,200}$/.test(text)) return text
  throw badIsolator(name, `must be an object with a text \`${part}\` without spaces`)
}

function unsupportedIsolator(name: string): PodError {
  return new PodError('POD_UNSUPPORTED', `isolator ${name.slice(0, 80)} is not carried out by this version`, {
    hint: 'Run an image without it, or take it out of the image.',
  })
}

import {
  capabilityNumber,
  DEFAULT_CAPABILITIES,
  defaultSeccompFilter,
  type FilterArch,
  setSeccompFilter,
} from '../flavours/confinement/index.ts'
import type { PodApp } from '../manifest/index.ts'
import { type AppCgroups, missingController } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import type { AppLimits } from './isolators.ts'
import { planList } from './plan-list.ts'
import type { InsideSettings } from './plan-settings.ts'
import type { ResourceLimits } from './resources.ts'

/** What the plan has of one app, by the names of its files in `apps/<app>/`. */
export function planApp(
  pod: PodApp,
  limits: AppLimits,
  cgroups: AppCgroups,
  mounts: readonly string[],
  s: InsideSettings,
): [string, Uint8Array][] {
  const { app } = pod
  const { restart } = limits
  return [
    ['argv', planList(app.exec)],
    ['pre-start', planList(handler(pod, 'pre-start'))],
    ['post-stop', planList(handler(pod, 'post-stop'))],
    [
      'restart',
      planList([restart.policy, ...[restart.limit, restart.firstDelayMs, restart.longestDelayMs].map(String)]),
    ],
    ['env', planList(app.environment.map((v) => `${v.name}=${v.value}`))],
    ['cwd', planList([app.workingDirectory])],
    ['user', planList([app.user, app.group ?? ''])],
    ['groups', planList(app.supplementaryGIDs.map(String))],
    ['caps', planList(capabilities(limits).map(String))],
    ['no-new-privileges', planList([limits.noNewPrivileges ? '1' : '0'])],
    ['read-only-root', planList([pod.readOnlyRootFS ? '1' : '0'])],
    ['seccomp', s.seccomp ? seccompFilter(limits, filterArch(s.arch)) : new Uint8Array(0)],
    ['oom-score-adj', planList(limits.oomScoreAdj === undefined ? [] : [String(limits.oomScoreAdj)])],
    ['security-labels', planList(securityLabels(limits, s))],
    ['mounts', planList(mounts)],
    ['cgroups', planList(cgroups.make)],
    ['cgroups.join', planList(cgroups.join)],
    ['cgroup-settings', planList(cgroups.settings.flat())],
    ['oom-events', planList(cgroups.oomEvents === undefined ? [] : [cgroups.oomEvents])],
  ]
}

/** @throws PodError POD_UNSUPPORTED where this machine cannot keep one of the limits */
export function requireControllers(limits: ResourceLimits, s: InsideSettings): void {
  const missing = missingController(s.cgroups, limits)
  if (missing !== undefined) {
    throw new PodError('POD_UNSUPPORTED', `this machine has no ${missing} control group, so the limit cannot be kept`)
  }
  if (
    (limits.blockBytesPerSecond ?? limits.blockOperationsPerSecond) !== undefined &&
    s.machine.blockDevice() === undefined
  ) {
    throw new PodError('POD_UNSUPPORTED', 'the data directory is on no disk that block I/O could be limited for')
  }
}

function handler(pod: PodApp, name: 'pre-start' | 'post-stop'): readonly string[] {
  return pod.app.eventHandlers?.find((h) => h.name === name)?.exec ?? []
}

function capabilities(limits: AppLimits): number[] {
  if (limits.capabilitiesRetain !== undefined && limits.capabilitiesRemove !== undefined) {
    throw new PodError('POD_ISOLATOR_BAD', 'capabilities-retain-set and capabilities-remove-set exclude each other')
  }
  const removed = (limits.capabilitiesRemove ?? []).map(numberOf)
  return (limits.capabilitiesRetain ?? DEFAULT_CAPABILITIES).map(numberOf).filter((n) => !removed.includes(n))
}

function numberOf(name: string): number {
  const number = capabilityNumber(name)
  if (number === undefined) throw new PodError('POD_ISOLATOR_BAD', `'${name.slice(0, 40)}' is no capability of Linux`)
  return number
}

function seccompFilter(limits: AppLimits, arch: FilterArch): Uint8Array {
  return limits.seccomp === undefined ? defaultSeccompFilter(arch) : setSeccompFilter(arch, limits.seccomp)
}

function filterArch(arch: string): FilterArch {
  if (arch === 'x64' || arch === 'arm64') return arch
  throw new PodError('POD_UNSUPPORTED', `there is no seccomp filter for ${arch}`)
}

/** Pairs of a file below /proc/thread-self and what is written to it just before the program is executed. */
function securityLabels(limits: AppLimits, s: InsideSettings): string[] {
  const labels: string[] = []
  for (const [module, file, text] of [
    ['selinux', 'attr/exec', limits.selinuxContext],
    ['apparmor', 'attr/apparmor/exec', limits.apparmorProfile && `exec ${limits.apparmorProfile}`],
  ] as const) {
    if (text === undefined) continue
    if (!s.machine.securityModules().includes(module)) {
      throw new PodError('POD_UNSUPPORTED', `an app asks for a label of ${module}, which this kernel does not run`, {
        hint: `Start the kernel with lsm=...,${module} or take the isolator out.`,
      })
    }
    labels.push(file, text)
  }
  return labels
}

import { concatBytes, utf8 } from '../../attestation/base/index.ts'
import {
  capabilityNumber,
  DEFAULT_CAPABILITIES,
  defaultSeccompFilter,
  devicePolicyProgram,
  deviceRulesV1,
  type FilterArch,
  SUPERVISOR_ENVIRONMENT,
  supervisorArguments,
} from '../flavours/nspawn/index.ts'
import { type PodApp, type PodManifest, valueNamed } from '../manifest/index.ts'
import { appCgroups, type CgroupMounts, canLimit, podCgroups } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import { type AppLimits, readAppLimits } from './isolators.ts'
import { HOSTNAME_ANNOTATION } from './pod-manifest.ts'
import type { PodUuid } from './uuid.ts'

/** `none`: nothing but loopback. `host`: the host's own interfaces. */
export type Network = 'none' | 'host'

/** What a plan needs to know besides the manifest. */
export interface PlanSettings {
  readonly uuid: PodUuid
  /** Absolute, where the pod will run. */
  readonly podPath: string
  readonly network: Network
  /** Absolute path of the supervisor's program. */
  readonly supervisor: string
  /** PID 1 and its arguments. */
  readonly run: readonly string[]
  readonly cgroups: CgroupMounts
  readonly arch: string
  /** False only when the user said so by `--insecure-options=seccomp`. */
  readonly seccomp: boolean
}

/** Relative path and content of each file of the plan directory (stage1/README.md). */
export type PlanFiles = ReadonlyMap<string, Uint8Array>

/** How long apps may take to end after SIGTERM. */
const STOP_TIMEOUT_MS = 10_000

/**
 * Turns a pod manifest into what `holdfast-stage1` carries out. Pure: the same manifest and settings give the same
 * plan.
 * @throws PodError POD_UNSUPPORTED, POD_ISOLATOR_BAD: nothing of a manifest is left out silently
 */
export function planPod(manifest: PodManifest, s: PlanSettings): PlanFiles {
  if (manifest.volumes.length > 0) throw unsupported('volumes')
  if (manifest.isolators.length > 0) throw unsupported('isolators of a pod')
  const cgroups = podCgroups(s.cgroups, s.uuid, deviceRulesV1())
  const files = new Map<string, Uint8Array>([
    ['apps.list', list(manifest.apps.map((a) => a.name))],
    ['network', list([s.network])],
    ['stop-timeout-ms', list([String(STOP_TIMEOUT_MS)])],
    [
      'supervisor',
      list(
        supervisorArguments({
          program: s.supervisor,
          podUuid: s.uuid,
          hostname: valueNamed(manifest.annotations, HOSTNAME_ANNOTATION) ?? `pod-${s.uuid.slice(0, 8)}`,
          root: `${s.podPath}/stage1/root`,
          run: s.run,
        }),
      ),
    ],
    ['supervisor-env', list(SUPERVISOR_ENVIRONMENT)],
    ['cgroups', list(cgroups.make)],
    ['cgroups.join', list(cgroups.join)],
    ['cgroups.top', list(cgroups.tops)],
    ['cgroup-settings', list(cgroups.settings.flat())],
    ['device-policy-cgroup', list(cgroups.devicePolicy === undefined ? [] : [cgroups.devicePolicy])],
    ['device-policy', devicePolicyProgram()],
  ])
  for (const app of manifest.apps) {
    for (const [name, content] of planApp(app, s)) files.set(`apps/${app.name}/${name}`, content)
  }
  return files
}

function planApp({ name, app }: PodApp, s: PlanSettings): [string, Uint8Array][] {
  const limits = readAppLimits(app.isolators)
  requireLimits(s.cgroups, limits)
  const cgroups = appCgroups(s.cgroups, s.uuid, name, limits)
  return [
    ['argv', list(app.exec)],
    ['env', list(app.environment.map((v) => `${v.name}=${v.value}`))],
    ['cwd', list([app.workingDirectory])],
    ['user', list([app.user, app.group ?? ''])],
    ['caps', list(capabilities(limits).map(String))],
    ['no-new-privileges', list([limits.noNewPrivileges ? '1' : '0'])],
    ['seccomp', s.seccomp ? defaultSeccompFilter(filterArch(s.arch)) : new Uint8Array(0)],
    ['cgroups', list(cgroups.make)],
    ['cgroups.join', list(cgroups.join)],
    ['cgroup-settings', list(cgroups.settings.flat())],
  ]
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

function requireLimits(mounts: CgroupMounts, limits: AppLimits): void {
  for (const [controller, limit] of [
    ['memory', limits.memoryBytes],
    ['cpu', limits.cpuMillis],
  ] as const) {
    if (limit !== undefined && !canLimit(mounts, controller)) {
      throw new PodError(
        'POD_UNSUPPORTED',
        `this machine has no ${controller} control group, so the limit cannot be kept`,
      )
    }
  }
}

function filterArch(arch: string): FilterArch {
  if (arch === 'x64' || arch === 'arm64') return arch
  throw new PodError('POD_UNSUPPORTED', `there is no seccomp filter for ${arch}`)
}

/** Items each end with a NUL. */
function list(items: readonly string[]): Uint8Array {
  for (const item of items) {
    if (item.includes('\0')) throw new PodError('POD_UNSUPPORTED', 'a text of the pod manifest contains a NUL')
  }
  return concatBytes(...items.map((item) => utf8(`${item}\0`)))
}

function unsupported(what: string): PodError {
  return new PodError('POD_UNSUPPORTED', `${what} are not carried out by this version`)
}

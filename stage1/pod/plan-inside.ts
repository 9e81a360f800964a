import { devicePolicyProgram, deviceRulesV1, MASKED_PATHS, READ_ONLY_PATHS } from '../flavours/confinement/index.ts'
import { type PodManifest, type Volume, valueNamed } from '../manifest/index.ts'
import { planApp, requireControllers } from './app-plan.ts'
import { appCgroups, appMembership, limitsBlockIo, type PodCgroups, podCgroups } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import { readAppLimits, readPodLimits } from './isolators.ts'
import { type PlanFiles, planList } from './plan-list.ts'
import type { InsideSettings, Streams } from './plan-settings.ts'
import { HOSTNAME_ANNOTATION } from './pod-manifest.ts'
import { filesGivenToPod, privateFirstUser, requirePrivateUsers } from './private-users.ts'
import { mountRecords, planVolumes } from './volume-plan.ts'

/** How long apps may take to end after SIGTERM, and post-stop handlers after that. */
const STOP_TIMEOUT_MS = 10_000

/** What init needs to know of a pod, whatever isolates it. */
export interface InsidePlan {
  readonly files: PlanFiles
  /** The manifest's and implicit ones, in the order by which mounts name them. */
  readonly volumes: readonly Volume[]
  readonly hostname: string
  /** Of a pod with users of its own. */
  readonly firstUser?: number
}

/**
 * The part of a plan that init carries out. Pure.
 * @throws PodError POD_UNSUPPORTED, POD_ISOLATOR_BAD, POD_VOLUME_MISSING, POD_VOLUME_BAD: nothing of a manifest is left
 * out silently
 */
export function planInside(manifest: PodManifest, s: InsideSettings): InsidePlan {
  const streams = s.streams ?? { kind: 'pass' }
  if (streams.kind === 'terminal' && manifest.apps.length !== 1) {
    throw new PodError('POD_UNSUPPORTED', 'a terminal is for a pod of one app')
  }
  const podLimits = readPodLimits(manifest.isolators)
  const apps = manifest.apps.map((pod) => ({ pod, limits: readAppLimits(pod.app.isolators) }))
  const limited = [podLimits, ...apps.map((a) => a.limits.resources)]
  for (const limits of limited) requireControllers(limits, s)
  const blockDevice = limited.some(limitsBlockIo) ? s.machine.blockDevice() : undefined
  const { volumes, mounts } = planVolumes(manifest)
  const firstUser = privateFirstUser(manifest, s)
  if (firstUser !== undefined) requirePrivateUsers(manifest, volumes, s)
  const cgroups = podCgroups(s.cgroups, s.uuid, {
    deviceRules: deviceRulesV1(),
    limits: podLimits,
    ...(blockDevice === undefined ? {} : { blockDevice }),
  })
  const files = new Map<string, Uint8Array>([
    ['apps.list', planList(manifest.apps.map((a) => a.name))],
    ['stop-timeout-ms', planList([String(STOP_TIMEOUT_MS)])],
    ['private-users', planList(firstUser === undefined ? [] : [String(firstUser)])],
    ['streams', planList(streamItems(streams))],
    ['masked-paths', planList(MASKED_PATHS)],
    ['read-only-paths', planList(READ_ONLY_PATHS)],
    ...cgroupFiles(cgroups),
    ['device-policy', devicePolicyProgram()],
  ])
  const given: string[] = []
  for (const { pod, limits } of apps) {
    const own = appCgroups(s.cgroups, s.uuid, pod.name, limits.resources, blockDevice)
    if (firstUser !== undefined) given.push(...filesGivenToPod(s.cgroups, own))
    const membership = appMembership(s.cgroups, cgroups, own)
    const planned = planApp(pod, limits, own, mountRecords(volumes, mounts.get(pod.name) ?? []), s)
    for (const [name, content] of planned) files.set(`apps/${pod.name}/${name}`, content)
    files.set(`apps/${pod.name}/enter.join`, planList(membership?.join ?? []))
    files.set(`apps/${pod.name}/enter.members`, planList(membership === undefined ? [] : [membership.members]))
  }
  files.set('cgroups.given', planList([...new Set(given)]))
  const hostname = valueNamed(manifest.annotations, HOSTNAME_ANNOTATION) ?? `pod-${s.uuid.slice(0, 8)}`
  return { files, volumes, hostname, ...(firstUser === undefined ? {} : { firstUser }) }
}

/** The plan's files about a pod's own control groups, but for the program of the device policy. */
export function cgroupFiles(cgroups: PodCgroups): [string, Uint8Array][] {
  return [
    ['cgroups', planList(cgroups.make)],
    ['cgroups.join', planList(cgroups.join)],
    ['cgroups.top', planList(cgroups.tops)],
    ['cgroup-settings', planList(cgroups.settings.flat())],
    ['device-policy-cgroup', planList(cgroups.devicePolicy === undefined ? [] : [cgroups.devicePolicy])],
  ]
}

/** The plan's words for where apps' streams go. */
export function streamItems(streams: Streams): string[] {
  return streams.kind === 'log' ? [streams.kind, String(streams.maxBytes), String(streams.files)] : [streams.kind]
}

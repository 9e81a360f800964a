import { devicePolicyProgram, deviceRulesV1, MASKED_PATHS, READ_ONLY_PATHS } from '../flavours/confinement/index.ts'
import { SUPERVISOR_ENVIRONMENT, supervisorArguments } from '../flavours/nspawn/index.ts'
import { type PodManifest, valueNamed } from '../manifest/index.ts'
import { planApp, requireControllers } from './app-plan.ts'
import { appCgroups, appMembership, limitsBlockIo, podCgroups } from './cgroup-layout.ts'
import { PodError } from './errors.ts'
import { readAppLimits, readPodLimits } from './isolators.ts'
import { type PlanFiles, planList } from './plan-list.ts'
import type { PlanSettings, Streams } from './plan-settings.ts'
import { HOSTNAME_ANNOTATION } from './pod-manifest.ts'
import { filesGivenToPod, privateFirstUser, requirePrivateUsers } from './private-users.ts'
import { mountRecords, planVolumes, volumeRecords } from './volume-plan.ts'

export type { PlanFiles } from './plan-list.ts'
export type { PlanSettings, Streams } from './plan-settings.ts'

/** How long apps may take to end after SIGTERM, and post-stop handlers after that. */
const STOP_TIMEOUT_MS = 10_000

/**
 * Turns a pod manifest into what `holdfast-stage1` carries out. Pure: the same manifest and settings give the same
 * plan.
 * @throws PodError POD_UNSUPPORTED, POD_ISOLATOR_BAD, POD_VOLUME_MISSING, POD_VOLUME_BAD: nothing of a manifest is left
 * out silently
 */
export function planPod(manifest: PodManifest, s: PlanSettings): PlanFiles {
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
    ['network', planList([s.network])],
    ['stop-timeout-ms', planList([String(STOP_TIMEOUT_MS)])],
    [
      'supervisor',
      planList(
        supervisorArguments({
          program: s.supervisor,
          podUuid: s.uuid,
          hostname: valueNamed(manifest.annotations, HOSTNAME_ANNOTATION) ?? `pod-${s.uuid.slice(0, 8)}`,
          root: `${s.podPath}/stage1/root`,
          console: streams.kind === 'terminal' ? 'interactive' : 'pipe',
          run: s.run,
          ...(firstUser === undefined ? {} : { firstUser }),
        }),
      ),
    ],
    ['supervisor-env', planList(SUPERVISOR_ENVIRONMENT)],
    ['private-users', planList(firstUser === undefined ? [] : [String(firstUser)])],
    ['streams', planList(streamItems(streams))],
    ['volumes', planList(volumeRecords(volumes))],
    ['masked-paths', planList(MASKED_PATHS)],
    ['read-only-paths', planList(READ_ONLY_PATHS)],
    ['cgroups', planList(cgroups.make)],
    ['cgroups.join', planList(cgroups.join)],
    ['cgroups.top', planList(cgroups.tops)],
    ['cgroup-settings', planList(cgroups.settings.flat())],
    ['device-policy-cgroup', planList(cgroups.devicePolicy === undefined ? [] : [cgroups.devicePolicy])],
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
  return files
}

function streamItems(streams: Streams): string[] {
  return streams.kind === 'log' ? [streams.kind, String(streams.maxBytes), String(streams.files)] : [streams.kind]
}

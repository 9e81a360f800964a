import { SUPERVISOR_ENVIRONMENT, supervisorArguments } from '../flavours/nspawn/index.ts'
import type { PodManifest } from '../manifest/index.ts'
import { planInside } from './plan-inside.ts'
import { type PlanFiles, planList } from './plan-list.ts'
import type { PlanSettings } from './plan-settings.ts'
import { volumeRecords } from './volume-plan.ts'

export type { PlanFiles } from './plan-list.ts'
export type { InsideSettings, PlanSettings, Streams } from './plan-settings.ts'

/**
 * Turns a pod manifest into what `holdfast-stage1 launch` carries out. Pure: the same manifest and settings give the
 * same plan.
 * @throws PodError as planInside
 */
export function planPod(manifest: PodManifest, s: PlanSettings): PlanFiles {
  const inside = planInside(manifest, s)
  const argv = supervisorArguments({
    program: s.supervisor,
    podUuid: s.uuid,
    hostname: inside.hostname,
    root: `${s.podPath}/stage1/root`,
    console: s.streams?.kind === 'terminal' ? 'interactive' : 'pipe',
    run: s.run,
    ...(inside.firstUser === undefined ? {} : { firstUser: inside.firstUser }),
  })
  return new Map([
    ...inside.files,
    ['network', planList([s.network])],
    ['supervisor', planList(argv)],
    ['supervisor-env', planList(SUPERVISOR_ENVIRONMENT)],
    ['volumes', planList(volumeRecords(inside.volumes))],
  ])
}

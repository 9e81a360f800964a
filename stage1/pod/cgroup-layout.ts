import type { ResourceLimits } from './resources.ts'

/** Where this machine has which control groups: absolute directories of the roots, absent where there is none. */
export interface CgroupMounts {
  readonly v1: {
    readonly memory?: string
    readonly cpu?: string
    readonly pids?: string
    readonly devices?: string
    readonly blkio?: string
  }
  /** systemd's named v1 hierarchy: systemd-nspawn makes groups below its own there. */
  readonly named?: string
  readonly v2?: string
  /** Controllers that the v2 hierarchy owns. */
  readonly v2Controllers: readonly string[]
}

/**
 * Writing `0` to a v1 group's `tasks` moves the one thread of the writer in 0.2 ms; `cgroup.procs`, which v2 insists
 * on, waits for all processors on every write (5 to 40 ms measured).
 */
const TASKS = 'tasks'
const PROCS = 'cgroup.procs'

/** Controllers that apps are always in, with or without limits; on v2 they are passed down level by level. */
const ALWAYS = ['memory', 'cpu', 'pids'] as const

/**
 * Reads /proc/self/mountinfo (proc(5)) for cgroup mounts; of several mounts of one hierarchy the first counts.
 * @param v2Controllers content of `cgroup.controllers` in the v2 root, empty where there is none
 */
export function cgroupMounts(mountinfo: string, v2Controllers: string): CgroupMounts {
  const v1: { -readonly [K in keyof CgroupMounts['v1']]: CgroupMounts['v1'][K] } = {}
  let named: string | undefined
  let v2: string | undefined
  for (const line of mountinfo.split('\n')) {
    const [mount = '', source = ''] = line.split(' - ')
    const where = (mount.split(' ')[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, o) =>
      String.fromCharCode(Number.parseInt(o, 8)),
    )
    const [type, , options = ''] = source.split(' ')
    if (type === 'cgroup2') v2 ??= where
    if (type !== 'cgroup') continue
    const words = options.split(',')
    if (words.includes('name=systemd')) named ??= where
    for (const controller of ['memory', 'cpu', 'pids', 'devices', 'blkio'] as const) {
      if (words.includes(controller)) v1[controller] ??= where
    }
  }
  return {
    v1,
    ...(named === undefined ? {} : { named }),
    ...(v2 === undefined ? {} : { v2 }),
    v2Controllers:
      v2 === undefined
        ? []
        : v2Controllers
            .trim()
            .split(/\s+/)
            .filter((c) => c !== ''),
  }
}

/** The groups of one pod, as launch makes and joins them. */
export interface PodCgroups {
  /** To be made, parents first. */
  readonly make: readonly string[]
  /** File and text, to be written in this order after all of `make` exist. */
  readonly settings: readonly (readonly [file: string, text: string])[]
  /** Files by which the supervisor's groups are joined; everything of the pod is below or beside these groups. */
  readonly join: readonly string[]
  /** The v2 group that gets the device program, where no v1 devices controller is there. */
  readonly devicePolicy?: string
  /** Where `cgroup.kill` ends the whole pod. */
  readonly kill?: string
  /** One level up from these everything of the pod is removed. */
  readonly tops: readonly string[]
}

/** The groups of one app. */
export interface AppCgroups {
  readonly make: readonly string[]
  readonly join: readonly string[]
  readonly settings: readonly Setting[]
  /** The file that counts OOM kills, where there is a memory controller. */
  readonly oomEvents?: string
}

type Setting = readonly [file: string, text: string]

/** What a pod asks of its groups. */
export interface PodCgroupNeeds {
  readonly deviceRules: readonly Setting[]
  /** For all apps together. */
  readonly limits: ResourceLimits
  /** `major:minor` of the disk that block I/O is limited for; absent where neither the pod nor an app of it does so. */
  readonly blockDevice?: string
}

/**
 * On v2 a group with controllers for its children must hold no process itself, so the supervisor gets one of its own
 * below the pod's. systemd-nspawn then makes `supervisor` and `payload` below that; apps leave it for their own.
 */
export function podCgroups(mounts: CgroupMounts, uuid: string, needs: PodCgroupNeeds): PodCgroups {
  const base = `holdfast/${uuid}`
  const { blkio, ...others } = mounts.v1
  const v1 = distinct([
    ...Object.values(others),
    ...(needs.blockDevice !== undefined && blkio !== undefined ? [blkio] : []),
  ]).map((root) => `${root}/${base}`)
  const withSupervisor = [mounts.named, mounts.v2].flatMap((root) => (root === undefined ? [] : [`${root}/${base}`]))
  const settings: Setting[] = []
  if (mounts.v1.devices !== undefined) {
    for (const [file, text] of needs.deviceRules) settings.push([`${mounts.v1.devices}/${base}/${file}`, text])
  }
  const enable = [...ALWAYS, ...(needs.blockDevice !== undefined ? ['io'] : [])].filter((c) =>
    mounts.v2Controllers.includes(c),
  )
  if (mounts.v2 !== undefined && enable.length > 0) {
    for (const level of ['', '/holdfast', `/${base}`]) {
      settings.push([`${mounts.v2}${level}/cgroup.subtree_control`, enable.map((c) => `+${c}`).join(' ')])
    }
  }
  const supervisor = withSupervisor.map((top) => `${top}/supervisor`)
  return {
    make: [...v1, ...supervisor],
    settings: [...settings, ...limitSettings(mounts, base, needs.limits, needs.blockDevice)],
    join: [
      ...v1.map((group) => `${group}/${TASKS}`),
      ...(mounts.named === undefined ? [] : [`${mounts.named}/${base}/supervisor/${TASKS}`]),
      ...(mounts.v2 === undefined ? [] : [`${mounts.v2}/${base}/supervisor/${PROCS}`]),
    ],
    ...(mounts.v1.devices === undefined && mounts.v2 !== undefined ? { devicePolicy: `${mounts.v2}/${base}` } : {}),
    ...(mounts.v2 === undefined ? {} : { kill: `${mounts.v2}/${base}/cgroup.kill` }),
    tops: [...v1, ...withSupervisor],
  }
}

/** @param limits as readAppLimits gives them; each must be one that missingController() has nothing against */
export function appCgroups(
  mounts: CgroupMounts,
  uuid: string,
  app: string,
  limits: ResourceLimits,
  blockDevice?: string,
): AppCgroups {
  const base = `holdfast/${uuid}/app-${app}`
  const { memory, cpu, pids, blkio } = mounts.v1
  const own = ownV2Group(mounts, base)
  const v1 = distinct([memory, cpu, pids, limitsBlockIo(limits) ? blkio : undefined].flatMap((root) => root ?? [])).map(
    (root) => `${root}/${base}`,
  )
  const oomEvents =
    memory !== undefined
      ? `${memory}/${base}/memory.oom_control`
      : own !== undefined && mounts.v2Controllers.includes('memory')
        ? `${own}/memory.events`
        : undefined
  return {
    make: own === undefined ? v1 : [...v1, own],
    join: [...v1.map((group) => `${group}/${TASKS}`), ...(own === undefined ? [] : [`${own}/${PROCS}`])],
    settings: limitSettings(mounts, base, limits, blockDevice),
    ...(oomEvents === undefined ? {} : { oomEvents }),
  }
}

/**
 * What a process that is not the pod's own joins to become one of an app: the pod's groups, for what only they limit,
 * then the app's.
 *
 * @returns files to write `0` to, and the cgroup.procs file in which every process of the app stands; undefined where the
 * app has no group of its own
 */
export function appMembership(
  mounts: CgroupMounts,
  pod: PodCgroups,
  app: AppCgroups,
): { readonly join: readonly string[]; readonly members: string } | undefined {
  const [first] = app.make
  if (first === undefined) return undefined
  // a v2 group with controllers for its children takes no process; there the app has one of its own
  const inner = mounts.v2 === undefined || mounts.v2Controllers.length === 0 ? undefined : `${mounts.v2}/`
  const join = pod.join.filter((file) => inner === undefined || !file.startsWith(inner))
  return { join: [...join, ...app.join], members: `${first}/${PROCS}` }
}

/** Without controllers a group of its own would be of no use to an app, and joining one costs 5 ms and more. */
function ownV2Group(mounts: CgroupMounts, base: string): string | undefined {
  return mounts.v2 === undefined || mounts.v2Controllers.length === 0 ? undefined : `${mounts.v2}/${base}`
}

/** Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. */
function limitSettings(mounts: CgroupMounts, base: string, limits: ResourceLimits, device?: string): Setting[] {
  const { memory, cpu, pids, blkio } = mounts.v1
  const settings: Setting[] = []
  const set = (v1: string | undefined, file: string, text: string): void => {
    settings.push([`${v1 ?? mounts.v2}/${base}/${file}`, text])
  }
  if (limits.memoryBytes !== undefined)
    set(memory, memory === undefined ? 'memory.max' : 'memory.limit_in_bytes', String(limits.memoryBytes))
  if (limits.cpuMillis !== undefined) {
    const quota = limits.cpuMillis * (CPU_PERIOD_US / 1000)
    if (cpu !== undefined) {
      set(cpu, 'cpu.cfs_period_us', String(CPU_PERIOD_US))
      set(cpu, 'cpu.cfs_quota_us', String(quota))
    } else set(undefined, 'cpu.max', `${quota} ${CPU_PERIOD_US}`)
  }
  if (limits.cpuShares !== undefined) {
    if (cpu !== undefined) set(cpu, 'cpu.shares', String(limits.cpuShares))
    else set(undefined, 'cpu.weight', String(cpuWeight(limits.cpuShares)))
  }
  if (limits.pids !== undefined) set(pids, 'pids.max', String(limits.pids))
  for (const [limit, v1, v2] of [
    [limits.blockBytesPerSecond, 'bps', 'bps'],
    [limits.blockOperationsPerSecond, 'iops', 'iops'],
  ] as const) {
    if (limit === undefined) continue
    if (blkio === undefined) set(undefined, 'io.max', `${device} r${v2}=${limit} w${v2}=${limit}`)
    else for (const way of ['read', 'write']) set(blkio, `blkio.throttle.${way}_${v1}_device`, `${device} ${limit}`)
  }
  return settings
}

/** 2 to 262144 of v1 onto 1 to 10000 of v2, as the OCI runtime specification's implementations do. */
function cpuWeight(shares: number): number {
  return 1 + Math.floor(((shares - 2) * 9999) / 262142)
}

/** Whether a limit is for block I/O. */
export function limitsBlockIo(limits: ResourceLimits): boolean {
  return limits.blockBytesPerSecond !== undefined || limits.blockOperationsPerSecond !== undefined
}

/** The first controller that these limits need and this machine has not. */
export function missingController(mounts: CgroupMounts, limits: ResourceLimits): string | undefined {
  const needed = [
    ['memory', 'memory', limits.memoryBytes !== undefined],
    ['cpu', 'cpu', limits.cpuMillis !== undefined || limits.cpuShares !== undefined],
    ['pids', 'pids', limits.pids !== undefined],
    ['blkio', 'io', limitsBlockIo(limits)],
  ] as const
  return needed.find(([v1, v2, is]) => is && mounts.v1[v1] === undefined && !mounts.v2Controllers.includes(v2))?.[1]
}

const CPU_PERIOD_US = 100_000

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)]
}

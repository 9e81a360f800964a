/** Where this machine has which control groups: absolute directories of the roots, absent where there is none. */
export interface CgroupMounts {
  readonly v1: {
    readonly memory?: string
    readonly cpu?: string
    readonly pids?: string
    readonly devices?: string
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

/** Controllers that limits need; on v2 they are passed down level by level. */
const WANTED = ['memory', 'cpu', 'pids'] as const

/**
 * Reads /proc/self/mountinfo (proc(5)) for cgroup mounts; of several mounts of one hierarchy the first counts.
 * @param v2Controllers content of `cgroup.controllers` in the v2 root, empty where there is none
 */
export function cgroupMounts(mountinfo: string, v2Controllers: string): CgroupMounts {
  const v1: { memory?: string; cpu?: string; pids?: string; devices?: string } = {}
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
    for (const controller of ['memory', 'cpu', 'pids', 'devices'] as const) {
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
  readonly settings: readonly (readonly [file: string, text: string])[]
}

/**
 * On v2 a group with controllers for its children must hold no process itself, so the supervisor gets one of its own
 * below the pod's. systemd-nspawn then makes `supervisor` and `payload` below that; apps leave it for their own.
 */
export function podCgroups(
  mounts: CgroupMounts,
  uuid: string,
  deviceRules: readonly (readonly [file: string, text: string])[],
): PodCgroups {
  const base = `holdfast/${uuid}`
  const v1 = distinct(Object.values(mounts.v1)).map((root) => `${root}/${base}`)
  const withSupervisor = [mounts.named, mounts.v2].flatMap((root) => (root === undefined ? [] : [`${root}/${base}`]))
  const settings: [string, string][] = []
  if (mounts.v1.devices !== undefined) {
    for (const [file, text] of deviceRules) settings.push([`${mounts.v1.devices}/${base}/${file}`, text])
  }
  const enable = WANTED.filter((c) => mounts.v2Controllers.includes(c)).map((c) => `+${c}`)
  if (mounts.v2 !== undefined && enable.length > 0) {
    for (const level of ['', '/holdfast', `/${base}`]) {
      settings.push([`${mounts.v2}${level}/cgroup.subtree_control`, enable.join(' ')])
    }
  }
  const supervisor = withSupervisor.map((top) => `${top}/supervisor`)
  return {
    make: [...v1, ...supervisor],
    settings,
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

/** @param limits as readAppLimits gives them */
export function appCgroups(
  mounts: CgroupMounts,
  uuid: string,
  app: string,
  limits: { readonly memoryBytes?: number; readonly cpuMillis?: number },
): AppCgroups {
  const base = `holdfast/${uuid}/app-${app}`
  const settings: [string, string][] = []
  const { memory, cpu, pids } = mounts.v1
  // without controllers a group of its own would be of no use to the app, and joining one costs 5 ms and more
  const own = mounts.v2 === undefined || mounts.v2Controllers.length === 0 ? undefined : `${mounts.v2}/${base}`
  if (limits.memoryBytes !== undefined) {
    const bytes = String(limits.memoryBytes)
    if (memory !== undefined) settings.push([`${memory}/${base}/memory.limit_in_bytes`, bytes])
    else settings.push([`${own}/memory.max`, bytes])
  }
  if (limits.cpuMillis !== undefined) {
    const quota = limits.cpuMillis * (CPU_PERIOD_US / 1000)
    if (cpu !== undefined) {
      settings.push([`${cpu}/${base}/cpu.cfs_period_us`, String(CPU_PERIOD_US)])
      settings.push([`${cpu}/${base}/cpu.cfs_quota_us`, String(quota)])
    } else settings.push([`${own}/cpu.max`, `${quota} ${CPU_PERIOD_US}`])
  }
  const v1 = distinct([memory, cpu, pids].flatMap((root) => root ?? [])).map((root) => `${root}/${base}`)
  return {
    make: own === undefined ? v1 : [...v1, own],
    join: [...v1.map((group) => `${group}/${TASKS}`), ...(own === undefined ? [] : [`${own}/${PROCS}`])],
    settings,
  }
}

/** Whether a limit on this resource can be kept on this machine. */
export function canLimit(mounts: CgroupMounts, controller: 'memory' | 'cpu'): boolean {
  return mounts.v1[controller] !== undefined || mounts.v2Controllers.includes(controller)
}

const CPU_PERIOD_US = 100_000

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)]
}

const MIB = 1 << 20
/** What the guest's kernel and PID 1 need; below 72 MiB the kernel resets before it says a word. */
const OWN_MIB = 128
/** What an app gets that has no limit. */
const APP_MIB = 128

/** Limits of an app, or of a pod; absent where there is none. */
export interface SizeLimits {
  readonly memoryBytes?: number
  /** Thousandths of a processor. */
  readonly cpuMillis?: number
}

export interface MachineSize {
  readonly memoryMiB: number
  readonly processors: number
}

/**
 * How large a pod's machine is: room for the guest itself, and what its apps may use together. The pod's own limits take
 * the place of its apps'.
 */
export function machineSize(apps: readonly SizeLimits[], pod: SizeLimits, hostProcessors: number): MachineSize {
  const appsMiB = apps.map((app) => (app.memoryBytes === undefined ? APP_MIB : app.memoryBytes / MIB))
  const memoryMiB = OWN_MIB + Math.ceil(pod.memoryBytes === undefined ? sum(appsMiB) : pod.memoryBytes / MIB)
  const wanted = Math.ceil((pod.cpuMillis ?? sum(apps.map((app) => app.cpuMillis ?? 0))) / 1000)
  return { memoryMiB, processors: Math.max(1, Math.min(wanted, hostProcessors)) }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

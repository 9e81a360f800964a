import { badIsolator } from './errors.ts'

/** Limits that control groups keep, of an app or of a pod; what is absent is not limited. */
export interface ResourceLimits {
  readonly memoryBytes?: number
  /** Thousandths of a processor. */
  readonly cpuMillis?: number
  /** Weight against others where processors are short, 2 to 262144; 1024 is what everybody has. */
  readonly cpuShares?: number
  /** Processes and threads at a time. */
  readonly pids?: number
  /** Bytes a second read from, and as many written to, the disk that the pod's directory is on. */
  readonly blockBytesPerSecond?: number
  /** The same in operations a second. */
  readonly blockOperationsPerSecond?: number
}

/**
 * Reads one isolator of a resource (App Container specification v0.8.11, "Resource Isolators", "os/linux/cpu-shares")
 * or Holdfast's `holdfast/pids`. A `request` is a wish that the specification does not have anybody keep, and is left
 * alone.
 *
 * @returns undefined for an isolator of another kind
 * @throws PodError POD_ISOLATOR_BAD
 */
export function readResource(name: string, value: unknown): ResourceLimits | undefined {
  switch (name) {
    case 'resource/memory':
      return { memoryBytes: parseMemory(limitOf(name, value)) }
    case 'resource/cpu':
      return { cpuMillis: parseCpu(limitOf(name, value)) }
    case 'resource/block-bandwidth':
      requireDefault(name, value)
      return { blockBytesPerSecond: parseSize(name, limitOf(name, value), 1) }
    case 'resource/block-iops':
      requireDefault(name, value)
      return { blockOperationsPerSecond: parseSize(name, limitOf(name, value), 1) }
    case 'holdfast/pids':
      return { pids: parseSize(name, limitOf(name, value), 1) }
    case 'os/linux/cpu-shares':
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 2 || value > 262144) {
        throw badIsolator(name, 'must be a whole number from 2 to 262144')
      }
      return { cpuShares: value }
    default:
      return undefined
  }
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}
/** Less than this and not even the set-up of an app fits. */
const LEAST_MEMORY = 1 << 20

/**
 * @param text digits and an optional unit: k, M, G, T (powers of 1000), Ki, Mi, Gi, Ti (powers of 1024)
 * @returns bytes
 * @throws PodError POD_ISOLATOR_BAD
 */
export function parseMemory(text: string): number {
  const wanted = 'a size of at least 1Mi, such as 64Mi or 1G'
  return parseSize('resource/memory', text, LEAST_MEMORY, Number.MAX_SAFE_INTEGER, wanted)
}

/**
 * @param wanted what a right one is, in words
 * @throws PodError POD_ISOLATOR_BAD
 */
export function parseSize(
  name: string,
  text: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
  wanted = 'a number such as 100, 64k or 2M',
): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,15})([kMGT]i?|Ki)?$/.exec(text) ?? []
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
  const size = digits === '' || factor === undefined ? Number.NaN : Number(digits) * factor
  if (Number.isSafeInteger(size) && size >= least && size <= most) return size
  throw badIsolator(name, `'${text.slice(0, 40)}' is not ${wanted}`)
}

/**
 * @param text processors as a number (`2`, `0.5`) or in thousandths (`500m`)
 * @returns thousandths of a processor
 * @throws PodError POD_ISOLATOR_BAD
 */
export function parseCpu(text: string): number {
  const millis = /^[0-9]{1,7}m$/.test(text)
    ? Number(text.slice(0, -1))
    : /^[0-9]{1,4}(\.[0-9]{1,3})?$/.test(text)
      ? Math.round(Number(text) * 1000)
      : Number.NaN
  if (!(millis >= 10))
    throw badIsolator('resource/cpu', `'${text.slice(0, 40)}' is not a share of at least 10m, such as 500m or 2`)
  return millis
}

/** @throws PodError POD_ISOLATOR_BAD */
export function limitOf(name: string, value: unknown): string {
  if (typeof value === 'object' && value !== null && 'limit' in value && typeof value.limit === 'string')
    return value.limit
  throw badIsolator(name, 'must be an object with a text `limit`')
}

/** The specification reserves other values for limits of single devices, which it does not define. */
function requireDefault(name: string, value: unknown): void {
  if (typeof value === 'object' && value !== null && 'default' in value && value.default !== true) {
    throw badIsolator(name, '`default` must be true')
  }
}

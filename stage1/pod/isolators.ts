import type { Isolator } from '../manifest/index.ts'
import { PodError } from './errors.ts'

/** Isolators of an app, read; what is absent is not limited, or has its default. */
export interface AppLimits {
  readonly memoryBytes?: number
  /** Thousandths of a processor. */
  readonly cpuMillis?: number
  /** Names that replace the default set. */
  readonly capabilitiesRetain?: readonly string[]
  /** Names taken out of the default set. */
  readonly capabilitiesRemove?: readonly string[]
  readonly noNewPrivileges: boolean
}

/**
 * Reads the isolators of the App Container specification (v0.8.11, "Isolators") that this version carries out.
 * @throws PodError POD_ISOLATOR_BAD, or POD_UNSUPPORTED for any other isolator: an app never runs with less than it
 * asks for
 */
export function readAppLimits(isolators: readonly Isolator[]): AppLimits {
  const limits: { -readonly [K in keyof AppLimits]: AppLimits[K] } = { noNewPrivileges: false }
  for (const { name, value } of isolators) {
    switch (name) {
      case 'resource/memory':
        limits.memoryBytes = parseMemory(limitOf(name, value))
        break
      case 'resource/cpu':
        limits.cpuMillis = parseCpu(limitOf(name, value))
        break
      case 'os/linux/capabilities-retain-set':
        limits.capabilitiesRetain = setOf(name, value)
        break
      case 'os/linux/capabilities-remove-set':
        limits.capabilitiesRemove = setOf(name, value)
        break
      case 'os/linux/no-new-privileges':
        if (typeof value !== 'boolean') throw bad(name, 'must be true or false')
        limits.noNewPrivileges = value
        break
      default:
        throw new PodError('POD_UNSUPPORTED', `isolator ${name} is not carried out by this version`, {
          hint: 'Run an image without it, or take it out of the image.',
        })
    }
  }
  return limits
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
  const [, digits = '', unit = ''] = /^([0-9]{1,15})([kMGT]i?|Ki)?$/.exec(text) ?? []
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined
  const bytes = digits === '' || factor === undefined ? Number.NaN : Number(digits) * factor
  if (!Number.isSafeInteger(bytes) || bytes < LEAST_MEMORY) {
    throw bad('resource/memory', `'${text.slice(0, 40)}' is not a size of at least 1Mi, such as 64Mi or 1G`)
  }
  return bytes
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
    throw bad('resource/cpu', `'${text.slice(0, 40)}' is not a share of at least 10m, such as 500m or 2`)
  return millis
}

function limitOf(name: string, value: unknown): string {
  if (typeof value === 'object' && value !== null && 'limit' in value && typeof value.limit === 'string')
    return value.limit
  throw bad(name, 'must be an object with a text `limit`')
}

function setOf(name: string, value: unknown): string[] {
  if (typeof value === 'object' && value !== null && 'set' in value && Array.isArray(value.set)) {
    const set: unknown[] = value.set
    if (set.every((v) => typeof v === 'string')) return set
  }
  throw bad(name, 'must be an object with a list `set` of capability names')
}

function bad(name: string, message: string): PodError {
  return new PodError('POD_ISOLATOR_BAD', `isolator ${name}: ${message}`)
}

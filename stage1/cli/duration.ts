import { UsageError } from '../../attestation/base/index.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * `90s`, `30m`, `24h`, `1h30m`, and plain seconds, as rkt and systemd have them.
 * @returns milliseconds
 * @throws UsageError
 */
export function parseDuration(option: string, text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000
  if (!/^([0-9]{1,9}(ms|s|m|h|d))+$/.test(text)) {
    throw new UsageError(`${option} '${text.slice(0, 40)}': write a time as 90s, 30m, 24h or 1h30m`)
  }
  let total = 0
  for (const [, digits = '', unit = ''] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) {
    total += Number(digits) * (UNITS[unit] ?? Number.NaN)
  }
  return total
}

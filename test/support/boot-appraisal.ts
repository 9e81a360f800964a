import { appraiseBoot, type BootAppraisal } from '../../attestation/appraisal/boot/index.ts'
import { EV } from '../../attestation/event-log/index.ts'
import { EXIT, honestBoot, type QuoteOptions, quoteOf } from './boot.ts'
import { cryptoAgileLog, type WrittenEvent, type WrittenLog } from './firmware-log.ts'

export interface Options extends QuoteOptions {
  /** What the TPM was really extended with, where the log says something else. */
  readonly extended?: readonly WrittenEvent[]
  readonly log?: WrittenLog
}

/** Appraises these events against a TPM that was extended with them. */
export function appraise(
  events: readonly WrittenEvent[],
  { extended = events, log, ...quote }: Options = {},
): BootAppraisal {
  return appraiseBoot({ firmware: cryptoAgileLog(events, log ?? {}), quoted: quoteOf(extended, quote) })
}

/** `rule tier` of every finding that is not affirming, once each. */
export function faults({ findings }: BootAppraisal): string[] {
  return [...new Set(findings.filter((f) => f.tier !== 'affirming').map((f) => `${f.rule} ${f.tier}`))].sort()
}

export function tierOf(appraisal: BootAppraisal, rule: string): string {
  const tiers = appraisal.findings.filter((f) => f.rule === rule).map((f) => f.tier)
  return tiers.find((tier) => tier !== 'affirming') ?? tiers[0] ?? 'absent'
}

export const GOOD = honestBoot()
export const at = (is: (e: WrittenEvent) => boolean): number => GOOD.findIndex(is)
export const SEPARATOR_7 = at((e) => e.type === EV.SEPARATOR && e.register === 7)
export const SEPARATOR_4 = at((e) => e.type === EV.SEPARATOR && e.register === 4)
export const APPLICATION = at((e) => e.type === EV.EFI_BOOT_SERVICES_APPLICATION)
export const AUTHORITY = at((e) => e.type === EV.EFI_VARIABLE_AUTHORITY)
export const EXIT_AT = GOOD.length - EXIT.length

export function without(index: number, count = 1): WrittenEvent[] {
  return GOOD.filter((_, i) => i < index || i >= index + count)
}

export function inserted(index: number, ...events: WrittenEvent[]): WrittenEvent[] {
  return [...GOOD.slice(0, index), ...events, ...GOOD.slice(index)]
}

export function replaced(index: number, change: Partial<WrittenEvent>): WrittenEvent[] {
  return GOOD.map((e, i) => (i === index ? { ...e, ...change } : e))
}

/** The same bytes measured, whatever the log makes of the event. */
export function retyped(index: number, type: number): WrittenEvent[] {
  const e = GOOD[index] as WrittenEvent
  return replaced(index, { type, measured: e.measured ?? e.data })
}

import type { Static } from '@sinclair/typebox'
import { toHex } from '../../base/index.ts'
import { banksOf, type LogEvent } from '../../event-log/index.ts'
import type { PolicyFacts } from '../facts.ts'
import { type Glob, glob } from '../glob.ts'
import { type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { type ReferenceDigests, referenceDigests, referencesText } from './reference-digests.ts'

type Settings = Static<(typeof RULE_KINDS)['events']>
type PatternText = NonNullable<Settings['required']>[number]

interface Pattern {
  readonly name: string
  readonly type: string | undefined
  readonly digests: ReferenceDigests | undefined
  readonly text: Glob | undefined
}

/**
 * Which events of a register must, may or must not be. With `types` only events of these are looked at, and also those
 * whose data is not proved: a type alone is the log's claim, and would otherwise be the way around the rule.
 */
export function eventsCheck(settings: Settings): Check {
  const { pcr } = settings
  const types = settings.types === undefined ? undefined : new Set(settings.types)
  const required = (settings.required ?? []).map(patternOf)
  const allowed = settings.allowed?.map(patternOf)
  const forbidden = (settings.forbidden ?? []).map(patternOf)
  const expected = [
    ...(required.length === 0 ? [] : [`in PCR ${pcr}: ${required.map((p) => p.name).join(', ')}`]),
    ...(allowed === undefined ? [] : [`in PCR ${pcr} nothing but ${allowed.length + required.length} known events`]),
    ...(forbidden.length === 0 ? [] : [`in PCR ${pcr} no ${forbidden.map((p) => p.name).join(', ')}`]),
  ].join('; ')
  const check = (facts: PolicyFacts): Outcome => {
    if (facts.boot.state !== 'read') return unsatisfied(expected, 'no log of the boot is proved')
    if (!facts.registers.some((r) => r.pcr === pcr)) return unsatisfied(expected, `PCR ${pcr} is not in the quote`)
    const missing = new Set(required)
    for (const { event, proof } of facts.boot.events({ kind: 'pcr', index: pcr })) {
      const { register, type } = event
      if (proof === 'not-extended' || proof === 'not-yet') continue
      const place = { source: event.source, index: event.index, register }
      if (proof !== 'data' && proof !== 'digest')
        return unsatisfied(expected, `PCR ${pcr} does not replay to the quote`, place)
      if (types !== undefined && !types.has(type) && proof === 'data') continue
      const digests = quotedDigests(event, facts)
      const is = (p: Pattern): boolean => matches(p, event, digests, proof === 'data')
      const bad = forbidden.find(is)
      if (bad !== undefined) return unsatisfied(expected, `${bad.name} (${type})`, place)
      const known = required.filter(is)
      for (const pattern of known) missing.delete(pattern)
      if (allowed !== undefined && known.length === 0 && !allowed.some(is)) {
        return unsatisfied(expected, `an unknown ${type}, ${digests.join(', ')}`, place)
      }
    }
    const [first] = missing
    return first === undefined ? satisfied(expected, `as expected`) : unsatisfied(expected, `no ${first.name}`)
  }
  return { claim: 'executables', needs: { logs: ['firmware'], pcrs: [pcr] }, ofBoot: true, check }
}

function patternOf({ name, type, digests, text }: PatternText): Pattern {
  const known = digests === undefined ? undefined : referenceDigests(digests)
  const what = [
    ...(type === undefined ? [] : [type]),
    ...(known === undefined ? [] : [referencesText(known)]),
    ...(text === undefined ? [] : [`'${text}'`]),
  ]
  return { name: name ?? what.join(' '), type, digests: known, text: text === undefined ? undefined : glob(text) }
}

function matches(pattern: Pattern, event: LogEvent, digests: readonly string[], dataProved: boolean): boolean {
  if (pattern.type !== undefined && pattern.type !== event.type) return false
  if (pattern.digests !== undefined && !digests.some((digest) => pattern.digests?.has(digest))) return false
  return pattern.text === undefined || (dataProved && pattern.text.matches(event.text))
}

/** Digests in the banks that the quote proves for the event's register. */
function quotedDigests(event: LogEvent, { registers }: PolicyFacts): string[] {
  return banksOf(event.digests)
    .filter((bank) => registers.some((r) => r.bank === bank && r.pcr === event.register.index))
    .map((bank) => toHex(event.digests[bank] ?? new Uint8Array()))
}

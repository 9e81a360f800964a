import type { Static } from '@sinclair/typebox'
import type { Authority, BootFacts, Fact, KeyList, SecureBootFacts } from '../../appraisal/boot/index.ts'
import { glob } from '../glob.ts'
import { listed, type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { eventOf, ofBoot, provedValue, whyUnproved } from './boot-facts.ts'

const SECURE_BOOT_PCR = 7

type Settings = Static<(typeof RULE_KINDS)['secureBoot']>
type Problem = Pick<Outcome, 'seen' | 'event'> | undefined

/** @param dbxFile hashes of the file that `dbx.atLeast` names, lowercase hex */
export function secureBootCheck(settings: Settings, dbxFile: ReadonlySet<string> | undefined): Check {
  const parts = [
    ...(settings.enabled === undefined ? [] : [enabledPart(settings.enabled)]),
    ...(settings.authorities === undefined ? [] : [authoritiesPart(settings.authorities)]),
    ...(settings.dbx === undefined ? [] : [dbxPart(settings.dbx, dbxFile)]),
  ]
  const expected = parts.map((part) => part.expected).join(', ')
  const check = ({ secureBoot }: BootFacts): Outcome => {
    for (const { problem } of parts) {
      const found = problem(secureBoot)
      if (found !== undefined) return unsatisfied(expected, found.seen, found.event)
    }
    return satisfied(expected, `Secure Boot ${secureBoot.state}, ${secureBoot.dbx?.value.count ?? 0} entries in dbx`)
  }
  return {
    claim: 'configuration',
    needs: { logs: ['firmware'], pcrs: [SECURE_BOOT_PCR] },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}

interface Part {
  readonly expected: string
  readonly problem: (secureBoot: SecureBootFacts) => Problem
}

function enabledPart(enabled: boolean): Part {
  const word = enabled ? 'enabled' : 'disabled'
  return {
    expected: `Secure Boot ${word}`,
    problem: ({ variable, state, why }) => {
      if (variable === undefined) return { seen: 'firmware measured no SecureBoot variable' }
      const value = provedValue(variable)
      if (value === undefined) return { seen: `SecureBoot: ${whyUnproved(variable)}`, event: eventOf(variable) }
      return value === enabled && state === word ? undefined : { seen: `${state}: ${why}`, event: eventOf(variable) }
    },
  }
}

function authoritiesPart({ allowed, required }: NonNullable<Settings['authorities']>): Part {
  const matcher = (certificate: string): ((authority: Authority) => boolean) => {
    if (/^[0-9a-f]{64}$/.test(certificate)) return (authority) => authority.id === certificate
    const subject = glob(certificate)
    return (authority) => authority.subject !== undefined && subject.matches(authority.subject)
  }
  const good = allowed === undefined ? undefined : [...allowed, ...(required ?? [])].map(matcher)
  const needed = (required ?? []).map((certificate) => ({ certificate, is: matcher(certificate) }))
  return {
    expected: [
      ...(allowed === undefined ? [] : [`images allowed by ${listed([...allowed, ...(required ?? [])])} only`]),
      ...(required === undefined ? [] : [`images allowed by ${listed(required)}`]),
    ].join(', '),
    problem: ({ authorities }) => {
      if (authorities.length === 0) return { seen: 'nothing says which key allowed an image' }
      for (const authority of authorities) {
        if (authority.proof !== 'data')
          return { seen: `${nameOf(authority)}: ${whyUnproved(authority)}`, event: eventOf(authority) }
        if (good?.some((is) => is(authority.value)) === false) {
          return { seen: `an image allowed by ${nameOf(authority)}`, event: eventOf(authority) }
        }
      }
      const missing = needed.find(({ is }) => !authorities.some(({ value }) => is(value)))
      return missing === undefined ? undefined : { seen: `no image allowed by ${missing.certificate}` }
    },
  }
}

function nameOf({ value }: Fact<Authority>): string {
  return `${value.id}${value.subject === undefined ? '' : ` (${value.subject})`} of ${value.list}`
}

/** What was said of the last few different lists: a fleet has few, and each has hundreds of entries. */
const MAX_REMEMBERED = 32

function dbxPart(
  { minimumEntries, contains, atLeast }: NonNullable<Settings['dbx']>,
  file: ReadonlySet<string> | undefined,
): Part {
  const wanted = [...(contains ?? []), ...(file ?? [])]
  const missingIn = new Map<string, readonly string[]>()
  const missing = (list: KeyList): readonly string[] => {
    const known = missingIn.get(list.sha256)
    if (known !== undefined) return known
    const ids = new Set(list.entries.map((entry) => entry.id))
    const found = wanted.filter((id) => !ids.has(id))
    if (missingIn.size >= MAX_REMEMBERED) missingIn.clear()
    missingIn.set(list.sha256, found)
    return found
  }
  return {
    expected: [
      ...(minimumEntries === undefined ? [] : [`a dbx of at least ${minimumEntries} entries`]),
      ...(contains === undefined ? [] : [`${listed(contains, 1)} in dbx`]),
      ...(atLeast === undefined ? [] : [`all ${file?.size ?? 0} hashes of ${atLeast.file} in dbx`]),
    ].join(', '),
    problem: ({ dbx }) => {
      if (dbx === undefined) return { seen: 'firmware measured no dbx' }
      const list = provedValue(dbx)
      if (list === undefined) return { seen: `dbx: ${whyUnproved(dbx)}`, event: eventOf(dbx) }
      const lacks = wanted.length === 0 ? [] : missing(list)
      if (lacks.length > 0) return { seen: `dbx lacks ${listed(lacks, 2)}`, event: eventOf(dbx) }
      if (minimumEntries === undefined || list.count >= minimumEntries) return undefined
      return { seen: `a dbx of ${list.count} entries`, event: eventOf(dbx) }
    },
  }
}

import type { Static } from '@sinclair/typebox'
import type { BootFacts, CommandLine, Fact } from '../../appraisal/boot/index.ts'
import type { PolicyFacts } from '../facts.ts'
import { type Glob, glob } from '../glob.ts'
import { listed, type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { eventOf, ofBoot, provedDigests, whyUnproved } from './boot-facts.ts'
import { type ReferenceDigests, referenceDigests } from './reference-digests.ts'

/** GRUB measures it into PCR 8, the kernel's stub into 9, systemd-stub and systemd-boot into 11 and 12. */
const COMMAND_LINE_PCRS = [8, 9, 11, 12]

type Settings = Static<(typeof RULE_KINDS)['commandLine']>

interface Patterns {
  readonly must: readonly Glob[]
  readonly mustNot: readonly Glob[]
  readonly allowed: readonly Glob[] | undefined
  readonly whole: readonly Glob[] | undefined
  readonly digests: ReferenceDigests
}

/**
 * What kernel command lines must and must not hold. Every one that was measured counts, as it is the boot loader's
 * choice which of them the kernel gets; one of which the log has the digest only must be among the digests given.
 */
export function commandLineCheck(settings: Settings): Check {
  const globs = (list: readonly string[] | undefined): Glob[] | undefined => list?.map(glob)
  const patterns: Patterns = {
    must: globs(settings.mustContain) ?? [],
    mustNot: globs(settings.mustNotContain) ?? [],
    allowed: globs(settings.allowed),
    whole: globs(settings.matches),
    digests: referenceDigests(settings.digests ?? []),
  }
  const expected = expectedText(settings)
  const check = ({ commandLines }: BootFacts, facts: PolicyFacts): Outcome => {
    if (commandLines.length === 0) return unsatisfied(expected, 'no command line is measured')
    let judged = 0
    for (const line of commandLines) {
      if (patterns.digests.size > 0 && provedDigests(line, facts).some((digest) => patterns.digests.has(digest))) {
        judged += 1
        continue
      }
      const { text } = line.value
      if (line.proof === 'data' && text !== undefined) {
        const problem = problemOf(text, patterns)
        if (problem !== undefined) return unsatisfied(expected, `${problem} in: ${text}`, eventOf(line))
        judged += 1
      } else if (line.proof !== 'digest' || patterns.digests.size > 0) {
        const what =
          line.proof === 'digest' ? `an unknown digest ${provedDigests(line, facts).join(', ')}` : whyUnproved(line)
        return unsatisfied(expected, `a command line by ${line.value.writer}: ${what}`, eventOf(line))
      }
    }
    return judged > 0 ? satisfied(expected, `${judged} command lines`) : unsatisfied(expected, unreadable(commandLines))
  }
  return {
    claim: 'configuration',
    needs: { logs: ['firmware'], pcrs: COMMAND_LINE_PCRS },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}

function unreadable(lines: readonly Fact<CommandLine>[]): string {
  const digests = lines.flatMap(({ value }) => Object.values(value.digests))
  return `only digests of command lines are in the log, name them in 'digests': ${listed(digests)}`
}

function problemOf(text: string, { must, mustNot, allowed, whole }: Patterns): string | undefined {
  if (whole?.some((g) => g.matches(text)) === false) return 'no pattern fits'
  const args = commandLineArguments(text)
  const forbidden = args.find((arg) => mustNot.some((g) => g.matches(arg)))
  if (forbidden !== undefined) return `'${forbidden}' must not be`
  const missing = must.find((g) => !args.some((arg) => g.matches(arg)))
  if (missing !== undefined) return `'${missing.text}' is missing`
  const other = args.find((arg) => allowed?.some((g) => g.matches(arg)) === false)
  return other === undefined ? undefined : `'${other}' is not allowed`
}

/**
 * As the kernel splits it: at blanks outside double quotes; the quotes are dropped. Source: Linux lib/cmdline.c,
 * next_arg.
 */
export function commandLineArguments(text: string): string[] {
  const out: string[] = []
  let current = ''
  let quoted = false
  let started = false
  for (const c of text) {
    if (c === '"') {
      quoted = !quoted
      started = true
    } else if (!quoted && (c === ' ' || c === '\t' || c === '\n' || c === '\r')) {
      if (started) out.push(current)
      current = ''
      started = false
    } else {
      current += c
      started = true
    }
  }
  if (started) out.push(current)
  return out
}

function expectedText({ mustContain, mustNotContain, allowed, matches, digests }: Settings): string {
  return [
    ...(mustContain === undefined ? [] : [`with ${listed(mustContain)}`]),
    ...(mustNotContain === undefined ? [] : [`without ${listed(mustNotContain)}`]),
    ...(allowed === undefined ? [] : [`of nothing but ${listed(allowed)}`]),
    ...(matches === undefined ? [] : [`like ${listed(matches)}`]),
    ...(digests === undefined ? [] : [`or one of ${digests.length} digests`]),
  ].join(', ')
}

import { asArray, asInteger, asMap, asText, optional, type Value, type ValueMap } from '../encoding/index.ts'
import { type Tier, tierOfValue, VECTOR_CLAIMS, type VectorClaim, worstTier } from './ar4si.ts'
import { badClaim } from './errors.ts'

/** What one rule of a verifier said, in words. All of it is for people; the trustworthiness vector is for programs. */
export interface EarFinding {
  readonly rule: string
  readonly tier: Tier
  readonly claim: VectorClaim
  readonly message: string
  readonly value?: number
  readonly expected?: string
  readonly seen?: string
  readonly event?: {
    readonly source: string
    readonly index: number
    readonly register: { readonly kind: string; readonly index: number }
  }
  readonly changed?: string
  readonly policy?: { readonly rule: string; readonly mode: string }
}

/** The extension is a map, as the draft asks: `findings`, the worst first, and how many were left out for room. */
export interface EarFindings {
  readonly findings: readonly EarFinding[]
  readonly omitted: number
}

/** A result travels in one message with its findings; a JWT is a third longer than its claims. */
const MAX_FINDINGS_JSON = 32_768
const MAX_FINDINGS = 256
const MAX_TEXT = 2048
const TIERS: readonly Tier[] = ['affirming', 'none', 'warning', 'contraindicated']

/** As many findings as fit, those that matter most first; within a tier the order stays. */
export function boundedFindings(all: readonly EarFinding[]): EarFindings {
  const rank = (f: EarFinding): number => TIERS.indexOf(worstTier([f.tier]))
  const findings: EarFinding[] = []
  let size = 0
  for (const f of all.toSorted((a, b) => rank(b) - rank(a))) {
    size += JSON.stringify(f).length
    if (size > MAX_FINDINGS_JSON || findings.length === MAX_FINDINGS) break
    findings.push(f)
  }
  return { findings, omitted: all.length - findings.length }
}

/** @throws ResultError RESULT_BAD_CLAIM */
export function readFindings(value: Value): readonly EarFinding[] {
  const list = asMap(value, 'findings', badClaim).get('findings')
  return asArray(list, 'findings', MAX_FINDINGS, badClaim).map((entry) => {
    const map = asMap(entry, 'finding', badClaim)
    const tier = oneOf(map.get('tier'), 'tier', TIERS)
    const exact = optional(map, 'value', (v) => asInteger(v, 'value', -128, 127, badClaim))
    if (exact !== undefined && tierOfValue(exact) !== tier) throw badClaim(`finding: value ${exact} is not ${tier}`)
    const event = optional(map, 'event', readEvent)
    const policy = optional(map, 'policy', (v) => {
      const rule = asMap(v, 'policy', badClaim)
      return { rule: text(rule, 'rule'), mode: text(rule, 'mode') }
    })
    return {
      rule: text(map, 'rule'),
      tier,
      claim: oneOf(map.get('claim'), 'claim', VECTOR_CLAIMS),
      message: text(map, 'message'),
      ...(exact !== undefined && { value: exact }),
      ...optionalText(map, 'expected'),
      ...optionalText(map, 'seen'),
      ...(event !== undefined && { event }),
      ...optionalText(map, 'changed'),
      ...(policy !== undefined && { policy }),
    }
  })
}

function readEvent(value: Value): NonNullable<EarFinding['event']> {
  const event = asMap(value, 'event', badClaim)
  const register = asMap(event.get('register'), 'register', badClaim)
  return {
    source: text(event, 'source'),
    index: asInteger(event.get('index'), 'index', 0, Number.MAX_SAFE_INTEGER, badClaim),
    register: {
      kind: text(register, 'kind'),
      index: asInteger(register.get('index'), 'register', 0, 0xffffffff, badClaim),
    },
  }
}

function text(map: ValueMap, name: string): string {
  return asText(map.get(name), name, MAX_TEXT, badClaim)
}

function optionalText<Name extends string>(map: ValueMap, name: Name): { readonly [n in Name]?: string } {
  const value = optional(map, name, (v) => asText(v, name, MAX_TEXT, badClaim))
  // a computed key is typed as any string
  return (value === undefined ? {} : { [name]: value }) as { [n in Name]?: string }
}

function oneOf<T extends string>(value: Value | undefined, what: string, known: readonly T[]): T {
  const found = known.find((name) => name === value)
  if (found === undefined) throw badClaim(`${what}: not one of ${known.join(', ')}`)
  return found
}

import { toHex } from '../base/index.ts'
import type { Corim, CorimDigest, CorimDocument, CorimEnvironment, CorimId } from './corim.ts'
import { referencePcrs } from './corim-profiles.ts'
import { CorimError } from './errors.ts'
import type { ReferenceRegister } from './references.ts'

/** 16 and 23 anybody may reset, 17 to 22 are of a dynamic launch: no policy speaks of them. */
const LAST_PCR = 15
/** The bank that every PC Client TPM has comes first: one value of a measurement is enough. */
const BANKS = ['sha256', 'sha384', 'sha512'] as const
/** As many values of one register as a policy can have. */
const MAX_VALUES = 1024

const ORIGIN: Readonly<Record<CorimDocument['signature'], string>> = {
  none: 'it is not signed: anybody could have written it',
  'not checked': 'its signature was not checked: see to it that it is the maker’s',
}

/**
 * Values of registers that a manifest names, in one bank for each measurement. What else is in it is counted, so that
 * nobody believes that it was taken over.
 *
 * @param from name of the file, for people
 * @throws CorimError CORIM_NOT_VALID before or after the times that the manifest is good for
 */
export function corimRegisters(
  { signature, corim }: CorimDocument,
  from: string,
  now: Date,
): { registers: readonly ReferenceRegister[]; notes: readonly string[] } {
  checkValidity(corim, now)
  const notes = [`${from}: ${ORIGIN[signature]}`]
  const registers: ReferenceRegister[] = []
  const counts = new Map<number, number>()
  for (const { environment, pcr, digests, measurement } of referencePcrs(corim)) {
    const what = `PCR ${pcr} of ${environmentText(environment)}`
    if (measurement.otherConditions.length > 0) {
      notes.push(`${from}: ${what} is left out: it has conditions that nothing here compares`)
      continue
    }
    const chosen = BANKS.map((bank) => digests.filter((d) => d.bank === bank)).find((list) => list.length > 0)
    if (chosen === undefined || pcr > LAST_PCR) {
      notes.push(
        `${from}: ${what} is left out: ${pcr > LAST_PCR ? 'no policy speaks of it' : 'no digest of SHA-256 or better'}`,
      )
      continue
    }
    for (const digest of chosen) {
      const count = (counts.get(pcr) ?? 0) + 1
      counts.set(pcr, count)
      if (count <= MAX_VALUES) registers.push(register(pcr, digest, `${from}, ${environmentText(environment)}`))
    }
  }
  for (const [pcr, count] of counts) {
    if (count > MAX_VALUES) notes.push(`${from}: of ${count} values of PCR ${pcr} ${MAX_VALUES} are taken`)
  }
  return { registers, notes: [...notes, ...notTaken(corim, from)] }
}

function register(pcr: number, { bank, bytes }: CorimDigest, from: string): ReferenceRegister {
  return { pcr, bank: bank ?? 'sha256', value: toHex(bytes), from } // chosen by its bank
}

function checkValidity({ validity }: Corim, now: Date): void {
  if (validity === undefined) return
  const seconds = now.getTime() / 1000
  const time = (s: number): string => new Date(s * 1000).toISOString()
  if (validity.notBefore !== undefined && seconds < validity.notBefore) {
    throw new CorimError(
      'CORIM_NOT_VALID',
      `the manifest is good from ${time(validity.notBefore)} on, which is not yet`,
    )
  }
  if (seconds > validity.notAfter) {
    throw new CorimError(
      'CORIM_NOT_VALID',
      `the manifest was good until ${time(validity.notAfter)}: ask its maker for a new one`,
    )
  }
}

/** Everything that is not a value of a register. */
function notTaken(corim: Corim, from: string): string[] {
  const { comids, otherTags } = corim
  const count = <T>(pick: (comid: Corim['comids'][number]) => readonly T[]): number =>
    comids.reduce((sum, comid) => sum + pick(comid).length, 0)
  const used = new Set(referencePcrs(corim).map(({ measurement }) => measurement))
  const kinds: [number, string][] = [
    [count((c) => c.referenceValues.filter(({ measurement }) => !used.has(measurement))), 'reference values of no PCR'],
    [count((c) => c.endorsedValues), 'endorsed values'],
    [count((c) => [...c.identityKeys, ...c.attestationKeys]), 'sets of keys'],
    [count((c) => c.otherTriples), 'triples of other kinds'],
    [otherTags.length, 'tags of other kinds (CoSWID, CoTL)'],
  ]
  return kinds.filter(([n]) => n > 0).map(([n, what]) => `${from}: ${n} ${what} are not taken over`)
}

/** The environment by what a person would look for in it. */
function environmentText({ class: kind, instance, group }: CorimEnvironment): string {
  const id = (value: CorimId | undefined): string | undefined => value?.value
  const parts = [kind?.vendor, kind?.model, id(kind?.id), id(instance), id(group)]
  return parts.filter((part) => part !== undefined).join(' ') || 'an environment without a name'
}

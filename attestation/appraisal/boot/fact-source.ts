import { toHex } from '../../base/index.ts'
import { banksOf, EV, type EventDigests, type Proof } from '../../event-log/index.ts'
import type { BootEvent, BootLog } from './boot-log.ts'
import type { DigestTexts, Fact } from './facts.ts'
import type { RegisterOutcome } from './replay-boot.ts'

/** A boot's log with what the quote proves of each of its events. */
export interface FactSource {
  readonly boot: BootLog
  readonly proof: (entry: BootEvent) => Proof
  readonly fact: <T>(entry: BootEvent, value: T) => Fact<T>
}

export function factSource(boot: BootLog, outcomes: ReadonlyMap<number, RegisterOutcome>): FactSource {
  const proofs = new Map<number, Proof>()
  for (const register of boot.registers) {
    const outcome = outcomes.get(register)
    for (const [position, entry] of boot.of(register).entries()) {
      proofs.set(entry.event.index, proofAt(outcome, position, entry))
    }
  }
  const proof = (entry: BootEvent): Proof => proofs.get(entry.event.index) ?? 'not-extended'
  return {
    boot,
    proof,
    fact: (entry, value) => ({
      value,
      proof: proof(entry),
      source: 'firmware',
      register: entry.event.register,
      event: entry.event.index,
    }),
  }
}

function proofAt(outcome: RegisterOutcome | undefined, position: number, { coverage, event }: BootEvent): Proof {
  if (event.type === EV.NO_ACTION) return 'not-extended'
  if (outcome === undefined || outcome.state === 'not-quoted' || outcome.state === 'log-missing') return 'not-quoted'
  if (outcome.state !== 'replayed') return 'refuted'
  if (position >= outcome.proven) return 'not-yet'
  if (coverage.coverage === 'mismatch') return 'refuted'
  return coverage.coverage === 'data' ? 'data' : 'digest'
}

export function digestTexts(digests: EventDigests): DigestTexts {
  const out: { [bank: string]: string } = {}
  for (const bank of banksOf(digests)) out[bank] = toHex(digests[bank] as Uint8Array) // banksOf gives those with a value
  return out
}

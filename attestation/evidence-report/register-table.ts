import type { RegisterOutcome } from '../appraisal/boot/index.ts'
import { toHex } from '../base/index.ts'
import { type ExtendChain, extendChain, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import {
  type BankRegisters,
  banksOf,
  type LogEvent,
  pcrAfterStart,
  type Register,
  type RegisterProof,
  registerName,
  replayRegister,
  type StartupLocality,
  zeroRegisters,
} from '../event-log/index.ts'
import type { Examined } from './examine.ts'

/** One register: what was quoted, what the logs make of it, and how the two stand to each other. */
export interface RegisterRow {
  readonly register: string
  /** Absent where no log was counted for it. */
  readonly events?: number
  /** Lowercase hex. */
  readonly banks: readonly { readonly bank: HashAlgorithm; readonly quoted?: string; readonly replayed?: string }[]
  readonly state: 'replays' | 'refuted' | 'not-quoted' | 'untouched' | 'unexplained'
  readonly why: string
}

/** The registers of a quote and of the logs beside it, ascending. */
export function registerTable(examined: Examined): RegisterRow[] {
  const { outcomes, ima, launch, quote } = examined
  const numbers = new Set([...outcomes.keys(), ...(quote?.pcrs ?? []).map((v) => v.pcr as number)])
  if (ima !== undefined) numbers.add(ima.pcr)
  if (launch !== undefined) numbers.add(launch.pcr)
  return [...numbers]
    .sort((a, b) => a - b)
    .map((pcr) => {
      const quoted = quotedBanks(examined, pcr)
      if (launch?.pcr === pcr) return proofRow(pcr, quoted, launch.proof, launch.records, 'the launch log')
      if (ima?.pcr === pcr) return proofRow(pcr, quoted, ima.proof, ima.entries, "IMA's list")
      const outcome = outcomes.get(pcr)
      return outcome === undefined ? noLogRow(pcr, quoted) : outcomeRow(pcr, quoted, outcome)
    })
}

function quotedBanks({ quote }: Examined, pcr: number): BankRegisters {
  return Object.fromEntries((quote?.pcrs ?? []).filter((v) => v.pcr === pcr).map((v) => [v.bank, v.value]))
}

function bankTexts(quoted: BankRegisters, replayed: BankRegisters = {}): RegisterRow['banks'] {
  return banksOf({ ...replayed, ...quoted }).map((bank) => {
    const [q, r] = [quoted[bank], replayed[bank]]
    return { bank, ...(q !== undefined && { quoted: toHex(q) }), ...(r !== undefined && { replayed: toHex(r) }) }
  })
}

function proofRow(pcr: number, quoted: BankRegisters, proof: RegisterProof, events: number, what: string): RegisterRow {
  const row = { register: `PCR ${pcr}`, events, banks: bankTexts(quoted) }
  switch (proof.state) {
    case 'not-quoted':
      return { ...row, state: 'not-quoted', why: 'it is not in the quote' }
    case 'refuted':
      return { ...row, state: 'refuted', why: `${what} does not replay to it` }
    case 'replayed': {
      const behind = events - proof.proven
      return { ...row, state: 'replays', why: behind === 0 ? what : `${what}, which goes on for ${behind} more` }
    }
  }
}

function noLogRow(pcr: number, quoted: BankRegisters): RegisterRow {
  const row = { register: `PCR ${pcr}`, banks: bankTexts(quoted) }
  const start = pcrAfterStart(pcr, banksOf(quoted))
  const untouched = banksOf(quoted).every((bank) => replayRegister(start, [], pick(quoted, bank)).proven === 0)
  if (untouched) return { ...row, state: 'untouched', why: 'as a TPM start leaves it' }
  return { ...row, state: 'unexplained', why: 'no log here says what was measured into it' }
}

const pick = (quoted: BankRegisters, bank: HashAlgorithm): BankRegisters => ({ [bank]: quoted[bank] }) as BankRegisters // one of banksOf

function outcomeRow(pcr: number, quoted: BankRegisters, outcome: RegisterOutcome): RegisterRow {
  const row = { register: `PCR ${pcr}`, banks: bankTexts(quoted) }
  switch (outcome.state) {
    case 'replayed': {
      const { replay, assumed, invented, unlogged, incomplete } = outcome
      const notes = [
        assumed?.kind === 'locality' ? [`assuming startup locality ${assumed.locality}`] : [],
        assumed?.kind === 'exit-boot-services' ? ['with the exit of boot services, which the log lacks'] : [],
        invented > 0 ? [`but ${invented} events of the firmware were never measured`] : [],
        unlogged.length > 0 ? [`nothing logged in bank ${unlogged.join(', ')}`] : [],
        incomplete.length > 0 ? [`digests missing in bank ${incomplete.join(', ')}`] : [],
      ].flat()
      return { ...row, events: replay.events, state: invented > 0 ? 'refuted' : 'replays', why: notes.join('; ') }
    }
    case 'refuted': {
      const ends = Object.fromEntries(outcome.replay.banks.map(({ bank, end }) => [bank, end]))
      const banks = bankTexts(quoted, ends)
      const why =
        outcome.locality === undefined
          ? 'the log does not replay to it'
          : `it would replay from startup locality ${outcome.locality}, and the log says another`
      return { ...row, banks, events: outcome.replay.events, state: 'refuted', why }
    }
    case 'not-quoted':
      return { ...row, state: 'not-quoted', why: 'it is not in the quote' }
    case 'untouched':
      return { ...row, events: 0, state: 'untouched', why: 'as a TPM start leaves it' }
    case 'unexplained':
      return { ...row, events: 0, state: 'unexplained', why: 'no log here says what was measured into it' }
    case 'log-missing':
      return { ...row, state: 'unexplained', why: 'there is no firmware log that could say what was measured' }
  }
}

/** What a log by itself makes of its registers: nothing is quoted. Events are read once and not kept. */
export function replayedTable(events: Iterable<LogEvent>, locality: StartupLocality = 0): RegisterRow[] {
  const runs = new Map<string, Run>()
  for (const event of events) {
    if (event.coverage === 'not-extended') continue
    const key = registerName(event.register)
    const run = runs.get(key) ?? startRun(event, locality)
    runs.set(key, run)
    run.events++
    for (const [bank, chain] of run.chains) {
      const digest = event.digests[bank]
      if (digest === undefined || digest.length !== hashSize(bank)) run.chains.delete(bank)
      else chain.extend(digest)
    }
  }
  return [...runs.values()]
    .sort((a, b) => a.register.kind.localeCompare(b.register.kind) || a.register.index - b.register.index)
    .map(({ register, events, chains }) => {
      const replayed = Object.fromEntries([...chains].map(([bank, chain]) => [bank, chain.value()]))
      const row = { register: registerName(register), events, banks: bankTexts({}, replayed) }
      return { ...row, state: 'not-quoted', why: 'nothing is quoted' }
    })
}

interface Run {
  readonly register: Register
  /** Of banks of which no event lacks its digest. */
  readonly chains: Map<HashAlgorithm, ExtendChain>
  events: number
}

function startRun({ register, digests }: LogEvent, locality: StartupLocality): Run {
  const banks = banksOf(digests)
  const start = register.kind === 'pcr' ? pcrAfterStart(register.index, banks, locality) : zeroRegisters(banks)
  const chains = banks.map((bank) => [bank, extendChain(bank, start[bank] as Uint8Array)] as const) // it has these banks
  return { register, chains: new Map(chains), events: 0 }
}

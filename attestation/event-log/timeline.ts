import type { LogEvent, LogSource, Proof, Register } from './event.ts'

/** A log as a timeline takes it. */
export interface TimelineLog {
  readonly source: LogSource
  /** In the log's own order; made while they are read, so a long log is never in memory as a whole. */
  readonly events: Iterable<LogEvent>
}

/** What the replay of a register said of its events. */
export type RegisterProof =
  /** The first `proven` events of it are proved; the log may go on behind them. */
  | { readonly state: 'replayed'; readonly proven: number }
  | { readonly state: 'refuted' }
  | { readonly state: 'not-quoted' }

/** An event and what is proved of it. */
export interface TimelineEvent {
  readonly event: LogEvent
  readonly proof: Proof
  /** One line for people: why the proof is what it is. */
  readonly why: string
}

/** Asks what the replay of a register said. */
export type ProofOf = (register: Register) => RegisterProof

/**
 * All logs as one timeline, log after log in the order given, which must be the order in which they extend a register
 * they share. Merging is by register: firmware, systemd and others extend the same ones, and only all of their events
 * together replay.
 *
 * @param only yields the events of one register
 */
export function* timeline(logs: readonly TimelineLog[], proofOf: ProofOf, only?: Register): Generator<TimelineEvent> {
  const seen = new Map<string, { count: number; readonly proof: RegisterProof }>()
  for (const log of logs) {
    for (const event of log.events) {
      const { register } = event
      if (only !== undefined && (only.kind !== register.kind || only.index !== register.index)) continue
      if (event.coverage === 'not-extended') {
        yield { event, proof: 'not-extended', why: event.why }
        continue
      }
      const key = `${register.kind} ${register.index}`
      const at = seen.get(key) ?? { count: 0, proof: proofOf(register) }
      seen.set(key, at)
      yield proved(event, at.proof, at.count++)
    }
  }
}

function proved(event: LogEvent, of: RegisterProof, position: number): TimelineEvent {
  const name = registerName(event.register)
  switch (of.state) {
    case 'not-quoted':
      return { event, proof: 'not-quoted', why: `${name} is not in the quote` }
    case 'refuted':
      return { event, proof: 'refuted', why: `${name} does not replay to the quote` }
    case 'replayed':
      if (position >= of.proven) return { event, proof: 'not-yet', why: `the log runs ahead of the quote in ${name}` }
      if (event.coverage === 'mismatch') return { event, proof: 'refuted', why: event.why }
      return { event, proof: event.coverage === 'data' ? 'data' : 'digest', why: event.why }
  }
}

/** e.g. `PCR 7`, as people say it. */
export function registerName({ kind, index }: Register): string {
  switch (kind) {
    case 'pcr':
      return `PCR ${index}`
    case 'rtmr':
      return `RTMR ${index}`
    case 'nv':
      return `NV index 0x${index.toString(16)}`
  }
}

import {
  type AgentRecord,
  type BankRegisters,
  banksOf,
  type EnterRecord,
  equalRegisters,
  fromBankValues,
  type LaunchLogContent,
  type LaunchRecord,
  type PodRecord,
  toBankValues,
} from '../event-log/index.ts'
import type { VectorClaim } from '../results/index.ts'
import { type Finding, finding } from './finding.ts'
import { imageKey, type LaunchLogState, type OpenPod } from './launch-log-state.ts'
import { type PendingTicket, settleTickets, type TicketEnd } from './tickets.ts'

/** What a node's operator may leave to stand in the launch log's register before the agent, and whose tickets count. */
export interface LaunchLogPolicy {
  /**
   * Register values at the agent's first start that are explained, e.g. by systemd's own measurements; all-zero always
   * is.
   */
  readonly startValues: readonly BankRegisters[]
  /** Verifier ids of this fleet. An agent that pins others obeys somebody else too. */
  readonly verifierKeys: ReadonlySet<string>
}

/** How a log begins: its first record, and the register it found. */
export interface LogStart {
  readonly first: AgentRecord
  readonly start: BankRegisters
  readonly resumed: boolean
}

/** Bounds of what one TPM start keeps in the verifier's memory. */
const MAX_MEASURED = 4096
const MAX_OPEN_PODS = 4096
const MAX_VIOLATIONS = 32

/** State while records are walked, in order. */
export class LaunchLogWalk {
  readonly #stage1s
  readonly #images
  /** Of all stage1s and images: no id is ever taken out of those again. */
  readonly #ids: Set<string>
  readonly #pods: Map<string, OpenPod>
  readonly #violations: Finding[]
  readonly #notes: Finding[] = []
  readonly #ended: TicketEnd[] = []
  readonly #start: BankRegisters
  readonly #resumed: boolean
  readonly #unknownTicketsTolerated: boolean
  #agent: AgentRecord
  #started: boolean
  #tickets: readonly PendingTicket[]

  /**
   * @param state after the records before; or the first record of a log, which the walk begins with
   * @param unknownTicketsTolerated at first contact: launches were allowed before this verifier kept this node's
   * tickets
   */
  constructor(state: LaunchLogState | LogStart, tickets: readonly PendingTicket[], unknownTicketsTolerated: boolean) {
    const known = 'agent' in state ? state : undefined
    this.#agent = 'agent' in state ? state.agent : state.first
    this.#started = known !== undefined
    this.#start = state.start
    this.#resumed = state.resumed
    this.#stage1s = new Map(known?.stage1s)
    this.#images = new Map(known?.images)
    this.#ids = new Set([...this.#stage1s.values(), ...this.#images.values()].map((image) => image.id))
    this.#pods = new Map(known?.pods)
    this.#violations = [...(known?.violations ?? [])]
    this.#tickets = tickets
    this.#unknownTicketsTolerated = unknownTicketsTolerated
  }

  /** A copy of what the walk has come to. */
  state(): LaunchLogState {
    return {
      agent: this.#agent,
      stage1s: new Map(this.#stage1s),
      images: new Map(this.#images),
      pods: new Map(this.#pods),
      violations: [...this.#violations],
      start: this.#start,
      resumed: this.#resumed,
    }
  }

  get tickets(): readonly PendingTicket[] {
    return this.#tickets
  }
  get ended(): readonly TicketEnd[] {
    return this.#ended
  }
  /** Findings of these records that are no violations. */
  get notes(): readonly Finding[] {
    return this.#notes
  }

  /** One record that a quote proves, with the register before and after it. */
  step(before: BankRegisters, content: LaunchLogContent, after: BankRegisters): void {
    const ticketed = content.record === 'launch' || content.record === 'enter'
    const awaited = ticketed ? this.#tickets.find((t) => t.id === content.ticket) : undefined
    const settled = settleTickets(this.#tickets, { before, after, content })
    this.#tickets = settled.pending
    this.#ended.push(...settled.ended)
    switch (content.record) {
      case 'agent':
        this.#agentRecord(content, before)
        return
      case 'stage1':
        this.#measure(this.#stage1s, content)
        return
      case 'image':
        this.#measure(this.#images, content)
        return
      case 'pod':
        this.#podRecord(content)
        return
      case 'launch': {
        const proven = settled.ended.some((e) => e.ticket.id === content.ticket && e.end !== 'dead')
        this.#launchRecord(content, proven, awaited)
        return
      }
      case 'enter': {
        const proven = settled.ended.some((e) => e.ticket.id === content.ticket && e.end !== 'dead')
        this.#enterRecord(content, proven, awaited)
        return
      }
      case 'denied':
        if (content.action === 'enter') return // the pod goes on as it is
        if (this.#pods.get(content.uuid)?.launched) {
          this.#violate('launch-log.order', 'executables', `pod ${content.uuid} is denied after it was launched`)
        } else this.#pods.delete(content.uuid)
        return
      case 'exited':
        if (!this.#pods.get(content.uuid)?.launched && content.reason !== 'not-started' && !this.#resumed) {
          this.#violate('launch-log.order', 'executables', `pod ${content.uuid} ended without a launch record`)
        }
        this.#pods.delete(content.uuid)
        return
      case 'break':
        this.#violate('launch-log.break', 'executables', `the agent found log and register apart: ${content.reason}`)
        return
      default:
        content satisfies never
    }
  }

  #agentRecord(content: AgentRecord, before: BankRegisters): void {
    if (this.#started && !equalRegisters(fromBankValues(content.found), before)) {
      this.#violate(
        'launch-log.agent-found',
        'executables',
        `an agent found ${describe(fromBankValues(content.found))}, the log says ${describe(before)}`,
      )
    }
    if (this.#started && content.mode !== this.#agent.mode) {
      this.#note('launch-log.mode', 'configuration', `the mode changed from ${this.#agent.mode} to ${content.mode}`)
    }
    this.#started = true
    this.#agent = content
  }

  #podRecord({ uuid, request, manifest, stage1, images, guest }: PodRecord): void {
    if (this.#pods.get(uuid)?.launched) {
      this.#violate('launch-log.duplicate-pod', 'executables', `pod ${uuid} is measured again while it runs`)
      return
    }
    const missing = [stage1, ...images].filter((id) => !this.#ids.has(id))
    if (missing.length > 0) {
      this.#violate(
        'launch-log.order',
        'executables',
        `pod ${uuid} uses ${missing.join(', ')}, never measured in this boot`,
      )
    }
    if (this.#pods.size >= MAX_OPEN_PODS) {
      this.#violate('launch-log.bounds', 'executables', `more than ${MAX_OPEN_PODS} pods are open`)
      return
    }
    const measured = { request, manifest, stage1, images, ...(guest === undefined ? {} : { guest }) }
    this.#pods.set(uuid, { ...measured, launched: false, unticketed: false })
  }

  #launchRecord(content: LaunchRecord, proven: boolean, awaited: PendingTicket | undefined): void {
    const { uuid } = content
    const pod = this.#pods.get(uuid)
    if (pod === undefined || pod.launched || pod.request !== content.request) {
      const why =
        pod === undefined ? 'was not measured' : pod.launched ? 'runs already' : 'was measured for another request'
      this.#violate('launch-log.order', 'executables', `pod ${uuid} is launched, but it ${why}`)
    }
    if (content.mode !== this.#agent.mode) {
      this.#violate(
        'launch-log.mode',
        'configuration',
        `pod ${uuid} is launched in mode ${content.mode}, the agent's is ${this.#agent.mode}`,
      )
    }
    this.#ticketOf(content, proven, awaited)
    if (pod !== undefined) this.#pods.set(uuid, { ...pod, launched: true, unticketed: content.ticket === undefined })
  }

  #enterRecord(content: EnterRecord, proven: boolean, awaited: PendingTicket | undefined): void {
    const { uuid } = content
    if (!this.#pods.get(uuid)?.launched && !this.#resumed) {
      this.#violate('launch-log.order', 'executables', `pod ${uuid} is entered, but it does not run`)
    }
    if (content.mode !== this.#agent.mode) {
      const message = `pod ${uuid} is entered in mode ${content.mode}, the agent's is ${this.#agent.mode}`
      this.#violate('launch-log.mode', 'configuration', message)
    }
    this.#ticketOf(content, proven, awaited)
  }

  #ticketOf(content: LaunchRecord | EnterRecord, proven: boolean, awaited: PendingTicket | undefined): void {
    const { uuid, ticket, mode } = content
    const done = content.record === 'launch' ? 'launched' : 'entered'
    if (proven) return
    if (ticket === undefined) {
      if (mode === 'enforce')
        this.#violate('launch-log.ticket', 'executables', `pod ${uuid} is ${done} without a ticket in mode enforce`)
      else this.#note('launch-log.ticket', 'executables', `pod ${uuid} is ${done} without a ticket in mode ${mode}`)
    } else if (awaited !== undefined) {
      this.#violate(
        'launch-log.ticket',
        'executables',
        `pod ${uuid} is ${done} with ticket ${ticket} at another register than it names`,
      )
    } else if (this.#unknownTicketsTolerated) {
      this.#note('launch-log.ticket', 'executables', `pod ${uuid} was ${done} with a ticket from before first contact`)
    } else {
      this.#violate(
        'launch-log.ticket',
        'executables',
        `pod ${uuid} is ${done} with ticket ${ticket}, which is dead, used or not of this fleet`,
      )
    }
  }

  #measure<R extends { readonly id: string; readonly name: string }>(known: Map<string, R>, content: R): void {
    const key = imageKey(content)
    if (known.size >= MAX_MEASURED && !known.has(key)) {
      this.#violate('launch-log.bounds', 'executables', `more than ${MAX_MEASURED} images are measured in one boot`)
      return
    }
    known.set(key, content)
    this.#ids.add(content.id)
  }

  #note(rule: string, claim: VectorClaim, message: string): void {
    this.#notes.push(finding(rule, 'warning', claim, message))
  }

  #violate(rule: string, claim: VectorClaim, message: string): void {
    if (this.#violations.length < MAX_VIOLATIONS)
      this.#violations.push(finding(rule, 'contraindicated', claim, message))
  }
}

/** The register in its strongest bank, shortened, for a message. */
export function describe(registers: BankRegisters): string {
  const bank = banksOf(registers).at(-1)
  const value = bank === undefined ? undefined : toBankValues(registers)[bank]
  return value === undefined ? 'no bank' : `${bank}:${value.slice(0, 16)}…`
}

import { NodeStateError, parseNodeState } from '../appraisal/index.ts'
import { type BootSummary, type MachineState, parseMachineState } from '../machine/index.ts'

/** What the verifier has proved of a node up to now, of all that it remembers. */
export interface NodeFacts {
  readonly clock: {
    readonly clockMs: string
    readonly resetCount: number
    readonly restartCount: number
    readonly safe: boolean
  } | null
  readonly launchPcr: number | null
  readonly agent: { readonly version: string; readonly mode: string; readonly programSha256: string } | null
  readonly pods: readonly {
    readonly uuid: string
    readonly launched: boolean
    readonly ticketed: boolean
    readonly stage1: string | null
    readonly images: readonly string[]
  }[]
  readonly registers: readonly {
    readonly pcr: number
    readonly bank: string
    readonly value: string
    /** Which log replays to it. */
    readonly proved: 'boot-log' | 'launch-log' | 'ima'
  }[]
  readonly boot: BootSummary | null
  readonly lastGoodBoot: BootSummary | null
  readonly bootFindings: readonly unknown[]
  readonly tickets: readonly { readonly id: string; readonly uuid: string; readonly overdue: boolean }[]
}

/** @param memory as the store has it; what cannot be read is told of as what is not there */
export function nodeFacts(memory: { readonly state: string | null; readonly machine: string | null }): NodeFacts {
  const state = readState(memory.state)
  const machine = memory.machine === null ? undefined : parseMachineState(memory.machine)
  const log = state?.boot?.log
  return {
    clock: state === undefined ? null : { ...state.clock, clockMs: state.clock.clockMs.toString() },
    launchPcr: state?.pcr ?? null,
    agent:
      log === undefined
        ? null
        : { version: log.agent.version, mode: log.agent.mode, programSha256: log.agent.programSha256 },
    pods: [...(log?.pods ?? [])].map(([uuid, pod]) => ({
      uuid,
      launched: pod.launched,
      ticketed: !pod.unticketed,
      stage1: [...(log?.stage1s.values() ?? [])].find(({ id }) => id === pod.stage1)?.name ?? null,
      images: pod.images.map((id) => [...(log?.images.values() ?? [])].find((image) => image.id === id)?.name ?? id),
    })),
    registers: [...machineRegisters(machine), ...launchRegisters(state)].sort((a, b) => a.pcr - b.pcr),
    boot: machine?.summary ?? null,
    lastGoodBoot: machine?.lastGood ?? null,
    bootFindings: machine?.boot?.findings ?? [],
    tickets: (state?.tickets ?? []).map(({ id, uuid, overdue }) => ({ id, uuid, overdue })),
  }
}

function readState(text: string | null) {
  try {
    return text === null ? undefined : parseNodeState(text)
  } catch (err) {
    if (err instanceof NodeStateError) return undefined
    throw err
  }
}

function machineRegisters(machine: MachineState | undefined): NodeFacts['registers'] {
  return Object.entries(machine?.boot?.state.registers ?? {}).flatMap(([pcr, { values }]) =>
    Object.entries(values).map(([bank, value]) => ({ pcr: Number(pcr), bank, value, proved: 'boot-log' as const })),
  )
}

function launchRegisters(state: ReturnType<typeof readState>): NodeFacts['registers'] {
  if (state?.boot === undefined) return []
  return Object.entries(state.boot.replay.banks).map(([bank, value]) => ({
    ...{ pcr: state.pcr, bank, value: Buffer.from(value).toString('hex'), proved: 'launch-log' as const },
  }))
}

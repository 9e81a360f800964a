import { worstFirst } from '../appraisal/index.ts'
import { serialiseMachineState } from '../machine/index.ts'
import type { VerdictChange } from '../store/index.ts'
import type { NodeAppraisal } from './evidence.ts'
import type { NodeContext } from './node-context.ts'

/** What of the machine's logs is stored with a result: only what is new, and with it the evidence, for a log is sent only once. */
export function machineRecord(
  context: NodeContext,
  { machine }: NodeAppraisal,
): { readonly machine?: string; readonly keepEvidence?: boolean } {
  if (machine === undefined || machine === context.machine) return {}
  const text = serialiseMachineState(machine)
  if (context.machine !== undefined && text === serialiseMachineState(context.machine)) return {}
  const boot = machine.boot?.state.wanted.firmware?.offset
  return { machine: text, keepEvidence: boot !== context.machine?.boot?.state.wanted.firmware?.offset }
}

/**
 * What is worth a line of history: another tier, the beginning of a quarantine, the end of silence. While a log comes in pieces there is nothing to
 * say yet, and what was said before stands until the node counts as silent.
 */
export function verdictChange(context: NodeContext, appraisal: NodeAppraisal): VerdictChange | undefined {
  const { tier, findings } = appraisal.result
  const { quarantine } = appraisal.state
  if (appraisal.more && tier !== 'contraindicated') return undefined
  const entered = quarantine !== undefined && context.state?.quarantine === undefined
  if (tier === context.tier && !entered && !context.silent) return undefined
  return {
    tier,
    findings: JSON.stringify(worstFirst(findings)),
    ...(entered && { quarantine: `${quarantine.rule}: ${quarantine.reason}` }),
  }
}

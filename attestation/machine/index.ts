export {
  appraiseMachine,
  type MachineAppraisal,
  type MachineInput,
  wantedMachineLogs,
  wantedRegisters,
} from './appraise.ts'
export { type BootSummary, bootChanges, bootSummary } from './changes.ts'
export { explainedStartValues } from './start-values.ts'
export { type MachineStart, type MachineState, parseMachineState, serialiseMachineState, withoutLogs } from './state.ts'

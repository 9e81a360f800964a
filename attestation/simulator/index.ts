export {
  type Behaviour,
  MISBEHAVIOURS,
  type Misbehaviour,
  parseShares,
  type Shares,
  seededRandom,
} from './behaviour.ts'
export { SimulatorError, type SimulatorErrorCode } from './errors.ts'
export { SimulatedFleet } from './fleet.ts'
export { KeyDirectory } from './key-directory.ts'
export { makeNodes } from './machines.ts'
export type { SimulatedNode } from './node.ts'
export { progressText, summaryText } from './report.ts'
export { type AkKind, newAk, newKeys, type SoftAk, type SoftKeys } from './soft-keys.ts'
export { SoftTpm } from './soft-tpm.ts'
export { type Summary, Tally } from './tally.ts'
export { readTrust, type SimulatorTrust } from './trust.ts'

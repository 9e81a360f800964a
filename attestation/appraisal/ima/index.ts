export { appraiseIma, type ImaAppraisal } from './appraise.ts'
export { type BootAggregateCheck, checkBootAggregate } from './boot-aggregate.ts'
export { type FileKeyBundle, fileKey, type NamedFileKey, readFileKeys } from './file-keys.ts'
export {
  checkFileSignature,
  type FileSignature,
  type SignatureCheck,
} from './file-signature.ts'
export { type PathGlob, pathGlob } from './glob.ts'
export { type CompiledImaPolicy, compileImaPolicy, EMPTY_IMA_POLICY, type ImaPolicy } from './policy.ts'
export {
  type BootAggregate,
  type ImaCounts,
  type ImaFailure,
  type ImaFailureKind,
  type ImaState,
  imaStateStart,
  type LearnedKey,
} from './state.ts'

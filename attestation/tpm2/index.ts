export { type Digest, makeDigest, type PcrIndex, type PcrSelection, type PcrValue, pcrIndex } from './pcr.ts'

import assert from 'node:assert/strict'
import {
  type Certificate,
  decodeCertificate,
  findPath,
  makeRootStore,
  type PathResult,
  type ValidityPolicy,
} from '../../attestation/endorsement/index.ts'
import { aki, caExtensions, ecKey, ekExtensions, makeCertificate, type TestCertificate } from './certificates.ts'

export const NOW = new Date('2026-11-24T00:00:00Z')
export const STRICT = { validity: 'strict', sha1: 'warn' } as const
export const rootKey = ecKey()
export const midKey = ecKey()
export const leafKey = ecKey()
export const otherKey = ecKey()

export type Change = Partial<TestCertificate>
export const make = (c: TestCertificate): Certificate => decodeCertificate(makeCertificate(c))
export const root = (change: Change = {}) =>
  make({
    subject: 'Root',
    key: rootKey,
    issuer: 'Root',
    issuerKey: rootKey,
    extensions: caExtensions({ keyId: 2 }),
    ...change,
  })
export const mid = (change: Change = {}) =>
  make({
    subject: 'Mid',
    key: midKey,
    issuer: 'Root',
    issuerKey: rootKey,
    extensions: caExtensions({ keyId: 1, authorityId: 2 }),
    ...change,
  })
export const leaf = (change: Change = {}) =>
  make({
    subject: '',
    key: leafKey,
    issuer: 'Mid',
    issuerKey: midKey,
    extensions: Object.values(ekExtensions()),
    ...change,
  })

/** An EK certificate that the root issued itself. */
export const direct = (change: Change = {}) =>
  leaf({ issuer: 'Root', issuerKey: rootKey, extensions: Object.values({ ...ekExtensions(), aki: aki(2) }), ...change })

export const find = (
  start: Certificate,
  supplied: readonly Certificate[],
  anchors: readonly Certificate[],
  policy: ValidityPolicy = 'strict',
  now = NOW,
) => findPath(start, supplied, makeRootStore(anchors), { validity: policy, sha1: 'warn' }, now)

export function assertCode(result: PathResult, code: string, message: RegExp): void {
  assert.ok(result.kind === 'no-path', 'a path was found')
  assert.equal(result.code, code, result.message)
  assert.match(result.message, message)
}
export const lengthOf = (result: PathResult): number => {
  assert.ok(result.kind === 'path', result.kind === 'no-path' ? result.message : '')
  return result.path.length
}

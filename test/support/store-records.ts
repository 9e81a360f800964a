import type { BoundAk, DecisionRecord, Enrolment, ResultRecord } from '../../attestation/store/index.ts'

// Small records of made-up nodes, for tests of the store.

export const nodeId = (n: number): string => n.toString(16).padStart(64, '0')
export const ak = (n: number): BoundAk => ({
  public: Uint8Array.of(1, n),
  name: `000b${nodeId(n)}`,
  certificate: Uint8Array.of(2, n),
})
export const enrolment = (n: number, admission: Enrolment['admission'] = { kind: 'pending' }): Enrolment => ({
  nodeId: nodeId(n),
  ekPublic: Uint8Array.of(9, n),
  ak: ak(n),
  attributes: { hostname: `host${n}` },
  admission,
})
export const evidence = (text: string) => ({
  sha256: text.padEnd(64, '0'),
  kind: 'evidence' as const,
  bytes: Buffer.from(text),
})
/** Enrolled, then admitted by an operator. */
export const version = (n: number, generation = 2, revision = 0) => ({ nodeId: nodeId(n), generation, revision })
export const result = (n: number, over: Partial<ResultRecord> = {}): ResultRecord => ({
  node: version(n),
  state: '{"offset":1}',
  evidence: evidence('aa'),
  ...over,
})
export const decision = (n: number, over: Partial<DecisionRecord> = {}): DecisionRecord => ({
  nodeId: nodeId(n),
  podUuid: '11111111-2222-3333-4444-555555555555',
  outcome: 'allowed',
  reasons: ['permit-all'],
  policyRevision: nodeId(77),
  ticketId: 'ab'.repeat(16),
  tier: 'affirming',
  request: Buffer.from('{}'),
  requestSha256: nodeId(5),
  ...over,
})

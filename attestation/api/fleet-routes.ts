import { STANDINGS } from '../appraisal/index.ts'
import type { AppraisalPolicy } from '../appraisal-policy/index.ts'
import { countLaunches, countNodes, evidenceInScope } from '../store/index.ts'
import { ApiError } from './problem.ts'
import { ImmutableBytes, route } from './route.ts'
import { EvidenceParams, Nothing, Policies, Summary } from './schemas.ts'

const HOUR_MS = 3_600_000

const summary = route({
  method: 'GET',
  path: '/v1/summary',
  permission: 'summary:read',
  subject: 'nodes',
  summary: 'How many nodes of each standing, how many launches of late',
  params: Nothing,
  query: Nothing,
  answers: Summary,
  handle: async ({ principal }, { store, now }) => {
    const ago = (ms: number): string => new Date(now().getTime() - ms).toISOString()
    const times = { since: ago(24 * HOUR_MS), later: ago(HOUR_MS) }
    const nodes = await store.query((db) => countNodes(db, principal.labels))
    const launches = await store.query((db) => countLaunches(db, principal.labels, times))
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
    const of = (outcome: string) => launches.find((l) => l.outcome === outcome)
    const outcomes = (part: 'since' | 'sinceLater') => ({
      allowed: of('allowed')?.[part] ?? 0,
      denied: of('denied')?.[part] ?? 0,
    })
    const nodesWith = (member: 'standing' | 'admission', words: readonly string[]) =>
      Object.fromEntries(words.map((w) => [w, sum(nodes.filter((n) => n[member] === w).map((n) => n.count))]))
    return {
      nodes: {
        total: sum(nodes.map((n) => n.count)),
        byStanding: nodesWith('standing', STANDINGS),
        byAdmission: nodesWith('admission', ['pending', 'admitted', 'refused']),
      },
      launches: { lastHour: outcomes('sinceLater'), lastDay: outcomes('since') },
    }
  },
})

/** Media type by kind of what is kept. */
const TYPES: Readonly<Record<string, string>> = {
  evidence: 'application/cbor',
  'policy-set': 'application/json',
  'appraisal-policy': 'application/json',
  certificate: 'application/pkix-cert',
}

const evidence = route({
  method: 'GET',
  path: '/v1/evidence/{sha256}',
  permission: 'evidence:read',
  subject: 'nodes',
  summary: 'Bytes that were kept, by their digest: evidence, policies, certificates',
  params: EvidenceParams,
  query: Nothing,
  media: ['application/cbor', 'application/json', 'application/pkix-cert'],
  handle: async ({ principal, params }, { store }) => {
    const found = await store.query((db) => evidenceInScope(db, principal.labels, params.sha256))
    if (found === undefined) throw new ApiError('NOT_FOUND', 'nothing is kept under this digest')
    return new ImmutableBytes(TYPES[found.kind] ?? 'application/octet-stream', found.bytes, params.sha256)
  },
})

const policies = route({
  method: 'GET',
  path: '/v1/policies',
  permission: 'policies:read',
  subject: 'fleet',
  summary: 'Launch and appraisal policies as the verifier has loaded them',
  params: Nothing,
  query: Nothing,
  answers: Policies,
  handle: async (_request, { launchPolicies, appraisalPolicies }) => {
    const launch = launchPolicies()
    const appraisal = appraisalPolicies()
    const all =
      appraisal === undefined ? [] : [...appraisal.selecting, ...(appraisal.fallback ? [appraisal.fallback] : [])]
    return {
      launch: {
        revision: launch.revision,
        policies: launch.policies.map(({ id, description, effect, actions, file, line, text }) => ({
          ...{ id, description: description ?? null, effect, actions, file, line, text },
        })),
      },
      appraisal: all.map(appraisalPolicy),
    }
  },
})

function appraisalPolicy(policy: AppraisalPolicy) {
  const { name, file, description, owner, priority, revision, rules } = policy
  return {
    ...{
      name,
      file,
      description: description ?? null,
      owner,
      fallback: policy.selector === undefined,
      priority,
      revision,
    },
    rules: rules.map(({ name, kind, mode, owner }) => ({ name, kind, mode, owner })),
  }
}

export const FLEET_ROUTES = [summary, evidence, policies]

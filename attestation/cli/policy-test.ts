import { existsSync } from 'node:fs'
import { type AppraisalPolicySet, selectPolicy } from '../appraisal-policy/index.ts'
import { formatTable, UsageError } from '../base/index.ts'
import { findNode } from '../store/index.ts'
import { readVerifierConfig } from '../verifier/config/index.ts'
import { withStore } from './options.ts'
import { readEvidence, storedEvidence, type TriedQuote, type Untried } from './policy-evidence.ts'
import { readPolicies } from './policy-files.ts'
import { type PolicyFor, type Trial, tryPolicies } from './policy-trial.ts'

export interface TestOptions {
  readonly against: readonly string[]
  readonly before?: string
  readonly config: string
  readonly format: 'table' | 'json'
}

/** Evidence of one node, oldest first, and what of it cannot be tried. */
interface NodeEvidence {
  readonly quotes: readonly TriedQuote[]
  readonly untried: readonly Untried[]
}

export async function testPolicy(path: string, options: TestOptions): Promise<void> {
  const after = policyFor(path)
  const before = options.before === undefined ? configuredPolicies(options.config) : policyFor(options.before)
  const evidence = await gather(options)
  const now = new Date()
  const trials = evidence.map(({ quotes, untried }): Trial => {
    const trial = tryPolicies(quotes, before, after, now)
    return { rows: trial.rows, untried: [...untried, ...trial.untried] }
  })
  const rows = trials.flatMap((t) => t.rows)
  const untried = trials.flatMap((t) => t.untried)
  if (rows.length === 0) {
    const why = untried.map((u) => `\n  ${u.from}: ${u.why}`).join('')
    throw new UsageError(`there is no evidence that the policy could be tried on${why}`)
  }
  if (options.format === 'json') process.stdout.write(`${JSON.stringify({ rows, untried }, null, 2)}\n`)
  else print({ rows, untried })
  if (rows.some((r) => r.worse)) process.exitCode = 1
}

/** One policy is tried on every machine; of a directory each machine's own. */
function policyFor(path: string): PolicyFor {
  const { one, set } = readPolicies(path)
  return one === undefined ? chooseFrom(set) : () => one
}

function chooseFrom(set: AppraisalPolicySet): PolicyFor {
  return (labels) => selectPolicy(set, labels) ?? 'unmeant'
}

function configuredPolicies(config: string): PolicyFor {
  const directory = existsSync(config) ? readVerifierConfig(config).appraisalPolicies : undefined
  return directory === undefined ? () => undefined : chooseFrom(readPolicies(directory).set)
}

async function gather({ against, config }: TestOptions): Promise<NodeEvidence[]> {
  const files = against.filter((name) => existsSync(name))
  const names = against.filter((name) => !existsSync(name))
  const found: NodeEvidence[] = files.map((file) => ({ quotes: [readEvidence(file)], untried: [] }))
  if (names.length === 0) return found
  return await withStore(config, async (store) => {
    const nodes = names.includes('store') ? await store.nodes() : []
    for (const name of names) if (name !== 'store') nodes.push(await findNode(store, name))
    for (const node of nodes) {
      const items = await storedEvidence(store, node)
      const untried = items.filter((item): item is Untried => 'why' in item)
      found.push({ quotes: items.filter((item): item is TriedQuote => 'quote' in item), untried })
    }
    return found
  })
}

function print({ rows, untried }: Trial): void {
  const lines = rows.map(({ from, before, after, worse, changes }) => [
    from,
    before,
    after,
    worse ? 'worse' : before === after ? '-' : 'better',
    changes.map((c) => c.rule).join(' ') || '-',
  ])
  process.stdout.write(formatTable(['EVIDENCE', 'BEFORE', 'AFTER', 'CHANGE', 'RULES'], lines))
  for (const { from, changes } of rows) {
    if (changes.length === 0) continue
    process.stdout.write(`\n${from}\n`)
    const why = changes.map((c) => [`  ${c.rule}`, `${c.before ?? '-'} -> ${c.after ?? '-'}`, c.message])
    process.stdout.write(formatTable(['  RULE', 'TIER', 'WHY'], why))
  }
  const worse = rows.filter((r) => r.worse).length
  process.stdout.write(`\n${worse} of ${rows.length} would be worse\n`)
  for (const { from, why } of untried) process.stderr.write(`holdfast: note: not tried: ${from}: ${why}\n`)
}

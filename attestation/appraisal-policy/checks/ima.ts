import type { CompiledImaPolicy, ImaState } from '../../appraisal/ima/index.ts'
import { listed, type Outcome, satisfied, tolerated, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'

const IMA_PCR = 10

/**
 * What IMA measured must be what the policy allows. The list was judged, entry by entry, with this very policy while it
 * was replayed.
 */
export function imaCheck(policy: CompiledImaPolicy): Check {
  const { files, signatureKeys, requireSignature, violations } = policy.policy
  const expected = [
    `files of ${files.size} known paths`,
    ...(signatureKeys.length === 0
      ? []
      : [`${requireSignature ? 'and' : 'or'} signed by one of ${signatureKeys.length} keys`]),
    ...(violations !== 'allow' ? ['none measured while it was written'] : []),
  ].join(', ')
  return {
    claim: 'executables',
    needs: { logs: ['ima'], pcrs: [IMA_PCR] },
    check: ({ ima }) => {
      switch (ima.state) {
        case 'proved':
          return judged(expected, ima.list, violations)
        case 'refuted':
          return unsatisfied(expected, `the list does not replay to PCR ${IMA_PCR}: ${ima.why}`)
        case 'absent':
          return unsatisfied(expected, 'no list of IMA is proved')
      }
    },
  }
}

function judged(
  expected: string,
  { counts, failures }: ImaState,
  violations: CompiledImaPolicy['policy']['violations'],
): Outcome {
  const { violation: violated = 0, ...others } = counts.failures
  const bad = Object.values(others).reduce((sum, count) => sum + count, 0)
  const failed = bad + (violations === 'allow' ? 0 : violated)
  const good = `${counts.listed} known, ${counts.signed} signed, ${counts.excluded} excluded`
  const measured = counts.listed + counts.signed + counts.excluded + counts.keys + counts.buffers
  // a machine that measures always measures something: nothing at all is a list cut down to its first entry
  if (bad === 0 && measured === 0)
    return unsatisfied(expected, 'IMA measured no file: its policy measures nothing, or it is off')
  if (failed === 0) return satisfied(expected, good)
  // what refuses is told before what only warns
  const told = failures
    .filter(({ kind }) => kind !== 'violation' || violations !== 'allow')
    .sort((a, b) => Number(a.kind === 'violation') - Number(b.kind === 'violation'))
  const [first] = told
  const what = listed(
    told.map((f) => `${f.kind} ${f.name}: ${f.seen}, expected ${f.expected}`),
    3,
  )
  const event = { source: 'ima', index: first?.index ?? 0, register: { kind: 'pcr', index: IMA_PCR } } as const
  const outcome = bad === 0 && violations === 'warn' ? tolerated : unsatisfied
  return outcome(
    expected,
    `${failed} entries are not allowed (${good}): ${what}`,
    first === undefined ? undefined : event,
  )
}

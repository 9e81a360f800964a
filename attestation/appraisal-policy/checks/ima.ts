import type { CompiledImaPolicy, ImaFailureKind, ImaState } from '../../appraisal/ima/index.ts'
import { listed, type Outcome, satisfied, unsatisfied } from '../outcome.ts'
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
    ...(violations === 'refuse' ? ['none measured while it was written'] : []),
  ].join(', ')
  return {
    claim: 'executables',
    needs: { logs: ['ima'], pcrs: [IMA_PCR] },
    check: ({ ima }) => {
      switch (ima.state) {
        case 'proved':
          return judged(expected, ima.list, violations === 'allow' ? 'violation' : undefined)
        case 'refuted':
          return unsatisfied(expected, `the list does not replay to PCR ${IMA_PCR}: ${ima.why}`)
        case 'absent':
          return unsatisfied(expected, 'no list of IMA is proved')
      }
    },
  }
}

function judged(expected: string, { counts, failures }: ImaState, ignored: ImaFailureKind | undefined): Outcome {
  let failed = 0
  for (const [kind, count] of Object.entries(counts.failures)) if (kind !== ignored) failed += count
  const good = `${counts.listed} known, ${counts.signed} signed, ${counts.excluded} excluded`
  if (failed === 0) {
    // a machine that measures always measures something: nothing at all is a list cut down to its first entry
    return counts.listed + counts.signed + counts.excluded + counts.keys + counts.buffers > 0
      ? satisfied(expected, good)
      : unsatisfied(expected, 'IMA measured no file: its policy measures nothing, or it is off')
  }
  const told = failures
    .filter(({ kind }) => kind !== ignored)
    .map((f) => `${f.kind} ${f.name}: ${f.seen}, expected ${f.expected}`)
  const first = failures.find(({ kind }) => kind !== ignored)
  const event = { source: 'ima', index: first?.index ?? 0, register: { kind: 'pcr', index: IMA_PCR } } as const
  return unsatisfied(
    expected,
    `${failed} entries are not allowed (${good}): ${listed(told, 3)}`,
    first === undefined ? undefined : event,
  )
}

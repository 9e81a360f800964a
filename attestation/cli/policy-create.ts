import type { Mode } from '../appraisal-policy/index.ts'
import { UsageError } from '../base/index.ts'
import { createPolicy } from './policy-draft.ts'
import { readEvidence } from './policy-evidence.ts'

export interface CreateArguments {
  readonly fromEvidence: readonly string[]
  readonly name: string
  readonly owner: string
  readonly mode: Mode
  readonly out?: string
}

export function createFromEvidence({ fromEvidence, name, owner, mode, out }: CreateArguments): void {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) {
    throw new UsageError(`'${name}' is no name of a policy: lowercase letters, digits, - and _`)
  }
  const quotes = fromEvidence.map(readEvidence)
  const text = createPolicy(quotes, { name, owner, mode, ...(out !== undefined && { out }) })
  if (out === undefined) process.stdout.write(text)
  else process.stdout.write(`${out}\n`)
  process.stderr.write('holdfast: note: this says what the machines were, not that they were good; review it\n')
}

import type { Mode } from '../appraisal-policy/index.ts'
import { printable, UsageError } from '../base/index.ts'
import { createPolicy } from './policy-draft.ts'
import { readEvidence } from './policy-evidence.ts'
import { type ReferenceFileNames, readReferences } from './policy-references.ts'

export interface CreateArguments extends ReferenceFileNames {
  readonly fromEvidence?: readonly string[]
  readonly name?: string
  readonly owner: string
  readonly mode: Mode
  readonly out?: string
}

export function createPolicyFile(options: CreateArguments): void {
  const { fromEvidence = [], owner, mode, out } = options
  const name = options.name ?? (fromEvidence.length > 0 ? 'from-evidence' : 'from-reference-values')
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) {
    throw new UsageError(`'${name}' is no name of a policy: lowercase letters, digits, - and _`)
  }
  const references = readReferences(options, new Date())
  if (fromEvidence.length === 0 && references.from.length === 0) {
    throw new UsageError('name what to make it of: --from-evidence, --from-image, --from-corim, --from-keylime')
  }
  const quotes = fromEvidence.map(readEvidence)
  const text = createPolicy(quotes, references, { name, owner, mode, ...(out !== undefined && { out }) })
  if (out === undefined) process.stdout.write(text)
  else process.stdout.write(`${out}\n`)
  for (const note of references.notes) process.stderr.write(`holdfast: note: ${printable(note)}\n`)
  const what =
    quotes.length > 0
      ? 'what the machines were, not that they were good'
      : 'what these files say, and nobody vouches for them'
  process.stderr.write(`holdfast: note: this says ${what}; review it\n`)
}

import { firmwareRule, imageRules, registerRule, secureBootRule, tpmRule } from './draft-boot.ts'
import { commandLineRule } from './draft-command-line.ts'
import { filesRule } from './draft-files.ts'
import { referenceRules } from './draft-references.ts'
import { comment, quoted, ruleLines } from './draft-text.ts'
import { type DraftMachine, type DraftOptions, type DraftReferences, NO_REFERENCES } from './draft-types.ts'
import type { Mode } from './policy.ts'

/** Notes that stand at the head of a policy; the rest is counted. */
const MAX_NOTES = 100

/**
 * A policy in YAML that these machines satisfy, as far as their evidence goes, and whatever else has the reference
 * values; every value has a comment that says where it is from. Machines of one kind are merged: what one of them has
 * is good for all, and so is what a reference names.
 */
export function draftPolicy(
  machines: readonly DraftMachine[],
  options: DraftOptions,
  references: DraftReferences = NO_REFERENCES,
): string {
  const { name, owner, mode } = options
  const { images } = references
  const boots = machines.flatMap((m) =>
    m.boot === undefined ? [] : [{ from: m.from, boot: m.boot, registers: m.registers }],
  )
  const rules = [
    ...requireRules(machines, mode),
    ...registerRule(machines),
    ...secureBootRule(boots, mode),
    ...imageRules(boots, images, mode),
    ...commandLineRule(boots, images, mode),
    ...referenceRules(references, mode),
    ...firmwareRule(boots, mode),
    ...tpmRule(machines, mode),
    ...filesRule(machines, references, options),
  ]
  const isUnified = images.some(({ kind }) => kind === 'unified-kernel')
  return [
    ...headLines(machines, references),
    'version: 1',
    `name: ${name}`,
    `owner: ${quoted(owner)}`,
    '# nodes: {all: {role: worker}}   # which nodes it is for; without it, all that no other policy is for',
    ...(isUnified ? ['evidence: {logs: [firmware, systemd]} # systemd measures into PCR 11 as well'] : []),
    'unlisted: enforce',
    'rules:',
    ...(rules.some((line) => !line.trimStart().startsWith('#')) ? rules : [...rules, '  {}']),
    '',
  ].join('\n')
}

function headLines(machines: readonly DraftMachine[], { from, notes }: DraftReferences): string[] {
  const lines: string[] = []
  if (machines.length > 0) lines.push(`# Made from evidence: ${comment(machines.map((m) => m.from).join(', '))}`)
  if (machines.length === 1) {
    const several = 'several of one kind show what they share.'
    lines.push(`# Of one machine only, so remove what is its own, such as root=UUID=...; ${several}`)
  }
  if (from.length > 0) lines.push(`# Made from reference values: ${comment(from.join(', '))}`)
  for (const note of notes.slice(0, MAX_NOTES)) lines.push(`# Note: ${comment(note)}`)
  if (notes.length > MAX_NOTES) lines.push(`# Note: and ${notes.length - MAX_NOTES} more`)
  const what =
    machines.length > 0 ? 'It says what they were, not that they were good' : 'Nobody vouches here for these values'
  return [...lines, `# ${what}: review it before it enforces anything. default.yaml explains the form.`]
}

/** Rules that found nothing wrong with any machine are required; those that did are told of, and only observed. */
function requireRules(machines: readonly DraftMachine[], mode: Mode): string[] {
  const wrong = new Map<string, string>()
  const all = new Set<string>()
  for (const { findings, from } of machines) {
    for (const { rule, tier, message } of findings) {
      if (!rule.startsWith('boot.') || rule === 'boot.changes') continue
      all.add(rule)
      if (tier !== 'affirming') wrong.set(rule, `${tier} on ${from}: ${message}`)
    }
  }
  const good = [...all].filter((id) => !wrong.has(id) && machines.every((m) => m.findings.some((f) => f.rule === id)))
  const odd = [...wrong].map(([id, why]) => `  - ${id} # ${comment(why)}`)
  return [
    ...(good.length === 0
      ? []
      : ruleLines('orderly-boot', mode, 'What was right with every machine.', [
          'require:',
          ...good.map((id) => `  - ${id}`),
        ])),
    ...(odd.length === 0
      ? []
      : ruleLines('oddities', 'observe', 'What was not: look at each before it is enforced.', ['require:', ...odd])),
  ]
}

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8, messageOf } from '../base/index.ts'
import { cedar, type DetailedError, type PolicyJson } from './cedar.ts'
import { LaunchPolicyError } from './errors.ts'
import { LAUNCH_ONLY_SCHEMA, LAUNCH_SCHEMA } from './schema.ts'

/** A fleet's policies are pages, not megabytes; more is a directory named by mistake. */
const MAX_FILE_BYTES = 1 << 20
const MAX_FILES = 1000
const MAX_PROBLEMS = 50

export type PolicyAction = 'launch' | 'enter'

/** One policy as it will be evaluated. */
export interface PolicySource {
  /** `@id`, or `file:line` where there is none. */
  readonly id: string
  readonly description?: string
  readonly effect: 'permit' | 'forbid'
  /** What it is asked about. One that leaves the action open is about launches alone. */
  readonly actions: readonly PolicyAction[]
  readonly file: string
  readonly line: number
  /** Of its text in the file, in bytes. */
  readonly offset: number
  readonly text: string
}

/** The files of a directory, exactly as read. */
export type PolicyFiles = ReadonlyMap<string, string>

/**
 * @param directory holds the `*.cedar` files; other files and deeper directories are not looked at
 * @returns name and text of each, in order of name
 * @throws LaunchPolicyError LAUNCH_POLICY_UNREADABLE
 */
export function readPolicyFiles(directory: string): PolicyFiles {
  const files = new Map<string, string>()
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.cedar'))
    if (names.length > MAX_FILES) throw new RangeError(`more than ${MAX_FILES} policy files`)
    for (const name of names.sort()) {
      const file = join(directory, name)
      if (statSync(file).size > MAX_FILE_BYTES) throw new RangeError(`${name} has more than ${MAX_FILE_BYTES} bytes`)
      files.set(name, fromUtf8(readFileSync(file)))
    }
  } catch (cause) {
    throw new LaunchPolicyError(
      'LAUNCH_POLICY_UNREADABLE',
      `launch policies in ${directory}: ${messageOf(cause)}; name a readable directory of *.cedar files`,
      { cause },
    )
  }
  return files
}

/**
 * Parses and checks all files against the schema.
 *
 * @throws LaunchPolicyError LAUNCH_POLICY_INVALID with every problem, one `file:line:col: message` a line
 */
export function parsePolicies(files: PolicyFiles): PolicySource[] {
  const problems: string[] = []
  const policies: PolicySource[] = []
  const places = new Map<string, string>()
  for (const [file, text] of files) {
    const found = checkFile(file, text)
    if (found.length > 0) {
      problems.push(...found)
      continue
    }
    for (const policy of split(file, text)) {
      const place = `${file}:${policy.line}`
      const other = places.get(policy.id)
      if (other !== undefined) problems.push(`${place}:1: policy "${policy.id}" has the @id of the policy at ${other}`)
      places.set(policy.id, place)
      policies.push(policy)
    }
  }
  if (problems.length > 0) {
    const more = problems.length > MAX_PROBLEMS ? [`... and ${problems.length - MAX_PROBLEMS} more`] : []
    throw new LaunchPolicyError('LAUNCH_POLICY_INVALID', [...problems.slice(0, MAX_PROBLEMS), ...more].join('\n'))
  }
  return policies
}

/** What is wrong with one file, each with its place. */
function checkFile(file: string, text: string): string[] {
  const bytes = Buffer.from(text)
  const describe = (e: DetailedError): string[] => {
    const at = e.sourceLocations?.[0]
    const label = at?.label ? ` (${at.label})` : ''
    const message = e.message
      .replace(/^for policy `policy\d+`, /, '')
      .replace(/^failed to parse policies from string: /, '')
    return [
      `${file}:${place(bytes, at?.start ?? 0)}: ${message}${label}${e.help ? `; ${e.help}` : ''}`,
      ...(e.related ?? []).flatMap(describe),
    ]
  }
  const parts = cedar.policySetTextToParts(text)
  if (parts.type === 'failure') {
    const parsed = cedar.checkParsePolicySet({ staticPolicies: text }) // the same failure, with its place
    return (parsed.type === 'failure' ? parsed.errors : parts.errors).flatMap(describe)
  }
  if (parts.policy_templates.length > 0) {
    return parts.policy_templates.map(
      (t) =>
        `${file}:${place(bytes, bytes.indexOf(t))}: a template (?principal, ?resource) decides nothing; write it out`,
    )
  }
  const ofEnter = (p: PolicySource): boolean => p.actions.includes('enter')
  const policies = split(file, text)
  return [
    { schema: LAUNCH_ONLY_SCHEMA, staticPolicies: without(text, policies.filter(ofEnter)) },
    {
      schema: LAUNCH_SCHEMA,
      staticPolicies: without(
        text,
        policies.filter((p) => !ofEnter(p)),
      ),
    },
  ].flatMap(({ schema, staticPolicies }) => {
    const answer = cedar.validate({ schema, policies: { staticPolicies } })
    if (answer.type === 'failure') return answer.errors.flatMap(describe)
    // a warning is a policy that can never match or a misleading string: in a policy that is a mistake too
    return [...answer.validationErrors, ...answer.validationWarnings].flatMap(({ error }) => describe(error))
  })
}

/** The text with blanks where these policies are: all others stay at their places. */
function without(text: string, policies: readonly PolicySource[]): string {
  const bytes = Buffer.from(text)
  for (const { text: policy, offset } of policies) {
    const end = offset + Buffer.byteLength(policy)
    for (let at = offset; at < end; at++) if (bytes[at] !== LINE_FEED) bytes[at] = BLANK
  }
  return bytes.toString()
}
const LINE_FEED = 0x0a
const BLANK = 0x20

/** @param json the policy in Cedar's JSON form */
function actionsOf({ action }: PolicyJson): readonly PolicyAction[] {
  if (action.op === 'All') return ['launch']
  const named = 'entities' in action ? action.entities : 'entity' in action ? [action.entity] : []
  const ids = named.map((entity) => ('__entity' in entity ? entity.__entity.id : entity.id))
  // an action that is not known stays with launches, whose schema says what is wrong with it
  return ids.includes('enter') ? (ids.includes('launch') ? ['launch', 'enter'] : ['enter']) : ['launch']
}

function split(file: string, text: string): PolicySource[] {
  const parts = cedar.policySetTextToParts(text)
  if (parts.type === 'failure') throw new TypeError('split() takes files that have been checked')
  const bytes = Buffer.from(text)
  const taken = new Set<number>()
  const policies = parts.policies.map((policy) => {
    // the parts are slices of the text, but come in order of Cedar's own numbering
    let start = bytes.indexOf(policy)
    while (taken.has(start)) start = bytes.indexOf(policy, start + 1)
    taken.add(start)
    const json = cedar.policyToJson(policy)
    if (json.type === 'failure') throw new TypeError('split() takes files that have been checked')
    const line = Number(place(bytes, start).split(':')[0])
    const { id, description } = json.json.annotations ?? {}
    return {
      id: id === undefined || id === '' ? `${file}:${line}` : id,
      ...(description !== undefined && { description }),
      effect: json.json.effect,
      actions: actionsOf(json.json),
      file,
      line,
      offset: start,
      text: policy,
    }
  })
  return policies.sort((a, b) => a.line - b.line)
}

/** `line:column`, counted from 1, of a byte offset: Cedar counts in bytes of UTF-8. */
function place(bytes: Buffer, offset: number): string {
  const before = bytes.subarray(0, Math.max(0, offset)).toString()
  const lastBreak = before.lastIndexOf('\n')
  return `${before.split('\n').length}:${before.length - lastBreak}`
}

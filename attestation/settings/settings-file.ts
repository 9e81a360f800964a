import type { Static, TSchema } from '@sinclair/typebox'
import { Value, type ValueError, ValueErrorType } from '@sinclair/typebox/value'
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import { messageOf } from '../base/index.ts'
import { nearestName } from './nearest-name.ts'
import { notPlain } from './plain-yaml.ts'

/** A configuration is a page or two of text; more is some other file. */
const MAX_SETTINGS_CHARS = 64 << 10
const MAX_PROBLEMS = 50

/** Tells a mistake, at the setting that `path` leads to; for what is missing, at what it is missing from. */
export type Complain = (path: readonly string[], message: string) => void

/** What is right for one kind of file. */
export interface SettingsRules<T extends TSchema> {
  /** Its `description`s complete the sentence "wants ...". */
  readonly schema: T
  /** Further rules of single settings, told together with mistakes of form; the value may be anything. */
  readonly single?: (value: unknown, complain: Complain) => void
  /** Which settings need or exclude each other; only for a value that the schema allows. */
  readonly together?: (value: Static<T>, complain: Complain) => void
  /** Makes the error of one or more mistakes, one `file:line:col: message` a line. */
  readonly error: (mistakes: string) => Error
  /** Where a page or two is too little. */
  readonly maxChars?: number
}

/**
 * Reads settings in YAML: strictly, without aliases, and with every mistake told at once by line and column.
 *
 * @param text of the file
 * @param file its name, for messages
 * @throws what `rules.error` makes
 */
export function parseSettings<T extends TSchema>(rules: SettingsRules<T>, text: string, file: string): Static<T> {
  const lines = new LineCounter()
  const found: { readonly offset: number; readonly message: string }[] = []
  const raise = (): never => {
    const out = found
      .sort((a, b) => a.offset - b.offset)
      .slice(0, MAX_PROBLEMS)
      .map(({ offset, message }) => {
        const { line, col } = lines.linePos(offset)
        return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${message}`
      })
    throw rules.error(out.join('\n'))
  }
  const { maxChars = MAX_SETTINGS_CHARS } = rules
  if (text.length > maxChars) {
    found.push({ offset: 0, message: `more than ${maxChars} characters; this is no configuration` })
    return raise()
  }
  const odd = notPlain(text)
  if (odd !== undefined) {
    lines.addNewLine(0)
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1)
    found.push(odd)
    return raise()
  }
  // the reader's own check of unique keys takes time with the square of their number
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, merge: false })
  for (const e of doc.errors) found.push({ offset: e.pos[0], message: e.message })
  if (found.length === 0) found.push(...oddKeys(doc))
  if (found.length > 0) return raise()
  let value: unknown
  try {
    value = doc.toJS({ maxAliasCount: 0 }) ?? {}
  } catch (err) {
    found.push({ offset: 0, message: `aliases are not read here (${messageOf(err)}); write the value out` })
    return raise()
  }
  const complain: Complain = (path, message) => found.push({ offset: offsetAt(doc, path), message })
  for (const e of Value.Errors(rules.schema, value)) {
    // TypeBox reports a missing member twice: as missing, and as an undefined value of the wrong type
    if (e.value === undefined && e.type !== ValueErrorType.ObjectRequiredProperty) continue
    const path = segmentsOf(e.path)
    complain(e.type === ValueErrorType.ObjectRequiredProperty ? path.slice(0, -1) : path, sentence(e))
    if (found.length === MAX_PROBLEMS) break
  }
  rules.single?.(value, complain)
  if (!Value.Check(rules.schema, value)) return raise()
  rules.together?.(value, complain)
  return found.length > 0 ? raise() : value
}

/** The members of a JSON pointer. */
function segmentsOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Keys that are there twice, or are no single words. */
function oddKeys(doc: Document): { readonly offset: number; readonly message: string }[] {
  const found: { offset: number; message: string }[] = []
  visit(doc, {
    Map: (_, map) => {
      const keys = new Set<string>()
      for (const { key } of map.items) {
        const name = String(key)
        const offset = startOf(key) ?? 0
        if (!isScalar(key)) found.push({ offset, message: 'keys are single words here' })
        else if (keys.has(name))
          found.push({ offset, message: `Map keys must be unique: ${shown(name)} is there twice` })
        keys.add(name)
        if (found.length === MAX_PROBLEMS) return visit.BREAK
      }
      return undefined
    },
  })
  return found
}

function sentence(e: ValueError): string {
  const path = segmentsOf(e.path)
  const name = path.join('.')
  switch (e.type) {
    case ValueErrorType.ObjectAdditionalProperties: {
      const near = nearestName(path.at(-1) ?? '', membersOf(e.schema))
      return `there is no setting '${name}'${near === undefined ? '' : `; did you mean '${near}'?`}`
    }
    case ValueErrorType.ObjectRequiredProperty:
      return `the setting '${name}' is missing; it is ${e.schema.description ?? 'required'}`
    default:
      return `${name === '' ? 'the file' : `'${name}'`} wants ${e.schema.description ?? e.message}, got ${shown(e.value)}`
  }
}

/** The error of an unknown member carries the schema of the object that has no such member. */
function membersOf(schema: TSchema): readonly string[] {
  const properties: unknown = schema['properties']
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : []
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 57)}...` : json
}

/** Where a setting's key stands (for an item of a list: the item); for the whole file, its first character. */
function offsetAt(doc: Document, path: readonly string[]): number {
  let node: unknown = doc.contents
  let at = startOf(node) ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((p) => isNode(p.key) && String(p.key) === key)
      if (pair === undefined) return at
      at = startOf(pair.key) ?? at
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      at = startOf(node) ?? at
    } else {
      return at
    }
  }
  return at
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined
}

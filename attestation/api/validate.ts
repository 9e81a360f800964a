import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { ApiError, type ProblemPart } from './problem.ts'

const MAX_PARTS = 16

/**
 * Checks a part of a request. Parameters are text; where a number or a list is wanted they are read as one.
 *
 * @returns the value as the schema has it
 * @throws ApiError INVALID_PARAMETER with each parameter that does not fit
 */
export function validated(schema: TSchema, value: unknown, part: 'parameter' | 'body'): unknown {
  const read = part === 'parameter' ? readText(schema, value) : value
  const problems: ProblemPart[] = []
  const seen = new Set<string>()
  for (const { path, message, schema: wanted } of Value.Errors(schema, read)) {
    if (problems.length >= MAX_PARTS) break
    const name = path.split('/')[1] ?? ''
    const at = part === 'parameter' ? name : path
    if (seen.has(at)) continue // several complaints of one thing
    seen.add(at)
    const detail = wanting(message, wanted)
    problems.push(part === 'parameter' ? { parameter: name, detail } : { pointer: path, detail })
  }
  if (problems.length > 0) throw new ApiError('INVALID_PARAMETER', 'see errors', problems)
  return read
}

function wanting(message: string, schema: TSchema): string {
  const words: unknown = schema['enum']
  return Array.isArray(words) ? `is one of ${words.join(', ')}` : message
}

/** Decimal digits where an integer is wanted, and a list of one where a list is; everything else stays for the check. */
function readText(schema: TSchema, value: unknown): unknown {
  const properties: Readonly<Record<string, TSchema>> = schema['properties'] ?? {}
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, text]: [string, unknown]) => {
      const type: unknown = Object.hasOwn(properties, name) ? properties[name]?.['type'] : undefined
      if (type === 'integer' && typeof text === 'string' && /^\d{1,16}$/.test(text)) return [name, Number(text)]
      if (type === 'array' && typeof text === 'string') return [name, [text]]
      return [name, text]
    }),
  )
}

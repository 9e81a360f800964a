import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

const MAX_PROBLEMS = 10

/** What is wrong with a value, path by path, for the message of an error. Quotes no value: it may be long or secret. */
export function schemaProblems(schema: TSchema, value: unknown): string {
  const problems: string[] = []
  for (const e of Value.Errors(schema, value)) {
    problems.push(`${e.path.slice(0, 256) || '/'}: ${e.message}`) // a path holds the peer's keys
    if (problems.length === MAX_PROBLEMS) break
  }
  return problems.join('; ')
}

import { toHex } from '../base/index.ts'

/** Any decoded value as JSON can hold it: maps are objects, bytes hexadecimal, integers beyond 2^53 decimal text. */
export function plainJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return value.map(plainJson)
  if (value instanceof Map) return membersOf(value)
  return typeof value === 'object' && value !== null ? membersOf(Object.entries(value)) : value
}

/** Without a prototype, so that no name in a file is special. */
function membersOf(entries: Iterable<readonly [unknown, unknown]>): object {
  const members: Record<string, unknown> = Object.create(null)
  for (const [name, value] of entries) members[String(name)] = plainJson(value)
  return members
}

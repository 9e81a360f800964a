import type { Mode } from './policy.ts'

/** A value and who has it. */
export interface ValueSource {
  readonly value: string
  readonly from: string
}

/** One entry for each value, with all who have it. */
export function valueSources(all: readonly ValueSource[]): ValueSource[] {
  const by = new Map<string, Set<string>>()
  for (const { value, from } of all) by.set(value, (by.get(value) ?? new Set()).add(from))
  return [...by].map(([value, froms]) => ({
    value,
    from: [...froms].slice(0, 3).join('; ') + (froms.size > 3 ? `; and ${froms.size - 3} more` : ''),
  }))
}

/** A rule: its name, mode and description, and what it asks. */
export function ruleLines(name: string, mode: Mode, description: string, body: readonly string[]): string[] {
  return [
    `  ${name}:`,
    `    description: ${quoted(description)}`,
    `    mode: ${mode}`,
    ...body.map((line) => `    ${line}`),
  ]
}

/** Items of a YAML list, each with a comment. */
export function listBlock(sources: readonly ValueSource[], indent: number): string[] {
  return sources.map(({ value, from }) => `${' '.repeat(indent)}- ${quoted(value)} # ${comment(from)}`)
}

/** YAML's double-quoted form; JSON's is one. */
export function quoted(text: string): string {
  return JSON.stringify(text.toWellFormed()).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Text for behind a `#`: a machine's text must not end the comment. */
export function comment(text: string): string {
  return text
    .replace(/[^\x20-\x7e\u00a0-\u1fff\u2030-\u205e\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd]/g, '?')
    .slice(0, MAX_COMMENT)
}
const MAX_COMMENT = 300

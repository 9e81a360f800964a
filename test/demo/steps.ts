import type { Ran } from '../support/holdfast.ts'

/** One line of the closing table. */
export interface Outcome {
  readonly name: string
  readonly expected: string
  readonly seen: string
  readonly ok: boolean
}

/** Says what is being done, and how long it took. On standard error: standard output is for the table. */
export class Progress {
  #count = 0
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#count++
    process.stderr.write(`${String(this.#count).padStart(2)}  ${what} ... `)
    const start = process.hrtime.bigint()
    try {
      const result = await work()
      process.stderr.write(`${(Number(process.hrtime.bigint() - start) / 1e9).toFixed(1)} s\n`)
      return result
    } catch (err) {
      process.stderr.write('failed\n')
      throw err
    }
  }
}

/** What one sees of a command: its exit status, and of what it said the line with `word` in it, or the first one. */
export function describe({ status, stdout, stderr }: Ran, word = ''): string {
  const lines = (status === 0 ? stdout : stderr).trim().split('\n')
  return `exit ${status}: ${(lines.find((l) => l.includes(word)) ?? lines[0] ?? '').trim().replace(/^holdfast run: /, '')}`
}

/** A launch that must be refused, with this in its message. */
export function refused(name: string, because: string, ran: Ran): Outcome {
  return {
    name,
    expected: `exit 254, "${because}"`,
    seen: describe(ran, because),
    ok: ran.status === 254 && ran.stderr.includes(because) && ran.stdout === '',
  }
}

/**
 * The closing table: digests and paths by their beginning and end, and cut to `width` columns where a cell is still
 * long.
 */
export function table(outcomes: readonly Outcome[], width: number): string {
  const nameWidth = Math.max(...outcomes.map((o) => o.name.length))
  const seenWidth = Math.max(20, width - nameWidth - 8)
  const lines = outcomes.map((o) => {
    const short = o.seen.replace(/\b([0-9a-f]{8})[0-9a-f]{56}\b/g, '$1…').replace(/\/\S+\/(?=[^/\s]+)/g, '…/')
    const seen = short.length > seenWidth ? `${short.slice(0, seenWidth - 1)}…` : short
    const expected = o.ok ? '' : `\n${' '.repeat(nameWidth + 7)}expected ${o.expected}`
    return `${o.ok ? 'ok  ' : 'FAIL'}  ${o.name.padEnd(nameWidth)}  ${seen}${expected}`
  })
  return lines.join('\n')
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

const PERIOD_MS = 25
const PAGE_BYTES = 4096

/** In MiB. */
export interface PeakMemory {
  /** Of the largest process, as wait4(2) and /usr/bin/time give it for a command and its children. */
  readonly largest: number
  /** Of all at once: the sum of their resident sets, so what they share counts for each of them. */
  readonly sum: number
}

/**
 * Runs a command in a process group of its own and looks at its processes again and again.
 * @throws Error when it fails
 */
export async function peakMemory(argv: readonly string[]): Promise<PeakMemory> {
  const [program = '', ...args] = argv
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = once(child, 'close') as Promise<[number | null]> // its first argument is the exit status
  const group = child.pid
  if (group === undefined) throw new Error(`${program} could not be started`)
  let [largest, sum] = [0, 0]
  const timer = setInterval(() => {
    const sizes = groupBytes(group)
    largest = Math.max(largest, ...sizes)
    sum = Math.max(
      sum,
      sizes.reduce((a, b) => a + b, 0),
    )
  }, PERIOD_MS)
  const [status] = await ended
  clearInterval(timer)
  if (status !== 0) throw new Error(`${argv.join(' ')} ended with ${status}`)
  return { largest: largest / 2 ** 20, sum: sum / 2 ** 20 }
}

function groupBytes(group: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map((pid) => residentBytes(pid, group))
}

function residentBytes(pid: string, group: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // proc(5): behind the name in parentheses come state, ppid, pgrp (field 5) and so on; rss in pages is field 24
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(fields[2]) === group ? Number(fields[21]) * PAGE_BYTES : 0
  } catch {
    return 0 // it has ended meanwhile
  }
}

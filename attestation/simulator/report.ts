import { formatTable } from '../base/index.ts'
import type { Summary } from './tally.ts'

/** The outcome of a simulation for people: numbers, a row for each behaviour, and each false verdict by itself. */
export function summaryText(summary: Summary): string {
  const { nodes, enrolled, rounds, seconds, roundsPerSecond, latencyMs } = summary
  const numbers = [
    ['enrolled', `${enrolled} of ${nodes}`],
    ['rounds', `${rounds} in ${seconds.toFixed(1)} s, ${roundsPerSecond.toFixed(1)} a second`],
    ['latency', latencyMs === undefined ? 'none' : `p50 ${ms(latencyMs.p50)}, p99 ${ms(latencyMs.p99)}`],
    ['connections lost', String(summary.connectionsLost)],
    ['attempts that failed', String(summary.dialsFailed)],
    ['false verdicts', String(summary.falseVerdicts)],
  ]
  const behaviours = summary.behaviours.map(({ behaviour, nodes, deserves, deserved, verdicts }) => [
    ...[behaviour, String(nodes), deserves, String(deserved)],
    counts(verdicts),
  ])
  const refusals = Object.entries(summary.refusals).map(([code, count]) => [code, String(count)])
  const told = summary.falseVerdictsTold.map((f) => [f.nodeId, f.behaviour, f.verdict])
  return [
    formatTable(undefined, numbers),
    formatTable(['BEHAVIOUR', 'NODES', 'DESERVES', 'HAS IT', 'VERDICTS'], behaviours),
    ...(refusals.length > 0 ? [formatTable(['REFUSED WITH', 'TIMES'], refusals)] : []),
    ...(told.length > 0 ? [formatTable(['FALSE VERDICT ON', 'BEHAVIOUR', 'VERDICT'], told)] : []),
  ].join('\n')
}

/** One line of how it goes. */
export function progressText(
  { enrolled, nodes, rounds, latencyMs, falseVerdicts }: Summary,
  perSecond: number,
): string {
  const latency = latencyMs === undefined ? '' : `, p99 ${ms(latencyMs.p99)}`
  return `${enrolled} of ${nodes} enrolled, ${rounds} rounds (${perSecond.toFixed(0)}/s)${latency}, ${falseVerdicts} false verdicts`
}

function counts(verdicts: Readonly<Record<string, number>>): string {
  return Object.entries(verdicts)
    .map(([verdict, count]) => `${count} ${verdict}`)
    .join(', ')
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`
}

import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { appraiseBoot, type BootInput } from '../../attestation/appraisal/boot/index.ts'
import { applyPolicy, parseAppraisalPolicy } from '../../attestation/appraisal-policy/index.ts'
import { honestBoot, quoteOf } from '../support/boot.ts'
import { cryptoAgileLog, type WrittenEvent } from '../support/firmware-log.ts'
import { type BenchRow, median } from './rows.ts'

const run = promisify(execFile)
const EVENTS = 100
/** As many as a dbx of 2023 has. */
const DBX_ENTRIES = 250
const BANKS = ['sha1', 'sha256'] as const
const ROUNDS = 9
/** Until the compiler of the engine has nothing left to do; the first four are up to a fifth slower. */
const WARM_UP = 4
const LOGS = 1000
const TOOL_RUNS = 20
const TARGET = 1500
const NOW = new Date()
const POLICY = parseAppraisalPolicy(
  `version: 1
name: bench
owner: bench
unlisted: enforce
rules:
  boot: {mode: enforce, require: [boot.log, boot.replay, boot.separator, boot.event-type]}
  secure-boot: {mode: enforce, secureBoot: {enabled: true, dbx: {minimumEntries: 200}}}
  command-line: {mode: enforce, commandLine: {mustContain: ["root=/dev/sda1"]}}
`,
  'bench.yaml',
  () => {
    throw new Error('the policy names no file')
  },
)

/**
 * A firmware log of 100 events in two banks (Secure Boot with a dbx of 250 entries, GRUB's commands): read, every
 * digest that is of data compared with it, PCR 0 to 23 replayed to the quote, all rules, all facts, and judged by a
 * policy that enforces. CPU time of this process and of the tool's, so that other work does not count.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  try {
    const events = eventsOf(EVENTS)
    const firmware = cryptoAgileLog(events, { banks: BANKS })
    const path = join(directory, 'binary_bios_measurements')
    await writeFile(path, firmware)
    const input = { firmware, quoted: quoteOf(events, { banks: BANKS }) }
    const ours: number[] = []
    const tool: number[] = []
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const logs = logsPerSecond(input)
      const processes = await processesPerSecond(path)
      if (round < 0) continue // it warms up
      ours.push(logs)
      tool.push(processes)
    }
    const row = { name: 'firmware-log', ours: median(ours), reference: median(tool) }
    return [
      {
        ...row,
        referenceWhat: 'tpm2_eventlog processes, which judge nothing',
        unit: 'logs/s',
        ratio: row.ours / row.reference,
        target: 'at least 1,500',
        met: row.ours >= TARGET,
      },
    ]
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** An honest boot of so many events, the Spec ID event included. */
function eventsOf(count: number): WrittenEvent[] {
  const others = honestBoot({ grubCommands: 0 }).length + 1
  return honestBoot({ dbxEntries: DBX_ENTRIES, grubCommands: count - others })
}

function logsPerSecond(input: BootInput): number {
  const before = process.cpuUsage()
  for (let i = 0; i < LOGS; i++) {
    const { findings, facts, timeline } = appraiseBoot(input)
    if (facts === undefined) throw new Error('the log was not read')
    const judged = applyPolicy(
      POLICY,
      {
        ...{ node: { id: 'ab'.repeat(32), labels: {} }, findings, registers: input.quoted, launchLog: undefined },
        ...{ boot: { state: 'read', facts, events: timeline }, ima: { state: 'absent' } },
        ...{ tpm: { firmwareVersion: 1n }, clock: { safe: true } },
      },
      NOW,
    )
    const bad = judged.findings.filter((f) => f.tier !== 'affirming')
    if (bad.length > 0) throw new Error(`the boot was not affirmed: ${JSON.stringify(bad).slice(0, 400)}`)
  }
  const { user, system } = process.cpuUsage(before)
  return LOGS / ((user + system) / 1e6)
}

/** By the shell's own count of its children's CPU time. */
async function processesPerSecond(path: string): Promise<number> {
  const script = 'for i in $(seq "$2"); do tpm2_eventlog "$1" > /dev/null || exit 1; done; times'
  const { stdout } = await run('bash', ['-c', script, 'bench', path, `${TOOL_RUNS}`])
  const [user = 0, system = 0] = [...(stdout.split('\n')[1] ?? '').matchAll(/(\d+)m([\d.]+)s/g)].map(
    (m) => Number(m[1]) * 60 + Number(m[2]),
  )
  if (user + system === 0) throw new Error(`the shell counted no time: ${stdout}`)
  return TOOL_RUNS / (user + system)
}

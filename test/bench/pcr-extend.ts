import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Tpm } from '../../agent/ports.ts'
import { EsysTpm } from '../../agent/tpm/esys-tpm.ts'
import { TpmClient } from '../../agent/tpm/index.ts'
import { makeDigest, pcrIndex } from '../../attestation/tpm2/index.ts'
import { HOLDFAST, PROJECT_ROOT } from '../support/holdfast.ts'
import { type Swtpm, startSwtpm } from '../support/swtpm.ts'
import { TPM_PROCESS } from '../support/tpm-client.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'

const run = promisify(execFile)
const ROUNDS = 7
/** In a row: after other programs had the processors, the first thousands are slower. */
const EXTENDS = 5000
const SALTED_EXTENDS = 150
const TOOL_RUNS = 5
const QUEUED = 500
const PCR = pcrIndex(16)
const DIGEST = [makeDigest('sha256', new Uint8Array(32).fill(0x5a))]

/**
 * TPM2_PCR_Extend on one simulator, in interleaved rounds: a C program on ESYS, with a salted HMAC session as ours and
 * without any; our stack through the TPM process, which is what the agent does (one after another, and queued); our
 * stack in this process; and tpm2_pcrextend. A simulator has no bus: on a hardware TPM the command itself takes
 * milliseconds, and the differences shrink.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const tpm = await startSwtpm()
  const tpms: Tpm[] = []
  try {
    const reference = join(directory, 'pcr-extend')
    await compile(reference)
    const command = existsSync(HOLDFAST) ? { file: process.execPath, args: [HOLDFAST, '__tpm-process'] } : TPM_PROCESS
    const client = new TpmClient({ tcti: tpm.tcti, command })
    tpms.push(client)
    const inProcess = await EsysTpm.open({ tcti: tpm.tcti, mode: 'sync' })
    tpms.push(inProcess)
    const times = new Map<string, number[]>()
    for (let round = -1; round < ROUNDS; round++) {
      // Three sessions at once, which is all the room that a TPM has: one of each of ours, and one of the C program.
      const measured = {
        cSalted: await byProgram(reference, tpm, SALTED_EXTENDS, 'salted'),
        client: await byCalls(client, EXTENDS),
        c: await byProgram(reference, tpm, EXTENDS, 'password'),
        inProcess: await byCalls(inProcess, EXTENDS),
        queued: await byQueue(client),
        tool: await byTool(tpm),
      }
      if (round < 0) continue // it warms up
      for (const [name, us] of Object.entries(measured)) times.set(name, [...(times.get(name) ?? []), us])
    }
    const of = (name: string) => median(times.get(name) ?? [])
    const cSalted = { reference: of('cSalted'), referenceWhat: 'C program on ESYS, salted session too', unit: 'us' }
    const c = { reference: of('c'), referenceWhat: 'C program on ESYS, without a session', unit: 'us' }
    const tool = { reference: of('tool'), referenceWhat: 'tpm2_pcrextend process, without a session', unit: 'us' }
    return [
      ratioRow({ name: 'pcr-extend', ours: of('client'), ...cSalted }, 1.6),
      ratioRow({ name: 'pcr-extend', ours: of('client'), ...tool }, 1 / 40),
      shown(ratioRow({ name: 'pcr-extend', ours: of('client'), ...c }, 1.6)),
      shown(ratioRow({ name: 'pcr-extend queued', ours: of('queued'), ...c }, 1.6)),
      // Without the process that can be killed: two wake-ups less for each call.
      shown(ratioRow({ name: 'pcr-extend in one process', ours: of('inProcess'), ...c }, 1.6)),
    ]
  } finally {
    for (const one of tpms) await one.close()
    await tpm.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

function shown(row: BenchRow): BenchRow {
  return { ...row, target: 'shown only', met: true }
}

async function compile(output: string): Promise<void> {
  const source = join(PROJECT_ROOT, 'test/bench/pcr-extend.c')
  try {
    await run('gcc', ['-O2', '-o', output, source, '-ltss2-esys', '-ltss2-tctildr'])
  } catch (cause) {
    throw new Error('the C program cannot be built: install gcc and libtss2-dev', { cause })
  }
}

async function byProgram(program: string, tpm: Swtpm, count: number, session: 'password' | 'salted'): Promise<number> {
  const env = { ...process.env, TSS2_LOG: 'all+NONE' }
  const { stdout } = await run(program, [tpm.tcti, String(PCR), String(count), session], { env })
  return median(stdout.trim().split('\n').map(Number)) / 1000
}

async function byCalls(tpm: Tpm, count: number): Promise<number> {
  const each: number[] = []
  for (let i = 0; i < count; i++) {
    const start = process.hrtime.bigint()
    await tpm.extend(PCR, DIGEST)
    each.push(Number(process.hrtime.bigint() - start) / 1000)
  }
  return median(each)
}

async function byQueue(tpm: Tpm): Promise<number> {
  const start = process.hrtime.bigint()
  await Promise.all(Array.from({ length: QUEUED }, () => tpm.extend(PCR, DIGEST)))
  return Number(process.hrtime.bigint() - start) / 1000 / QUEUED
}

async function byTool(tpm: Swtpm): Promise<number> {
  const start = process.hrtime.bigint()
  for (let i = 0; i < TOOL_RUNS; i++) await tpm.tool('tpm2_pcrextend', `${PCR}:sha256=${'5a'.repeat(32)}`)
  return Number(process.hrtime.bigint() - start) / 1000 / TOOL_RUNS
}

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import {
  appraiseIma,
  compileImaPolicy,
  EMPTY_IMA_POLICY,
  imaStateStart,
} from '../../attestation/appraisal/ima/index.ts'
import { concatBytes, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { knownImaEntries } from '../../attestation/event-log/index.ts'
import { bootAggregateEntry, encodeEntry, fileEntry, registerAfter } from '../support/ima-log.ts'
import { type BenchRow, median } from './rows.ts'

const run = promisify(execFile)
/** Different files of a fleet's operating system. */
const FILES = 20_000
const ENTRIES = 100_000
const ROUNDS = 9
const TARGET = 1_000_000

/**
 * A list of 100,000 entries: parsed, every template digest accounted for, PCR 10 of the SHA-256 bank replayed to the
 * quoted value, every file judged by a policy.
 * `steady state`: files of these names and contents were seen on another machine of the fleet. `first contact`: nothing
 * was seen before. CPU time of this process, so that other work on the machine does not count. The limit is OpenSSL's,
 * two hashes of 64 bytes for each entry.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const files = Array.from({ length: FILES }, (_, i) => ({
    path: `/usr/lib/x86_64-linux-gnu/package-${i % 400}/lib${i}.so.${i % 7}`,
    content: `file ${i}`,
  }))
  const entries = files.map(({ path, content }) => fileEntry(path, content))
  const order = Array.from({ length: ENTRIES - 1 }, (_, i) => (i * 7919) % FILES)
  const encoded = entries.map((entry) => encodeEntry(entry))
  const list = concatBytes(encodeEntry(bootAggregateEntry()), ...order.map((i) => encoded[i] ?? new Uint8Array(0)))
  const all = [bootAggregateEntry(), ...order.map((i) => entries[i] ?? bootAggregateEntry())]
  const quoted = { sha256: registerAfter(all, 'sha256') }
  const policy = {
    ...EMPTY_IMA_POLICY,
    files: new Map(files.map(({ path, content }) => [path, [toHex(digest('sha256', Buffer.from(content)))]])),
  }

  const steady: number[] = []
  const first: number[] = []
  let memoryMb = 0
  const compiled = compileImaPolicy(policy)
  for (let round = -2; round < ROUNDS; round++) {
    const fresh = { ...compiled, known: knownImaEntries('sha256') }
    const before = process.memoryUsage().rss
    const cold = entriesPerSecond(list, quoted, fresh)
    memoryMb = Math.max(memoryMb, (process.memoryUsage().rss - before) / (1 << 20))
    const warm = entriesPerSecond(list, quoted, compiled)
    if (round < 0) continue
    first.push(cold)
    steady.push(warm)
  }
  const limit = (await opensslHashes()) / 2
  const row = (name: string, ours: number): BenchRow => ({
    name,
    ours,
    reference: limit,
    referenceWhat: 'openssl speed, 2 SHA-256 of 64 bytes for each entry',
    unit: 'entries/s',
    ratio: ours / limit,
    target: 'shown only',
    met: true,
  })
  const steadyMedian = median(steady)
  return [
    { ...row('ima-log, steady state', steadyMedian), target: 'at least 1,000,000', met: steadyMedian >= TARGET },
    row('ima-log, first contact', median(first)),
    {
      name: 'ima-log, memory for 100,000 entries at first contact',
      ours: memoryMb,
      reference: list.length / (1 << 20),
      referenceWhat: 'the list itself',
      unit: 'MiB',
      ratio: memoryMb / (list.length / (1 << 20)),
      target: 'at most 64 MiB',
      met: memoryMb <= 64,
    },
  ]
}

function entriesPerSecond(
  list: Uint8Array,
  quoted: { readonly sha256: Uint8Array },
  policy: ReturnType<typeof compileImaPolicy>,
): number {
  const before = process.cpuUsage()
  const appraisal = appraiseIma(imaStateStart(['sha256']), list, quoted, policy)
  const { user, system } = process.cpuUsage(before)
  if (appraisal.outcome !== 'proved' || appraisal.state.counts.listed !== ENTRIES - 1) {
    throw new Error(`the list was not proved and allowed as a whole: ${JSON.stringify(appraisal).slice(0, 400)}`)
  }
  return ENTRIES / ((user + system) / 1e6)
}

/** SHA-256 of 64 bytes, per second on one core. */
async function opensslHashes(): Promise<number> {
  const { stdout } = await run('openssl', ['speed', '-mr', '-seconds', '2', '-bytes', '64', '-evp', 'sha256'])
  const bytesPerSecond = /^\+F:\d+:sha256:([\d.]+)$/im.exec(stdout)?.[1]
  if (bytesPerSecond === undefined) throw new Error(`openssl speed printed something else: ${stdout.slice(0, 200)}`)
  return Number(bytesPerSecond) / 64
}

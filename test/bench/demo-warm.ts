import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type BenchRow, ratioRow } from './rows.ts'

const LIMIT_S = 20

/** A warm `npm run demo` as a newcomer types it, set-up check and build included. */
export async function measure(): Promise<readonly BenchRow[]> {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const start = process.hrtime.bigint()
  execFileSync('npm', ['run', '-s', 'demo'], { cwd: root, stdio: 'ignore' })
  const ours = Number(process.hrtime.bigint() - start) / 1e9
  return [
    ratioRow(
      { name: 'demo-warm', ours, reference: LIMIT_S, referenceWhat: 'the limit that we set ourselves', unit: 's' },
      1,
    ),
  ]
}

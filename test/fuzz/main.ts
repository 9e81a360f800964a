import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/**
 * `npm run fuzz [-- PART...]`: the tests with properties only, each property tried far more often than in `npm test`.
 */
const RUNS = process.env['FUZZ_RUNS'] ?? '100000'
/** A property that has not failed by then has held: the whole run ends within an hour on two cores. */
const SECONDS = process.env['FUZZ_SECONDS'] ?? '15'

if (![RUNS, SECONDS].every((number) => /^[1-9][0-9]{0,8}$/.test(number))) {
  process.stderr.write('fuzz: FUZZ_RUNS and FUZZ_SECONDS are whole numbers of at least 1\n')
  process.exit(254)
}
const parts = process.argv.slice(2)
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => join('test', file))
  .filter((file) => file.endsWith('.test.ts') && /from 'fast-check'|support\/fuzz.ts'/.test(readFileSync(file, 'utf8')))
  .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
  .sort()
if (files.length === 0) {
  process.stderr.write(`fuzz: no test with properties has ${parts.join(' or ')} in its name\n`)
  process.exit(254)
}
process.stdout.write(
  `fuzz: ${files.length} files; every prefix of every vector, and each property ${RUNS} times or for ${SECONDS} s\n` +
    '      FUZZ_RUNS and FUZZ_SECONDS change that; npm run fuzz -- PART takes the files with PART in their name\n',
)
const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')
const options = ['--no-config', '--ui=bdd', '--timeout=0', '--reporter=test/support/counting-reporter.cjs']
const { status } = spawnSync(
  process.execPath,
  ['--import', 'tsx', '--import', './test/fuzz/limits.ts', mocha, ...options, ...files],
  {
    stdio: 'inherit',
    env: { ...process.env, FUZZ_RUNS: RUNS, FUZZ_SECONDS: SECONDS },
  },
)
process.exitCode = status ?? 1

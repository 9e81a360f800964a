import { parseArgs } from 'node:util'
import type { BenchRow } from './rows.ts'

/** `npm run bench`: every target, measured side by side with its peer in one run. */
const BENCHES: Readonly<Record<string, () => Promise<{ measure: () => Promise<readonly BenchRow[]> }>>> = {
  'pcr-extend': () => import('./pcr-extend.ts'),
  'launch-nspawn': () => import('./launch-nspawn.ts'),
  'launch-cni': () => import('./launch-cni.ts'),
  'launch-kvm': () => import('./launch-kvm.ts'),
  'kvm-memory': () => import('./kvm-memory.ts'),
  'quote-rsa': async () => ({ measure: (await import('./quote.ts')).measureRsa }),
  'quote-p256': async () => ({ measure: (await import('./quote.ts')).measureP256 }),
  'firmware-log': () => import('./firmware-log.ts'),
  'ima-log': () => import('./ima-log.ts'),
  'image-pull': () => import('./image-pull.ts'),
  'list-500': () => import('./list.ts'),
  'demo-warm': () => import('./demo-warm.ts'),
}

const USAGE = `npm run bench [-- --only NAME] [--json]
names: ${Object.keys(BENCHES).join(', ')}
`

function table(rows: readonly BenchRow[]): string {
  const head = ['name', 'ours', 'reference', 'unit', 'ratio', 'target', 'met', 'reference is']
  const number = (n: number) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2))
  const lines = rows.map((r) => [
    r.name,
    number(r.ours),
    number(r.reference),
    r.unit,
    r.ratio.toFixed(2),
    r.target,
    r.met ? 'yes' : 'NO',
    r.referenceWhat,
  ])
  const widths = head.map((h, i) => Math.max(h.length, ...lines.map((l) => l[i]?.length ?? 0)))
  return [head, ...lines]
    .map((l) =>
      l
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true }, json: { type: 'boolean' }, help: { type: 'boolean' } },
})
if (values.help) {
  process.stdout.write(USAGE)
} else {
  const names = values.only ?? Object.keys(BENCHES)
  const rows: BenchRow[] = []
  for (const name of names) {
    const load = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined
    if (load === undefined) {
      process.stderr.write(`bench: there is no '${name}'\n${USAGE}`)
      process.exit(254)
    }
    process.stderr.write(`bench: ${name} ...\n`)
    rows.push(...(await (await load()).measure()))
  }
  process.stdout.write(`${values.json ? JSON.stringify(rows, null, 2) : table(rows)}\n`)
  if (rows.some((r) => !r.met)) process.exitCode = 1
}

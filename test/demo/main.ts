import { parseArgs } from 'node:util'
import { Demo } from './demo.ts'
import { type Outcome, Progress, table } from './steps.ts'

const USAGE = `npm run demo [-- --keep] [-- --json]

Shows a measured launch end to end on a software TPM, and what is refused. Exit status 0 only if each came out as it should.

  --keep  leave the fleet running and print how to use it
  --json  print the closing table as JSON
`

const { values } = parseArgs({
  options: { keep: { type: 'boolean' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
})
if (values.help) {
  process.stdout.write(USAGE)
} else {
  process.exit(await main(values.keep === true, values.json === true))
}

async function main(keep: boolean, json: boolean): Promise<number> {
  const progress = new Progress()
  let demo: Demo | undefined
  const interrupted = (): void => {
    process.stderr.write('interrupted\n')
    void (demo?.stop() ?? Promise.resolve()).finally(() => process.exit(254))
  }
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    demo = await Demo.start(progress)
    const outcomes: readonly Outcome[] = await demo.show(progress)
    process.stderr.write('\n')
    const text = json ? JSON.stringify(outcomes, undefined, 2) : table(outcomes, process.stdout.columns ?? 160)
    process.stdout.write(`${text}\n`)
    const ok = outcomes.every((o) => o.ok)
    if (keep) {
      process.stderr.write(demo.howToUse())
    } else {
      await demo.stop()
    }
    return ok ? 0 : 1
  } catch (err) {
    process.stderr.write(`demo: ${err instanceof Error ? err.message : String(err)}\n`)
    await demo?.stop()
    return 254
  }
}

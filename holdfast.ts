#!/usr/bin/env node
import { writeSync } from 'node:fs'
import type { Command } from 'commander'
import { EXIT_HOLDFAST_FAILED, failureText } from './attestation/base/index.ts'
import type { Completable } from './stage1/cli/completion.ts'

/**
 * The one executable. A command's code is loaded only when it is called: `holdfast run` is on the path of every launch
 * and must not pay for the verifier's libraries. config/build.ts makes one file of this and `run`, and one of each
 * other import.
 */
interface Entry {
  readonly area: 'Pods and images' | 'Node' | 'Verifier' | 'Help'
  readonly summary: string
  readonly run: (name: string, args: readonly string[]) => Promise<void>
  readonly completable: () => Promise<Completable>
}

/** Runs a commander command as `holdfast NAME ARGS`. */
function commander(load: () => Promise<{ command: () => Command }>): Pick<Entry, 'run' | 'completable'> {
  const run = async (name: string, args: readonly string[]): Promise<void> => {
    const command = (await load()).command()
    command.name(`holdfast ${name}`)
    failAsOurs(command, `holdfast ${name}`)
    command.hook('preAction', (_, action) => endWithReader(action))
    await command.parseAsync([...args], { from: 'user' })
  }
  return {
    run,
    completable: async () => (await import('./stage1/cli/completion.ts')).completable((await load()).command()),
  }
}

/**
 * A command whose reader has seen enough (`holdfast log | head`) ends without a word, and says by its status that not
 * all was read. Services print nothing, and their standard output may be a pipe that others share: it stays as it is.
 */
function endWithReader(action: Command): void {
  if (SERVICES.has(action.name())) return
  process.stdout.on('error', (err: Error & { code?: string }) => {
    if (err.code === 'EPIPE') process.exit(EXIT_HOLDFAST_FAILED)
    throw err
  })
}
const SERVICES: ReadonlySet<string> = new Set([
  'holdfast agent',
  'holdfast metadata-service',
  'holdfast stage0',
  'holdfast verifier',
])

/**
 * What commander refuses, an unknown option for example, is said and exits as all failures of ours; so for subcommands.
 */
function failAsOurs(command: Command, name: string): void {
  command.exitOverride((err) => process.exit(err.exitCode === 0 ? 0 : EXIT_HOLDFAST_FAILED))
  command.configureOutput({ outputError: (text, write) => write(`${name}: ${text.replace(/^error: /, '')}`) })
  command.showHelpAfterError(`  ${name} --help shows the options.`)
  for (const sub of command.commands) failAsOurs(sub, `${name} ${sub.name()}`)
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  run: {
    area: 'Pods and images',
    summary: 'Measure, have authorised and start a pod; exits with its status',
    run: async (_name, args) => (await import('./stage1/cli/run.ts')).runCommand([...args]),
    completable: async () => ({ commands: new Map(), options: (await import('./stage1/cli/run.ts')).RUN_OPTION_NAMES }),
  },
  prepare: {
    area: 'Pods and images',
    summary: 'Make a pod ready to be launched; nothing is measured yet',
    run: async (_name, args) => (await import('./stage1/cli/prepare.ts')).prepareCommand([...args]),
    completable: async () => ({
      commands: new Map(),
      options: (await import('./stage1/cli/prepare.ts')).PREPARE_OPTION_NAMES,
    }),
  },
  'run-prepared': {
    area: 'Pods and images',
    summary: 'Verify a prepared pod again, then launch it as run does',
    run: async (_name, args) => (await import('./stage1/cli/run-prepared.ts')).runPreparedCommand([...args]),
    completable: async () => ({
      commands: new Map(),
      options: (await import('./stage1/cli/run-prepared.ts')).RUN_PREPARED_OPTION_NAMES,
    }),
  },
  fetch: {
    area: 'Pods and images',
    summary: 'Bring images into the store, every blob checked by digest',
    ...commander(() => import('./stage1/cli/fetch.ts')),
  },
  list: {
    area: 'Pods and images',
    summary: 'List pods',
    ...commander(() => import('./stage1/cli/list.ts')),
  },
  status: {
    area: 'Pods and images',
    summary: 'Show one pod, or wait for its end',
    ...commander(() => import('./stage1/cli/status.ts')),
  },
  enter: {
    area: 'Pods and images',
    summary: 'Run a program inside a running app, measured and authorised before',
    ...commander(() => import('./stage1/cli/enter.ts')),
  },
  logs: {
    area: 'Pods and images',
    summary: 'Print what an app of a detached pod has written',
    ...commander(() => import('./stage1/cli/logs.ts')),
  },
  'cat-manifest': {
    area: 'Pods and images',
    summary: "Print a pod's manifest",
    ...commander(() => import('./stage1/cli/cat-manifest.ts')),
  },
  export: {
    area: 'Pods and images',
    summary: 'Write the root of an app that has ended as an ACI',
    ...commander(() => import('./stage1/cli/export.ts')),
  },
  stop: {
    area: 'Pods and images',
    summary: 'Stop running pods, in order or by force',
    ...commander(() => import('./stage1/cli/stop.ts')),
  },
  rm: {
    area: 'Pods and images',
    summary: 'Remove pods that have ended',
    ...commander(() => import('./stage1/cli/rm.ts')),
  },
  gc: {
    area: 'Pods and images',
    summary: 'Collect pods that have ended, were abandoned or have expired',
    ...commander(() => import('./stage1/cli/gc.ts')),
  },
  image: {
    area: 'Pods and images',
    summary: 'List, check, export and remove the images in the store',
    ...commander(() => import('./stage1/cli/image.ts')),
  },
  trust: {
    area: 'Pods and images',
    summary: 'Say whose keys may sign App Container images',
    ...commander(() => import('./stage1/cli/trust.ts')),
  },
  config: {
    area: 'Node',
    summary: 'Print what is configured on this machine, and from where',
    ...commander(async () => {
      const { configCommand } = await import('./stage1/cli/config.ts')
      const { AGENT_CONFIG_FILE, agentSettings } = await import('./agent/cli/agent-settings.ts')
      return { command: () => configCommand({ defaultFile: AGENT_CONFIG_FILE, read: agentSettings }) }
    }),
  },
  stage0: {
    area: 'Node',
    summary: 'Optional: keep the code of run loaded, so that launches are faster',
    ...commander(() => import('./stage1/cli/stage0.ts')),
  },
  'metadata-service': {
    area: 'Node',
    summary: 'Optional: tell pods who they are, and sign for them',
    ...commander(() => import('./stage1/cli/metadata-service.ts')),
  },
  agent: {
    area: 'Node',
    summary: 'Run the node agent: owns the TPM and the launch log',
    ...commander(() => import('./agent/cli/agent.ts')),
  },
  log: {
    area: 'Node',
    summary: "Print this boot's launch log",
    ...commander(() => import('./agent/cli/log.ts')),
  },
  evidence: {
    area: 'Node',
    summary: "Collect, show and verify one machine's evidence, without a verifier",
    ...commander(async () => {
      const { evidenceCommand } = await import('./attestation/cli/evidence.ts')
      const { collectCommand } = await import('./agent/cli/evidence-collect.ts')
      return { command: () => evidenceCommand(collectCommand()) }
    }),
  },
  verifier: {
    area: 'Verifier',
    summary: 'Run the verifier: enrols, challenges, appraises, authorises',
    ...commander(() => import('./attestation/cli/verifier.ts')),
  },
  nodes: {
    area: 'Verifier',
    summary: 'List, admit, refuse, release nodes',
    ...commander(() => import('./attestation/cli/nodes.ts')),
  },
  tokens: {
    area: 'Verifier',
    summary: 'Make tokens: one-time ones for nodes, those of the API; list and revoke these',
    ...commander(() => import('./attestation/cli/tokens.ts')),
  },
  policy: {
    area: 'Verifier',
    summary: 'Check, make, compare and try policies',
    ...commander(() => import('./attestation/cli/policy.ts')),
  },
  roots: {
    area: 'Verifier',
    summary: 'Import and list the TPM makers whose certificates are believed',
    ...commander(() => import('./attestation/cli/roots.ts')),
  },
  simulate: {
    area: 'Verifier',
    summary: 'Simulate a fleet of nodes, well-behaved and not, to size and test a verifier',
    ...commander(() => import('./attestation/cli/simulate.ts')),
  },
}

const COMPLETION: Entry = {
  area: 'Help',
  summary: 'Print what bash, zsh or fish needs to complete commands',
  run: async (_name, [shell]) => {
    const { COMPLETION_HELP, completionScript } = await import('./stage1/cli/completion.ts')
    process.stdout.write(shell === '--help' ? COMPLETION_HELP : completionScript(shell))
  },
  completable: async () => ({ commands: new Map(), options: ['--help'] }),
}

/** Every command by its name. */
const ALL: Readonly<Record<string, Entry>> = { ...COMMANDS, completion: COMPLETION }

async function complete(words: readonly string[]): Promise<void> {
  const { completions } = await import('./stage1/cli/completion.ts')
  const load = async (name: string) => (Object.hasOwn(ALL, name) ? ALL[name]?.completable() : undefined)
  const found = await completions(words, [...Object.keys(ALL), 'help', 'version'], load)
  process.stdout.write(found.map((word) => `${word}\n`).join(''))
}

function help(): string {
  const width = Math.max(...Object.keys(ALL).map((name) => name.length))
  const lines = ['holdfast launches pods only on machines that have just proved what they run.', '']
  for (const area of ['Pods and images', 'Node', 'Verifier', 'Help'] as const) {
    lines.push(`${area}:`)
    for (const [name, entry] of Object.entries(ALL)) {
      if (entry.area === area) lines.push(`  ${name.padEnd(width)}  ${entry.summary}`)
    }
    lines.push('')
  }
  lines.push(
    'A first launch on a node whose agent runs:',
    '  holdfast fetch docker://registry.example/busybox:latest    (image-policy.json says who has to have signed it)',
    '  holdfast run registry.example/busybox:latest -- echo hello',
    '',
    'holdfast COMMAND --help tells more; holdfast version prints the version.',
    `Exit status ${EXIT_HOLDFAST_FAILED} means that Holdfast failed or refused; any other is the pod's own.`,
  )
  return `${lines.join('\n')}\n`
}

function fail(message: string, hint: string): never {
  process.stderr.write(`holdfast: ${message}\n${hint}\n`)
  process.exit(EXIT_HOLDFAST_FAILED)
}

async function main([name, ...args]: readonly string[]): Promise<void> {
  switch (name) {
    case undefined:
      fail('no command given', help())
      break
    case 'help':
    case '--help':
    case '-h': {
      const about = args[0]
      if (name === 'help' && about !== undefined) return dispatch(about, [...args.slice(1), '--help'])
      process.stdout.write(help())
      return
    }
    case 'version':
    case '--version':
      process.stdout.write(`holdfast ${VERSION}\n`)
      return
    case '__complete':
      return complete(args)
    case '__fetch': // the child of a launch that has to fetch: not root, where there is another user for it
      return (await import('./stage1/cli/fetch-child.ts')).serveFetch()
    case '__tpm-process': // the agent's child: the only process that loads tpm2-tss
      return (await import('./agent/tpm/index.ts')).runTpmProcess()
    default:
      return dispatch(name, args)
  }
}

async function dispatch(name: string, args: readonly string[]): Promise<void> {
  const entry = Object.hasOwn(ALL, name) ? ALL[name] : undefined
  if (entry !== undefined) {
    try {
      return await entry.run(name, args)
    } catch (err) {
      writeSync(2, failureText(name, err)) // at once: process.stderr would make a pipe non-blocking for whoever shares it
      process.exit(EXIT_HOLDFAST_FAILED)
    }
  }
  const near = Object.keys(ALL).filter((known) => known.startsWith(name.slice(0, 2)))
  fail(
    `there is no command '${name}'`,
    near.length > 0 ? `Did you mean: ${near.join(', ')}?` : 'holdfast help lists the commands.',
  )
}

declare const __HOLDFAST_VERSION__: string | undefined
const VERSION = typeof __HOLDFAST_VERSION__ === 'string' ? __HOLDFAST_VERSION__ : 'source'

void main(process.argv.slice(2))

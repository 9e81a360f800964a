import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import {
  chooseApp,
  DEFAULT_AGENT_CONFIG,
  DEFAULT_AGENT_SOCKET,
  DEFAULT_TRUST_FILE,
  enterApp,
  findPod,
  nodeTrust,
  readPodStatus,
} from '../pod/index.ts'
import { DEFAULT_DIR, installation } from './installation.ts'
import { mustBeRoot } from './pod-request.ts'
import { uuidArgument } from './uuid-file.ts'

interface EnterOptions {
  readonly dir: string
  readonly app?: string
  readonly uuidFile?: string
  readonly agent: string
  readonly trust: string
  readonly agentConfig: string
}

/** `holdfast enter` */
export function command(): Command {
  return new Command('enter')
    .description('Run a program inside a running app, confined as the app is.')
    .argument('[words...]', 'UUID of the pod, or the beginning of one, then the program and its arguments')
    .usage('[options] UUID [--] [PROGRAM [ARGUMENTS]]')
    .option('--app <name>', 'which app; not needed where the pod has one')
    .option('--uuid-file <file>', 'take the UUID from this file; all words are the program then')
    .option('--agent <socket>', 'the node agent', DEFAULT_AGENT_SOCKET)
    .option('--trust <file>', "the verifier's trust.json, whose keys sign tickets", DEFAULT_TRUST_FILE)
    .option('--agent-config <file>', "the agent's configuration, of which the mode is read", DEFAULT_AGENT_CONFIG)
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action(enter)
}

const EXAMPLES = `
The program is /bin/sh unless given. It has the app's namespaces, user, capabilities, system call filter and control groups, and its exit
status is the one of this command; 254 means that Holdfast failed or refused. Before it runs, who asks for what is measured into
the TPM and authorised by the verifier's launch policies (action "enter"); of the arguments there is a keyed digest.

Examples:
  holdfast enter 5c1d
  holdfast enter --app web 5c1d cat /etc/resolv.conf
`

/** Without the `--` that may stand between UUID and program, as it does in front of an app's arguments in run. */
function programAfter([, ...words]: readonly string[]): readonly string[] {
  return words[0] === '--' ? words.slice(1) : words
}

async function enter(words: readonly string[], o: EnterOptions): Promise<void> {
  mustBeRoot()
  const [uuid, rest] = o.uuidFile === undefined ? [words[0], programAfter(words)] : [undefined, words]
  const pod = findPod(o.dir, uuidArgument(uuid, o.uuidFile))
  const command = rest.length === 0 ? ['/bin/sh'] : rest
  if (command[0] === '') throw new UsageError('the program is empty')
  const terminal = process.stdin.isTTY && process.stdout.isTTY ? (process.env['TERM'] ?? 'linux') : undefined
  process.exitCode = await enterApp({
    pod,
    app: chooseApp(readPodStatus(pod), o.app),
    command,
    ...(terminal === undefined ? {} : { terminal }),
    stage1Program: installation().stage1Program,
    agentSocket: o.agent,
    trust: nodeTrust(o.trust, o.agentConfig),
    onMode: (mode) => process.stderr.write(`holdfast enter: warning: the agent does not enforce (mode ${mode})\n`),
  })
}

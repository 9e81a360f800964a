import { Command, Option } from 'commander'
import { printable } from '../../attestation/base/index.ts'
import {
  findPod,
  type ImageProvenance,
  type PodStatus,
  readPodStatus,
  waitForPod,
  waitUntilReady,
} from '../pod/index.ts'
import { parseDuration } from './duration.ts'
import { DEFAULT_DIR } from './installation.ts'
import { podJson } from './pod-json.ts'
import { uuidArgument } from './uuid-file.ts'

interface StatusOptions {
  readonly dir: string
  /** `true` where no time was given. */
  readonly wait?: true | string
  readonly waitReady?: true | string
  readonly uuidFile?: string
  readonly format: 'text' | 'json'
}

/** `holdfast status` */
export function command(): Command {
  return new Command('status')
    .description('Show one pod as key=value lines.')
    .argument('[uuid]', 'UUID of the pod, or the beginning of one')
    .option('--wait [time]', 'wait until the pod has ended, at most this long, as 90s or 5m')
    .option('--wait-ready [time]', 'wait until all its apps have been executed')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .addOption(new Option('--format <format>', 'how to print').choices(['text', 'json']).default('text'))
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((uuid: string | undefined, options: StatusOptions) => status(uuid, options))
}

const EXAMPLES = `
Keys: state, mode, networks, created, started, ready, refused (code and reason of a launch that was refused), for each app:
  app-NAME=EXIT STATUS           where it has ended; 128 and the number for a signal
  app-NAME-state=PHASE           waiting, pre-start, running, post-stop, restarting, ended
  app-NAME-reason=WHY            exited, signal, oom-killed, handler-failed, killed-with-pod
  app-NAME-restarts=NUMBER       where it was started again
of a virtual machine that did not end in order:
  vm-end=HOW                     failed, crashed, hung-at-boot, killed, nonsense, vmm-ended
  vm-message=TEXT                one line for each of it, as the last ones of the guest's console
and of a pod that was launched, as measured: stage1 (flavour, ID, verification, tree digest), accelerator (kvm, tcg), tpm-node (node ID of
the TPM that the pod has for itself), relaxed (checks left out), and for each app:
  app-NAME-tree=DIGEST           of its image's root
  app-NAME-verified=HOW          full-file, stat-cache
  app-NAME-signer=KIND KEY TIME  one line for each, with when that was checked; nobody
  app-NAME-policy=SHA256 SCOPE   the image policy that let it in when it was fetched
  app-NAME-relaxed=CHECKS        left out when it was fetched

Examples:
  holdfast status 5c1d
  holdfast status --wait-ready=30s --uuid-file /run/web.uuid
  holdfast status --wait --uuid-file /run/web.uuid | grep '^app-'
`

async function status(argument: string | undefined, options: StatusOptions): Promise<void> {
  const { uuid, wait, waitReady } = withUuid(argument, options)
  let pod = findPod(options.dir, uuidArgument(uuid, options.uuidFile))
  if (waitReady !== undefined) await waitUntilReady(pod, milliseconds('--wait-ready', waitReady))
  if (wait !== undefined) await waitForPod(pod, milliseconds('--wait', wait))
  if (wait !== undefined || waitReady !== undefined) pod = findPod(options.dir, pod.uuid) // as it is now
  const found = readPodStatus(pod)
  process.stdout.write(options.format === 'json' ? `${JSON.stringify(podJson(found), undefined, 2)}\n` : lines(found))
}

/** `--wait 5c1d`: where no pod is named otherwise, the word behind the flag is its UUID and no time. */
function withUuid(
  argument: string | undefined,
  { wait, waitReady, uuidFile }: StatusOptions,
): { readonly uuid: string | undefined } & Pick<StatusOptions, 'wait' | 'waitReady'> {
  const times = { ...(wait && { wait }), ...(waitReady && { waitReady }) }
  if (argument !== undefined || uuidFile !== undefined) return { uuid: argument, ...times }
  if (typeof wait === 'string') return { ...times, uuid: wait, wait: true }
  if (typeof waitReady === 'string') return { ...times, uuid: waitReady, waitReady: true }
  return { uuid: undefined, ...times }
}

function milliseconds(option: string, time: true | string): number | undefined {
  return time === true ? undefined : parseDuration(option, time)
}

function lines(s: PodStatus): string {
  const stage1 = s.provenance?.stage1
  const pairs: (readonly [string, string | undefined])[] = [
    ['state', s.pod.state],
    ['mode', s.mode],
    ['networks', s.networks?.join(',')],
    ['created', s.createdAt?.toISOString()],
    ['started', s.startedAt?.toISOString()],
    ['ready', s.readyAt?.toISOString()],
    ['stage1', stage1 && `${stage1.flavour} ${stage1.id} ${stage1.verification} ${stage1.tree}`],
    ['accelerator', s.provenance?.accelerator],
    ['tpm-node', s.provenance?.tpmNode],
    ['relaxed', s.provenance?.relaxed.join(',') || undefined],
    ['refused', s.refused === undefined ? undefined : `${s.refused.code}: ${s.refused.message}`],
    ...vmEndPairs(s),
    ...s.apps.map((a) => [`app-${a.name}`, a.phase === 'restarting' ? undefined : a.exitStatus?.toString()] as const),
    ...s.apps.flatMap((a) => [
      [`app-${a.name}-state`, a.phase] as const,
      [`app-${a.name}-reason`, a.reason] as const,
      [`app-${a.name}-restarts`, a.restarts === 0 ? undefined : String(a.restarts)] as const,
    ]),
    ...s.apps.flatMap((a, i) => provenancePairs(a.name, s.provenance?.images[i])),
  ]
  return pairs.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${printable(value, 8000)}\n`])).join('')
}

/** A line for each of the message, which may be the end of the guest's console. */
function vmEndPairs({ vmEnd }: PodStatus): (readonly [string, string])[] {
  if (vmEnd === undefined || vmEnd.end === 'poweroff') return []
  const message = vmEnd.message.split(/[\r\n]+/).filter((line) => line !== '')
  return [['vm-end', vmEnd.end], ...message.map((line) => ['vm-message', line] as const)]
}

/** Names of keys and scopes come from others' certificates and policies: they are made printable with all else. */
function provenancePairs(name: string, image: ImageProvenance | undefined): (readonly [string, string | undefined])[] {
  if (image === undefined) return []
  const signers = image.signers.map(({ kind, key, checkedAt }) => [...(kind ? [kind] : []), key, checkedAt].join(' '))
  return [
    [`app-${name}-tree`, image.tree],
    [`app-${name}-verified`, image.verification],
    ...(signers.length === 0 ? ['nobody'] : signers).map((signer) => [`app-${name}-signer`, signer] as const),
    [`app-${name}-policy`, image.policy && `${image.policy.sha256} ${image.policy.scope}`],
    [`app-${name}-relaxed`, image.relaxed.join(',') || undefined],
  ]
}

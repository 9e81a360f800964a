import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { constants, tmpdir } from 'node:os'
import path from 'node:path'
import { codeOf, fromUtf8, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest, hmac } from '../../attestation/crypto/index.ts'
import type { AppEnter } from '../../attestation/protocol/index.ts'
import { type PodManifest, parsePodManifest, podManifestBytes, redactManifest } from '../manifest/index.ts'
import { requestEnter } from './agent-client.ts'
import { checkEnterAnswer, type LaunchMode, type NodeTrust } from './answer-check.ts'
import { readAppState } from './app-status.ts'
import { launchChanged } from './assemble.ts'
import { readCgroupMounts } from './cgroups.ts'
import { PodError } from './errors.ts'
import { planGuest } from './guest-plan.ts'
import { hashProgram, openHostProgram } from './host-programs.ts'
import { readMachineFacts } from './machine-facts.ts'
import { type PlanFiles, type PlanSettings, planPod } from './plan.ts'
import { readPodFile } from './pod-file.ts'
import type { Pod } from './pod-list.ts'

export interface EnterOptions {
  readonly pod: Pod
  /** Of the pod's apps. */
  readonly app: string
  /** Program and arguments. */
  readonly command: readonly string[]
  /** The program gets a terminal of the pod's own, carried to the caller's, of this kind (TERM). */
  readonly terminal?: string
  /** Path of the static `holdfast-stage1`. */
  readonly stage1Program: string
  readonly agentSocket: string
  readonly trust: NodeTrust
  /** Told when the agent does not enforce. */
  readonly onMode: (mode: LaunchMode) => void
}

/**
 * Runs a program inside a running app, confined as the app is: that confinement is planned anew from the manifest that
 * was measured at the launch. It is asked of the agent first, which has it in launch log and register before it answers.
 *
 * @returns the program's exit status, 128 and the number for a signal
 * @throws PodError POD_NOT_RUNNING, LAUNCH_CHANGED, LAUNCH_DENIED and those of the agent: nothing was run
 */
export async function enterApp(o: EnterOptions): Promise<number> {
  const { pod, app } = o
  const launched = readLaunched(pod)
  const helper = openHostProgram('holdfast-stage1', o.stage1Program)
  try {
    const enter: AppEnter = {
      v: 1,
      action: 'enter',
      pod: pod.uuid,
      launch: launched.requestSha256,
      app,
      program: o.command[0] ?? '',
      argv: `hmac-sha256:${toHex(hmac('sha256', launched.redactionKey, utf8(o.command.map((a) => `${a}\0`).join(''))))}`,
      helper: helper.sha256,
    }
    const answer = await requestEnter(o.agentSocket, enter)
    const mode = await checkEnterAnswer(enter, answer, o.trust, new Date())
    if (mode !== 'enforce') o.onMode(mode)
    if (hashProgram(helper.fd, helper.path) !== helper.sha256) throw launchChanged(`holdfast-stage1 (${helper.path})`)
    return await runInside(o, launched, helper.fd)
  } finally {
    fs.closeSync(helper.fd)
  }
}

/** What was measured when the pod was launched, as far as its directory can be held against it. */
interface Launched {
  readonly manifest: PodManifest
  readonly redactionKey: Uint8Array
  readonly relaxed: readonly string[]
  readonly flavour: string
  /** Hex. The agent knows from its log whether it is the pod's. */
  readonly requestSha256: string
}

/** The launch request vouches for the manifest; that it is the pod's own is for agent and verifier to say. */
function readLaunched(pod: Pod): Launched {
  if (pod.state !== 'running') throw notRunning(pod, `is ${pod.state}`)
  const [manifestBytes, redactionKey, record] = ['pod', 'redaction-key', 'launch.json'].map((name) =>
    readPodFile(pod.path, name),
  )
  if (manifestBytes === undefined || redactionKey === undefined || record === undefined) {
    throw notRunning(pod, 'is being launched')
  }
  const request = requestOf(record, path.join(pod.path, 'launch.json'))
  const manifest = parsePodManifest(manifestBytes)
  const redacted = redactManifest(manifest, (message) => hmac('sha256', redactionKey, message))
  if (toHex(digest('sha256', podManifestBytes(redacted))) !== request.manifestSha256) {
    throw launchChanged(path.join(pod.path, 'pod'))
  }
  const requestSha256 = toHex(digest('sha256', utf8(request.text)))
  return { manifest, redactionKey, relaxed: request.relaxed, flavour: request.flavour, requestSha256 }
}

function requestOf(
  record: Uint8Array,
  file: string,
): {
  readonly text: string
  readonly manifestSha256: string
  readonly relaxed: readonly string[]
  readonly flavour: string
} {
  try {
    const text: unknown = JSON.parse(fromUtf8(record)).answer.request
    if (typeof text !== 'string') throw new TypeError('it has no request')
    const { pod, stage1, relaxed } = JSON.parse(text)
    const flavour = String(stage1.flavour)
    return { text, manifestSha256: String(pod.manifestSha256), relaxed: relaxed.map(String), flavour }
  } catch (cause) {
    throw new PodError('POD_FILE_BAD', `${file} is not the record of a launch`, { cause })
  }
}

async function runInside(o: EnterOptions, launched: Launched, helper: number): Promise<number> {
  const settings = { uuid: o.pod.uuid, arch: process.arch, seccomp: !launched.relaxed.includes('seccomp') }
  const { plan, helperArguments } =
    launched.flavour === 'kvm' ? intoGuest(o, launched, settings) : intoNamespaces(o, launched, settings)
  const profile = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-enter-')) // 0700
  try {
    for (const [name, content] of profileFiles(o, plan))
      fs.writeFileSync(path.join(profile, name), content, { mode: 0o600 })
    const child = spawn(
      `/proc/${process.pid}/fd/${helper}`,
      helperArguments(profile, o.terminal === undefined ? 'pass' : 'terminal'),
      { stdio: 'inherit', env: {}, argv0: 'holdfast-stage1' },
    )
    return await endOf(child)
  } finally {
    fs.rmSync(profile, { recursive: true, force: true })
  }
}

/** How an app is joined: the plan that has its confinement, and what `holdfast-stage1` is told. */
interface WayIn {
  readonly plan: PlanFiles
  readonly helperArguments: (profile: string, streams: 'pass' | 'terminal') => string[]
}

type WayInSettings = Pick<PlanSettings, 'uuid' | 'arch' | 'seccomp'>

function intoNamespaces({ pod, app }: EnterOptions, { manifest }: Launched, settings: WayInSettings): WayIn {
  const plan = planPod(manifest, {
    ...settings,
    podPath: pod.path,
    // of no meaning for an app that runs already
    ...{ network: 'none', supervisor: '/', run: ['/'], firstUser: 1 },
    cgroups: readCgroupMounts(),
    machine: readMachineFacts(pod.path),
  })
  const members = fromUtf8(plan.get(`apps/${app}/enter.members`) ?? new Uint8Array(0)).split('\0')[0]
  if (!members) throw new PodError('POD_UNSUPPORTED', 'without control groups an app cannot be told from others')
  const pid = hostPidOf(pod, app, members)
  return { plan, helperArguments: (profile, streams) => ['exec', profile, String(pid), streams] }
}

/** The pod's keeper passes the profile on, and the guest's PID 1 carries it out. */
function intoGuest({ pod, app }: EnterOptions, { manifest }: Launched, settings: WayInSettings): WayIn {
  const position = manifest.apps.findIndex(({ name }) => name === app)
  if (position < 0 || readAppState(pod.path, app, false).pid === undefined) {
    throw notRunning(pod, `has no running app ${app}`)
  }
  return {
    plan: planGuest(manifest, settings).files,
    helperArguments: (profile, streams) => [
      ...['attach', path.join(pod.path, 'enter.sock'), String(position), profile, streams],
    ],
  }
}

/** The app's own profile, with another program, and with the caller's kind of terminal where it has one. */
function profileFiles(o: EnterOptions, plan: PlanFiles): Map<string, Uint8Array> {
  const own = `apps/${o.app}/`
  const files = new Map<string, Uint8Array>()
  for (const [name, content] of plan) if (name.startsWith(own)) files.set(name.slice(own.length), content)
  const named = (name: string): Uint8Array => files.get(name) ?? new Uint8Array(0)
  files.set('argv', utf8(o.command.map((a) => `${a}\0`).join('')))
  files.set('cgroups.join', named('enter.join'))
  files.set('cgroup-members', named('enter.members'))
  if (o.terminal !== undefined) files.set('env', utf8(`${fromUtf8(named('env'))}TERM=${o.terminal}\0`))
  return files
}

/** init names the app's process by its number in the pod; the kernel tells which of the group's processes that is. */
function hostPidOf(pod: Pod, app: string, members: string): number {
  const { pid: wanted } = readAppState(pod.path, app, false)
  if (wanted === undefined) throw notRunning(pod, `has no running app ${app}`)
  for (const line of readIfThere(members).split('\n')) {
    const inner = /^NSpid:.*\s([0-9]+)$/m.exec(Number(line) > 0 ? readIfThere(`/proc/${line}/status`) : '')?.[1]
    if (Number(inner) === wanted) return Number(line)
  }
  throw notRunning(pod, `has no running app ${app}`)
}

function readIfThere(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (err) {
    if (['ENOENT', 'ESRCH', 'ENODEV'].includes(codeOf(err) ?? '')) return ''
    throw err
  }
}

/** Signals go to the program, by the terminal or by us; this process only waits. */
async function endOf(child: ChildProcess): Promise<number> {
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal)
  }
  const signals = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'] as const
  for (const signal of signals) process.on(signal, forward)
  try {
    const [status, signal]: (number | NodeJS.Signals | null)[] = await once(child, 'exit')
    if (typeof status === 'number') return status
    return 128 + (typeof signal === 'string' ? constants.signals[signal] : 0)
  } finally {
    for (const signal of signals) process.off(signal, forward)
  }
}

function notRunning(pod: Pod, why: string): PodError {
  return new PodError('POD_NOT_RUNNING', `pod ${pod.uuid} ${why}`, { hint: 'holdfast status UUID shows its apps.' })
}

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { AgentStatus } from '../../agent/local-api/index.ts'
import { decodeCelRecord, type LaunchLogContent, parseLaunchLogContent } from '../../attestation/event-log/index.ts'
import { Deployment, type DeploymentOptions } from './deployment.ts'
import { HOLDFAST, HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run } from './holdfast.ts'
import { writeImagePolicy } from './image-policy.ts'
import { writeBusyboxLayout } from './images.ts'
import { manufactureSwtpm, type SwtpmState, swtpmMissing } from './swtpm.ts'

/** What no refused launch may ever print. */
const STARTED = 'started all the same'
const STAGE1_IMAGE = join(PROJECT_ROOT, 'build/stage1-nspawn.aci')

/** Why whole launches cannot be made on this machine; undefined where they can. */
export function wholePathMissing(): string | undefined {
  if (process.geteuid?.() !== 0) return 'pods are started by root'
  const programs = ['systemd-nspawn', 'mkfs.erofs', 'busybox', 'tpm2_pcrread']
  const missing = programs.filter(
    (p) => !['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((d) => existsSync(join(d, p))),
  )
  if (missing.length > 0) return `not installed: ${missing.join(', ')} (config/setup.sh installs them)`
  if (![HOLDFAST, HOLDFAST_PROGRAM, STAGE1_IMAGE].every((file) => existsSync(file))) return 'not built (npm run build)'
  return swtpmMissing()
}

/** Skips the suite or test where whole launches cannot be made, saying why. */
export function needsWholePath(context: Mocha.Context): void {
  const why = wholePathMissing()
  if (why === undefined) return
  console.log(`      skipped: ${why}`)
  context.skip()
}

/** A suite once for launches by a process of their own, and once for launches with the help of the stage0 server. */
export function inBothWays(title: string, suite: (options: { readonly stage0: boolean }) => void): void {
  describe(`${title}, by a process of its own`, () => suite({ stage0: false }))
  describe(`${title}, by the stage0 server`, () => suite({ stage0: true }))
}

/** Things that take long to make and are only copied: a TPM, and a store with stage1 and image rendered. */
interface Made {
  readonly tpm: SwtpmState
  readonly layout: string
  readonly store: string
  readonly image: string
}
let made: Promise<Made> | undefined

async function make(): Promise<Made> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-made-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const tpm = await manufactureSwtpm()
  process.once('exit', () => rmSync(dirname(tpm.directory), { recursive: true, force: true })) // with the CA's files
  const [layout, store] = [join(directory, 'busybox'), join(directory, 'store')]
  writeBusyboxLayout(layout)
  const image = `oci:${layout}:latest`
  const config = writeImagePolicy(join(directory, 'config'))
  const fetched = await run(HOLDFAST_PROGRAM, ['fetch', '--dir', store, ...config, STAGE1_IMAGE, image])
  assert.equal(fetched.status, 0, fetched.stderr)
  return { tpm, layout, store, image }
}

/** A manufactured TPM with EK certificates, the same one for all tests of this process. */
export async function madeTpm(): Promise<SwtpmState> {
  made ??= make()
  return (await made).tpm
}

/** One verifier and one node with stage1 and a busybox image in its store. */
export interface WholeNode {
  readonly d: Deployment
  /** Name of the image. */
  readonly image: string
  /** Directory of the OCI layout that it came from. */
  readonly layout: string
}

/** As Deployment.prepare: nothing runs but the TPM. */
export async function prepareNode(options: DeploymentOptions = {}): Promise<WholeNode> {
  made ??= make()
  const { tpm, layout, store, image } = await made
  const d = await Deployment.prepare({ ...(options.tpm === undefined && { state: tpm }), ...options })
  cpSync(store, d.dataDirectory, { recursive: true })
  return { d, image, layout }
}

/** As Deployment.start: the node may launch. */
export async function startNode(options: DeploymentOptions = {}): Promise<WholeNode> {
  const node = await prepareNode(options)
  try {
    await node.d.startVerifier()
    await node.d.enrol()
    if (options.stage0 === true) await node.d.startStage0()
    return node
  } catch (err) {
    await node.d.stop()
    throw err
  }
}

/** A launch of a pod that would say so. */
export function launchTelltale({ d, image }: WholeNode, ...options: readonly string[]): Promise<Ran> {
  return d.launch(...options, image, '--', 'echo', STARTED)
}

/** A launch must have failed with 254 and nothing in the pod may have run. Each of `words` is in the message. */
export function assertRefused(ran: Ran, ...words: readonly string[]): void {
  const told = JSON.stringify(ran)
  assert.equal(ran.status, 254, told)
  assert.equal(ran.stdout, '', told)
  for (const word of words) assert.ok(ran.stderr.includes(word), `'${word}' is not in: ${ran.stderr}`)
}

/** Launches, expects the refusal, and that no pod was handed to a stage1. */
export async function expectRefusal(
  node: WholeNode,
  words: readonly string[],
  launch?: () => Promise<Ran>,
): Promise<Ran> {
  const before = startedPods(node.d)
  const ran = await (launch ?? (() => launchTelltale(node)))()
  assertRefused(ran, ...words)
  assert.deepEqual(startedPods(node.d), before, 'a pod was started')
  return ran
}

/** Pods whose launch.json was written: those that were handed to their stage1. */
export function startedPods(d: Deployment): string[] {
  const pods = join(d.dataDirectory, 'pods')
  if (!existsSync(pods)) return []
  return readdirSync(pods, { withFileTypes: true })
    .filter((state) => state.isDirectory())
    .flatMap(({ name: state }) => readdirSync(join(pods, state)).map((uuid) => join(pods, state, uuid)))
    .filter((pod) => existsSync(join(pod, 'launch.json')))
    .sort()
}

/** The node does its work: a launch gives output and status, and log and register agree afterwards. */
export async function assertUsable({ d, image }: WholeNode): Promise<void> {
  const ran = await d.launch(image, '--', 'sh', '-c', 'echo alive; exit 3')
  assert.deepEqual(ran, { status: 3, stdout: 'alive\n', stderr: '' })
  await assertInStep(d)
}

/** Waits until the ends of all pods are in the log, so that nothing changes by itself any more. */
export function quiet(d: Deployment): Promise<AgentStatus> {
  return d.agent.waitUntil('the ends of all pods in the log', async () => {
    const status = await d.status()
    return status.launches.running === 0 && status.launches.waiting === 0 && status.log.settled ? status : undefined
  })
}

/** What is in the launch log of this boot, read from its file. */
export function readLog(d: Deployment, status: AgentStatus): LaunchLogContent[] {
  return decodeLog(d, status).map((bytes) => parseLaunchLogContent(bytes))
}

function decodeLog(d: Deployment, { log }: AgentStatus): Uint8Array[] {
  const file = join(d.dataDirectory, 'agent/launch-log', `${log.resetCount}-${log.restartCount}.cel`)
  const bytes = new Uint8Array(readFileSync(file))
  const contents: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const { record, end } = decodeCelRecord(bytes, at)
    contents.push(record.content)
    at = end
  }
  return contents
}

/**
 * The register in the TPM is what the records in the file extend to, which is what the agent says, and nothing ever was
 * apart.
 * @returns the records
 */
export async function assertInStep(d: Deployment): Promise<LaunchLogContent[]> {
  const status = await quiet(d)
  assert.equal(status.log.breaks, 0)
  const [first] = readLog(d, status)
  // not zero after TPM2_Clear, which leaves the registers as they are
  let value: Buffer = Buffer.from(first?.record === 'agent' ? (first.found.sha256 ?? '') : '', 'hex')
  for (const content of decodeLog(d, status)) {
    const digest = createHash('sha256').update(content).digest()
    value = createHash('sha256').update(value).update(digest).digest()
  }
  assert.equal(value.toString('hex'), await heldRegister(d), 'the log does not replay to the register')
  assert.equal(status.log.register.sha256, value.toString('hex'))
  return readLog(d, status)
}

/** PCR 15, SHA-256 bank, as the TPM says. */
export async function heldRegister(d: Deployment): Promise<string | undefined> {
  return /0x([0-9A-F]{64})/.exec(await d.tpm.tool('tpm2_pcrread', 'sha256:15'))?.[1]?.toLowerCase()
}

/** What the verifier's operator sees of the one node. */
export interface SeenNode {
  readonly nodeId: string
  readonly admission: string
  readonly admittedBy?: string
  readonly tier: string
  readonly quarantine: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly verdicts: readonly {
    readonly tier: string
    readonly findings: readonly { readonly rule: string; readonly policy?: { readonly mode: string } }[]
  }[]
  readonly decisions: readonly {
    readonly podUuid: string
    readonly outcome: string
    readonly reasons: readonly string[]
  }[]
}

export async function seenByVerifier(d: Deployment): Promise<SeenNode> {
  const { nodeId } = await d.status()
  return JSON.parse(await d.expect('nodes', 'show', nodeId, '--format=json', '--config', d.verifierConfig))
}

/** Waits until the verifier's record of the node is like this. */
export function verifierSees(d: Deployment, what: string, is: (node: SeenNode) => boolean): Promise<SeenNode> {
  return d.verifier.waitUntil(what, async () => {
    const node = await seenByVerifier(d)
    return is(node) ? node : undefined
  })
}

import fs from 'node:fs'
import path from 'node:path'
import { canonicalJson, codeOf, messageOf, utf8 } from '../../attestation/base/index.ts'
import type { PodLaunch } from '../../attestation/protocol/index.ts'
import { execve, loadCalls } from '../../native/process/index.ts'
import { openVerifiedTree, type StoredImage, type VerifiedTree } from '../image/index.ts'
import { requireProvenance } from '../signatures/index.ts'
import { type AgentAnswer, requestLaunch } from './agent-client.ts'
import type { LaunchMode } from './answer-check.ts'
import { type AssembledPod, assemblePod, checkPodFiles, checkPodUntouched, launchChanged } from './assemble.ts'
import { readCgroupMounts } from './cgroups.ts'
import { PodError } from './errors.ts'
import type { Flavour, FlavourInput, FlavourLaunch } from './flavour.ts'
import { removeTpm } from './guest-tpm.ts'
import { type HostProgram, hashProgram, openHostProgram, programNamed } from './host-programs.ts'
import type { LaunchOptions } from './launch-options.ts'
import { buildPodLaunch, type Verification } from './launch-request.ts'
import { nspawnFlavour } from './nspawn-launch.ts'
import type { PlanFiles } from './plan.ts'
import { inDirectory, type LockedPod, movePod, movePodMeanwhile, podParent } from './pod-directory.ts'
import { connectPod, disconnectPod, resolvePodNetwork } from './pod-network.ts'
import { REFUSED_FILE } from './pod-status.ts'
import { writePodSummary } from './pod-summary.ts'
import { stage1Interface } from './stage1-interface.ts'
import { withUserRange } from './user-ranges.ts'
import type { PodUuid } from './uuid.ts'

/**
 * A launch that was authorised, as something to become: stage0 by execve, or on its behalf the process that asked it.
 * The descriptors are open here; whoever becomes the pod needs copies of them.
 */
export interface AuthorisedLaunch {
  readonly uuid: PodUuid
  /** Absolute. */
  readonly podPath: string
  /** What apps write goes to the pod's own logs, so nobody need wait for it. */
  readonly detached: boolean
  /** The program, by descriptor: `holdfast-stage1`. */
  readonly program: number
  /** With argv[0]; the numbers of `fds` follow as further arguments. */
  readonly argv: readonly string[]
  /** What it is handed, the pod's lock first. */
  readonly fds: readonly number[]
  /** Closes all of it: the pod lives on only in whom it was handed to. */
  readonly close: () => void
  /** When nobody could become the pod: it goes to `exited-garbage`. */
  readonly abandon: () => void
}

/**
 * Has a launch measured and authorised and checks again what was measured. What it gives is to be executed now. There
 * is no other way to a running pod: `run` and `run-prepared` both end here.
 *
 * @throws PodError, ImageError, ManifestError, SignatureError: nothing was started, nothing is left open, and the pod is in
 * `exited-garbage`, or still prepared where nobody was asked
 */
export async function authoriseLaunch(o: LaunchOptions): Promise<AuthorisedLaunch> {
  const opened: number[] = o.prepared === undefined ? [] : [o.prepared.pod.fd]
  const close = (): void => {
    for (const fd of opened.splice(0)) fs.closeSync(fd)
  }
  try {
    return await authorise(o, opened, close)
  } catch (err) {
    close()
    throw err
  }
}

/** @param opened takes every descriptor as soon as it is open */
async function authorise(o: LaunchOptions, opened: number[], close: () => void): Promise<AuthorisedLaunch> {
  const stage1 = stage1Interface(o.stage1)
  for (const image of [o.stage1, ...o.images]) requireProvenance(o.store, image, o.config, o.relaxed)
  const verified = [o.stage1, ...o.images].map((image) => openTree(o, image, opened))
  const programs = stage1.hostPrograms.map((name) => openProgram(name, o.stage1Program, opened))
  const launcher = programNamed(programs, STAGE1_PROGRAM)
  const network = resolvePodNetwork(o.network, o.uuid, o.manifest)
  const cgroups = readCgroupMounts()
  const podPath = path.join(podParent(o.dir, 'run'), o.uuid)
  const trees = verified.map((tree) => tree.fd)
  const flavour = await flavourOf({ options: o, stage1, podPath, network, cgroups, programs, trees, opened })
  // planned before anything is asked for: what cannot be carried out is not measured either
  const prepare = (firstUser?: number): { launch: FlavourLaunch; assembled: AssembledPod } => ({
    launch: flavour.prepare(firstUser),
    assembled: o.prepared ?? assemblePod(o.dir, o.uuid, o.manifest),
  })
  const { launch: planned, assembled } = flavour.wantsUsers
    ? withUserRange(o.dir, o.uuid, ({ first }) => prepare(first))
    : prepare()
  if (o.prepared === undefined) opened.push(assembled.pod.fd)
  const guest = await measuredGuest(o, planned, assembled)
  // apps of one image are measured as one: that its tree was verified a moment ago, for the app before, is no other fact
  const measured = (image: StoredImage): { image: StoredImage; verification: Verification } => {
    const first = [o.stage1, ...o.images].findIndex(({ treeDigest }) => treeDigest === image.treeDigest)
    return { image, verification: verified[first]?.verification ?? 'full-file' }
  }
  const { moved: pod, lasting } = movePodMeanwhile(o.dir, assembled.pod, 'run') // where the agent finds it
  const failure = new AbortController()
  const signal = o.signal === undefined ? failure.signal : AbortSignal.any([o.signal, failure.signal])
  const connecting = connectPod(network, { ...o, pod, cgroups, signal })
  try {
    const launch = buildPodLaunch({
      uuid: o.uuid,
      manifest: o.manifest,
      redactionKey: assembled.redactionKey,
      stage1: measured(o.stage1),
      stage1Interface: stage1,
      hostPrograms: [...programs, ...planned.programs],
      ...planned.measured,
      ...(guest === undefined ? {} : { guest }),
      images: o.images.map(measured),
      network: network.measured,
      relaxed: o.relaxed,
    })
    const answered = requestLaunch(o.agentSocket, launch, pod.path, signal)
    // while the agent works, the network is set up, the rest of the code is loaded and the disk does its part
    const meanwhile = [answered, connecting, import('./answer-check.ts'), lasting] as const
    const [answer, up, { checkAnswer }] = await Promise.all(meanwhile)
    const mode = await checkAnswer(launch, answer, o.trust, new Date())
    if (mode !== 'enforce') o.onMode(mode)
    // the descriptors that are mounted are ones whose content was checked after the agent's answer
    const treeFds = [o.stage1, ...o.images].map((image) => openTree(o, image, opened).fd)
    checkPrograms([...programs, ...planned.programs, ...(planned.alsoUnchanged ?? [])])
    checkPodFiles(assembled, pod.path)
    planned.tpm?.check()
    inDirectory(o.dir, () => {
      checkPodUntouched(assembled, pod.path)
      writeLaunchRecord(pod, launch, answer, mode)
      writePodSummary(pod.path, mode, o.manifest, launch.images)
      writePlan(pod, new Map([...planned.plan, ...planned.networkFiles(up)]))
    })
    return {
      uuid: o.uuid,
      podPath: pod.path,
      detached: o.streams.kind === 'log',
      program: launcher.fd,
      argv: [STAGE1_PROGRAM, planned.mode, path.join(pod.path, 'plan')],
      fds: [pod.fd, ...planned.handedOver(treeFds)],
      close,
      abandon: () => abandonPod(o.dir, pod, undefined),
    }
  } catch (err) {
    failure.abort() // who is still asked or at work need not finish
    await disconnectPod(connecting, pod, o)
    // nothing was measured: a prepared pod can be launched when there is an agent
    if (o.prepared !== undefined && codeOf(err) === 'AGENT_MISSING') {
      removeTpm(pod.path) // the next launch makes another one
      movePod(o.dir, pod, 'prepared')
    } else abandonPod(o.dir, pod, err)
    throw err
  }
}

/** Becomes the pod. @throws ProcessError when the kernel refuses; the pod is in `exited-garbage` then */
export function becomePod({ program, argv, fds, abandon }: AuthorisedLaunch): never {
  try {
    return execve(`/proc/self/fd/${program}`, [...argv, ...fds.map(String)], {}, fds)
  } catch (err) {
    abandon()
    throw err
  }
}

/** Loads what a first launch would load on its way, for a process that is to be ready for many. @throws ProcessError */
export async function loadLaunchCode(): Promise<void> {
  loadCalls()
  await import('./answer-check.ts')
}

const STAGE1_PROGRAM = 'holdfast-stage1'

/** What is said of the guest, with the TPM that is made for this launch. @throws as PodTpmLaunch.make */
async function measuredGuest(
  o: LaunchOptions,
  { measured: { guest }, tpm: planned }: FlavourLaunch,
  { pod }: AssembledPod,
): Promise<PodLaunch['guest']> {
  if (guest === undefined || planned === undefined) return guest
  try {
    if (o.prepared !== undefined) removeTpm(pod.path) // of a launch that was killed
    const tpm = await planned.make(pod.path)
    return tpm === undefined ? guest : { ...guest, tpm }
  } catch (err) {
    // a prepared pod can be launched when what was missing is there
    if (o.prepared === undefined) abandonPod(o.dir, pod, err)
    throw err
  }
}

function openTree(o: LaunchOptions, image: StoredImage, opened: number[]): VerifiedTree {
  const tree = openVerifiedTree(o.store, image.treeDigest, {
    sizeBytes: image.treeSizeBytes,
    ...(o.verifiedDir !== undefined && { verifiedDir: o.verifiedDir }),
  })
  opened.push(tree.fd)
  return tree
}

function openProgram(name: string, stage1Program: string, opened: number[]): HostProgram {
  const program = name === STAGE1_PROGRAM ? openHostProgram(name, stage1Program) : openHostProgram(name)
  opened.push(program.fd)
  return program
}

/**
 * Leaves word of why it was not started, for `holdfast status`. Where even this fails, the pod stays in `run` without a
 * lock, which is `exited`; why it was not started matters more.
 */
function abandonPod(dir: string, pod: LockedPod, why: unknown): void {
  try {
    inDirectory(dir, () => {
      if (why !== undefined) {
        const refused = { at: new Date().toISOString(), code: codeOf(why) ?? 'INTERNAL', message: messageOf(why) }
        fs.writeFileSync(path.join(pod.path, REFUSED_FILE), JSON.stringify(refused), { mode: 0o644 })
      }
      movePod(dir, pod, 'exited-garbage')
    })
  } catch (err) {
    if (!(err instanceof PodError)) throw err
  }
}

function checkPrograms(programs: readonly HostProgram[]): void {
  for (const { name, path: file, fd, sha256 } of programs) {
    if (hashProgram(fd, file) !== sha256) throw launchChanged(`${name} (${file})`)
  }
}

/** The values of the environment are not in it: it holds the redacted manifest only. */
function writeLaunchRecord(pod: LockedPod, launch: PodLaunch, answer: AgentAnswer, mode: LaunchMode): void {
  fs.writeFileSync(path.join(pod.path, 'launch.json'), utf8(canonicalJson({ launch, answer, mode })), { mode: 0o644 })
}

function writePlan(pod: LockedPod, plan: PlanFiles): void {
  for (const [name, content] of plan) {
    // which control groups are the pod's is for the agent, too: it may be told to stop pods
    const mode = name === 'cgroups.top' ? 0o644 : 0o600
    fs.writeFileSync(path.join(pod.path, 'plan', name), content, { mode })
  }
}

/** Code for virtual machines is loaded only where there is one. */
async function flavourOf(input: FlavourInput): Promise<Flavour> {
  if (input.stage1.flavour === 'nspawn') return nspawnFlavour(input)
  const { kvmFlavour } = await import('./kvm-launch.ts')
  return kvmFlavour(input)
}

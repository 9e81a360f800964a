import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import {
  fetchImage,
  findImage,
  type ImageStore,
  openImageStore,
  parseReference,
  type StoredImage,
} from '../image/index.ts'
import {
  type AuthorisedLaunch,
  authoriseLaunch,
  becomePod,
  buildPodManifest,
  newPodUuid,
  PodError,
  programLength,
  readTicketKeys,
} from '../pod/index.ts'
import { type Installation, installation } from './installation.ts'
import type { RunContext } from './run-context.ts'
import { parseRunOptions, RUN_HELP, RUN_OPTION_NAMES, type RunOptions } from './run-options.ts'
import { resolveStage1 } from './stage1-image.ts'

export { RUN_OPTION_NAMES }

/**
 * Of all that stage0 makes without saying otherwise; an app's root directory would be closed to its users under 077.
 */
export const STAGE0_UMASK = 0o022

/**
 * `holdfast run` in a process of its own. On the way of every launch, so it parses its options itself: commander alone
 * would take as long to load as all of this. Does not return after a launch.
 */
export async function runCommand(argv: readonly string[]): Promise<void> {
  const cwd = process.cwd()
  const launch = await prepareRun(argv, {
    cwd,
    umask: process.umask(STAGE0_UMASK),
    writeOutput: (text) => fs.writeSync(1, text),
    writeError: (text) => fs.writeSync(2, text),
    fetch: (store, name, options) => fetchImage(store, name, { cwd, environment: process.env, ...options }),
  })
  if (launch !== undefined) becomePod(launch)
}

/**
 * All of `holdfast run` but becoming the pod, for a process of its own and for the stage0 server alike.
 *
 * @returns undefined where only help was asked for
 * @throws UsageError, PodError, ImageError, ManifestError: nothing was started
 */
export async function prepareRun(argv: readonly string[], context: RunContext): Promise<AuthorisedLaunch | undefined> {
  const options = parseRunOptions(argv)
  if (options !== 'help') return prepare(atDirectory(options, context.cwd), context)
  context.writeOutput(RUN_HELP)
  return undefined
}

async function prepare(o: RunOptions, context: RunContext): Promise<AuthorisedLaunch> {
  if (process.geteuid?.() !== 0)
    throw new PodError('POD_UNSUPPORTED', 'pods are started by root', { hint: 'Use sudo.' })
  const uuid = newPodUuid()
  if (o.uuidFile !== undefined) writeForCaller(o.uuidFile, uuid, context.umask) // first, so that a clean-up can always name the pod
  const installed = installation()
  const store = openImageStore(o.dir)
  const images: StoredImage[] = []
  for (const name of o.images) images.push(await resolveImage(store, name, installed, o, context))
  const manifest = buildPodManifest(
    images.map((image) => ({
      id: image.id,
      reference: image.origin.name,
      ...(image.manifest.app === undefined ? {} : { app: image.manifest.app }),
      programLength: programLength(store, image),
    })),
    images.map(() => o),
    { hostname: o.hostname ?? `pod-${uuid.slice(0, 8)}` },
  )
  return authoriseLaunch({
    dir: o.dir,
    uuid,
    store,
    stage1: await resolveStage1(store, o.stage1, installed, context),
    images,
    manifest,
    network: o.network,
    stage1Program: installed.stage1Program,
    agentSocket: o.agent,
    ticketKeys: () => readTicketKeys(o.trust),
    relaxed: o.relaxed,
    onMode: (mode) =>
      context.writeError(
        `holdfast run: warning: the agent does not enforce (mode ${mode}): started without a ticket\n`,
      ),
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  })
}

/** Paths of options as the caller meant them. Names of images keep their form, which says what they are. */
function atDirectory(o: RunOptions, cwd: string): RunOptions {
  return {
    ...o,
    dir: path.resolve(cwd, o.dir),
    agent: path.resolve(cwd, o.agent),
    trust: path.resolve(cwd, o.trust),
    ...(o.uuidFile === undefined ? {} : { uuidFile: path.resolve(cwd, o.uuidFile) }),
  }
}

/** The mask is the process's, but nothing else runs before it is put back. */
function writeForCaller(file: string, text: string, umask: number): void {
  const own = process.umask(umask)
  try {
    fs.writeFileSync(file, text)
  } finally {
    process.umask(own)
  }
}

async function resolveImage(
  store: ImageStore,
  name: string,
  { stage1Program }: Installation,
  o: RunOptions,
  context: RunContext,
): Promise<StoredImage> {
  try {
    return findImage(store, name, context.cwd)
  } catch (err) {
    if (codeOf(err) !== 'IMAGE_NOT_FOUND' || parseReference(name, context.cwd).kind === 'stored') throw err
  }
  const relax = o.relaxed.filter((r) => r === 'http' || r === 'tls' || r === 'image')
  return context.fetch(store, name, { stage1Program, relax })
}

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
import { buildPodManifest, launchPod, newPodUuid, PodError, programLength, readTicketKeys } from '../pod/index.ts'
import { type Installation, installation } from './installation.ts'
import { parseRunOptions, RUN_HELP, RUN_OPTION_NAMES, type RunOptions } from './run-options.ts'

export { RUN_OPTION_NAMES }

import { resolveStage1 } from './stage1-image.ts'

/**
 * `holdfast run`. On the way of every launch, so it parses its options itself: commander alone would take as long to load as
 * all of this. Does not return after a launch.
 */
export async function runCommand(argv: readonly string[]): Promise<void> {
  const options = parseRunOptions(argv)
  if (options === 'help') fs.writeSync(1, RUN_HELP)
  else await run(options)
}

async function run(o: RunOptions): Promise<never> {
  if (process.geteuid?.() !== 0)
    throw new PodError('POD_UNSUPPORTED', 'pods are started by root', { hint: 'Use sudo.' })
  const uuid = newPodUuid()
  if (o.uuidFile !== undefined) fs.writeFileSync(o.uuidFile, uuid) // first, so that a clean-up can always name the pod
  const installed = installation()
  const store = openImageStore(o.dir)
  const images: StoredImage[] = []
  for (const name of o.images) images.push(await resolveImage(store, name, installed, o))
  const manifest = buildPodManifest(
    images.map((image) => ({
      id: image.id,
      reference: image.origin.name,
      ...(image.manifest.app === undefined ? {} : { app: image.manifest.app }),
      programLength: programLength(store, image),
    })),
    images.map(() => o),
    o.hostname ?? `pod-${uuid.slice(0, 8)}`,
  )
  return launchPod({
    dir: path.resolve(o.dir),
    uuid,
    store,
    stage1: await resolveStage1(store, o.stage1, installed),
    images,
    manifest,
    network: o.network,
    stage1Program: installed.stage1Program,
    agentSocket: o.agent,
    ticketKeys: () => readTicketKeys(o.trust),
    relaxed: o.relaxed,
    onMode: (mode) =>
      fs.writeSync(2, `holdfast run: warning: the agent does not enforce (mode ${mode}): started without a ticket\n`),
  })
}

async function resolveImage(
  store: ImageStore,
  name: string,
  installed: Installation,
  o: RunOptions,
): Promise<StoredImage> {
  try {
    return findImage(store, name, process.cwd())
  } catch (err) {
    if (codeOf(err) !== 'IMAGE_NOT_FOUND' || parseReference(name, process.cwd()).kind === 'stored') throw err
  }
  return fetchImage(store, name, {
    cwd: process.cwd(),
    stage1Program: installed.stage1Program,
    relax: o.relaxed.filter((r) => r === 'http' || r === 'tls' || r === 'image'),
    environment: process.env,
  })
}

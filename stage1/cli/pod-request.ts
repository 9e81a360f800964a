import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, UsageError } from '../../attestation/base/index.ts'
import { findImage, type ImageStore, openImageStore, parseReference, type StoredImage } from '../image/index.ts'
import type { EnvironmentVariable, PodManifest } from '../manifest/index.ts'
import { registerPod } from '../metadata/register.ts'
import { buildPodManifest, newPodUuid, PodError, type PodImage, type PodUuid, programLength } from '../pod/index.ts'
import { configAt } from './config-options.ts'
import { type EnvironmentOptions, inheritedVariables, parseEnvironmentFile } from './environment-options.ts'
import { fetchRelaxations } from './insecure-options.ts'
import { type Installation, installation } from './installation.ts'
import { readManifestFile } from './manifest-file.ts'
import type { PodOptions } from './pod-options.ts'
import type { FetchSettings, RunContext } from './run-context.ts'
import { resolveStage1 } from './stage1-image.ts'

/** A pod that was asked for, with everything found that it is made of. */
export interface PodRequest {
  readonly uuid: PodUuid
  readonly store: ImageStore
  readonly installed: Installation
  readonly stage1: StoredImage
  /** One for each app of the manifest, in its order. */
  readonly images: readonly StoredImage[]
  readonly manifest: PodManifest
}

/**
 * Finds or fetches what a pod is made of, and makes its manifest. Its UUID is written for the caller before anything
 * else, so that a clean-up can always name the pod.
 *
 * @throws UsageError, PodError, ImageError, ManifestError: nothing of the pod is there
 */
export async function requestPod(o: PodOptions, context: RunContext): Promise<PodRequest> {
  mustBeRoot()
  const uuid = newPodUuid()
  if (o.uuidFile !== undefined) writeForCaller(path.resolve(context.cwd, o.uuidFile), uuid, context.umask)
  const installed = installation()
  const store = openImageStore(path.resolve(context.cwd, o.dir))
  const find = (name: string): Promise<StoredImage> => findOrFetch(store, name, o, context)
  const hostname = o.hostname ?? `pod-${uuid.slice(0, 8)}`
  const made =
    o.podManifest === undefined
      ? await fromImages(o, store, hostname, find, context)
      : await readManifestFile(path.resolve(context.cwd, o.podManifest), hostname, find)
  const stage1 = await resolveStage1(store, o.stage1, fetchSettings(o, context), installed, context)
  const manifest = o.metadata ? registerPod(made.manifest, uuid) : made.manifest
  return { uuid, store, installed, stage1, images: made.images, manifest }
}

/** @throws PodError POD_UNSUPPORTED */
export function mustBeRoot(): void {
  if (process.geteuid?.() !== 0)
    throw new PodError('POD_UNSUPPORTED', 'pods are started by root', { hint: 'Use sudo.' })
}

async function fromImages(
  o: PodOptions,
  store: ImageStore,
  hostname: string,
  find: (name: string) => Promise<StoredImage>,
  context: RunContext,
): Promise<Pick<PodRequest, 'images' | 'manifest'>> {
  const images: StoredImage[] = []
  for (const { image } of o.apps) images.push(await find(image))
  const manifest = buildPodManifest(
    images.map((image) => podImage(store, image)),
    o.apps.map((app) => ({ ...app.overrides, environment: variablesOf(app.environment, context) })),
    {
      hostname,
      volumes: o.volumes,
      mounts: o.mounts,
      ports: o.ports,
      privateUsers: o.privateUsers,
      ...(o.disk === undefined ? {} : { disk: o.disk }),
      tpm: o.tpm,
      environment: variablesOf(o.environment, context),
    },
  )
  return { images, manifest }
}

/** What a pod manifest takes from an image. */
export function podImage(store: ImageStore, image: StoredImage): PodImage {
  return {
    id: image.id,
    reference: image.kind === 'aci' ? image.manifest.name : image.origin.name,
    ...(image.manifest.app === undefined ? {} : { app: image.manifest.app }),
    programLength: programLength(store, image),
  }
}

const MAX_ENVIRONMENT_FILE = 1 << 20

/** What is named on the command line wins over files, and files over the caller's own. */
function variablesOf(o: EnvironmentOptions, context: RunContext): EnvironmentVariable[] {
  const fromFiles = o.files.flatMap((name) => {
    const file = path.resolve(context.cwd, name)
    try {
      if (fs.statSync(file).size > MAX_ENVIRONMENT_FILE) throw new UsageError(`${name} has more than 1 MiB`)
      return parseEnvironmentFile(name, fs.readFileSync(file, 'utf8'))
    } catch (err) {
      if (codeOf(err) === 'USAGE') throw err
      throw new UsageError(`${name}: ${messageOf(err)}`)
    }
  })
  return [...(o.inherit ? inheritedVariables(context.environment()) : []), ...fromFiles, ...o.variables]
}

/**
 * A plain file is there with all of its text or not at all, for callers wait for it. What else a name may lead to, as
 * /dev/stdout, is written to. The mask is the process's, but nothing else runs before it is put back.
 */
function writeForCaller(file: string, text: string, umask: number): void {
  const own = process.umask(umask)
  try {
    if (fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() === false) fs.writeFileSync(file, text)
    else replaceFile(file, text)
  } finally {
    process.umask(own)
  }
}

function replaceFile(file: string, text: string): void {
  const unfinished = path.join(path.dirname(file), `.${randomBytes(8).toString('hex')}`)
  try {
    fs.writeFileSync(unfinished, text, { flag: 'wx' })
    fs.renameSync(unfinished, file)
  } catch (err) {
    fs.rmSync(unfinished, { force: true })
    throw new UsageError(`cannot write ${file}: ${codeOf(err)}`)
  }
}

/** Names of images keep their form, which says what they are. */
async function findOrFetch(store: ImageStore, name: string, o: PodOptions, context: RunContext): Promise<StoredImage> {
  try {
    return findImage(store, name, context.cwd)
  } catch (err) {
    if (codeOf(err) !== 'IMAGE_NOT_FOUND' || parseReference(name, context.cwd).kind === 'stored') throw err
  }
  return context.fetch(store, name, fetchSettings(o, context))
}

function fetchSettings(o: PodOptions, { cwd }: RunContext): FetchSettings {
  return { relax: fetchRelaxations(o.relaxed), config: configAt(o.config, cwd) }
}

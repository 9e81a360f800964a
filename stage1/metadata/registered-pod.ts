import path from 'node:path'
import { equalBytes, utf8 } from '../../attestation/base/index.ts'
import { existingImageStore, readRecord } from '../image/index.ts'
import { imageId, type PodManifest, parsePodManifest } from '../manifest/index.ts'
import { POD_DIRECTORIES, PodError, type PodUuid, podParent, podUuid, readPodFile } from '../pod/index.ts'
import type { AskingPod } from './answers.ts'
import { isSignedByPod, launchRequestOf, type SigningPod, signAsPod } from './pod-signature.ts'
import { METADATA_VARIABLE, metadataUrl, parseToken } from './token.ts'

/** What the service knows: all of it is on disk, so that a service that was started again knows the same. */
export interface MetadataStore {
  /** Data directory. */
  readonly dir: string
  readonly serviceKey: Uint8Array
}

/**
 * The pod that a token is of, while it runs.
 *
 * @returns undefined for a token of no pod: who guesses learns nothing about which pods there are
 * @throws PodError, ManifestError, ImageError for a pod whose files are not what stage0 writes
 */
export function askingPod(store: MetadataStore, token: string): AskingPod | undefined {
  const claimed = parseToken(token)
  if (claimed === undefined) return undefined
  const directory = path.join(podParent(store.dir, 'run'), claimed.uuid)
  const bytes = readPodFile(directory, 'pod')
  const signing = signingPod(directory, claimed.uuid)
  if (bytes === undefined || signing === undefined) return undefined // it has not been launched yet
  const manifest = parsePodManifest(bytes)
  if (!isRegistered(manifest, metadataUrl(claimed.uuid, claimed.secret))) return undefined
  return {
    uuid: claimed.uuid,
    manifest,
    imageOf: (id) => imageManifest(store, id),
    sign: (content) => signAsPod(store.serviceKey, signing, content),
    verify: (uuid, content, signature) => {
      const signer = findSigner(store, uuid)
      return signer !== undefined && isSignedByPod(store.serviceKey, signer, content, signature)
    },
  }
}

/** A pod is registered by what its apps were given, which only root can read. */
function isRegistered({ apps }: PodManifest, url: string): boolean {
  const values = apps.flatMap(({ app }) => app.environment.filter(({ name }) => name === METADATA_VARIABLE))
  return values.some(({ value }) => equalBytes(utf8(value), utf8(url)))
}

function imageManifest(store: MetadataStore, id: string) {
  const images = existingImageStore(store.dir)
  const manifest = images && readRecord(images, imageId(id))?.manifest
  if (manifest !== undefined) return manifest
  throw new PodError('POD_FILE_BAD', `the image ${id} of a running pod is gone`)
}

/** A pod may have ended since it signed; once it was removed, nobody can say what it was. */
function findSigner({ dir }: MetadataStore, text: string): SigningPod | undefined {
  let uuid: PodUuid
  try {
    uuid = podUuid(text)
  } catch (err) {
    if (err instanceof PodError) return undefined
    throw err
  }
  for (const directory of POD_DIRECTORIES) {
    const found = signingPod(path.join(podParent(dir, directory), uuid), uuid)
    if (found !== undefined) return found
  }
  return undefined
}

function signingPod(directory: string, uuid: PodUuid): SigningPod | undefined {
  const launchRequest = launchRequestOf(readPodFile(directory, 'launch.json'))
  return launchRequest === undefined ? undefined : { uuid, launchRequest }
}

import { canonicalJson, codeOf, fromUtf8, utf8 } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'
import { readPodFile } from './pod-file.ts'

/** A pod's manifest for whoever looks. */
export interface ShownManifest {
  readonly bytes: Uint8Array
  /** Values of the environment are keyed digests in it, as they are in what was measured. */
  readonly redacted: boolean
}

/**
 * The manifest as the pod is run, which only root may read, or for others the one of its launch record. A pod that was
 * not launched yet has none for others.
 *
 * @throws PodError POD_FILE_BAD, POD_DIRECTORY_FAILED
 */
export function readShownManifest(podPath: string): ShownManifest | undefined {
  try {
    const bytes = readPodFile(podPath, 'pod')
    return bytes && { bytes, redacted: false }
  } catch (err) {
    if (!(err instanceof PodError) || codeOf(err.cause) !== 'EACCES') throw err
  }
  const manifest = recordedManifest(podPath)
  return manifest === undefined ? undefined : { bytes: utf8(canonicalJson(manifest)), redacted: true }
}

function recordedManifest(podPath: string): unknown {
  const bytes = readPodFile(podPath, 'launch.json')
  if (bytes === undefined) return undefined
  try {
    return member(member(member(JSON.parse(fromUtf8(bytes)), 'launch'), 'pod'), 'manifest')
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof TypeError) return undefined // a crash cut it short
    throw err
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

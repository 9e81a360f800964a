import { randomBytes } from 'node:crypto'
import type { PodManifest } from '../manifest/index.ts'
import type { PodUuid } from '../pod/uuid.ts'
import { METADATA_SECRET_BYTES, METADATA_VARIABLE, metadataUrl } from './token.ts'

/** The manifest with what the pod needs to be known by the metadata service: a URL of its own in each app's environment. */
export function registerPod(manifest: PodManifest, uuid: PodUuid): PodManifest {
  const variable = {
    name: METADATA_VARIABLE,
    value: metadataUrl(uuid, new Uint8Array(randomBytes(METADATA_SECRET_BYTES))),
  }
  const registered = manifest.apps.map((a) => {
    const others = a.app.environment.filter(({ name }) => name !== METADATA_VARIABLE)
    return { ...a, app: { ...a.app, environment: [...others, variable] } }
  })
  return { ...manifest, apps: registered }
}

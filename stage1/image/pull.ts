import fs from 'node:fs'
import { ImageError } from './errors.ts'
import type { FetchOptions } from './fetch-options.ts'
import type { FetchWork, Pulled } from './fetch-work.ts'
import { HttpClient } from './http-client.ts'
import type { ImageOrigin, Relaxation, StoredImage } from './image.ts'
import { openImageArchive } from './image-archive.ts'
import { layoutInDirectory } from './layout-files.ts'
import { openOciLayout } from './oci-layout.ts'
import { pullAci } from './pull-aci.ts'
import { pullOci } from './pull-oci.ts'
import { writeOrigin, writeRecord } from './records.ts'
import { type ImageReference, parseReference } from './reference.ts'
import { openRegistry } from './registry.ts'
import { type RegistrySettings, readRegistrySettings } from './registry-settings.ts'
import type { ImageSource } from './source.ts'
import { removeStaleWork } from './stale-work.ts'
import { type ImageStore, makeWorkDirectory } from './store.ts'

/** See fetchImage, which loads this. */
export async function pullImage(store: ImageStore, text: string, options: FetchOptions): Promise<StoredImage> {
  const reference = parseReference(text, options.cwd)
  removeStaleWork(store, new Date())
  const work: FetchWork = { store, directory: makeWorkDirectory(store), options }
  try {
    options.onProgress?.({ step: 'resolve', name: reference.name })
    const pulled = await pull(work, reference)
    const asked: readonly Relaxation[] = options.relax?.includes('image') ? ['image'] : []
    writeRecord(store, pulled.record)
    const origin: ImageOrigin = {
      name: reference.name,
      imageId: pulled.record.id,
      manifestDigest: pulled.manifestDigest,
      ...(pulled.archiveDigest !== undefined && { archiveDigest: pulled.archiveDigest }),
      fetchedAt: new Date().toISOString(),
      relaxed: [...new Set([...asked, ...pulled.relaxed])].sort(),
      signers: pulled.provenance?.signers ?? [],
      ...(pulled.provenance && { policy: pulled.provenance.policy }),
    }
    writeOrigin(store, origin)
    return { ...pulled.record, origin }
  } finally {
    // the last thing of all: until the name is written, its pins keep what it stands for
    fs.rmSync(work.directory, { recursive: true, force: true })
  }
}

async function pull(
  work: FetchWork,
  reference: ImageReference,
): Promise<Pulled & { readonly relaxed: readonly Relaxation[] }> {
  switch (reference.kind) {
    case 'stored':
      throw new ImageError(
        'IMAGE_REFERENCE_BAD',
        `'${reference.name}' says not where to fetch from; write docker://HOST/NAME:TAG, oci:/PATH:REF or /PATH/FILE.aci`,
      )
    case 'aci-file':
    case 'aci-url': {
      const client = openClient(work.options, readRegistrySettings(work.options.registriesFile))
      try {
        const { below, ...pulled } = await pullAci(work, reference, client)
        // what was relaxed for what it consists of was relaxed for it
        return { ...pulled, relaxed: [...relaxedBy(client), ...below.flatMap((image) => image.origin.relaxed)] }
      } finally {
        client.close()
      }
    }
    case 'oci-layout':
    case 'archive':
    case 'registry': {
      const source = await openSource(work, reference)
      try {
        return { ...(await pullOci(work, reference.name, source)), relaxed: source.relaxed() }
      } finally {
        source.close()
      }
    }
    default:
      return reference satisfies never
  }
}

async function openSource(
  { store, directory, options }: FetchWork,
  reference: Extract<ImageReference, { kind: 'registry' | 'oci-layout' | 'archive' }>,
): Promise<ImageSource> {
  if (reference.kind === 'oci-layout') {
    return openOciLayout(layoutInDirectory(reference.directory, options.signal), reference.ref)
  }
  if (reference.kind === 'archive') return openImageArchive(store, reference, directory, options.signal)
  const settings = readRegistrySettings(options.registriesFile)
  const { registry, repository, tag, digest } = reference
  const request = {
    registry,
    repository,
    ...(tag && { tag }),
    ...(digest && { digest }),
    mirrors: settings.get(registry)?.mirrors ?? [],
    environment: options.environment ?? {},
  }
  return openRegistry(request, openClient(options, settings))
}

function openClient(options: FetchOptions, settings: ReadonlyMap<string, RegistrySettings>): HttpClient {
  const { relax = [], insecureRegistries = [], certificateAuthorities, patience, signal } = options
  return new HttpClient({
    plainHttp: (host) =>
      relax.includes('http') || insecureRegistries.includes(host) || settings.get(host)?.http === true,
    verifyCertificate: !relax.includes('tls'),
    certificateAuthorities: (host) => settings.get(host)?.certificateAuthorities ?? certificateAuthorities,
    ...(patience && { patience }),
    ...(signal && { signal }),
  })
}

/** What was relaxed on the way over a network; nothing where it was not used. */
function relaxedBy(client: HttpClient): Relaxation[] {
  const used: Relaxation[] = client.usedHttp ? ['http'] : []
  return client.usedTls && !client.verifiesCertificates ? [...used, 'tls'] : used
}

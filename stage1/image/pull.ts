import fs from 'node:fs'
import { ImageError } from './errors.ts'
import { Dependencies } from './fetch-dependencies.ts'
import type { FetchOptions } from './fetch-options.ts'
import type { FetchWork, Pulled } from './fetch-work.ts'
import { HttpClient } from './http-client.ts'
import type { ImageOrigin, Relaxation, StoredImage } from './image.ts'
import { openImageArchive } from './image-archive.ts'
import { layoutInDirectory } from './layout-files.ts'
import { openOciLayout } from './oci-layout.ts'
import { type AciReference, type AciRequest, pullAci } from './pull-aci.ts'
import { pullOci } from './pull-oci.ts'
import { writeOrigin, writeRecord, written } from './records.ts'
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
    return await pull(work, reference)
  } finally {
    // the last thing of all: until the name is written, its pins keep what it stands for
    fs.rmSync(work.directory, { recursive: true, force: true })
  }
}

async function pull(work: FetchWork, reference: ImageReference): Promise<StoredImage> {
  switch (reference.kind) {
    case 'stored':
      throw new ImageError(
        'IMAGE_REFERENCE_BAD',
        `'${reference.name}' says not where to fetch from; write docker://HOST/NAME:TAG, oci:/PATH:REF or /PATH/FILE.aci`,
      )
    case 'aci-file':
    case 'aci-url':
      return pullAciAndBelow(work, reference)
    case 'oci-layout':
    case 'archive':
    case 'registry': {
      begin(work, reference)
      const source = await openSource(work, reference)
      try {
        return nameImage(work, reference, await pullOci(work, reference.name, source), source.relaxed())
      } finally {
        source.close()
      }
    }
    default:
      return reference satisfies never
  }
}

/** An ACI, and before it what it depends on and the store lacks, with a client for each: each has its own record. */
async function pullAciAndBelow(work: FetchWork, reference: AciReference): Promise<StoredImage> {
  const { options } = work
  const settings = readRegistrySettings(options.registriesFile)
  const one = async (
    request: Pick<AciRequest, 'reference' | 'client' | 'checkProvenance' | 'wanted'>,
  ): Promise<StoredImage> => {
    begin(work, request.reference)
    const { below, ...pulled } = await pullAci(work, { ...request, dependencies })
    // what was relaxed for what it consists of was relaxed for it
    const relaxed = [...relaxedBy(request.client), ...below.flatMap((image) => image.origin.relaxed)]
    return nameImage(work, request.reference, pulled, relaxed)
  }
  const dependencies = new Dependencies(work, {
    openClient: () => openClient(options, settings),
    fetch: (url, client, wanted) => {
      const found = parseReference(url.href, options.cwd)
      if (found.kind !== 'aci-url') throw new TypeError('a URL is the reference of an ACI')
      return one({ reference: found, client, checkProvenance: wanted.discovery.checkProvenance, wanted })
    },
  })
  const client = openClient(options, settings)
  try {
    const { checkProvenance } = options
    return await one({ reference, client, ...(checkProvenance && { checkProvenance }) })
  } finally {
    client.close()
  }
}

function begin({ options }: FetchWork, { name }: ImageReference): void {
  options.onProgress?.({ step: 'resolve', name })
}

/** Makes an image of what was pulled: from here on its name stands for it. */
function nameImage(
  { store, options }: FetchWork,
  reference: ImageReference,
  pulled: Pulled,
  relaxed: readonly Relaxation[],
): StoredImage {
  const asked: readonly Relaxation[] = options.relax?.includes('image') ? ['image'] : []
  writeRecord(store, pulled.record)
  const origin: ImageOrigin = {
    name: reference.name,
    imageId: pulled.record.id,
    manifestDigest: pulled.manifestDigest,
    ...(pulled.archiveDigest !== undefined && { archiveDigest: pulled.archiveDigest }),
    fetchedAt: new Date().toISOString(),
    relaxed: [...new Set([...asked, ...relaxed])].sort(),
    signers: pulled.provenance?.signers ?? [],
    ...(pulled.provenance && { policy: pulled.provenance.policy }),
  }
  writeOrigin(store, origin)
  return { ...pulled.record, ...written(), origin: { ...origin, ...written() } }
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

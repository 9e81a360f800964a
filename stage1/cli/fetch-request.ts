import path from 'node:path'
import {
  type FetchProgress,
  fetchImage,
  HttpClient,
  holdGiven,
  type ImageStore,
  loadFetchCode,
  parseReference,
  type Relaxation,
  rememberCredentials,
  type StoredImage,
} from '../image/index.ts'
import {
  type ConfigDirectories,
  dependencyDiscovery,
  discoverImage,
  loadProvenanceCode,
  machineLabels,
  parseAppcName,
} from '../signatures/index.ts'
import { checkOf, installedStage1s } from './provenance.ts'

/** One image that is to be fetched, and all that a command says of it. */
export interface FetchRequest {
  readonly name: string
  /** What relative paths are relative to. */
  readonly cwd: string
  readonly relax: readonly Relaxation[]
  readonly config: ConfigDirectories
  readonly signatureFile?: string
  /** Absolute. */
  readonly registriesFile?: string
}

/**
 * Where this is root: does what perhaps only root may, for requests that another user will carry out: opens the files that they name,
 * reads the passwords for their registries, and loads code, which may lie below a home directory.
 */
export async function prepareForUser(requests: readonly FetchRequest[]): Promise<void> {
  if (process.geteuid?.() !== 0) return
  for (const stage1 of installedStage1s()) holdGiven(stage1)
  for (const { name, cwd, signatureFile, registriesFile } of requests) {
    const reference = parseReference(name, cwd)
    if (signatureFile !== undefined) holdGiven(path.resolve(cwd, signatureFile))
    if (reference.kind === 'aci-file') for (const end of ['', '.asc']) holdGiven(`${reference.file}${end}`)
    if (reference.kind === 'archive') holdGiven(reference.file)
    if (reference.kind === 'oci-layout') holdGiven(reference.directory)
    if (reference.kind === 'registry') await rememberCredentials(reference, registriesFile, process.env)
  }
  await loadFetchCode()
  await loadProvenanceCode()
}

/** Carries a request out, as whatever user this process is. @throws ImageError, SignatureError, ManifestError */
export async function carryOut(
  store: ImageStore,
  request: FetchRequest,
  onProgress?: (progress: FetchProgress) => void,
): Promise<StoredImage> {
  const { cwd, relax, config, signatureFile, registriesFile } = request
  const { reference, expectedName } = await locate(request)
  const provenance = { config, acceptUnsigned: relax.includes('image') }
  return fetchImage(store, reference, {
    cwd,
    relax,
    checkProvenance: checkOf({
      ...provenance,
      ...(signatureFile !== undefined && { signatureFile: path.resolve(cwd, signatureFile) }),
      ...(expectedName !== undefined && { expectedName }),
    }),
    dependencies: dependencyDiscovery({ ...provenance, now: () => new Date() }),
    environment: process.env,
    ...(registriesFile !== undefined && { registriesFile }),
    ...(onProgress !== undefined && { onProgress }),
  })
}

/** What nobody says the place of is discovered, where it is named as appc names images. */
async function locate({ name: text, cwd, relax }: FetchRequest): Promise<{ reference: string; expectedName?: string }> {
  if (parseReference(text, cwd).kind !== 'stored') return { reference: text }
  const name = parseAppcName(text, machineLabels())
  if (name === undefined) return { reference: text }
  const client = new HttpClient({
    plainHttp: () => relax.includes('http'),
    verifyCertificate: !relax.includes('tls'),
    certificateAuthorities: () => undefined,
  })
  try {
    return { reference: (await discoverImage(client, name)).href, expectedName: name.name }
  } finally {
    client.close()
  }
}

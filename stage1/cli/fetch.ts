import path from 'node:path'
import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import { openImageStore } from '../image/index.ts'
import { DEFAULT_CONFIG } from '../signatures/index.ts'
import { progressDisplay } from './fetch-progress.ts'
import { carryOut, prepareForUser } from './fetch-request.ts'
import { giveUpRoot } from './give-up-root.ts'
import { FETCH_CHECKS, fetchRelaxations, insecureNames, parseInsecureOptions } from './insecure-options.ts'
import { DEFAULT_DIR } from './installation.ts'

interface FetchCommandOptions {
  readonly dir: string
  readonly insecureOptions?: string
  readonly signature?: string
  readonly localConfig: string
  readonly systemConfig: string
  readonly registries?: string
  readonly quiet?: true
}

/** `holdfast fetch` */
export function command(): Command {
  return new Command('fetch')
    .description(
      'Bring images into the store: every blob is checked by its digest, the files are rendered once and measured.',
    )
    .argument(
      '<image...>',
      'docker://HOST[:PORT]/NAME[:TAG][@DIGEST], https://HOST/FILE.aci, HOST/NAME[:VERSION] of an .aci that HOST tells the place of, oci:PATH[:REF], oci-archive:FILE[:REF], docker-archive:FILE[:NAME:TAG], or the path of an .aci or .tar',
    )
    .option(
      '--insecure-options <list>',
      `relax checks, separated by commas: ${insecureNames(FETCH_CHECKS)}; recorded with the image, and to be named again at its launches`,
    )
    .option('--signature <file>', 'OpenPGP signature of the one .aci, where it is not beside it as FILE.aci.asc')
    .option('--local-config <directory>', 'image-policy.json and trustedkeys of this machine', DEFAULT_CONFIG.local)
    .option('--system-config <directory>', 'the same, as they came with the system', DEFAULT_CONFIG.system)
    .option(
      '--registries <file>',
      'mirrors, certificates and plain HTTP of registries (default: /etc/holdfast/registries.yaml)',
    )
    .option('--quiet', 'no progress on standard error')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((images: readonly string[], options: FetchCommandOptions) => fetch(images, options))
}

const EXAMPLES = `
Prints the ID of each image. Who has to have signed an image is in image-policy.json; without that file an .aci is to be signed by a key of the
trust store (holdfast trust), and nothing else is admitted.

Examples:
  holdfast fetch docker://registry.example/busybox:1
  holdfast fetch oci:./layout:latest
  docker save busybox:1 -o busybox.tar && holdfast fetch ./busybox.tar
  holdfast fetch ./base.aci ./app.aci                      what an ACI depends on is discovered by its name where it is not in the store
  holdfast fetch --insecure-options=http docker://localhost:5000/busybox:1
`

async function fetch(names: readonly string[], options: FetchCommandOptions): Promise<void> {
  const store = openImageStore(options.dir)
  const relax = fetchRelaxations(parseInsecureOptions(options.insecureOptions ?? '', FETCH_CHECKS))
  if (options.signature !== undefined && names.length > 1) throw new UsageError('--signature is for one image')
  const requests = names.map((name) => ({
    name,
    cwd: process.cwd(),
    relax,
    config: { local: path.resolve(options.localConfig), system: path.resolve(options.systemConfig) },
    ...(options.signature !== undefined && { signatureFile: options.signature }),
    ...(options.registries !== undefined && { registriesFile: path.resolve(options.registries) }),
  }))
  const progress = options.quiet === true ? undefined : await progressDisplay(process.stderr)
  await prepareForUser(requests)
  giveUpRoot(store, (text) => process.stderr.write(`holdfast fetch: warning: ${text}\n`))
  for (const request of requests) {
    try {
      const image = await carryOut(store, request, progress?.show)
      progress?.stop()
      process.stdout.write(`${image.id}\n`)
    } finally {
      progress?.stop()
    }
  }
}

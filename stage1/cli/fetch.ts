import { Command } from 'commander'
import { UsageError } from '../../attestation/base/index.ts'
import { type FetchProgress, fetchImage, openImageStore } from '../image/index.ts'
import { DEFAULT_CONFIG } from '../signatures/index.ts'
import { FETCH_CHECKS, fetchRelaxations, insecureNames, parseInsecureOptions } from './insecure-options.ts'
import { DEFAULT_DIR, installation } from './installation.ts'
import { checkOf } from './provenance.ts'

interface FetchCommandOptions {
  readonly dir: string
  readonly insecureOptions?: string
  readonly signature?: string
  readonly localConfig: string
  readonly systemConfig: string
  readonly quiet?: true
}

/** `holdfast fetch` */
export function command(): Command {
  return new Command('fetch')
    .description(
      'Bring images into the store: every blob is checked by its digest, the files are rendered once and measured.',
    )
    .argument('<image...>', 'docker://HOST[:PORT]/NAME[:TAG][@DIGEST], oci:PATH[:REF], or the path of an .aci')
    .option(
      '--insecure-options <list>',
      `relax checks, separated by commas: ${insecureNames(FETCH_CHECKS)}; recorded with the image, and to be named again at its launches`,
    )
    .option('--signature <file>', 'OpenPGP signature of the one .aci, where it is not beside it as FILE.aci.asc')
    .option('--local-config <directory>', 'image-policy.json and trustedkeys of this machine', DEFAULT_CONFIG.local)
    .option('--system-config <directory>', 'the same, as they came with the system', DEFAULT_CONFIG.system)
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
  holdfast fetch --insecure-options=http docker://localhost:5000/busybox:1
`

async function fetch(images: readonly string[], options: FetchCommandOptions): Promise<void> {
  const store = openImageStore(options.dir)
  const relax = fetchRelaxations(parseInsecureOptions(options.insecureOptions ?? '', FETCH_CHECKS))
  if (options.signature !== undefined && images.length > 1) throw new UsageError('--signature is for one image')
  const checkProvenance = checkOf({
    config: { local: options.localConfig, system: options.systemConfig },
    acceptUnsigned: relax.includes('image'),
    ...(options.signature !== undefined && { signatureFile: options.signature }),
  })
  const progress = options.quiet === true || !process.stderr.isTTY ? undefined : await progressBar()
  for (const name of images) {
    try {
      const image = await fetchImage(store, name, {
        cwd: process.cwd(),
        stage1Program: installation().stage1Program,
        relax,
        checkProvenance,
        environment: process.env,
        ...(progress === undefined ? {} : { onProgress: progress.show }),
      })
      progress?.stop()
      process.stdout.write(`${image.id}\n`)
    } finally {
      progress?.stop()
    }
  }
}

/** One line at the bottom of the terminal: what is being done, and how much of a blob is there. */
async function progressBar(): Promise<{ show: (p: FetchProgress) => void; stop: () => void }> {
  const { SingleBar } = await import('cli-progress')
  const bar = new SingleBar({
    format: '{what} [{bar}] {percentage}%',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let active = false
  const stop = (): void => {
    if (active) bar.stop()
    active = false
  }
  return {
    show: (p) => {
      if (!active) bar.start(1, 0, { what: '' })
      active = true
      switch (p.step) {
        case 'resolve':
          bar.update(0, { what: p.name })
          break
        case 'blob':
          bar.setTotal(Math.max(p.totalBytes, 1))
          bar.update(p.doneBytes, { what: p.digest.slice(0, 19) })
          break
        case 'unpack':
          bar.setTotal(Math.max(p.layers, 1))
          bar.update(p.layer, { what: 'unpack' })
          break
        case 'render':
          bar.setTotal(1)
          bar.update(0, { what: 'render' })
          break
      }
    },
    stop,
  }
}

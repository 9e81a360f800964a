import { Command } from 'commander'
import { fromUtf8 } from '../../attestation/base/index.ts'
import { findPod, PodError, readShownManifest } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'
import { uuidArgument } from './uuid-file.ts'

interface CatManifestOptions {
  readonly dir: string
  readonly prettyPrint?: true
  readonly uuidFile?: string
}

/** `holdfast cat-manifest` */
export function command(): Command {
  return new Command('cat-manifest')
    .description("Print a pod's manifest as it is run; values of its environment to root alone.")
    .argument('[uuid]', 'UUID of the pod, or the beginning of one')
    .option('--pretty-print', 'indented; the bytes that were hashed are those without it')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action(catManifest)
}

const EXAMPLES = `
Examples:
  holdfast cat-manifest --pretty-print 5c1d
  holdfast cat-manifest 5c1d | jq -r '.apps[].image.id'
`

function catManifest(uuid: string | undefined, { dir, prettyPrint, uuidFile }: CatManifestOptions): void {
  const pod = findPod(dir, uuidArgument(uuid, uuidFile))
  const found = readShownManifest(pod.path)
  if (found === undefined) {
    throw new PodError(
      'POD_FILE_BAD',
      `pod ${pod.uuid} is ${pod.state} and has no manifest yet that this user may read`,
    )
  }
  if (found.redacted)
    process.stderr.write('holdfast cat-manifest: values of the environment are for root: digests instead\n')
  const text = fromUtf8(found.bytes)
  process.stdout.write(`${prettyPrint ? JSON.stringify(JSON.parse(text), undefined, 2) : text}\n`)
}

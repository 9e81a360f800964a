import { Command } from 'commander'
import { fromUtf8 } from '../../attestation/base/index.ts'
import { findPod, type Pod, PodError, readPodStatus, readShownManifest } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'
import { podJson } from './pod-json.ts'
import { uuidArgument } from './uuid-file.ts'

interface CatManifestOptions {
  readonly dir: string
  readonly prettyPrint?: true
  readonly provenance?: true
  readonly uuidFile?: string
}

/** `holdfast cat-manifest` */
export function command(): Command {
  return new Command('cat-manifest')
    .description("Print a pod's manifest as it is run; values of its environment to root alone.")
    .argument('[uuid]', 'UUID of the pod, or the beginning of one')
    .option('--pretty-print', 'indented; the bytes that were hashed are those without it')
    .option('--provenance', 'instead, what was measured of its stage1 and images: signers, policies, tree digests')
    .option('--uuid-file <file>', 'take the UUID from this file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action(catManifest)
}

const EXAMPLES = `
Examples:
  holdfast cat-manifest --pretty-print 5c1d
  holdfast cat-manifest 5c1d | jq -r '.apps[].image.id'
  holdfast cat-manifest --provenance 5c1d | jq -r '.apps[].provenance.signers[].key'
`

function catManifest(uuid: string | undefined, { dir, prettyPrint, provenance, uuidFile }: CatManifestOptions): void {
  const pod = findPod(dir, uuidArgument(uuid, uuidFile))
  const print = (value: unknown): boolean =>
    process.stdout.write(`${JSON.stringify(value, undefined, prettyPrint && 2)}\n`)
  if (provenance) {
    print(provenanceJson(pod))
    return
  }
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
  if (prettyPrint) print(JSON.parse(text))
  else process.stdout.write(`${text}\n`)
}

function provenanceJson(pod: Pod): unknown {
  const { uuid, mode, stage1, relaxed, apps } = podJson(readPodStatus(pod))
  if (stage1 === null) throw new PodError('POD_FILE_BAD', `pod ${uuid} was not launched, so nothing of it was measured`)
  const images = apps.map(({ name, imageName, imageId, provenance }) => ({ name, imageName, imageId, provenance }))
  return { uuid, mode, stage1, relaxed, apps: images }
}

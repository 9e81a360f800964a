import { Command } from 'commander'
import { EXIT_HOLDFAST_FAILED } from '../../attestation/base/index.ts'
import {
  checkImage,
  existingImageStore,
  findOrigins,
  ImageError,
  type ImageOrigin,
  listImages,
} from '../image/index.ts'
import type { ImageId } from '../manifest/index.ts'
import { giveUpRoot } from './give-up-root.ts'
import { DEFAULT_DIR } from './installation.ts'

/** `holdfast image verify` */
export function verifyCommand(): Command {
  return new Command('verify')
    .description('Read all that the store has of images and hold it against their digests.')
    .argument('[image...]', 'names or IDs; all images unless given')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((images: readonly string[], options: { readonly dir: string }) => verify(images, options.dir))
}

const EXAMPLES = `
Prints the ID of each sound image. For any other it says what is wrong and what to do, and exits with 254 in the end.
A launch makes the checks that matter to it by itself: a changed image is never launched.

Examples:
  holdfast image verify
  holdfast image verify busybox:1 || holdfast fetch docker://registry.example/busybox:1
`

async function verify(texts: readonly string[], dir: string): Promise<void> {
  const store = existingImageStore(dir)
  if (store === undefined) {
    if (texts.length > 0) throw new ImageError('IMAGE_NOT_FOUND', `there are no images in ${dir}`)
    return
  }
  giveUpRoot(store)
  const wanted = texts.map((text) => findOrigins(store, text, process.cwd())[0]?.imageId)
  for (const listed of listImages(store).filter((l) => wanted.length === 0 || wanted.includes(l.id))) {
    const problems = await checkImage(store, listed.id, listed.origins)
    if (problems.length === 0) process.stdout.write(`${listed.id}\n`)
    else report(listed.id, listed.origins, problems)
  }
}

function report(id: ImageId, origins: readonly ImageOrigin[], problems: readonly string[]): void {
  process.exitCode = EXIT_HOLDFAST_FAILED
  const lines = [
    `holdfast image verify: ${id} is not sound:`,
    ...problems.map((problem) => `  ${problem}`),
    'To mend it, fetch it again:',
    ...origins.map(({ name }) => `  holdfast fetch ${name}`),
  ]
  process.stderr.write(`${lines.join('\n')}\n`)
}

import { Command } from 'commander'
import { EXIT_HOLDFAST_FAILED, failureText } from '../../attestation/base/index.ts'
import { findOrigins, ImageError, type ImageStore, openImageStore, removeOrigin } from '../image/index.ts'
import { giveUpRoot } from './give-up-root.ts'
import { podsThatWait, type WaitingPod } from './image-needs.ts'
import { DEFAULT_DIR } from './installation.ts'

/** `holdfast image rm` */
export function rmCommand(): Command {
  return new Command('rm')
    .description('Take images their names; image gc frees the room.')
    .argument('<image...>', 'names or IDs')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((images: readonly string[], options: { readonly dir: string }) => rm(images, options.dir))
}

const EXAMPLES = `
A name as fetch was given it goes alone; an ID, or the end of a name, takes all names of its image along.
Prints each name that is gone. An image that a prepared pod is to be launched with stays. One that cannot be
removed does not keep the others. Running pods keep running.

Examples:
  holdfast image rm docker://registry.example/busybox:1
  holdfast image rm sha256-5c1d77 && holdfast image gc --grace-period=0
`

function rm(texts: readonly string[], dir: string): void {
  const store = openImageStore(dir)
  // pods are root's to read; others remove only names of their own, by which no pod is launched
  const waiting = process.geteuid?.() === 0 ? podsThatWait(dir) : []
  giveUpRoot(store)
  for (const text of texts) {
    try {
      removeImage(store, waiting, text)
    } catch (err) {
      process.stderr.write(failureText('image rm', err))
      process.exitCode = EXIT_HOLDFAST_FAILED
    }
  }
}

function removeImage(store: ImageStore, waiting: readonly WaitingPod[], text: string): void {
  const origins = findOrigins(store, text, process.cwd())
  for (const { name, imageId } of origins) {
    const pod = waiting.find((w) => w.images.has(imageId))?.pod
    if (pod !== undefined) {
      throw new ImageError(
        'IMAGE_IN_USE',
        `pod ${pod.uuid} (${pod.state}) is to be launched with ${name}; remove the pod first (holdfast rm)`,
      )
    }
    removeOrigin(store, name)
    process.stdout.write(`${name}\n`)
  }
}

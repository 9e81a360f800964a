import { Command } from 'commander'
import { catManifestCommand } from './image-cat-manifest.ts'
import { exportCommand } from './image-export.ts'
import { extractCommand, renderCommand } from './image-extract.ts'
import { gcCommand } from './image-gc.ts'
import { listCommand } from './image-list.ts'
import { rmCommand } from './image-rm.ts'
import { verifyCommand } from './image-verify.ts'

/** `holdfast image` */
export function command(): Command {
  const image = new Command('image').description('Look after the images in the store.')
  for (const sub of [
    listCommand(),
    rmCommand(),
    gcCommand(),
    verifyCommand(),
    catManifestCommand(),
    exportCommand(),
    extractCommand(),
    renderCommand(),
  ]) {
    image.addCommand(sub)
  }
  return image.addHelpText('after', EXAMPLES)
}

const EXAMPLES = `
IMAGE is a name as fetch was given it, the end of it after a slash, an image ID, or the beginning of one.
`

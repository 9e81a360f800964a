import path from 'node:path'
import { Command } from 'commander'
import { type ExtractOptions, extractImage, findImage, openImageStore } from '../image/index.ts'
import { DEFAULT_DIR, installation } from './installation.ts'

interface ExtractCommandOptions {
  readonly dir: string
  readonly rootfsOnly?: true
  readonly overwrite?: true
}

/** `holdfast image extract` */
export function extractCommand(): Command {
  return make('extract', 'own', 'Write what an image itself holds to a directory, without its dependencies.')
}

/** `holdfast image render` */
export function renderCommand(): Command {
  return make('render', 'rendered', 'Write the files that an app of the image finds to a directory.')
}

function make(name: string, what: ExtractOptions['what'], description: string): Command {
  return new Command(name)
    .description(description)
    .argument('<image>', 'name or ID')
    .argument('<directory>', 'made by this; it must not be there yet')
    .option('--rootfs-only', 'the files alone, without manifest and the rootfs directory')
    .option('--overwrite', 'replace the directory and all that is in it')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText(
      'after',
      `\nOwners, modes and devices are as in the image, so only root can do this.\n\nExample:\n  holdfast image ${name} --rootfs-only busybox ./busybox\n`,
    )
    .action((text: string, directory: string, o: ExtractCommandOptions) => {
      const store = openImageStore(o.dir)
      const image = findImage(store, text, process.cwd())
      return extractImage(store, image, path.resolve(directory), {
        what,
        rootfsOnly: o.rootfsOnly === true,
        overwrite: o.overwrite === true,
        stage1Program: installation().stage1Program,
      })
    })
}

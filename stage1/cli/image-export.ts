import path from 'node:path'
import { Command } from 'commander'
import { exportImage, findImage, openImageStore } from '../image/index.ts'
import { DEFAULT_DIR } from './installation.ts'

interface ExportOptions {
  readonly dir: string
  readonly overwrite?: true
}

/** `holdfast image export` */
export function exportCommand(): Command {
  return new Command('export')
    .description('Write an image as an App Container image.')
    .argument('<image>', 'name or ID')
    .argument('<file>', 'the .aci to write')
    .option('--overwrite', 'replace the file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((text: string, file: string, { dir, overwrite }: ExportOptions) => {
      const store = openImageStore(dir)
      const image = findImage(store, text, process.cwd())
      return exportImage(store, image, path.resolve(file), overwrite === true)
    })
}

const EXAMPLES = `
An ACI comes out uncompressed, under the image ID it has. An OCI image is squashed into one manifest and its rendered files, the same bytes
each time; it gets an image ID of its own.

Example:
  holdfast image export busybox busybox.aci
`

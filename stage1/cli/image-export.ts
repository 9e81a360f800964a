import { spawn } from 'node:child_process'
import path from 'node:path'
import { Command } from 'commander'
import { exportFile, findImage, ImageError, openImageStore, writeAci } from '../image/index.ts'
import { storeOwners } from '../users/index.ts'
import { giveUpRoot } from './give-up-root.ts'
import { DEFAULT_DIR, installation } from './installation.ts'

interface ExportOptions {
  readonly dir: string
  readonly overwrite?: true
}

/** `holdfast image export` */
export function exportCommand(): Command {
  return new Command('export')
    .description('Write an image as an App Container image.')
    .argument('<image>', 'name or ID')
    .argument('<file>', 'the .aci to write; - for standard output')
    .option('--overwrite', 'replace the file')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action(exportTo)
}

const EXAMPLES = `
An ACI comes out uncompressed, under the image ID it has. An OCI image is squashed into one manifest and its rendered files, the same bytes
each time; it gets an image ID of its own.

Examples:
  holdfast image export busybox busybox.aci
  holdfast image export busybox - | tar -t
`

const STANDARD_OUTPUT = 1

/** The file is the caller's to make; what is read of the image is not read by root, where there is another user for it. */
async function exportTo(text: string, file: string, { dir, overwrite }: ExportOptions): Promise<void> {
  const store = openImageStore(dir)
  const here = (fd: number): Promise<void> => writeAci(store, findImage(store, text, process.cwd()), fd)
  if (file === '-') {
    giveUpRoot(store)
    return here(STANDARD_OUTPUT)
  }
  const asOther = process.geteuid?.() === 0 && storeOwners() !== undefined
  return exportFile(path.resolve(file), overwrite === true, asOther ? (fd) => inChild(text, dir, fd) : here)
}

/** The same command with standard output. What goes wrong it says itself. */
async function inChild(text: string, dir: string, fd: number): Promise<void> {
  const args = [installation().program, 'image', 'export', '--dir', path.resolve(dir), '--', text, '-']
  const child = spawn(process.execPath, args, { stdio: ['ignore', fd, 'inherit'] })
  const status = await new Promise<number | string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  })
  if (status !== 0) throw new ImageError('IMAGE_FETCH_FAILED', `the process that reads the image ended with ${status}`)
}

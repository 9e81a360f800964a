import path from 'node:path'
import { Command } from 'commander'
import { existingImageStore } from '../image/index.ts'
import { chooseApp, exportApp, findPod, PodError, readPodStatus } from '../pod/index.ts'
import { DEFAULT_DIR } from './installation.ts'
import { mustBeRoot } from './pod-request.ts'

interface ExportOptions {
  readonly dir: string
  readonly app?: string
  readonly overwrite?: true
}

/** `holdfast export` */
export function command(): Command {
  return new Command('export')
    .description('Write the root of an app that has ended, with all that it changed, as an ACI.')
    .argument('<uuid>', 'UUID of the pod, or the beginning of one')
    .argument('<file>', 'the .aci to write')
    .option('--app <name>', 'which app; not needed where the pod has one')
    .option('--overwrite', 'even if the file is there')
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action(exportPod)
}

const EXAMPLES = `
What was in volumes is not part of it. The image is not signed: holdfast fetch asks for a signature, or for --insecure-options=image.

Examples:
  holdfast export 5c1d changed.aci
  holdfast export --app web --overwrite 5c1d /srv/web.aci
`

async function exportPod(uuid: string, file: string, { dir, app, overwrite }: ExportOptions): Promise<void> {
  mustBeRoot()
  const status = readPodStatus(findPod(dir, uuid))
  const name = chooseApp(status, app)
  const store = existingImageStore(dir)
  const found = status.apps.find((a) => a.name === name)
  if (store === undefined || found === undefined)
    throw new PodError('POD_EXPORT_FAILED', `there is no image store in ${dir}`)
  await exportApp(store, status.pod, found, { path: path.resolve(file), overwrite: overwrite ?? false })
}

import { Command, Option } from 'commander'
import { EXIT_HOLDFAST_FAILED, formatTable, messageOf } from '../../attestation/base/index.ts'
import { existingImageStore, listImages } from '../image/index.ts'
import { DEFAULT_DIR } from './installation.ts'

interface ImageListOptions {
  readonly dir: string
  readonly full?: true
  readonly legend: boolean
  readonly format: 'table' | 'json'
}

/** `holdfast image` */
export function command(): Command {
  const image = new Command('image').description('Look at the images in the store.')
  image
    .command('list')
    .description('List images with all their names.')
    .option('--full', 'whole image IDs')
    .option('--no-legend', 'no header line')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: ImageListOptions) => list(options))
  return image
}

const EXAMPLES = `
NAME is what was fetched, as fetch was given it. run takes it, or the end of it after a slash, or the beginning of the ID.

Examples:
  holdfast image list --full
  holdfast image list --format=json | jq -r '.[] | "\\(.name) \\(.tree)"'
`

function list(options: ImageListOptions): void {
  const rows: { id: string; name: string; fetchedAt: string; sizeBytes: number; tree: string; signers: string[] }[] = []
  const store = existingImageStore(options.dir)
  for (const listed of store === undefined ? [] : listImages(store)) {
    if ('error' in listed) {
      process.stderr.write(`holdfast image list: ${listed.id}: ${messageOf(listed.error)}\n`)
      process.exitCode = EXIT_HOLDFAST_FAILED
      continue
    }
    const { image, origins } = listed
    for (const origin of origins) {
      rows.push({
        id: image.id,
        name: origin.name,
        fetchedAt: origin.fetchedAt,
        sizeBytes: image.treeSizeBytes,
        tree: image.treeDigest,
        signers: origin.signers.map((s) => s.name),
      })
    }
  }
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  const cells = rows.map((r) => [
    options.full === true ? r.id : r.id.slice(0, 19),
    r.name,
    `${(r.sizeBytes / 2 ** 20).toFixed(1)} MiB`,
    r.signers.join(',') || '-',
    r.fetchedAt,
  ])
  process.stdout.write(formatTable(options.legend ? ['ID', 'NAME', 'SIZE', 'SIGNED BY', 'FETCHED'] : undefined, cells))
}

import { Command, Option } from 'commander'
import { EXIT_HOLDFAST_FAILED, formatTable, messageOf, printable, UsageError } from '../../attestation/base/index.ts'
import { existingImageStore, listImages, type Signer } from '../image/index.ts'
import { giveUpRoot } from './give-up-root.ts'
import { DEFAULT_DIR } from './installation.ts'

interface ImageListOptions {
  readonly dir: string
  readonly full?: true
  readonly legend: boolean
  readonly fields: string
  readonly sort: string
  readonly order: 'asc' | 'desc'
  readonly format: 'table' | 'json'
}

/** One name of one image, as `--format=json` prints it. */
interface Row {
  readonly id: string
  readonly name: string
  /** RFC 3339, UTC. */
  readonly fetchedAt: string
  /** Of the rendered tree. */
  readonly sizeBytes: number
  readonly tree: string
  readonly kind: 'oci' | 'aci'
  readonly signers: readonly string[]
  readonly relaxed: readonly string[]
  /** What was verified of each signer; only printed as JSON. */
  readonly signatures: readonly Signer[]
  /** By which policy it was let in; null where none was asked. */
  readonly policy: { readonly sha256: string; readonly scope: string } | null
}

interface Field {
  readonly title: string
  readonly cell: (row: Row, full: boolean) => string
  readonly key: (row: Row) => string | number
}

const FIELDS: Readonly<Record<string, Field>> = {
  id: { title: 'ID', cell: (r, full) => (full ? r.id : r.id.slice(0, 19)), key: (r) => r.id },
  name: { title: 'NAME', cell: (r) => r.name, key: (r) => r.name },
  size: { title: 'SIZE', cell: (r) => `${(r.sizeBytes / 2 ** 20).toFixed(1)} MiB`, key: (r) => r.sizeBytes },
  signers: { title: 'SIGNED BY', cell: (r) => r.signers.join(',') || '-', key: (r) => r.signers.join(',') },
  fetched: { title: 'FETCHED', cell: (r) => r.fetchedAt, key: (r) => r.fetchedAt },
  kind: { title: 'KIND', cell: (r) => r.kind, key: (r) => r.kind },
  relaxed: { title: 'RELAXED', cell: (r) => r.relaxed.join(',') || '-', key: (r) => r.relaxed.join(',') },
  tree: { title: 'TREE', cell: (r) => r.tree, key: (r) => r.tree },
}
const NAMES = Object.keys(FIELDS).join(', ')

/** `holdfast image list` */
export function listCommand(): Command {
  return new Command('list')
    .description('List images with all their names.')
    .option('--fields <list>', `columns, separated by commas: ${NAMES}`, 'id,name,size,signers,fetched')
    .option('--sort <fields>', 'by which columns, separated by commas', 'name')
    .addOption(new Option('--order <order>', 'of the first of them').choices(['asc', 'desc']).default('asc'))
    .option('--full', 'whole image IDs')
    .option('--no-legend', 'no header line')
    .addOption(new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table'))
    .option('--dir <directory>', 'images and pods', DEFAULT_DIR)
    .addHelpText('after', EXAMPLES)
    .action((options: ImageListOptions) => list(options))
}

const EXAMPLES = `
NAME is what was fetched, as fetch was given it. run takes it, or the end of it after a slash, or the beginning of the ID.

Examples:
  holdfast image list --full
  holdfast image list --fields=name,size --sort=size --order=desc --no-legend
  holdfast image list --format=json | jq -r '.[] | "\\(.name) \\(.tree)"'
`

function list(options: ImageListOptions): void {
  const columns = fieldsOf('--fields', options.fields)
  const rows = readRows(options.dir).sort(comparing(fieldsOf('--sort', options.sort), options.order))
  if (options.format === 'json') {
    process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  const cells = rows.map((row) => columns.map((c) => c.cell(row, options.full === true)))
  process.stdout.write(formatTable(options.legend ? columns.map((c) => c.title) : undefined, cells))
}

/** An image that cannot be read does not hide the others: it is reported, and the status says that it is missing. */
function readRows(dir: string): Row[] {
  const store = existingImageStore(dir)
  if (store !== undefined) giveUpRoot(store)
  return (store === undefined ? [] : listImages(store)).flatMap((listed): Row[] => {
    if ('error' in listed) {
      process.stderr.write(`holdfast image list: ${listed.id}: ${printable(messageOf(listed.error))}\n`)
      process.exitCode = EXIT_HOLDFAST_FAILED
      return []
    }
    const { image, origins } = listed
    return origins.map((origin) => ({
      id: image.id,
      name: origin.name,
      fetchedAt: origin.fetchedAt,
      sizeBytes: image.treeSizeBytes,
      tree: image.treeDigest,
      kind: image.kind,
      signers: origin.signers.map((s) => s.name),
      relaxed: origin.relaxed,
      signatures: origin.signers,
      policy: origin.policy ?? null,
    }))
  })
}

function fieldsOf(option: string, list: string): Field[] {
  return list.split(',').map((name) => {
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined
    if (field === undefined) throw new UsageError(`${option} '${name.slice(0, 40)}': there are ${NAMES}`)
    return field
  })
}

function comparing(fields: readonly Field[], order: 'asc' | 'desc'): (a: Row, b: Row) => number {
  return (a, b) => {
    for (const [i, { key }] of fields.entries()) {
      const [x, y] = [key(a), key(b)]
      if (x !== y) return (x < y ? -1 : 1) * (i === 0 && order === 'desc' ? -1 : 1)
    }
    return 0
  }
}

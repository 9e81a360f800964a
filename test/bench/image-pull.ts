import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HOLDFAST_PROGRAM, run } from '../support/holdfast.ts'
import { startRegistry } from '../support/registry.ts'
import { type BenchRow, median, ratioRow } from './rows.ts'
import { peakMemory } from './tree-memory.ts'

const ROUNDS = 5
const MEMORY_LIMIT_MIB = 150
/** Made once: a Debian root takes a minute and a mirror of Debian. */
const CACHE = join(tmpdir(), 'holdfast-bench-debian-bookworm-1')

/**
 * An image of about 90 MB compressed and 6800 files from a registry on loopback: fetched, verified, unpacked, rendered
 * to one file and hashed, against `skopeo copy` and `umoci unpack`, which fetch, verify and unpack. Both begin with an
 * empty directory on the same disk, in turns.
 */
export async function measure(): Promise<readonly BenchRow[]> {
  const layout = await debianLayout()
  const work = mkdtempSync(join(tmpdir(), 'holdfast-bench-pull-'))
  const registry = await startRegistry(join(work, 'registry'))
  try {
    const reference = `docker://${registry.host}/debian:1`
    await must('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:1`, reference])
    const store = join(work, 'store')
    const ours = [HOLDFAST_PROGRAM, 'fetch', '--quiet', '--insecure-options=http,image', '--dir', store, reference]
    const peer = (): Promise<void> => copyAndUnpack(reference, work)
    const [oursMs, peerMs]: [number[], number[]] = [[], []]
    for (let round = -1; round < ROUNDS; round++) {
      const [program = '', ...args] = ours
      const took = [await timed(work, store, () => must(program, args)), await timed(work, store, peer)]
      if (round < 0) continue // warm-up
      oursMs.push(took[0] ?? 0)
      peerMs.push(took[1] ?? 0)
    }
    clear(work, store)
    const memory = await peakMemory(ours)
    const row = { ours: median(oursMs), reference: median(peerMs), referenceWhat: 'skopeo copy and umoci unpack' }
    const limit = { reference: MEMORY_LIMIT_MIB, referenceWhat: 'the limit that we set ourselves', unit: 'MiB' }
    return [
      ratioRow({ name: 'image-pull', ...row, unit: 'ms' }, 1),
      ratioRow({ name: 'image-pull, memory of its largest process', ours: memory.largest, ...limit }, 1),
      {
        ...ratioRow({ name: 'image-pull, memory of all its processes at once', ours: memory.sum, ...limit }, 1),
        target: 'shown only',
        met: true,
      },
    ]
  } finally {
    await registry.stop()
    rmSync(work, { recursive: true, force: true })
  }
}

async function copyAndUnpack(reference: string, work: string): Promise<void> {
  await must('skopeo', ['copy', '-q', '--src-tls-verify=false', reference, `oci:${join(work, 'copied')}:1`])
  await must('umoci', ['unpack', '--image', `${join(work, 'copied')}:1`, join(work, 'bundle')])
}

/** Milliseconds; what earlier runs wrote is on the disk before it begins. */
async function timed(work: string, store: string, what: () => Promise<void>): Promise<number> {
  clear(work, store)
  await must('sync', [])
  const start = process.hrtime.bigint()
  await what()
  return Number(process.hrtime.bigint() - start) / 1e6
}

function clear(work: string, store: string): void {
  for (const directory of [store, join(work, 'copied'), join(work, 'bundle')]) {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** An OCI layout of Debian's minimal root, one layer, ref name `1`. */
async function debianLayout(): Promise<string> {
  if (existsSync(CACHE)) return CACHE
  const making = `${CACHE}.${process.pid}`
  const root = `${making}.root`
  try {
    mkdirSync(making, { recursive: true })
    await must('debootstrap', ['--variant=minbase', 'bookworm', root])
    await must('umoci', ['init', '--layout', join(making, 'layout')])
    const image = `${join(making, 'layout')}:1`
    await must('umoci', ['new', '--image', image])
    await must('umoci', ['insert', '--image', image, root, '/'])
    renameSync(join(making, 'layout'), CACHE)
    return CACHE
  } finally {
    rmSync(making, { recursive: true, force: true })
    rmSync(root, { recursive: true, force: true })
  }
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, stderr } = await run(program, args)
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr.slice(-500)}`)
}

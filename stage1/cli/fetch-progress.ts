import type { Bar, MultiBar } from 'cli-progress'
import { printable } from '../../attestation/base/index.ts'
import type { FetchProgress } from '../image/index.ts'

/** Tells on standard error how far a fetch has come. */
export interface ProgressDisplay {
  readonly show: (progress: FetchProgress) => void
  /** To be called before anything else is printed. */
  readonly stop: () => void
}

/** A bar for each blob on a terminal; elsewhere a line when something begins or a blob is there. */
export async function progressDisplay(stream: NodeJS.WriteStream): Promise<ProgressDisplay> {
  if (!stream.isTTY) return lines((text) => stream.write(text))
  const { MultiBar } = await import('cli-progress')
  const open = (): MultiBar =>
    new MultiBar({
      format: '{what} [{bar}] {percentage}%',
      stream,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    })
  return bars(open)
}

function lines(write: (text: string) => void): ProgressDisplay {
  const done = new Set<string>()
  return {
    show: (p) => {
      switch (p.step) {
        case 'resolve':
          write(`holdfast fetch: ${printable(p.name)}\n`)
          break
        case 'blob':
          if (p.doneBytes < p.totalBytes || done.has(p.digest)) break
          done.add(p.digest)
          write(`holdfast fetch: ${shortName(p.digest)} ${mebibytes(p.totalBytes)}\n`)
          break
        case 'unpack':
          write(`holdfast fetch: unpack ${p.layer} of ${p.layers}\n`)
          break
        case 'render':
          write('holdfast fetch: render\n')
          break
      }
    },
    stop: () => {},
  }
}

function bars(open: () => MultiBar): ProgressDisplay {
  let all: MultiBar | undefined
  let step: Bar | undefined
  const blobs = new Map<string, Bar>()
  const stop = (): void => {
    all?.stop()
    all = undefined
    step = undefined
    blobs.clear()
  }
  const display = (): MultiBar => {
    all ??= open()
    return all
  }
  /** What is done one after another has one bar for all of it. */
  const at = (what: string, value: number, total: number): void => {
    step ??= display().create(total, 0, { what: '' })
    step.setTotal(total)
    step.update(value, { what: what.padEnd(WIDTH) })
  }
  return {
    show: (p) => {
      switch (p.step) {
        case 'resolve':
          at(printable(p.name, WIDTH), 0, 1)
          break
        case 'blob': {
          const total = Math.max(p.totalBytes, 1)
          const what = `${shortName(p.digest)} ${mebibytes(p.totalBytes)}`.padEnd(WIDTH)
          const bar = blobs.get(p.digest) ?? display().create(total, 0, { what })
          blobs.set(p.digest, bar)
          bar.setTotal(total)
          bar.update(Math.max(p.doneBytes, p.totalBytes === 0 ? 1 : 0), { what })
          break
        }
        case 'unpack':
          at(`unpack ${p.layer} of ${p.layers}`, p.layer - 1, p.layers)
          break
        case 'render':
          at('render', 0, 1)
          break
      }
    },
    stop,
  }
}

const WIDTH = 40

/** A digest cut short, or the end of a URL. */
function shortName(digest: string): string {
  return digest.startsWith('sha256:') ? digest.slice(0, 19) : printable(digest.slice(-24))
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

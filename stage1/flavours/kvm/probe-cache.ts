import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../../attestation/base/index.ts'
import type { ProbeResult } from './accelerator.ts'

const MAX_BYTES = 4096

/** What a probe's result depends on. */
export interface ProbeKey {
  readonly bootId: string
  readonly qemuDigest: string
  readonly kernelDigest: string
}

/**
 * What the last probe gave; undefined where there was none of this boot, QEMU and kernel, or where others than this
 * user could have written it.
 * @param file in a directory that holds nothing of others
 */
export function readProbe(file: string, key: ProbeKey): ProbeResult | undefined {
  if (!isOwn(path.dirname(file))) return undefined
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    const own = stat.isFile() && stat.uid === process.geteuid?.() && (stat.mode & 0o777) === 0o600 && stat.nlink === 1
    return own && stat.size <= MAX_BYTES ? parseProbe(fs.readFileSync(fd, 'utf8'), key) : undefined
  } catch (err) {
    const code = codeOf(err)
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return undefined
    throw err
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** Puts the result in place of the one before; keeps none where others could write to the directory. */
export function writeProbe(file: string, key: ProbeKey, result: ProbeResult): void {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 })
  if (!isOwn(path.dirname(file))) return
  const next = `${file}.${randomUUID()}`
  fs.writeFileSync(next, JSON.stringify({ key, result }), { mode: 0o600, flag: 'wx' })
  fs.renameSync(next, file)
}

function isOwn(directory: string): boolean {
  const stat = fs.lstatSync(directory, { throwIfNoEntry: false })
  return stat?.isDirectory() === true && stat.uid === process.geteuid?.() && (stat.mode & 0o022) === 0
}

function parseProbe(text: string, key: ProbeKey): ProbeResult | undefined {
  try {
    const value: { key?: Partial<ProbeKey>; result?: { works?: unknown; why?: unknown } } | null = JSON.parse(text)
    const { key: of, result } = value ?? {}
    const same = of?.bootId === key.bootId && of.qemuDigest === key.qemuDigest && of.kernelDigest === key.kernelDigest
    if (!same) return undefined
    if (result?.works === true) return { works: true }
    return result?.works === false && typeof result.why === 'string' ? { works: false, why: result.why } : undefined
  } catch (err) {
    if (err instanceof SyntaxError) return undefined
    throw err
  }
}

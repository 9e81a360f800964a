import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where data is kept unless `--dir` says otherwise. */
export const DEFAULT_DIR = '/var/lib/holdfast'

/** Files that are installed beside the bundle; from the sources they are in build/. */
export interface Installation {
  /** holdfast.js */
  readonly program: string
  readonly stage1Program: string
  /** Images of the stage1 flavours, by the word of `--stage1`. */
  readonly stage1Images: { readonly nspawn: string; readonly kvm: string }
  /** Directory of the networks that there are without configuration. */
  readonly networks: string
}

/**
 * Which installation this is: what changes when `holdfast.js` is replaced. native/stage0 makes the same of the file
 * beside it. Inode, size in bytes, times of modification and change in nanoseconds.
 */
export function installationIdentity(): string {
  const { ino, size, mtimeNs, ctimeNs } = fs.statSync(installation().program, { bigint: true })
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

/** @throws Error when holdfast was not built */
export function installation(): Installation {
  const here = path.dirname(fileURLToPath(import.meta.url))
  for (const directory of [here, path.resolve(here, '../../build')]) {
    const stage1Program = path.join(directory, 'holdfast-stage1')
    if (fs.existsSync(stage1Program)) {
      const file = (name: string): string => path.join(directory, name)
      return {
        program: file('holdfast.js'),
        stage1Program,
        stage1Images: { nspawn: file('stage1-nspawn.aci'), kvm: file('stage1-kvm.aci') },
        networks: file('net.d'),
      }
    }
  }
  throw new Error('holdfast-stage1 is missing from this installation; build it: npm run build')
}

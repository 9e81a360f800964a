import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { layOut } from '../../stage1/image/erofs-layout.ts'
import { erofsPieces, type ReadData } from '../../stage1/image/erofs-writer.ts'
import type { TreeDirectory } from '../../stage1/image/inode.ts'

/** Writes a tree as a rendered file. */
export function writeErofs(file: string, root: TreeDirectory, readData: ReadData): void {
  const fd = fs.openSync(file, 'w')
  try {
    for (const piece of erofsPieces(layOut(root), readData)) fs.writeFileSync(fd, piece)
  } finally {
    fs.closeSync(fd)
  }
}

/** Mounts a rendered file read-only. @returns what unmounts it */
export function mountErofs(file: string, target: string): () => void {
  execFileSync('mount', ['-t', 'erofs', '-o', 'ro,loop', file, target])
  return () => {
    execFileSync('umount', [target])
  }
}

/** Why the kernel cannot be asked what it sees in a rendered file; undefined where it can. */
export function cannotMount(): string | undefined {
  if (process.geteuid?.() !== 0) return 'not root'
  if (!fs.existsSync('/dev/loop-control')) return 'no loop devices'
  spawnSync('modprobe', ['erofs'])
  return /\berofs$/m.test(fs.readFileSync('/proc/filesystems', 'utf8')) ? undefined : 'a kernel without EROFS'
}

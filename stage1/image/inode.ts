import type { Attributes } from './operations.ts'

/** A file of a tree, of whatever type. Its names are in directories, and several of them may share it. */
export interface Inode extends Attributes {
  /** Of a character or block device, else 0:0. */
  readonly device: { readonly major: number; readonly minor: number }
  /** Of a symlink, one character for each byte; else ''. */
  readonly target: string
  /** Extended attributes as the rendered file has them, see encodeXattrs. */
  readonly xattrs: string
  /** Of a regular file: how much data, and where that begins among all data of the tree. */
  readonly sizeBytes: number
  readonly dataOffset: number
}

/** What has a name in a directory: another one, or a file. */
export type TreeNode = TreeDirectory | { readonly inode: Inode; readonly children?: never }

/** A directory; names hold one character for each byte. */
export interface TreeDirectory {
  readonly inode: Inode
  readonly children: ReadonlyMap<string, TreeNode>
}

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { openImageStore, openVerifiedTree, treeDigestOf } from '../../../stage1/image/index.ts'
import { rootHashOf, type TreeDigest } from '../../../stage1/manifest/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

const OTHER = 64_105

describe('a tree that is not root’s', () => {
  const dir = tempDir()
  const store = openImageStore(join(dir.path, 'store'))
  const verifiedDir = join(dir.path, 'verified')
  let file: string
  let digest: TreeDigest

  before(function () {
    if (process.geteuid?.() === 0) return
    console.log('      skipped: not root')
    this.skip()
  })
  after(() => dir.remove())
  beforeEach(() => {
    const plain = join(dir.path, 'tree')
    fs.writeFileSync(plain, Buffer.alloc(3 * 4096, 'x'))
    const fd = fs.openSync(plain, 'r')
    digest = treeDigestOf(fd, 3 * 4096)
    fs.closeSync(fd)
    file = join(store.dir, 'trees', `${rootHashOf(digest)}.erofs`)
    fs.rmSync(file, { force: true })
    fs.renameSync(plain, file)
    fs.chownSync(file, OTHER, OTHER)
    fs.chmodSync(file, 0o664)
  })

  const open = (): string => {
    const tree = openVerifiedTree(store, digest, { verifiedDir })
    fs.closeSync(tree.fd)
    return tree.verification
  }

  it('is root’s before it is hashed, and nobody can write to it any more', () => {
    assert.equal(open(), 'full-file')
    const { uid, mode } = fs.statSync(file)
    assert.deepEqual([uid, mode & 0o7777], [0, 0o444])
  })

  it('is refused as long as somebody has it open for writing, however often it is asked for', () => {
    const writer = fs.openSync(file, 'r+')
    try {
      for (const _ of [1, 2]) assert.throws(open, { code: 'IMAGE_TREE_CHANGED', message: /open for writing/ })
    } finally {
      fs.closeSync(writer)
    }
    assert.equal(open(), 'full-file')
  })

  it('is refused where a writer was there when it became root’s', () => {
    const writer = fs.openSync(file, 'r+')
    try {
      fs.chownSync(file, 0, 0)
      fs.chmodSync(file, 0o444)
      assert.throws(open, { code: 'IMAGE_TREE_CHANGED', message: /open for writing/ })
    } finally {
      fs.closeSync(writer)
    }
  })

  it('stays as it is where it has another name: it may be anybody’s file', () => {
    fs.linkSync(file, join(dir.path, 'other name'))
    assert.throws(open, { code: 'IMAGE_TREE_CHANGED', message: /2 names/ })
    assert.equal(fs.statSync(file).uid, OTHER)
    fs.rmSync(join(dir.path, 'other name'))
  })

  it('counts as verified only since it is root’s, whatever its times say', () => {
    open()
    const { atime, mtime } = fs.statSync(file)
    fs.chownSync(file, OTHER, OTHER)
    fs.chmodSync(file, 0o644)
    fs.writeFileSync(file, Buffer.alloc(3 * 4096, 'y'))
    fs.utimesSync(file, atime, mtime)
    assert.throws(open, { code: 'IMAGE_TREE_CHANGED' })
  })

  it('gets no rights that it did not have', () => {
    fs.chmodSync(file, 0o600)
    open()
    assert.equal(fs.statSync(file).mode & 0o7777, 0o400)
  })

  it('is not read at all where its size is not the one of its record', () => {
    assert.throws(() => openVerifiedTree(store, digest, { verifiedDir, sizeBytes: 4096 }), { code: 'IMAGE_RECORD_BAD' })
    assert.equal(fs.statSync(file).uid, OTHER)
  })
})

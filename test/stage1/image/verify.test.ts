import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImageStore, openImageStore, openVerifiedTree, treeDigestOf } from '../../../stage1/image/index.ts'
import { rootHashOf, type TreeDigest } from '../../../stage1/manifest/index.ts'

describe('verifying a rendered tree', () => {
  let dir: string
  let store: ImageStore
  let verifiedDir: string
  let digest: TreeDigest
  let file: string

  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-verify-'))
    store = openImageStore(join(dir, 'store'))
    verifiedDir = join(dir, 'run/verified')
    const fresh = join(dir, 'tree')
    fs.writeFileSync(fresh, Buffer.alloc(3 * 4096, 'a'))
    const fd = fs.openSync(fresh, 'r')
    digest = treeDigestOf(fd, 3 * 4096)
    fs.closeSync(fd)
    file = join(store.dir, 'trees', `${rootHashOf(digest)}.erofs`)
    fs.renameSync(fresh, file)
    settle()
  })
  afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

  /** Waits until the file's change time is so old that a verification may be remembered. */
  function settle(): void {
    while (Date.now() - fs.statSync(file).ctimeMs <= 25) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  }

  function verify(): string {
    const tree = openVerifiedTree(store, digest, { verifiedDir })
    try {
      assert.equal(fs.fstatSync(tree.fd).ino, fs.statSync(file).ino)
      return tree.verification
    } finally {
      fs.closeSync(tree.fd)
    }
  }

  const openDescriptors = (): number => fs.readdirSync('/proc/self/fd').length

  it('hashes the whole file the first time and remembers it after that', () => {
    assert.deepEqual([verify(), verify(), verify()], ['full-file', 'stat-cache', 'stat-cache'])
    assert.equal(fs.statSync(verifiedDir).mode & 0o7777, 0o700)
    assert.equal(fs.statSync(join(dir, 'run')).mode & 0o7777, 0o755) // where the agent's socket is
    assert.equal(fs.statSync(join(verifiedDir, rootHashOf(digest))).mode & 0o7777, 0o600)
  })

  it('hashes again when told not to trust what is remembered', () => {
    verify()
    const tree = openVerifiedTree(store, digest, { verifiedDir, remember: false })
    fs.closeSync(tree.fd)
    assert.equal(tree.verification, 'full-file')
  })

  it('does not remember a file that has only just changed', () => {
    fs.utimesSync(file, 1, 1)
    assert.equal(verify(), 'full-file')
    settle()
    assert.equal(verify(), 'full-file')
    assert.equal(verify(), 'stat-cache')
  })

  it('hashes again when the file is another one with the same contents', () => {
    verify()
    fs.copyFileSync(file, `${file}.new`)
    fs.renameSync(`${file}.new`, file)
    settle()
    assert.deepEqual([verify(), verify()], ['full-file', 'stat-cache'])
  })

  const changes: { name: string; change: () => void; code: string }[] = [
    {
      name: 'changed by one bit, its times put back',
      change: () => {
        const { atime, mtime } = fs.statSync(file)
        const fd = fs.openSync(file, 'r+')
        fs.writeSync(fd, 'b', 5000)
        fs.closeSync(fd)
        fs.utimesSync(file, atime, mtime)
      },
      code: 'IMAGE_TREE_CHANGED',
    },
    {
      name: 'longer by a block',
      change: () => fs.appendFileSync(file, Buffer.alloc(4096)),
      code: 'IMAGE_TREE_CHANGED',
    },
    { name: 'longer by a byte', change: () => fs.appendFileSync(file, 'x'), code: 'IMAGE_TREE_CHANGED' },
    { name: 'cut', change: () => fs.truncateSync(file, 4096), code: 'IMAGE_TREE_CHANGED' },
    { name: 'empty', change: () => fs.truncateSync(file, 0), code: 'IMAGE_TREE_CHANGED' },
    { name: 'gone', change: () => fs.rmSync(file), code: 'IMAGE_TREE_MISSING' },
    {
      name: 'a symlink to the same contents',
      change: () => {
        fs.renameSync(file, `${file}.moved`)
        fs.symlinkSync(`${file}.moved`, file)
      },
      code: 'IMAGE_TREE_CHANGED',
    },
    {
      name: 'a directory',
      change: () => {
        fs.rmSync(file)
        fs.mkdirSync(file)
      },
      code: 'IMAGE_TREE_CHANGED',
    },
  ]
  for (const { name, change, code } of changes) {
    it(`refuses a tree that is ${name} since it was verified, and leaves no descriptor open`, () => {
      verify()
      change()
      const before = openDescriptors()
      assert.throws(verify, { code })
      assert.throws(verify, { code })
      assert.equal(openDescriptors(), before)
    })
  }

  it('refuses a cache that others could have written', () => {
    verify()
    fs.chmodSync(verifiedDir, 0o770)
    assert.throws(verify, { code: 'IMAGE_CACHE_UNSAFE' })
    fs.chmodSync(verifiedDir, 0o700)
    const entry = join(verifiedDir, rootHashOf(digest))
    fs.chmodSync(entry, 0o666)
    assert.throws(verify, { code: 'IMAGE_CACHE_UNSAFE' })
    fs.rmSync(entry)
    fs.symlinkSync('/etc/hostname', entry)
    assert.throws(verify, { code: 'IMAGE_CACHE_UNSAFE' })
  })

  it('refuses a cache directory or entry of another owner', function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: only root can give files away')
      this.skip()
    }
    verify()
    const entry = join(verifiedDir, rootHashOf(digest))
    fs.chownSync(entry, 65534, 65534)
    assert.throws(verify, { code: 'IMAGE_CACHE_UNSAFE' })
    fs.rmSync(entry)
    fs.chownSync(verifiedDir, 65534, 65534)
    assert.throws(verify, { code: 'IMAGE_CACHE_UNSAFE' })
  })

  it('does not take what another boot remembered', () => {
    verify()
    const entry = join(verifiedDir, rootHashOf(digest))
    fs.writeFileSync(entry, fs.readFileSync(entry, 'utf8').replace(/^[0-9a-f]{8}/, '00000000'))
    assert.equal(verify(), 'full-file')
  })
})

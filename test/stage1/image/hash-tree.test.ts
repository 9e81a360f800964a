import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import {
  checkImage,
  ensureHashTree,
  fetchImage,
  type ImageStore,
  openHashTree,
  openImageStore,
  type StoredImage,
  treeDigestOf,
} from '../../../stage1/image/index.ts'
import { rootHashOf, type TreeDigest } from '../../../stage1/manifest/index.ts'
import { tar, writeOciLayout } from '../../support/images.ts'
import { tempDir } from '../../support/temp-dir.ts'

const BLOCK = 4096

describe('the hash tree of a tree', () => {
  const dir = tempDir()
  let round = 0
  let store: ImageStore

  after(dir.remove)
  beforeEach(() => {
    store = openImageStore(join(dir.path, `store-${++round}`))
  })

  const fileOf = (digest: TreeDigest, kind: 'erofs' | 'verity'): string =>
    join(store.dir, 'trees', `${rootHashOf(digest)}.${kind}`)

  /** Puts blocks into the store as if they were a rendered tree. */
  function storeBlocks(count: number): TreeDigest {
    const blocks = Buffer.alloc(count * BLOCK)
    for (let i = 0; i < count; i++) blocks.writeUInt32LE(i + 1, i * BLOCK)
    const file = join(dir.path, 'blocks')
    fs.writeFileSync(file, blocks)
    const fd = fs.openSync(file, 'r')
    const digest = treeDigestOf(fd, blocks.length)
    fs.closeSync(fd)
    fs.renameSync(file, fileOf(digest, 'erofs'))
    return digest
  }

  function image(): Promise<StoredImage> {
    const layout = join(dir.path, `layout-${round}`)
    writeOciLayout(layout, { layers: [{ tar: tar([{ name: 'f', data: Buffer.alloc(1_000_000, 'x') }]) }] })
    return fetchImage(store, `oci:${layout}`, { cwd: '/' })
  }

  for (const count of [1, 2, 128, 129, 300, 128 * 128, 128 * 128 + 1]) {
    it(`of ${count} blocks is what veritysetup writes and verifies`, function () {
      const digest = storeBlocks(count)
      const file = ensureHashTree(store, digest)
      assert.equal(file, fileOf(digest, 'verity'))
      const theirs = join(dir.path, 'theirs')
      fs.rmSync(theirs, { force: true })
      const options = ['--no-superblock', '--hash=sha256', '--salt=-']
      const made = spawnSync('veritysetup', ['format', ...options, fileOf(digest, 'erofs'), theirs])
      if (made.error !== undefined) {
        console.log('      skipped: no veritysetup (Debian: cryptsetup-bin)')
        this.skip()
      }
      assert.equal(made.status, 0, String(made.stderr))
      assert.ok(fs.readFileSync(file).equals(fs.readFileSync(theirs)))
      const files = [fileOf(digest, 'erofs'), file, rootHashOf(digest)]
      const verified = spawnSync('veritysetup', ['verify', ...options, ...files], { encoding: 'utf8' })
      assert.equal(verified.status, 0, verified.stderr)
    })
  }

  it('is made when an image is fetched, and is the same when it is made again', async () => {
    const { treeDigest } = await image()
    const file = fileOf(treeDigest, 'verity')
    const first = fs.readFileSync(file)
    assert.equal(fs.statSync(file).mode & 0o7777, 0o444)
    const { ino } = fs.statSync(file)
    assert.equal(ensureHashTree(store, treeDigest), file)
    assert.equal(fs.statSync(file).ino, ino, 'what is there is not made again')
    for (const damage of [() => fs.rmSync(file), () => fs.truncateSync(file, BLOCK)]) {
      damage()
      ensureHashTree(store, treeDigest)
      assert.ok(fs.readFileSync(file).equals(first))
    }
    assert.deepEqual(fs.readdirSync(join(store.dir, 'tmp')), [])
    fs.rmSync(file)
    await image()
    assert.ok(fs.readFileSync(file).equals(first), 'a fetch makes it, too')
  })

  it('is made anew by root where it is the file of another user, or has another name', async function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: not root')
      this.skip()
    }
    const { treeDigest } = await image()
    const file = fileOf(treeDigest, 'verity')
    const other = join(dir.path, `other-${round}`)
    for (const change of [
      () => fs.chownSync(file, 65534, 65534),
      () => fs.linkSync(file, other),
      () => fs.renameSync(file, `${other}-moved`),
    ]) {
      change()
      if (!fs.existsSync(file)) fs.symlinkSync(`${other}-moved`, file)
      const { ino } = fs.lstatSync(file)
      ensureHashTree(store, treeDigest)
      const now = fs.lstatSync(file)
      assert.notEqual(now.ino, ino)
      assert.deepEqual([now.isFile(), now.uid, now.nlink], [true, 0, 1])
    }
  })

  it('is opened for a launch, or made in a file without a name, and nothing is written where others could put links', async function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: not root')
      this.skip()
    }
    const { treeDigest } = await image()
    const file = fileOf(treeDigest, 'verity')
    const right = fs.readFileSync(file)
    const opened = (): { bytes: Buffer; ino: number; nlink: number } => {
      const fd = openHashTree(store, treeDigest)
      const { ino, nlink } = fs.fstatSync(fd)
      const bytes = Buffer.alloc(right.length + 1)
      const size = fs.readSync(fd, bytes, 0, bytes.length, 0)
      assert.throws(() => fs.writeSync(fd, 'x'), { code: 'EBADF' })
      fs.closeSync(fd)
      return { bytes: bytes.subarray(0, size), ino, nlink }
    }
    assert.equal(opened().ino, fs.statSync(file).ino)
    const moved = `${store.dir}-tmp-${round}`
    fs.renameSync(join(store.dir, 'tmp'), moved) // who writes there now fails
    const before = fs.readdirSync(store.dir)
    for (const change of [
      () => fs.chownSync(file, 65534, 65534),
      () => {
        fs.chownSync(file, 0, 0)
        fs.linkSync(file, `${moved}-link`)
      },
      () => fs.rmSync(file),
      () => fs.symlinkSync(`${moved}-link`, file),
      () => {
        fs.rmSync(file)
        execFileSync('mkfifo', [file])
      },
    ]) {
      change()
      const { bytes, nlink } = opened()
      assert.ok(bytes.equals(right))
      assert.equal(nlink, 0)
      assert.deepEqual(fs.readdirSync(store.dir), before)
    }
    fs.renameSync(moved, join(store.dir, 'tmp'))
    fs.rmSync(file)
  })

  it('is not made of a tree that is gone or changed', () => {
    const digest = storeBlocks(3)
    fs.appendFileSync(fileOf(digest, 'erofs'), Buffer.alloc(BLOCK))
    assert.throws(() => ensureHashTree(store, digest), { code: 'IMAGE_TREE_CHANGED' })
    fs.rmSync(fileOf(digest, 'erofs'))
    assert.throws(() => ensureHashTree(store, digest), { code: 'IMAGE_TREE_MISSING' })
    assert.deepEqual(fs.readdirSync(join(store.dir, 'trees')), [])
  })

  it('is checked together with the image', async () => {
    const { id, treeDigest, origin } = await image()
    const file = fileOf(treeDigest, 'verity')
    const sound = fs.readFileSync(file)
    assert.equal(sound.length, 3 * BLOCK) // 2 blocks of hashes of data and the root's
    const broken = [
      ...[0, 31, BLOCK, 2 * BLOCK, 3 * BLOCK - 1].map((at) => {
        const bytes = Buffer.from(sound)
        bytes[at] = (bytes[at] ?? 0) ^ 1
        return bytes
      }),
      ...[sound.subarray(0, BLOCK), Buffer.concat([sound, Buffer.alloc(BLOCK)]), Buffer.alloc(0)],
    ]
    for (const bytes of broken) {
      fs.rmSync(file)
      fs.writeFileSync(file, bytes)
      const [problem = '', ...others] = await checkImage(store, id, [origin])
      assert.match(problem, /is not the hash tree/)
      assert.deepEqual(others, [])
    }
    fs.rmSync(file)
    fs.symlinkSync(fileOf(treeDigest, 'erofs'), file)
    assert.match((await checkImage(store, id, [origin])).join(), /is not the hash tree/)
    fs.rmSync(file)
    assert.deepEqual(await checkImage(store, id, [origin]), [], 'one that is missing is made when it is needed')
    ensureHashTree(store, treeDigest)
    assert.deepEqual(await checkImage(store, id, [origin]), [])
  })
})

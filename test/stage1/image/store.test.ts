import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import {
  fetchImage,
  findImage,
  type ImageStore,
  listImages,
  openImageStore,
  openVerifiedTree,
} from '../../../stage1/image/index.ts'
import { rootHashOf } from '../../../stage1/manifest/index.ts'
import { cannotRender, tar, writeBlob, writeOciLayout } from '../../support/images.ts'

const CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex')
const CHILD = fileURLToPath(new URL('../../support/fetch-child.ts', import.meta.url))

describe('image store', () => {
  let dir: string
  let store: ImageStore
  const mounts: string[] = []

  before(function () {
    const reason = cannotRender()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
  })
  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-store-'))
    store = openImageStore(join(dir, 'store'))
  })
  afterEach(() => {
    for (const mount of mounts.splice(0)) spawnSync('umount', [mount])
    fs.rmSync(dir, { recursive: true, force: true })
  })

  /** A layout with one image of about `bytes` bytes that do not compress. */
  function layout(name: string, bytes = 10_000, config: object = {}): string {
    const noise = Buffer.alloc(bytes)
    let x = 12345
    for (let i = 0; i < bytes; i++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0
      noise[i] = x >>> 24
    }
    const entries = [{ name: 'bin/' }, { name: 'bin/app', mode: 0o755, data: noise }]
    writeOciLayout(join(dir, name), {
      layers: [{ tar: tar(entries) }],
      config: { Cmd: ['/bin/app'], ...config },
      ref: 'v1',
    })
    return `oci:${join(dir, name)}:v1`
  }

  const fetch = (reference: string, into = store) => fetchImage(into, reference, { cwd: '/', onProgress: () => {} })

  /** Starts a fetch in a process of its own, which prints each step. */
  function fetchInChild(reference: string, into = store) {
    return spawn(process.execPath, ['--import=tsx', CHILD, into.dir, reference], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  it('gives back what was fetched, under each of its names', async () => {
    const first = await fetch(layout('a'))
    assert.deepEqual(findImage(store, first.origin.name, '/'), first)
    await fetch(layout('b'))
    const [listed, ...others] = listImages(store)
    assert.deepEqual(others, [])
    assert.ok(listed && 'origins' in listed)
    assert.equal(listed.origins.length, 2)
  })

  it('tells images that share a name apart, and says so', async () => {
    await fetch(layout('one/img'))
    await fetch(layout('two/img', 10_000, { Cmd: ['/bin/other'] }))
    assert.throws(() => findImage(store, 'img', '/'), { code: 'IMAGE_AMBIGUOUS' })
    assert.throws(() => findImage(store, 'nothing', '/'), { code: 'IMAGE_NOT_FOUND' })
    assert.throws(() => findImage(store, 'sha256-0000', '/'), { code: 'IMAGE_NOT_FOUND' })
  })

  it('renders the same bytes on another disk, and as a user who may nothing', async () => {
    const layer = [
      ...Array.from({ length: 300 }, (_, i) => {
        const name = `d/${(i * 7919) % 300}`
        return { name, data: name, uid: i, pax: { 'SCHILY.xattr.user.n': String(i % 5) } }
      }),
      { name: 'hard', type: '1', link: 'd/5' },
      { name: 'd/soft', link: '5' },
      { name: 'd/null', type: '3', device: [1, 3] as const, mode: 0o666 },
      { name: 'd/su', mode: 0o6755, data: 'x', pax: { 'SCHILY.xattr.security.capability': CAPABILITY } },
    ]
    writeOciLayout(join(dir, 'many'), { layers: [{ tar: tar(layer) }] })
    const reference = `oci:${join(dir, 'many')}`
    fs.chmodSync(dir, 0o755)
    const elsewhere = join(dir, 'elsewhere')
    fs.mkdirSync(elsewhere)
    if (spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', elsewhere]).status === 0) mounts.push(elsewhere)
    fs.chownSync(elsewhere, 65534, 65534)
    const first = await fetch(reference)
    const nobody = spawnSync(process.execPath, ['--import=tsx', CHILD, join(elsewhere, 'store'), reference], {
      uid: 65534,
      gid: 65534,
      env: { PATH: process.env['PATH'], TMPDIR: elsewhere },
      encoding: 'utf8',
    })
    assert.equal(nobody.stderr, '')
    assert.deepEqual(findImage(openImageStore(join(elsewhere, 'store')), first.id, '/').treeDigest, first.treeDigest)
    const names = fs.readdirSync(join(store.dir, 'trees'))
    assert.equal(names.length, 2)
    for (const name of names) {
      const bytes = fs.readFileSync(join(store.dir, 'trees', name))
      assert.ok(bytes.equals(fs.readFileSync(join(elsewhere, 'store/trees', name))), name)
    }
  })

  it('renders a tree of earlier rules again, and says until then that it is one', async () => {
    const reference = layout('a')
    const image = await fetch(reference)
    const record = join(store.dir, 'images', `${image.id}.json`)
    const earlier = fs.readFileSync(record, 'utf8').replace('erofs-verity-2:', 'erofs-verity-1:')
    fs.writeFileSync(record, earlier)
    assert.throws(() => findImage(store, reference, '/'), {
      code: 'IMAGE_TREE_OUTDATED',
      message: /fetch the image again/,
    })
    assert.equal((await fetch(reference)).treeDigest, image.treeDigest)
    assert.deepEqual(findImage(store, reference, '/').treeDigest, image.treeDigest)
  })

  it('takes an ACI, compressed or not, under the ID of its uncompressed tar', async () => {
    const manifest = {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'example.com/a',
      app: { exec: ['/x'], user: '0', group: '0' },
    }
    const archive = tar([
      { name: 'rootfs/' },
      { name: 'rootfs/x', data: '1', mode: 0o755 },
      { name: 'rootfs/.wh.y', data: 'an ordinary name here' },
      { name: 'rootfs/z', type: '1', link: 'rootfs/x' },
      { name: 'manifest', data: JSON.stringify(manifest) },
    ])
    const id = `sha512-${createHash('sha512').update(archive).digest('hex').slice(0, 64)}`
    const digests = new Set<string>()
    for (const [name, bytes] of [
      ['plain.aci', archive],
      ['gzip.aci', gzipSync(archive)],
    ] as const) {
      fs.writeFileSync(join(dir, name), bytes)
      const image = await fetch(join(dir, name))
      assert.equal(image.id, id)
      assert.deepEqual(image.manifest.app?.exec, ['/x'])
      assert.deepEqual(findImage(store, id, '/').manifest, image.manifest)
      digests.add(image.treeDigest)
    }
    assert.equal(digests.size, 1)
  })

  it('renders a tree again that was changed or lost', async () => {
    const reference = layout('a')
    const image = await fetch(reference)
    const file = join(store.dir, 'trees', `${rootHashOf(image.treeDigest)}.erofs`)
    for (const damage of [() => fs.rmSync(file), () => fs.writeFileSync(file, Buffer.alloc(8192))]) {
      damage()
      assert.throws(() => openVerifiedTree(store, image.treeDigest, { remember: false }))
      assert.equal((await fetch(reference)).treeDigest, image.treeDigest)
      fs.closeSync(openVerifiedTree(store, image.treeDigest, { remember: false }).fd)
    }
  })

  it('fetches a blob again that was changed in the store', async () => {
    const reference = layout('a')
    const image = await fetch(reference)
    for (const name of fs.readdirSync(join(store.dir, 'cas/sha256'))) {
      const file = join(store.dir, 'cas/sha256', name)
      fs.chmodSync(file, 0o600)
      fs.appendFileSync(file, 'x')
    }
    assert.throws(() => findImage(store, reference, '/'), { code: 'IMAGE_RECORD_BAD' })
    assert.equal((await fetch(reference)).id, image.id)
    assert.equal(findImage(store, reference, '/').id, image.id)
  })

  const tampering: { name: string; change: (record: string, ref: string) => void; code: string }[] = [
    {
      name: 'another command in the record',
      change: (record) => fs.writeFileSync(record, fs.readFileSync(record, 'utf8').replace('/bin/app', '/bin/bad')),
      code: 'IMAGE_RECORD_BAD',
    },
    {
      name: 'a member nobody knows in the record',
      change: (record) => fs.writeFileSync(record, fs.readFileSync(record, 'utf8').replace('{', '{"x":1,')),
      code: 'IMAGE_RECORD_BAD',
    },
    { name: 'half a record', change: (record) => fs.truncateSync(record, 40), code: 'IMAGE_RECORD_BAD' },
    { name: 'no record', change: (record) => fs.rmSync(record), code: 'IMAGE_RECORD_BAD' },
    {
      name: 'a record that is a symlink',
      change: (record) => {
        fs.renameSync(record, `${record}.x`)
        fs.symlinkSync(`${record}.x`, record)
      },
      code: 'IMAGE_STORE_FAILED',
    },
    {
      name: 'a name that is about another name',
      change: (_, ref) => fs.writeFileSync(ref, fs.readFileSync(ref, 'utf8').replace('"name":"oci:', '"name":"oci:/x')),
      code: 'IMAGE_RECORD_BAD',
    },
    { name: 'a name that is empty', change: (_, ref) => fs.truncateSync(ref, 0), code: 'IMAGE_RECORD_BAD' },
  ]
  for (const { name, change, code } of tampering) {
    it(`refuses ${name} with ${code}`, async () => {
      const reference = layout('a')
      await fetch(reference)
      const [record = ''] = fs.readdirSync(join(store.dir, 'images'))
      const [ref = ''] = fs.readdirSync(join(store.dir, 'refs'))
      change(join(store.dir, 'images', record), join(store.dir, 'refs', ref))
      assert.throws(() => findImage(store, reference, '/'), { code })
    })
  }

  it('survives kill -9 at every step of a fetch: nothing half-made is seen, and the next fetch cleans up', async () => {
    const reference = layout('a', 3_000_000)
    for (const step of ['resolve', 'blob', 'unpack', 'render']) {
      const child = fetchInChild(reference)
      const ended = once(child, 'close')
      let killed = false
      child.stdout.on('data', (text: Buffer) => {
        if (killed || !text.toString().includes(step)) return
        killed = true
        child.kill('SIGKILL')
      })
      await ended
      assert.ok(killed, `was killed at ${step}`)
      assert.deepEqual(listImages(store), [])
      assert.throws(() => findImage(store, reference, '/'), { code: 'IMAGE_NOT_FOUND' })
    }
    assert.notDeepEqual(fs.readdirSync(join(store.dir, 'tmp')), [])
    const image = await fetch(reference)
    assert.deepEqual(fs.readdirSync(join(store.dir, 'tmp')), [])
    fs.closeSync(openVerifiedTree(store, image.treeDigest, { remember: false }).fd)
  })

  it('cleans up what killed commands left, and nothing that others can change meanwhile, whatever its name is', async () => {
    const tmp = join(store.dir, 'tmp')
    const named = (n: number) => join(tmp, `${'0'.repeat(8)}.1.4194000.${n}.${'0'.repeat(16)}`)
    fs.mkdirSync(named(0), { mode: 0o700 })
    fs.writeFileSync(join(named(0), 'tree.erofs'), 'half of it')
    fs.mkdirSync(join(named(1), 'root'), { recursive: true, mode: 0o700 })
    fs.chownSync(named(1), 1000, 1000)
    fs.mkdirSync(named(2))
    fs.chmodSync(named(2), 0o777)
    fs.symlinkSync(dir, named(3))
    await fetch(layout('a'))
    assert.deepEqual(
      fs.readdirSync(tmp).map((name) => join(tmp, name)),
      [named(1), named(2), named(3)],
    )
    assert.deepEqual(fs.readdirSync(named(1)), ['root'])
  })

  it('lets several commands fetch the same image at once', async () => {
    const reference = layout('a', 1_000_000)
    const children = [fetchInChild(reference), fetchInChild(reference), fetchInChild(reference)]
    const statuses = await Promise.all(children.map(async (c) => (await once(c.stdout.resume() && c, 'close'))[0]))
    assert.deepEqual(statuses, [0, 0, 0])
    assert.equal(listImages(store).length, 1)
    assert.deepEqual(fs.readdirSync(join(store.dir, 'tmp')), [])
  })

  it('says that the disk is full, and leaves nothing half-made', async function () {
    const full = join(dir, 'full')
    fs.mkdirSync(full)
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', full]).status !== 0) {
      console.log('      skipped: a tmpfs cannot be mounted here')
      this.skip()
    }
    mounts.push(full)
    const small = openImageStore(join(full, 'store'))
    // too large for the store; then too large for the data of files; then too large for rendering
    for (const bytes of [4_000_000, 2_000_000, 1_200_000]) {
      await assert.rejects(fetch(layout(`n${bytes}`, bytes), small), { code: 'IMAGE_NO_SPACE' })
      for (const part of ['tmp', 'images', 'refs', 'trees'])
        assert.deepEqual(fs.readdirSync(join(small.dir, part)), [], part)
      for (const name of fs.readdirSync(join(small.dir, 'cas/sha256'))) fs.rmSync(join(small.dir, 'cas/sha256', name))
    }
    await fetch(layout('fits', 500_000), small)
  })

  it('refuses a layout that is none, or lacks the image', async () => {
    fs.mkdirSync(join(dir, 'empty'))
    await assert.rejects(fetch(`oci:${join(dir, 'empty')}`), { code: 'IMAGE_NOT_FOUND' })
    await assert.rejects(fetch(`oci:${join(dir, 'none')}`), { code: 'IMAGE_NOT_FOUND' })
    await assert.rejects(fetch(layout('a').replace('v1', 'v2')), { code: 'IMAGE_NOT_FOUND' })
    await assert.rejects(fetch(join(dir, 'none.aci')), { code: 'IMAGE_NOT_FOUND' })
    await assert.rejects(fetch('just-a-name'), { code: 'IMAGE_REFERENCE_BAD' })
    fs.writeFileSync(join(dir, 'a/oci-layout'), '{"imageLayoutVersion":"9"}')
    await assert.rejects(fetch(`oci:${join(dir, 'a')}:v1`), { code: 'IMAGE_MANIFEST_BAD' })
  })

  it('refuses a blob in a layout that is a directory', async () => {
    const reference = layout('a')
    const { digest } = writeBlob(join(dir, 'a'), Buffer.from('x'))
    const blobs = join(dir, 'a/blobs/sha256')
    for (const name of fs.readdirSync(blobs)) {
      if (name === digest.slice(7)) continue
      fs.rmSync(join(blobs, name))
      fs.mkdirSync(join(blobs, name))
    }
    await assert.rejects(fetch(reference), { code: 'IMAGE_SOURCE_BAD' })
  })
})

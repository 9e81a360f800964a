import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  checkImage,
  collectImageGarbage,
  fetchImage,
  findImage,
  findOrigins,
  type ImageStore,
  listImages,
  type NeededElsewhere,
  openImageStore,
  removeOrigin,
  type StoredImage,
} from '../../../stage1/image/index.ts'
import { rootHashOf } from '../../../stage1/manifest/index.ts'
import { answering, servedImage, serveImages } from '../../support/image-server.ts'
import { cannotRender, sha256, tar, writeOciLayout } from '../../support/images.ts'

const CHILD = fileURLToPath(new URL('../../support/fetch-child.ts', import.meta.url))
const NOTHING: NeededElsewhere = { images: new Set(), trees: new Set() }

describe('garbage of images', () => {
  let dir: string
  let store: ImageStore
  const cleanups: (() => Promise<unknown> | unknown)[] = []

  before(function () {
    const reason = cannotRender()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
  })
  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-garbage-'))
    store = openImageStore(join(dir, 'store'))
  })
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    fs.rmSync(dir, { recursive: true, force: true })
  })

  const inStore = (part: string): string[] => fs.readdirSync(join(store.dir, part))

  /** An image of one file; the same name with other content is another image. */
  function fetch(name: string, content = name): Promise<StoredImage> {
    fs.rmSync(join(dir, name), { recursive: true, force: true })
    writeOciLayout(join(dir, name), { layers: [{ tar: tar([{ name: 'f', data: content }]) }] })
    return fetchImage(store, `oci:${join(dir, name)}`, { cwd: '/' })
  }

  const collect = (needed: NeededElsewhere = NOTHING, graceMs = -1000) =>
    collectImageGarbage(store, { graceMs, now: new Date(), needed: () => needed })

  it('is nothing that has a name', async () => {
    await fetch('a')
    await fetch('b')
    assert.deepEqual(await collect(), [])
    for (const listed of listImages(store)) assert.deepEqual(await checkImage(store, listed.id, listed.origins), [])
  })

  it('is all of an image whose last name is gone, and nothing of another', async () => {
    const a = await fetch('a')
    const b = await fetch('b')
    for (const { name } of findOrigins(store, a.id, '/')) removeOrigin(store, name)
    const kinds = (await collect()).map((c) => c.kind).sort()
    assert.deepEqual(kinds, ['blob', 'blob', 'blob', 'hash tree', 'record', 'tree'])
    const kept = rootHashOf(b.treeDigest)
    assert.deepEqual(inStore('trees').sort(), [`${kept}.erofs`, `${kept}.verity`])
    assert.deepEqual(await checkImage(store, b.id, [b.origin]), [])
    assert.deepEqual(await collect(), [])
  })

  it('is an image whose name went to another one', async () => {
    await fetch('a', 'old')
    const now = await fetch('a', 'new')
    assert.equal((await collect()).length, 6)
    assert.equal(findImage(store, now.origin.name, '/').id, now.id)
  })

  it('is nothing that a pod needs, be it by its image or by its tree', async () => {
    const a = await fetch('a')
    removeOrigin(store, a.origin.name)
    const trees = new Set([rootHashOf(a.treeDigest)])
    assert.ok((await collect({ images: new Set([a.id]), trees })).every((c) => c.kind === 'blob'))
    assert.equal(inStore('images').length, 1)
    assert.deepEqual(
      (await collect({ images: new Set(), trees })).map((c) => c.kind),
      ['record', 'blob'],
    )
    assert.equal(inStore('trees').length, 2)
  })

  it('stays until it is older than the grace period', async () => {
    const a = await fetch('a')
    removeOrigin(store, a.origin.name)
    assert.deepEqual(await collect(NOTHING, 3600_000), [])
    assert.equal((await collect()).length, 6)
  })

  it('is what came of downloads that nobody went on with', async () => {
    const name = `part-${'a'.repeat(64)}`
    fs.writeFileSync(join(store.dir, 'tmp', name), 'x')
    fs.writeFileSync(join(store.dir, 'tmp', 'a file of somebody'), 'x')
    assert.deepEqual(
      (await collect()).map((c) => c.name),
      [name],
    )
  })

  it('is not looked for where a manifest cannot be read: nothing at all is removed', async () => {
    const a = await fetch('a')
    const b = await fetch('b')
    removeOrigin(store, b.origin.name)
    fs.rmSync(join(store.dir, 'cas/sha256', a.origin.manifestDigest.slice(7)))
    const before = inStore('cas/sha256')
    await assert.rejects(collect(), { code: 'IMAGE_BLOB_MISSING', message: /Nothing was collected/ })
    assert.deepEqual(inStore('cas/sha256'), before)
    assert.equal(inStore('trees').length, 4)
  })

  it('is nothing that a fetch has found and not used yet', async () => {
    // The first layer lies in the store without a name. The fetch has seen that when it asks for the second one.
    const image = servedImage([100, 200])
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = image.layers
    fs.writeFileSync(join(store.dir, 'cas/sha256', sha256(first).slice(7)), first)
    const server = await serveImages(async (path, request, response) => {
      if (path.endsWith(sha256(second))) assert.deepEqual(await collect(), [])
      answering(image)(path, request, response)
    })
    cleanups.push(server.stop)
    const fetched = await fetchImage(store, `docker://${server.host}/x:1`, {
      cwd: '/',
      relax: ['http'],
      environment: {},
    })
    assert.ok(!server.asked.some((path) => path.endsWith(sha256(first))), 'what was there was not fetched again')
    assert.deepEqual(await checkImage(store, fetched.id, [fetched.origin]), [])
  })

  it('never takes anything from fetches, however the two fall together', async () => {
    const names = ['a', 'b', 'c']
    for (const name of names) await fetch(name)
    // every fetch begins with an image that lies there without a name: a collection would take it
    let collections = 0
    let over = false
    const collecting = (async () => {
      while (!over) {
        await collect()
        collections++
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const fetching = names.map(async (name) => {
      for (let round = 0; round < 4; round++) {
        removeOrigin(store, `oci:${join(dir, name)}`)
        const image = await fetchImage(store, `oci:${join(dir, name)}`, { cwd: '/' })
        assert.deepEqual(await checkImage(store, image.id, [image.origin]), [])
      }
    })
    await Promise.all(fetching)
    over = true
    await collecting
    assert.ok(collections > 0)
    for (const listed of listImages(store)) assert.deepEqual(await checkImage(store, listed.id, listed.origins), [])
    assert.deepEqual(inStore('tmp'), [])
  })

  it('is what a killed fetch had pinned', async () => {
    const image = servedImage([100])
    const server = await serveImages((path, request, response) => {
      if (path.includes('/blobs/')) child.kill('SIGKILL')
      else answering(image)(path, request, response)
    })
    cleanups.push(server.stop)
    const reference = `docker://${server.host}/x:1`
    const child = spawn(process.execPath, ['--import=tsx', CHILD, store.dir, reference, 'http'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    await once(child, 'close')
    assert.equal(inStore('tmp').length, 1)
    assert.deepEqual(
      (await collect()).map((c) => c.kind),
      ['blob'],
    ) // the manifest
    assert.deepEqual(inStore('tmp'), [])
  })
})

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import {
  checkImage,
  collectImageGarbage,
  findImage,
  findOrigins,
  listImages,
  type NeededElsewhere,
  removeOrigin,
  type StoredImage,
} from '../../../stage1/image/index.ts'
import { rootHashOf } from '../../../stage1/manifest/index.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import { answering, servedImage } from '../../support/image-server.ts'
import { sha256, tar, writeOciLayout } from '../../support/images.ts'

const NOTHING: NeededElsewhere = { images: new Set(), trees: new Set() }

describe('garbage of images', () => {
  const images = ImageFixture.forSuite()

  /** An image of one file; the same name with other content is another image. */
  function fetch(name: string, content = name): Promise<StoredImage> {
    fs.rmSync(join(images.dir, name), { recursive: true, force: true })
    writeOciLayout(join(images.dir, name), { layers: [{ tar: tar([{ name: 'f', data: content }]) }] })
    return images.fetch(`oci:./${name}`)
  }

  const collect = (needed: NeededElsewhere = NOTHING, graceMs = -1000) =>
    collectImageGarbage(images.store, { graceMs, now: new Date(), needed: () => needed })

  it('is nothing that has a name', async () => {
    await fetch('a')
    await fetch('b')
    assert.deepEqual(await collect(), [])
    for (const listed of listImages(images.store))
      assert.deepEqual(await checkImage(images.store, listed.id, listed.origins), [])
  })

  it('is all of an image whose last name is gone, and nothing of another', async () => {
    const a = await fetch('a')
    const b = await fetch('b')
    for (const { name } of findOrigins(images.store, a.id, '/')) removeOrigin(images.store, name)
    const kinds = (await collect()).map((c) => c.kind).sort()
    assert.deepEqual(kinds, ['blob', 'blob', 'blob', 'hash tree', 'record', 'tree'])
    const kept = rootHashOf(b.treeDigest)
    assert.deepEqual(images.inStore('trees').sort(), [`${kept}.erofs`, `${kept}.verity`])
    assert.deepEqual(await checkImage(images.store, b.id, [b.origin]), [])
    assert.deepEqual(await collect(), [])
  })

  it('is an image whose name went to another one', async () => {
    await fetch('a', 'old')
    const now = await fetch('a', 'new')
    assert.equal((await collect()).length, 6)
    assert.equal(findImage(images.store, now.origin.name, '/').id, now.id)
  })

  it('is nothing that a pod needs, be it by its image or by its tree', async () => {
    const a = await fetch('a')
    removeOrigin(images.store, a.origin.name)
    const trees = new Set([rootHashOf(a.treeDigest)])
    assert.ok((await collect({ images: new Set([a.id]), trees })).every((c) => c.kind === 'blob'))
    assert.equal(images.inStore('images').length, 1)
    assert.deepEqual(
      (await collect({ images: new Set(), trees })).map((c) => c.kind),
      ['record', 'blob'],
    )
    assert.equal(images.inStore('trees').length, 2)
  })

  it('stays until it is older than the grace period', async () => {
    const a = await fetch('a')
    removeOrigin(images.store, a.origin.name)
    assert.deepEqual(await collect(NOTHING, 3600_000), [])
    assert.equal((await collect()).length, 6)
  })

  it('is what came of downloads that nobody went on with', async () => {
    const name = `part-${'a'.repeat(64)}`
    fs.writeFileSync(join(images.store.dir, 'tmp', name), 'x')
    fs.writeFileSync(join(images.store.dir, 'tmp', 'a file of somebody'), 'x')
    assert.deepEqual(
      (await collect()).map((c) => c.name),
      [name],
    )
  })

  it('is not looked for where a manifest cannot be read: nothing at all is removed', async () => {
    const a = await fetch('a')
    const b = await fetch('b')
    removeOrigin(images.store, b.origin.name)
    fs.rmSync(join(images.store.dir, 'cas/sha256', a.origin.manifestDigest.slice(7)))
    const before = images.inStore('cas/sha256')
    await assert.rejects(collect(), { code: 'IMAGE_BLOB_MISSING', message: /Nothing was collected/ })
    assert.deepEqual(images.inStore('cas/sha256'), before)
    assert.equal(images.inStore('trees').length, 4)
  })

  it('is nothing that a fetch has found and not used yet', async () => {
    // The first layer lies in the store without a name. The fetch has seen that when it asks for the second one.
    const image = servedImage([100, 200])
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = image.layers
    fs.writeFileSync(join(images.store.dir, 'cas/sha256', sha256(first).slice(7)), first)
    const server = await images.serve(async (path, request, response) => {
      if (path.endsWith(sha256(second))) assert.deepEqual(await collect(), [])
      answering(image)(path, request, response)
    })
    const fetched = await images.pull(server.host)
    assert.ok(!server.asked.some((path) => path.endsWith(sha256(first))), 'what was there was not fetched again')
    assert.deepEqual(await checkImage(images.store, fetched.id, [fetched.origin]), [])
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
        removeOrigin(images.store, `oci:${join(images.dir, name)}`)
        const image = await images.fetch(`oci:./${name}`)
        assert.deepEqual(await checkImage(images.store, image.id, [image.origin]), [])
      }
    })
    await Promise.all(fetching)
    over = true
    await collecting
    assert.ok(collections > 0)
    for (const listed of listImages(images.store))
      assert.deepEqual(await checkImage(images.store, listed.id, listed.origins), [])
    assert.deepEqual(images.inStore('tmp'), [])
  })

  it('is what a killed fetch had pinned', async () => {
    const image = servedImage([100])
    const server = await images.serve((path, request, response) => {
      if (path.includes('/blobs/')) child.kill('SIGKILL')
      else answering(image)(path, request, response)
    })
    const { child, ended } = images.fetchInChild(`docker://${server.host}/x:1`)
    await ended
    assert.equal(images.inStore('tmp').length, 1)
    assert.deepEqual(
      (await collect()).map((c) => c.kind),
      ['blob'],
    ) // the manifest
    assert.deepEqual(images.inStore('tmp'), [])
  })
})

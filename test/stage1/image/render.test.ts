import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import {
  exportImage,
  fetchImage,
  type ImageStore,
  openImageStore,
  type StoredImage,
} from '../../../stage1/image/index.ts'
import { rootHashOf } from '../../../stage1/manifest/index.ts'
import { type TarEntrySpec, tar, writeOciLayout } from '../../support/images.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('rendering', () => {
  const dir = tempDir()
  let round = 0
  let store: ImageStore

  after(dir.remove)
  beforeEach(() => {
    store = openImageStore(join(dir.path, 'store'))
  })

  function fetch(...layers: (readonly TarEntrySpec[])[]): Promise<StoredImage> {
    const layout = join(dir.path, `layout-${++round}`)
    writeOciLayout(layout, { layers: layers.map((entries) => ({ tar: tar(entries) })) })
    return fetchImage(store, `oci:${layout}`, { cwd: '/' })
  }

  const rendered = ({ treeDigest }: StoredImage): Buffer =>
    fs.readFileSync(join(store.dir, 'trees', `${rootHashOf(treeDigest)}.erofs`))

  const ENTRIES: readonly TarEntrySpec[] = [
    { name: './', mode: 0o755 },
    { name: 'b/', uid: 7 },
    { name: 'b/y', data: 'y'.repeat(5000) },
    { name: 'b/x', data: 'x' },
    { name: 'a', data: 'a'.repeat(4096), mode: 0o755 },
    { name: 'c', type: '1', link: 'b/y' },
    { name: 'd', link: 'a' },
    { name: 'p', type: '6' },
  ]

  it('gives one digest for one tree, however its layers and their entries are arranged', async () => {
    const [root = { name: './' }, b = { name: 'b/' }, ...files] = ENTRIES
    const links = files.filter((e) => e.type === '1')
    const others = files.filter((e) => e.type !== '1')
    const arrangements = [
      [ENTRIES],
      [[...others].reverse().concat(b, root, ...links)],
      ENTRIES.map((entry) => [entry]),
      [
        [...ENTRIES, { name: 'z', data: 'gone' }, { name: 'b/x.old/f', data: 'gone' }],
        [{ name: '.wh.z' }, { name: 'b/.wh.x.old' }],
      ],
      [[{ name: 'a', data: 'other' }, { name: 'b', data: 'a file' }, { name: 'd/' }], ENTRIES],
    ]
    const digests = new Set<string>()
    for (const layers of arrangements) digests.add((await fetch(...layers)).treeDigest)
    assert.equal(digests.size, 1, [...digests].join(' '))
  })

  it('leaves no byte in the file of what upper layers hide, neither its data nor its names', async () => {
    // hex, so that no hidden text can be there by chance
    const hidden = Array.from({ length: 6 }, () => randomBytes(32).toString('hex'))
    const [overwritten = '', whitedOut = '', opaque = '', typeChanged = '', tail = '', name = ''] = hidden
    const image = await fetch(
      [
        { name: 'kept', data: 'k'.repeat(9000) },
        { name: 'o', data: overwritten.repeat(300) },
        { name: 'w', data: whitedOut.repeat(300) },
        { name: 'q/f', data: opaque.repeat(300) },
        { name: 't', data: typeChanged.repeat(300) },
        { name: 'small', data: tail },
        { name: `${name}/f`, data: tail, pax: { 'SCHILY.xattr.user.a': name } },
        { name: `l${name.slice(0, 30)}`, link: `/${name}` },
      ],
      [
        { name: 'o', data: 'new' },
        { name: '.wh.w' },
        { name: 'q/.wh..wh..opq' },
        { name: 't/' },
        { name: '.wh.small' },
        { name: `.wh.${name}` },
        { name: `.wh.l${name.slice(0, 30)}` },
      ],
    )
    const bytes = rendered(image)
    for (const text of hidden) assert.equal(bytes.includes(text.slice(0, 16)), false, text)
    assert.equal(bytes.includes('k'.repeat(4096)), true)
    assert.ok(bytes.length <= 5 * 4096, `${bytes.length} bytes`)
  })

  it('gives the same again for what it exported', async () => {
    const image = await fetch(ENTRIES)
    const archive = join(dir.path, 'exported.aci')
    await exportImage(store, image, archive, false)
    const again = await fetchImage(store, archive, { cwd: '/', relax: ['image'] })
    assert.equal(again.treeDigest, image.treeDigest)
  })

  it('stops when it is told to, and leaves nothing', async () => {
    const layout = join(dir.path, `layout-${++round}`)
    writeOciLayout(layout, { layers: [{ tar: tar([{ name: 'f', data: Buffer.alloc(5_000_000, 'x') }]) }] })
    const empty = openImageStore(join(dir.path, 'stopped'))
    const controller = new AbortController()
    const fetching = fetchImage(empty, `oci:${layout}`, {
      cwd: '/',
      signal: controller.signal,
      onProgress: ({ step }) => {
        if (step === 'render') controller.abort()
      },
    })
    await assert.rejects(fetching, { name: 'AbortError' })
    for (const part of ['images', 'refs', 'trees', 'tmp'])
      assert.deepEqual(fs.readdirSync(join(empty.dir, part)), [], part)
  })
})

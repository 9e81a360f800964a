import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { exportImage, extractImage, type StoredImage } from '../../../stage1/image/index.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import {
  hostArchitecture,
  json,
  sha256,
  stage1Program,
  type TarEntrySpec,
  tar,
  writeOciLayout,
} from '../../support/images.ts'

const ROOT: readonly TarEntrySpec[] = [
  { name: 'bin/' },
  { name: 'bin/app', data: '#!', mode: 0o4755, uid: 3_000_000, gid: 5 },
  { name: 'bin/same', type: '1', link: 'bin/app' },
  { name: 'bin/link', link: 'x', pax: { linkpath: `/${'long/'.repeat(30)}end` } },
  { name: 'n', type: '3', device: [1, 3] },
  { name: `${'d'.repeat(90)}/`, mtime: 5 },
  { name: 'x', pax: { path: `${'d'.repeat(90)}/${'\u00e4'.repeat(60)}` }, data: 'long' },
  {
    name: 'x',
    pax: { path: Buffer.concat([Buffer.from('b/'.padEnd(110, 'x')), Buffer.from([0xff, 0xfe])]) },
    data: 'bytes',
  },
  { name: 'k', data: 'k', pax: { 'SCHILY.xattr.user.k': Buffer.from([0, 10, 255]), mtime: '1500000000.5' } },
  { name: 'etc/passwd', data: 'app:x:1000:2000::/:/bin/sh\n' },
]

describe('archives of images', () => {
  const images = ImageFixture.forSuite()

  const fetch = (reference: string): Promise<StoredImage> => images.fetch(reference)

  function layout(name: string): void {
    const config = {
      Cmd: ['app', '-v'],
      Env: ['PATH=/sbin:/bin'],
      User: 'app',
      Labels: { 'a.b': '1', 'Not Good': '2' },
    }
    writeOciLayout(join(images.dir, name), { layers: [{ tar: tar(ROOT) }], config, ref: 'v1' })
  }

  function dockerArchive(file: string, more: readonly TarEntrySpec[] = [], manifest?: unknown): void {
    const layer = tar(ROOT)
    const config = json({
      os: 'linux',
      architecture: hostArchitecture(),
      config: { Cmd: ['/bin/app'] },
      rootfs: { type: 'layers', diff_ids: [sha256(layer), sha256(layer)] },
    })
    const name = `${sha256(config).slice(7)}.json`
    const listed = manifest ?? [
      { Config: name, RepoTags: ['reg.example/team/app:1'], Layers: ['one/layer.tar', 'two/layer.tar'] },
    ]
    fs.writeFileSync(
      join(images.dir, file),
      tar([
        { name, data: config },
        { name: 'one/layer.tar', data: gzipSync(layer) },
        { name: 'two/layer.tar', link: '../three/layer.tar' },
        { name: 'three/layer.tar', data: layer },
        ...more,
        { name: 'manifest.json', data: json(listed) },
      ]),
    )
  }

  const packed: { readonly suffix: string; readonly program?: string }[] = [
    { suffix: '.tar' },
    { suffix: '.tar.gz', program: 'gzip' },
    { suffix: '.tar.bz2', program: 'bzip2' },
    { suffix: '.tar.xz', program: 'xz' },
    { suffix: '.tar.zst', program: 'zstd' },
  ]
  for (const { suffix, program } of packed) {
    it(`are read as ${suffix}, and give what the layout gives`, async () => {
      layout('l')
      execFileSync('tar', ['-cf', join(images.dir, 'a.tar'), '-C', join(images.dir, 'l'), '.'])
      if (program !== undefined) {
        const bytes = execFileSync(program, ['-c'], { input: fs.readFileSync(join(images.dir, 'a.tar')) })
        fs.writeFileSync(join(images.dir, `a${suffix}`), bytes)
      }
      const image = await fetch(`./a${suffix}`)
      const { treeDigest, id } = await fetch('oci:l:v1')
      assert.deepEqual([image.treeDigest, image.id], [treeDigest, id])
      assert.equal((await fetch(`oci-archive:a${suffix}:v1`)).id, id)
      await assert.rejects(fetch(`oci-archive:a${suffix}:v2`), { code: 'IMAGE_NOT_FOUND' })
      assert.deepEqual(images.inStore('tmp'), [])
    })
  }

  it('of docker are read, links among layers and compressed layers too', async () => {
    dockerArchive('d.tar')
    const image = await fetch('./d.tar')
    assert.deepEqual(image.manifest.app?.exec, ['/bin/app'])
    assert.equal((await fetch('docker-archive:d.tar:reg.example/team/app:1')).id, image.id)
    await assert.rejects(fetch('docker-archive:d.tar:reg.example/team/app:2'), { code: 'IMAGE_NOT_FOUND' })
    await assert.rejects(fetch('oci-archive:d.tar'), { code: 'IMAGE_SOURCE_BAD' })
  })

  const bad: { name: string; code: string; more?: readonly TarEntrySpec[]; manifest?: unknown }[] = [
    { name: 'a member twice', code: 'IMAGE_LAYER_BAD', more: [{ name: './one/layer.tar', data: 'x' }] },
    { name: 'a link out of it', code: 'IMAGE_LAYER_BAD', more: [{ name: 'l', link: '../../etc/passwd' }] },
    { name: 'an absolute link', code: 'IMAGE_LAYER_BAD', more: [{ name: 'l', link: '/etc/passwd' }] },
    {
      name: 'links in a circle',
      code: 'IMAGE_LAYER_BAD',
      more: [
        { name: 'l', link: 'm' },
        { name: 'm', link: 'l' },
      ],
    },
    { name: 'a name that climbs', code: 'IMAGE_LAYER_BAD', more: [{ name: '../x', data: 'x' }] },
    { name: 'a device', code: 'IMAGE_LAYER_BAD', more: [{ name: 'n', type: '3', device: [1, 3] }] },
    { name: 'no list of images', code: 'IMAGE_MANIFEST_BAD', manifest: {} },
    { name: 'no image at all', code: 'IMAGE_NOT_FOUND', manifest: [] },
    {
      name: 'a layer that is not there',
      code: 'IMAGE_BLOB_MISSING',
      manifest: [{ Config: 'manifest.json', Layers: ['x'] }],
    },
    {
      name: 'a configuration that is none',
      code: 'IMAGE_MANIFEST_BAD',
      manifest: [{ Config: 'manifest.json', Layers: [] }],
    },
    {
      name: 'a configuration outside',
      code: 'IMAGE_BLOB_MISSING',
      manifest: [{ Config: '../../etc/passwd', Layers: [] }],
    },
    {
      name: 'two images and no name',
      code: 'IMAGE_AMBIGUOUS',
      manifest: ['a:1', 'b:1'].map((tag) => ({ Config: 'c', RepoTags: [tag], Layers: [] })),
    },
  ]
  for (const { name, code, more = [], manifest } of bad) {
    it(`of docker are refused with ${code} for ${name}`, async () => {
      dockerArchive('d.tar', more, manifest)
      await assert.rejects(fetch('docker-archive:d.tar'), { code })
      assert.deepEqual(images.inStore('images'), [])
    })
  }

  it('exported from an OCI image hold what it holds, the same bytes each time', async () => {
    layout('l')
    const image = await fetch('oci:l:v1')
    await exportImage(images.store, image, join(images.dir, 'a.aci'), false)
    await exportImage(images.store, image, join(images.dir, 'b.aci'), false)
    assert.ok(fs.readFileSync(join(images.dir, 'a.aci')).equals(fs.readFileSync(join(images.dir, 'b.aci'))))
    const again = await fetch('./a.aci')
    assert.equal(again.treeDigest, image.treeDigest)
    assert.deepEqual(again.manifest.app?.exec, ['/bin/app', '-v'])
    assert.deepEqual([again.manifest.app?.user, again.manifest.app?.group], ['app', '2000'])
    assert.deepEqual(again.manifest.annotations, [{ name: 'a.b', value: '1' }])
    const actool = spawnSync('actool', ['validate', join(images.dir, 'a.aci')], { encoding: 'utf8' })
    if (actool.error !== undefined) console.log('      not checked with actool, which is not installed (appc-spec)')
    else assert.equal(actool.status, 0, actool.stderr)
    assert.equal(spawnSync('tar', ['-tf', join(images.dir, 'a.aci')]).status, 0)
    await assert.rejects(exportImage(images.store, image, join(images.dir, 'a.aci'), false), {
      code: 'IMAGE_TARGET_EXISTS',
    })
    await exportImage(images.store, image, join(images.dir, 'a.aci'), true)
  })

  it('exported from an ACI are that ACI', async () => {
    layout('l')
    await exportImage(images.store, await fetch('oci:l:v1'), join(images.dir, 'a.aci'), false)
    const plain = fs.readFileSync(join(images.dir, 'a.aci'))
    fs.writeFileSync(join(images.dir, 'z.aci'), gzipSync(plain))
    const image = await fetch('./z.aci')
    await exportImage(images.store, image, join(images.dir, 'out.aci'), false)
    assert.ok(fs.readFileSync(join(images.dir, 'out.aci')).equals(plain))
  })

  it('extracted and rendered are what was in them', async () => {
    layout('l')
    const image = await fetch('oci:l:v1')
    const options = { rootfsOnly: false, overwrite: false, stage1Program: stage1Program() }
    await exportImage(images.store, image, join(images.dir, 'a.aci'), false)
    const aci = await fetch('./a.aci')
    for (const [name, what] of [
      ['own', 'own'],
      ['all', 'rendered'],
    ] as const) {
      await extractImage(images.store, aci, join(images.dir, name), { ...options, what })
      assert.deepEqual(fs.readdirSync(join(images.dir, name)).sort(), ['manifest', 'rootfs'])
      await extractImage(images.store, aci, join(images.dir, `${name}-files`), { ...options, what, rootfsOnly: true })
      for (const root of [join(images.dir, name, 'rootfs'), join(images.dir, `${name}-files`)]) {
        const app = fs.statSync(join(root, 'bin/app'))
        assert.deepEqual([app.mode & 0o7777, app.uid, app.gid, app.nlink], [0o4755, 3_000_000, 5, 2])
        assert.equal(fs.readlinkSync(join(root, 'bin/link')).length, 154)
        assert.equal(fs.statSync(join(root, 'n')).rdev, 0x103)
        assert.equal(fs.statSync(join(root, 'k')).mtimeMs, 1_500_000_000_500)
        assert.ok(fs.readdirSync(root, { encoding: 'buffer' }).some((b) => b.equals(Buffer.from('b'))))
      }
    }
    await assert.rejects(extractImage(images.store, aci, join(images.dir, 'own'), { ...options, what: 'own' }), {
      code: 'IMAGE_TARGET_EXISTS',
    })
    fs.writeFileSync(join(images.dir, 'own/mine'), 'x')
    await extractImage(images.store, aci, join(images.dir, 'own'), { ...options, what: 'own', overwrite: true })
    assert.equal(fs.existsSync(join(images.dir, 'own/mine')), false)
    assert.deepEqual(
      fs.readdirSync(images.dir).filter((n) => n.startsWith('.')),
      [],
    )
  })
})

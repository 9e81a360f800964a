import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  fetchImage,
  findImage,
  type ImageStore,
  openImageStore,
  removeOrigin,
  type StoredImage,
} from '../../../stage1/image/index.ts'
import { treeEntries } from '../../../stage1/image/tree-entries.ts'
import { cannotRender, stage1Program, type TarEntrySpec, tar } from '../../support/images.ts'

describe('dependencies of ACIs', () => {
  let dir: string
  let store: ImageStore

  before(function () {
    const reason = cannotRender()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
  })
  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-deps-'))
    store = openImageStore(join(dir, 'store'))
  })
  afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

  /** Writes and fetches an ACI; names of entries are relative to rootfs. */
  function aci(name: string, entries: readonly TarEntrySpec[], more: object = {}, file = name): Promise<StoredImage> {
    const manifest = JSON.stringify({ acKind: 'ImageManifest', acVersion: '0.8.11', name, ...more })
    const under = entries.map((e) => ({
      ...e,
      name: `rootfs/${e.name}`,
      ...(e.type === '1' && { link: `rootfs/${e.link}` }),
    }))
    fs.writeFileSync(
      join(dir, `${file}.aci`),
      tar([{ name: 'manifest', data: manifest }, { name: 'rootfs/' }, ...under]),
    )
    return fetchImage(store, join(dir, `${file}.aci`), { cwd: '/', stage1Program: stage1Program() })
  }

  /** `path=content` of files, `path->target` of links, `path/` of directories, sorted. */
  function contents(image: StoredImage): string[] {
    const fd = fs.openSync(join(store.dir, 'trees', `${image.treeDigest.split(':')[2]}.erofs`), 'r')
    try {
      return [...treeEntries(fd)]
        .map(({ entry, data }) => {
          if (entry.type === 'file') return `${entry.path}=${Buffer.concat([...data]).toString()}`
          if (entry.type === 'directory') return `${entry.path}/`
          return `${entry.path}${entry.type === 'hardlink' ? '=>' : '->'}${entry.linkPath}`
        })
        .filter((line) => line !== './')
        .sort()
    } finally {
      fs.closeSync(fd)
    }
  }

  const on = (...names: string[]) => ({ dependencies: names.map((imageName) => ({ imageName })) })
  const file = (name: string, data: string): TarEntrySpec => ({ name, data })

  it('lie below in their order, depth first', async () => {
    await aci('d', [file('x', 'd'), file('from-d', 'd')])
    await aci('b', [file('x', 'b'), file('from-b', 'b')])
    await aci('c', [file('from-c', 'c'), file('y', 'c')], on('d'))
    const a = await aci('a', [file('y', 'a')], on('b', 'c'))
    assert.deepEqual(contents(a), ['from-b=b', 'from-c=c', 'from-d=d', 'x=d', 'y=a'])
    assert.equal(a.dependencies?.length, 2)
    assert.deepEqual(findImage(store, a.id, '/'), a)
  })

  it('may come twice, by several ways', async () => {
    await aci('d', [file('x', 'd')])
    await aci('b', [file('x', 'b')], on('d'))
    await aci('c', [file('y', 'c')], on('d'))
    // D, B, D, C, A: the second D is laid over B
    assert.deepEqual(contents(await aci('a', [], on('b', 'c'))), ['x=d', 'y=c'])
  })

  it('keep owners, modes, hardlinks and extended attributes', async () => {
    await aci('base', [
      { name: 'f', data: 'f', uid: 70000, gid: 7, mode: 0o4755, pax: { 'SCHILY.xattr.user.k': 'v' } },
      { name: 'h', type: '1', link: 'f' },
      { name: 'dev', type: '3', device: [1, 3] },
    ])
    const a = await aci('a', [], on('base'))
    assert.deepEqual(contents(a), ['dev->', 'f=f', 'h=>f'])
    const fd = fs.openSync(join(store.dir, 'trees', `${a.treeDigest.split(':')[2]}.erofs`), 'r')
    const entry = [...treeEntries(fd)].find((e) => e.entry.path === 'f')?.entry
    fs.closeSync(fd)
    assert.deepEqual([entry?.uid, entry?.gid, entry?.mode], [70000, 7, 0o4755])
    assert.equal(entry?.xattrs.get('user.k')?.toString(), 'v')
  })

  it('have their symlinks replaced, never followed, by what lies above', async () => {
    await aci('base', [
      { name: 'real/' },
      file('real/kept', 'k'),
      { name: 'lib', link: 'real' },
      { name: 'out', link: '/etc' },
    ])
    const a = await aci('a', [file('lib/x', 'a'), file('out/passwd', 'a')], on('base'))
    assert.deepEqual(contents(a), ['lib/', 'lib/x=a', 'out/', 'out/passwd=a', 'real/', 'real/kept=k'])
  })

  it('are filtered by their own whitelist and by that of what lies above', async () => {
    const base = [
      file('bin/a', '1'),
      file('bin/b', '2'),
      file('etc/c', '3'),
      { name: 'hard', type: '1', link: 'bin/b' },
    ]
    assert.deepEqual(contents(await aci('base', base, { pathWhitelist: ['/bin/a', '/hard', '/etc'] })), [
      'bin/',
      'bin/a=1',
      'etc/',
      'hard=2',
    ])
    const a = await aci('a', [file('own', 'o'), file('other', 'x')], {
      ...on('base'),
      pathWhitelist: ['/hard', '/own', '/bin/b'],
    })
    assert.deepEqual(contents(a), ['bin/', 'hard=2', 'own=o'])
  })

  it('are found by their labels, and pinned by their ID', async () => {
    const label = (value: string) => ({ labels: [{ name: 'version', value }] })
    const one = await aci('base', [file('v', '1')], label('1'), 'one')
    await aci('base', [file('v', '2')], label('2'), 'two')
    const want = (more: object) => ({ dependencies: [{ imageName: 'base', ...more }] })
    assert.deepEqual(contents(await aci('a', [], want(label('2')))), ['v=2'])
    assert.deepEqual(contents(await aci('a', [], want({ imageID: one.id }))), ['v=1'])
    await assert.rejects(aci('a', [], want({})), { code: 'IMAGE_AMBIGUOUS' })
    await assert.rejects(aci('a', [], want(label('3'))), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(aci('a', [], { dependencies: [{ imageName: 'other', imageID: one.id }] }), {
      code: 'IMAGE_DEPENDENCY_MISSING',
    })
  })

  it('in a circle are missing, whichever is fetched first', async () => {
    await assert.rejects(aci('a', [], on('b')), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(aci('b', [], on('a')), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(aci('c', [], on('c')), { code: 'IMAGE_DEPENDENCY_MISSING' })
    assert.deepEqual(fs.readdirSync(join(store.dir, 'images')), [])
  })

  it('bring their relaxed checks along', async () => {
    await aci('base', [file('x', '1')])
    const base = findImage(store, join(dir, 'base.aci'), '/')
    removeOrigin(store, base.origin.name)
    await fetchImage(store, join(dir, 'base.aci'), { cwd: '/', stage1Program: stage1Program(), relax: ['image'] })
    assert.deepEqual((await aci('a', [], on('base'))).origin.relaxed, ['image'])
  })

  it('that were changed in the store are not used', async () => {
    const base = await aci('base', [file('x', '1')])
    const tree = join(store.dir, 'trees', `${base.treeDigest.split(':')[2]}.erofs`)
    fs.chmodSync(tree, 0o600)
    const bytes = fs.readFileSync(tree)
    bytes[bytes.length - 1] = 1
    fs.writeFileSync(tree, bytes)
    await assert.rejects(aci('a', [], on('base')), { code: 'IMAGE_TREE_CHANGED' })
  })

  it('of an image for another machine are not even looked for', async () => {
    const labels = [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'pdp11' },
    ]
    await assert.rejects(aci('a', [], { ...on('b'), labels }), { code: 'IMAGE_PLATFORM_MISSING' })
  })
})

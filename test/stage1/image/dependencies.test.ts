import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { findImage, removeOrigin, type StoredImage } from '../../../stage1/image/index.ts'
import { treeEntries } from '../../../stage1/image/tree-entries.ts'
import { aci } from '../../support/aci.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import type { TarEntrySpec } from '../../support/images.ts'

describe('dependencies of ACIs', () => {
  const images = ImageFixture.forSuite()

  /** Writes and fetches an ACI. */
  function fetched(
    name: string,
    entries: readonly TarEntrySpec[],
    more: object = {},
    file = name,
  ): Promise<StoredImage> {
    fs.writeFileSync(join(images.dir, `${file}.aci`), aci({ name, ...more }, entries))
    return images.fetch(`./${file}.aci`)
  }

  /** `path=content` of files, `path->target` of links, `path/` of directories, sorted. */
  function contents(image: StoredImage): string[] {
    const fd = fs.openSync(join(images.store.dir, 'trees', `${image.treeDigest.split(':')[2]}.erofs`), 'r')
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
    await fetched('d', [file('x', 'd'), file('from-d', 'd')])
    await fetched('b', [file('x', 'b'), file('from-b', 'b')])
    await fetched('c', [file('from-c', 'c'), file('y', 'c')], on('d'))
    const a = await fetched('a', [file('y', 'a')], on('b', 'c'))
    assert.deepEqual(contents(a), ['from-b=b', 'from-c=c', 'from-d=d', 'x=d', 'y=a'])
    assert.equal(a.dependencies?.length, 2)
    assert.deepEqual(findImage(images.store, a.id, '/'), a)
  })

  it('may come twice, by several ways', async () => {
    await fetched('d', [file('x', 'd')])
    await fetched('b', [file('x', 'b')], on('d'))
    await fetched('c', [file('y', 'c')], on('d'))
    // D, B, D, C, A: the second D is laid over B
    assert.deepEqual(contents(await fetched('a', [], on('b', 'c'))), ['x=d', 'y=c'])
  })

  it('keep owners, modes, hardlinks and extended attributes', async () => {
    await fetched('base', [
      { name: 'f', data: 'f', uid: 70000, gid: 7, mode: 0o4755, pax: { 'SCHILY.xattr.user.k': 'v' } },
      { name: 'h', type: '1', link: 'f' },
      { name: 'dev', type: '3', device: [1, 3] },
    ])
    const a = await fetched('a', [], on('base'))
    assert.deepEqual(contents(a), ['dev->', 'f=f', 'h=>f'])
    const fd = fs.openSync(join(images.store.dir, 'trees', `${a.treeDigest.split(':')[2]}.erofs`), 'r')
    const entry = [...treeEntries(fd)].find((e) => e.entry.path === 'f')?.entry
    fs.closeSync(fd)
    assert.deepEqual([entry?.uid, entry?.gid, entry?.mode], [70000, 7, 0o4755])
    assert.equal(entry?.xattrs.get('user.k')?.toString(), 'v')
  })

  it('have their symlinks replaced, never followed, by what lies above', async () => {
    await fetched('base', [
      { name: 'real/' },
      file('real/kept', 'k'),
      { name: 'lib', link: 'real' },
      { name: 'out', link: '/etc' },
    ])
    const a = await fetched('a', [file('lib/x', 'a'), file('out/passwd', 'a')], on('base'))
    assert.deepEqual(contents(a), ['lib/', 'lib/x=a', 'out/', 'out/passwd=a', 'real/', 'real/kept=k'])
  })

  it('are filtered by their own whitelist and by that of what lies above', async () => {
    const base = [
      file('bin/a', '1'),
      file('bin/b', '2'),
      file('etc/c', '3'),
      { name: 'hard', type: '1', link: 'bin/b' },
    ]
    assert.deepEqual(contents(await fetched('base', base, { pathWhitelist: ['/bin/a', '/hard', '/etc'] })), [
      'bin/',
      'bin/a=1',
      'etc/',
      'hard=2',
    ])
    const a = await fetched('a', [file('own', 'o'), file('other', 'x')], {
      ...on('base'),
      pathWhitelist: ['/hard', '/own', '/bin/b'],
    })
    assert.deepEqual(contents(a), ['bin/', 'hard=2', 'own=o'])
  })

  it('are found by their labels, and pinned by their ID', async () => {
    const label = (value: string) => ({ labels: [{ name: 'version', value }] })
    const one = await fetched('base', [file('v', '1')], label('1'), 'one')
    await fetched('base', [file('v', '2')], label('2'), 'two')
    const want = (more: object) => ({ dependencies: [{ imageName: 'base', ...more }] })
    assert.deepEqual(contents(await fetched('a', [], want(label('2')))), ['v=2'])
    assert.deepEqual(contents(await fetched('a', [], want({ imageID: one.id }))), ['v=1'])
    await assert.rejects(fetched('a', [], want({})), { code: 'IMAGE_AMBIGUOUS' })
    await assert.rejects(fetched('a', [], want(label('3'))), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(fetched('a', [], { dependencies: [{ imageName: 'other', imageID: one.id }] }), {
      code: 'IMAGE_DEPENDENCY_MISSING',
    })
  })

  it('in a circle are missing, whichever is fetched first, and none is its own', async () => {
    await assert.rejects(fetched('a', [], on('b')), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(fetched('b', [], on('a')), { code: 'IMAGE_DEPENDENCY_MISSING' })
    await assert.rejects(fetched('c', [], on('c')), { code: 'IMAGE_DEPENDENCY_BAD', message: /c -> c: .* circle/ })
    assert.deepEqual(images.inStore('images'), [])
  })

  it('bring their relaxed checks along', async () => {
    await fetched('base', [file('x', '1')])
    const base = findImage(images.store, join(images.dir, 'base.aci'), '/')
    removeOrigin(images.store, base.origin.name)
    await images.fetch('./base.aci', { relax: ['image'] })
    assert.deepEqual((await fetched('a', [], on('base'))).origin.relaxed, ['image'])
  })

  it('that were changed in the store are not used', async () => {
    const base = await fetched('base', [file('x', '1')])
    const tree = join(images.store.dir, 'trees', `${base.treeDigest.split(':')[2]}.erofs`)
    fs.chmodSync(tree, 0o600)
    const bytes = fs.readFileSync(tree)
    bytes[bytes.length - 1] = 1
    fs.writeFileSync(tree, bytes)
    await assert.rejects(fetched('a', [], on('base')), { code: 'IMAGE_TREE_CHANGED' })
  })

  it('of an image for another machine are not even looked for', async () => {
    const labels = [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'pdp11' },
    ]
    await assert.rejects(fetched('a', [], { ...on('b'), labels }), { code: 'IMAGE_PLATFORM_MISSING' })
  })
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openImageStore } from '../../../stage1/image/index.ts'
import { layLayers } from '../../../stage1/image/layers.ts'
import { Spool } from '../../../stage1/image/spool.ts'
import { cannotMount, mountErofs, writeErofs } from '../../support/erofs.ts'
import { paxRecords, sha256, type TarEntrySpec, tar, tarBlocks } from '../../support/images.ts'

/** What layers laid over each other are, as the kernel sees the rendered tree. */
describe('layers', () => {
  let dir: string
  let root: string
  let unmount: () => void

  before(function () {
    const reason = cannotMount()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
  })
  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-layers-'))
    root = join(dir, 'root')
    fs.mkdirSync(root)
    unmount = () => {}
  })
  afterEach(() => {
    unmount()
    fs.rmSync(dir, { recursive: true, force: true })
  })

  async function lay(...layers: (readonly TarEntrySpec[] | Buffer)[]): Promise<void> {
    const store = openImageStore(join(dir, 'store'))
    const specs = layers.map((layer) => {
      const bytes = Buffer.isBuffer(layer) ? layer : tar(layer)
      const digest = sha256(bytes)
      fs.writeFileSync(join(store.dir, 'cas', digest.replace(':', '/')), bytes)
      return { digest, sizeBytes: bytes.length, compression: 'none', diffId: digest } as const
    })
    const spool = new Spool(store, dir)
    try {
      writeErofs(join(dir, 'tree.erofs'), await layLayers(store, specs, spool), spool.read)
    } finally {
      spool.close()
    }
    unmount = mountErofs(join(dir, 'tree.erofs'), root)
  }

  const at = (path: string): string => join(root, path)
  const stat = (path: string): fs.BigIntStats => fs.lstatSync(at(path), { bigint: true })
  const text = (path: string): string => fs.readFileSync(at(path), 'utf8')
  const names = (path = '.'): string[] => fs.readdirSync(at(path)).sort()

  it('keeps types, modes with set-id bits, owners and times to the nanosecond', async () => {
    await lay([
      { name: 'd/', mode: 0o1770, uid: 1000, gid: 2000, mtime: 1_600_000_000 },
      {
        name: 'd/f',
        mode: 0o6755,
        uid: 65534,
        gid: 4294967294,
        data: 'text',
        pax: { mtime: '1234567890.123456789', gid: '4294967294' },
      },
      { name: 'd/l', link: '../elsewhere', mtime: 1_500_000_001 },
      { name: 'd/p', type: '6', mode: 0o600 },
      { name: 'd/c', type: '3', device: [1, 3], mode: 0o666 },
      { name: 'd/b', type: '4', device: [8, 257] },
    ])
    assert.equal(stat('d').mode & 0o7777n, 0o1770n)
    assert.deepEqual([stat('d').uid, stat('d').gid, stat('d').mtimeNs], [1000n, 2000n, 1_600_000_000_000_000_000n])
    assert.equal(stat('d/f').mode & 0o7777n, 0o6755n)
    assert.deepEqual([stat('d/f').uid, stat('d/f').gid], [65534n, 4294967294n])
    assert.equal(stat('d/f').mtimeNs, 1_234_567_890_123_456_789n)
    assert.equal(fs.readlinkSync(at('d/l')), '../elsewhere')
    assert.equal(stat('d/l').mtimeNs, 1_500_000_001_000_000_000n)
    assert.ok(stat('d/p').isFIFO())
    assert.ok(stat('d/c').isCharacterDevice())
    assert.equal(stat('d/c').rdev, 0x103n)
    assert.ok(stat('d/b').isBlockDevice())
    assert.equal(stat('d/b').rdev, 0x100801n)
  })

  it('makes missing parents 0755, of root, of 1970', async () => {
    await lay([{ name: 'x/y/f', data: '1' }])
    for (const path of ['x', 'x/y', '.']) {
      const s = stat(path)
      assert.deepEqual([s.mode & 0o7777n, s.uid, s.gid, s.mtimeNs], [0o755n, 0n, 0n, 0n], path)
    }
  })

  it('moves times before 1970 and after 2100 to these ends', async () => {
    await lay([
      { name: 'old', pax: { mtime: '-5.25' } },
      { name: 'new', pax: { mtime: '99999999999.5' } },
    ])
    assert.equal(stat('old').mtimeNs, 0n)
    assert.equal(stat('new').mtimeNs, 4_102_444_800_000_000_000n)
  })

  it('normalises names and gives the root what the archive says of it', async () => {
    await lay([
      { name: './', mode: 0o700, uid: 5 },
      { name: 'a/./b', data: '1' },
      { name: '/a//c', data: '2' },
      { name: './d' },
    ])
    assert.deepEqual(
      [names(), names('a')],
      [
        ['a', 'd'],
        ['b', 'c'],
      ],
    )
    assert.deepEqual([stat('.').mode & 0o7777n, stat('.').uid], [0o700n, 5n])
  })

  it('keeps each byte of a name', async () => {
    await lay([{ name: 'x', pax: { path: Buffer.from([0x62, 0xff, 0xfe]) } }, { name: '\xc0\xaf' }])
    const found = fs.readdirSync(root, { encoding: 'buffer' }).map((b) => b.toString('hex'))
    assert.deepEqual(found.sort(), ['62fffe', 'c0af'])
  })

  it('links hardlinks to one file, of a lower layer too, and to a symlink itself', async () => {
    await lay(
      [
        { name: 'a', data: 'one' },
        { name: 'b', link: 'a', type: '1' },
        { name: 's', link: '/etc/passwd' },
      ],
      [
        { name: 'c/d', link: '/a', type: '1' },
        { name: 't', link: 's', type: '1' },
      ],
    )
    assert.equal(stat('a').nlink, 3n)
    assert.equal(stat('c/d').ino, stat('a').ino)
    assert.equal(stat('t').ino, stat('s').ino)
    assert.ok(stat('t').isSymbolicLink())
  })

  it('hides what lower layers have, and never what the same layer has, in either order', async () => {
    const lower = [
      { name: 'd/' },
      { name: 'd/old', data: '1' },
      { name: 'd/sub/x', data: '1' },
      { name: 'f', data: 'old' },
      { name: 'g', data: 'old' },
      { name: 'gone/x', data: '1' },
      { name: 'o/x', data: '1' },
      { name: 'o/y/z', data: '1' },
    ]
    await lay(lower, [
      { name: 'd/new', data: '2' },
      { name: 'd/.wh..wh..opq' },
      { name: 'f', data: 'new' },
      { name: '.wh.f' },
      { name: '.wh.g' },
      { name: 'g', data: 'new' },
      { name: '.wh.gone' },
      { name: '.wh.never-there' },
      { name: 'o/.wh..wh..opq' },
      { name: 'o/y/n', data: '2' },
    ])
    assert.deepEqual(names(), ['d', 'f', 'g', 'o'])
    assert.deepEqual(names('d'), ['new'])
    assert.deepEqual([text('f'), text('g')], ['new', 'new'])
    assert.deepEqual([names('o'), names('o/y')], [['y'], ['n']])
  })

  it('hides a directory and keeps what the same layer put into it, as new', async () => {
    await lay([{ name: 'd/', mode: 0o700, uid: 7 }, { name: 'd/old' }], [{ name: 'd/new' }, { name: '.wh.d' }])
    assert.deepEqual(names('d'), ['new'])
    assert.deepEqual([stat('d').mode & 0o7777n, stat('d').uid], [0o755n, 0n])
  })

  it('lets the type of the highest layer win, and a directory keep its contents under new attributes', async () => {
    await lay(
      [
        { name: 't/' },
        { name: 't/a' },
        { name: 'u' },
        { name: 'k/', mode: 0o700 },
        { name: 'k/a' },
        { name: 'l', link: 'k' },
      ],
      [
        { name: 't', data: 'file' },
        { name: 'u/' },
        { name: 'u/x' },
        { name: 'k/', mode: 0o711 },
        { name: 'l/' },
        { name: 'l/b' },
      ],
    )
    assert.equal(text('t'), 'file')
    assert.deepEqual([names('u'), names('k'), names('l')], [['x'], ['a'], ['b']])
    assert.equal(stat('k').mode & 0o777n, 0o711n)
    assert.ok(stat('l').isDirectory())
  })

  it('follows a symlink among the parents inside the image, to a directory that is there', async () => {
    await lay(
      [
        { name: 'usr/lib/' },
        { name: 'lib', link: 'usr/lib' },
        { name: 'up', link: '../../../usr' },
        { name: 'abs', link: '/usr' },
      ],
      [
        { name: 'lib/a', data: '1' },
        { name: 'up/b', data: '2' },
        { name: 'abs/lib/c', data: '3' },
      ],
    )
    assert.deepEqual(
      [names('usr'), names('usr/lib')],
      [
        ['b', 'lib'],
        ['a', 'c'],
      ],
    )
    assert.ok(stat('lib').isSymbolicLink())
  })

  it('ignores the own files of aufs', async () => {
    await lay([
      { name: '.wh..wh.plnk/' },
      { name: '.wh..wh.plnk/1.2', data: 'x' },
      { name: '.wh..wh.aufs' },
      { name: 'ok' },
    ])
    assert.deepEqual(names(), ['ok'])
  })

  it('sets user attributes and file capabilities, and drops what is about another host', async function () {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
    await lay([
      {
        name: 'f',
        data: 'x',
        pax: {
          'SCHILY.xattr.user.a': 'one',
          'SCHILY.xattr.user.empty': '',
          'LIBARCHIVE.xattr.user.%62': 'dHdv',
          'SCHILY.xattr.security.capability': capability,
          'SCHILY.xattr.security.selinux': 'label',
          'SCHILY.xattr.trusted.overlay.opaque': 'y',
        },
      },
    ])
    const listed = spawnSync('getfattr', ['-m', '-', '-d', '-e', 'hex', at('f')], { encoding: 'utf8' })
    if (listed.error !== undefined) {
      console.log('      skipped: no getfattr (Debian: attr)')
      this.skip()
    }
    assert.deepEqual(listed.stdout.trim().split('\n').slice(1).sort(), [
      `security.capability=0x${capability.toString('hex')}`,
      'user.a=0x6f6e65',
      'user.b=0x74776f',
      'user.empty=0x',
    ])
  })

  it('ignores what is behind the end of the archive', async () => {
    await lay(Buffer.concat([tar([{ name: 'a' }]), tar([{ name: 'b' }])]))
    assert.deepEqual(names(), ['a'])
  })

  const refused: { name: string; layers: (readonly TarEntrySpec[] | Buffer)[]; code: string }[] = [
    { name: 'a name that climbs', layers: [[{ name: 'a/../../b' }]], code: 'IMAGE_LAYER_BAD' },
    { name: "'..' alone", layers: [[{ name: '..', type: '5' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'an empty name', layers: [[{ name: '' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a root that is a file', layers: [[{ name: '.' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a parent that is a file', layers: [[{ name: 'a' }, { name: 'a/b' }]], code: 'IMAGE_LAYER_BAD' },
    {
      name: 'a parent that is a symlink to nothing',
      layers: [[{ name: 'a', link: '/none' }, { name: 'a/b' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'symlinks in a circle',
      layers: [[{ name: 'a', link: 'b' }, { name: 'b', link: 'a' }, { name: 'a/x' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    { name: 'a symlink to nowhere', layers: [[{ name: 'a', link: '', type: '2' }]], code: 'IMAGE_LAYER_BAD' },
    {
      name: 'a hardlink to what comes later',
      layers: [[{ name: 'a', type: '1', link: 'b' }, { name: 'b' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'a hardlink to itself',
      layers: [[{ name: 'a' }, { name: 'a', type: '1', link: 'a' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'a hardlink that replaces its source',
      layers: [[{ name: 'd/f' }, { name: 'd', type: '1', link: 'd/f' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'a hardlink out of the image',
      layers: [[{ name: 'a', type: '1', link: '/etc/hostname' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'a hardlink through a symlink out of the image',
      layers: [
        [
          { name: 'e', link: '/etc' },
          { name: 'a', type: '1', link: 'e/hostname' },
        ],
      ],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'a hardlink with data',
      layers: [[{ name: 'a' }, { name: 'b', type: '1', link: 'a', data: 'x' }]],
      code: 'IMAGE_LAYER_BAD',
    },
    { name: 'a device of the overlay', layers: [[{ name: 'a', type: '3', device: [0, 0] }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a whiteout of ..', layers: [[{ name: 'a/.wh...' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a file inside of a whiteout', layers: [[{ name: '.wh.a/b' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a whiteout that is a directory', layers: [[{ name: '.wh.a/' }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a uid of -1', layers: [[{ name: 'a', pax: { uid: '-1' } }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a time that is none', layers: [[{ name: 'a', pax: { mtime: '1e9' } }]], code: 'IMAGE_LAYER_BAD' },
    { name: 'a size that is none', layers: [[{ name: 'a', pax: { size: '0x10' } }]], code: 'IMAGE_LAYER_BAD' },
    {
      name: 'a component of 256 bytes',
      layers: [[{ name: 'x', pax: { path: 'c'.repeat(256) } }]],
      code: 'IMAGE_TOO_LARGE',
    },
    {
      name: 'a path that is too deep',
      layers: [[{ name: 'x', pax: { path: 'a/'.repeat(300) } }]],
      code: 'IMAGE_TOO_LARGE',
    },
    {
      name: 'too many extended attributes',
      layers: [[{ name: 'x', pax: { 'SCHILY.xattr.user.a': 'v'.repeat(4000) } }]],
      code: 'IMAGE_TOO_LARGE',
    },
    {
      name: 'a PAX sparse file',
      layers: [[{ name: 'x', pax: { 'GNU.sparse.major': '1' } }]],
      code: 'IMAGE_UNSUPPORTED',
    },
    {
      name: 'an extended header at the end',
      layers: [
        Buffer.concat([...tarBlocks({ name: 'p', type: 'x', data: paxRecords({ path: 'a' }) }), Buffer.alloc(1024)]),
      ],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'an extended header of 64 MiB',
      layers: [Buffer.concat(tarBlocks({ name: 'p', type: 'x', size: 64 << 20 }))],
      code: 'IMAGE_TOO_LARGE',
    },
    {
      name: 'an archive cut inside a header',
      layers: [tar([{ name: 'a' }]).subarray(0, 300)],
      code: 'IMAGE_LAYER_BAD',
    },
    {
      name: 'an archive cut inside a file',
      layers: [tar([{ name: 'a', data: 'x'.repeat(600) }]).subarray(0, 1024)],
      code: 'IMAGE_LAYER_BAD',
    },
    { name: 'something that is no archive', layers: [Buffer.alloc(2048, 'x')], code: 'IMAGE_LAYER_BAD' },
  ]
  for (const { name, layers, code } of refused) {
    it(`refuses ${name} with ${code}`, () => assert.rejects(lay(...layers), { code }))
  }

  it('refuses a blob of the store that was changed after it was fetched', async () => {
    const bytes = tar([{ name: 'a', data: 'x'.repeat(3_000_000) }])
    const digest = sha256(bytes)
    const store = openImageStore(join(dir, 'store'))
    bytes[2_000_000] = 0
    fs.writeFileSync(join(store.dir, 'cas', digest.replace(':', '/')), bytes)
    const layer = { digest, sizeBytes: bytes.length, compression: 'none', diffId: digest } as const
    const spool = new Spool(store, dir)
    try {
      await assert.rejects(layLayers(store, [layer], spool), { code: 'IMAGE_RECORD_BAD' })
    } finally {
      spool.close()
    }
  })
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { join } from 'node:path'
import { ErofsReader } from '../../../stage1/image/erofs.ts'
import { encodeXattrs } from '../../../stage1/image/erofs-xattrs.ts'
import type { Inode, TreeDirectory, TreeNode } from '../../../stage1/image/inode.ts'
import { treeEntries } from '../../../stage1/image/tree-entries.ts'
import { cannotMount, mountErofs, writeErofs } from '../../support/erofs.ts'
import { tempDir } from '../../support/temp-dir.ts'

const BLOCK = 4096
const TYPES = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
}
const SOCKET = 0o140000

/** Data of files by what they are told to be: a pseudo-random stream, or zeros from 2^40 on. */
const ZEROS_FROM = 2 ** 40
const NOISE = Buffer.alloc(3 * 1024 * 1024)
for (let i = 0, x = 1; i < NOISE.length; i++) {
  x = (Math.imul(x, 1103515245) + 12345) >>> 0
  NOISE[i] = x >>> 24 || 1
}
function readData(into: Buffer, at: number, offset: number, length: number): void {
  if (offset >= ZEROS_FROM) into.fill(0, at, at + length)
  else assert.equal(NOISE.copy(into, at, offset, offset + length), length)
}

function inode(type: number, more: Partial<Inode> = {}): Inode {
  const mode = type | ((more.mode ?? 0o644) & 0o7777)
  const nothing = {
    uid: 0,
    gid: 0,
    device: { major: 0, minor: 0 },
    target: '',
    xattrs: '',
    sizeBytes: 0,
    dataOffset: 0,
  }
  return { mtime: { seconds: 1_500_000_000, nanoseconds: 0 }, ...nothing, ...more, mode }
}
const node = (type: number, more: Partial<Inode> = {}): TreeNode => ({ inode: inode(type, more) })
const file = (sizeBytes: number, more: Partial<Inode> = {}): TreeNode => node(TYPES.file, { sizeBytes, ...more })
function directory(children: Readonly<Record<string, TreeNode>>, more: Partial<Inode> = {}): TreeDirectory {
  return { inode: inode(TYPES.directory, { mode: 0o755, ...more }), children: new Map(Object.entries(children)) }
}

describe('a tree written as EROFS', () => {
  const dir = tempDir()
  const image = join(dir.path, 'tree.erofs')
  const root = join(dir.path, 'root')
  let unmount = (): void => {}

  before(() => fs.mkdirSync(root))
  after(dir.remove)
  afterEach(() => {
    unmount()
    unmount = () => {}
  })

  const write = (tree: TreeDirectory): void => writeErofs(image, tree, readData)
  const at = (path: string): string => join(root, path)
  const stat = (path: string): fs.BigIntStats => fs.lstatSync(at(path), { bigint: true })

  function mount(): void {
    unmount = mountErofs(image, root)
  }

  function sound(): void {
    const { error, status, stdout, stderr } = spawnSync('fsck.erofs', ['--extract', image], { encoding: 'utf8' })
    if (error === undefined) assert.equal(status, 0, stdout + stderr)
  }

  describe('as the kernel sees it', () => {
    before(function () {
      const reason = cannotMount()
      if (reason === undefined) return
      console.log(`      skipped: ${reason}`)
      this.skip()
    })

    it('has files of every size around a block and a buffer, with their bytes', () => {
      const sizes = [0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 8193, 1024 * 1024 + 1, 2_500_000]
      write(directory(Object.fromEntries(sizes.map((n, i) => [`f${n}`, file(n, { dataOffset: i * 1000 })]))))
      sound()
      mount()
      for (const [i, n] of sizes.entries()) {
        assert.ok(fs.readFileSync(at(`f${n}`)).equals(NOISE.subarray(i * 1000, i * 1000 + n)), `${n} bytes`)
      }
    })

    it('has a large file of zeros, and what comes behind it', () => {
      write(directory({ a: file(300 * 1024 * 1024 + 17, { dataOffset: ZEROS_FROM }), b: file(5000) }))
      mount()
      assert.equal(stat('a').size, 314_572_817n)
      const hash = createHash('sha256')
      const fd = fs.openSync(at('a'), 'r')
      const piece = Buffer.alloc(1024 * 1024)
      for (let n = fs.readSync(fd, piece); n > 0; n = fs.readSync(fd, piece)) {
        assert.ok(piece.subarray(0, n).every((b) => b === 0))
        hash.update(piece.subarray(0, n))
      }
      fs.closeSync(fd)
      assert.ok(fs.readFileSync(at('b')).equals(NOISE.subarray(0, 5000)))
    }).timeout(120_000)

    it('finds each of 5000 names in a directory, and none that is not there', () => {
      // on both sides of '.' and '..', which lie among them by their bytes
      const names = Array.from({ length: 5000 }, (_, i) => `${'!-.a~'[i % 5]}${(i * 7919) % 5000}`)
      write(directory({ d: directory(Object.fromEntries(names.map((n, i) => [n, file(i % 50, { uid: i })]))) }))
      sound()
      mount()
      assert.deepEqual(fs.readdirSync(at('d')).sort(), [...names].sort())
      for (const [i, name] of names.entries()) {
        assert.deepEqual([stat(`d/${name}`).uid, stat(`d/${name}`).size], [BigInt(i), BigInt(i % 50)], name)
        assert.equal(fs.existsSync(at(`d/${name}x`)), false)
      }
    })

    it('has names of 255 bytes of any value, so that a directory ends at any place of a block', () => {
      for (const count of [1, 14, 15, 16, 31, 200]) {
        const names = Array.from({ length: count }, (_, i) => String.fromCharCode(250 - i).padEnd(255, '\xff'))
        write(directory(Object.fromEntries(names.map((n) => [n, file(3)]))))
        mount()
        const found = fs.readdirSync(root, { encoding: 'latin1' })
        assert.deepEqual(found.sort(), [...names].sort(), `${count} names`)
        for (const n of names) assert.equal(fs.statSync(Buffer.from(`${root}/${n}`, 'latin1')).size, 3)
        unmount()
      }
      unmount = () => {}
    })

    it('has an empty root, and one directory in another, 256 deep', () => {
      write(directory({}))
      mount()
      assert.deepEqual(fs.readdirSync(root), [])
      unmount()
      let deep = directory({ f: file(1) })
      for (let i = 0; i < 255; i++) deep = directory({ d: deep })
      write(deep)
      mount()
      const path = `${'d/'.repeat(255)}f`
      assert.equal(stat(path).size, 1n)
      assert.equal(fs.statSync(at(`${path}/../../..`.replace('f/../', ''))).isDirectory(), true)
    })

    it('counts links, of files over directories and of directories', () => {
      const shared = file(5000)
      const link = node(TYPES.symlink, { target: 'x' })
      const tree = {
        a: directory({ one: shared, l: link, sub: directory({ two: shared }) }),
        b: directory({ l: link }),
      }
      write(directory({ ...tree, three: shared, empty: directory({}) }))
      sound()
      mount()
      assert.deepEqual([stat('a/one').nlink, stat('a/l').nlink], [3n, 2n])
      assert.equal(new Set(['a/one', 'a/sub/two', 'three'].map((p) => stat(p).ino)).size, 1)
      assert.deepEqual([stat('.').nlink, stat('a').nlink, stat('a/sub').nlink, stat('empty').nlink], [5n, 3n, 2n, 2n])
      assert.equal(stat('a/sub/..').ino, stat('a').ino)
      assert.ok(stat('.').ino > 0n)
    })

    it('has devices, fifos and sockets', () => {
      const device = (type: number, major: number, minor: number) => node(type, { device: { major, minor } })
      const devices = {
        c: device(TYPES.char, 1, 3),
        b: device(TYPES.block, 0xfff, 0xfffff),
        m: device(TYPES.char, 8, 257),
      }
      write(directory({ ...devices, p: node(TYPES.fifo), s: node(SOCKET) }))
      sound()
      mount()
      assert.ok(
        stat('c').isCharacterDevice() && stat('b').isBlockDevice() && stat('p').isFIFO() && stat('s').isSocket(),
      )
      assert.deepEqual([stat('c').rdev, stat('m').rdev, stat('b').rdev], [0x103n, 0x100801n, 0xffffffffn])
    })

    it('has owners of 32 bits, set-id bits, and times from 1970 to 2100 with nanoseconds', () => {
      const mtime = (seconds: number, nanoseconds = 0) => ({ mtime: { seconds, nanoseconds } })
      write(
        directory({
          a: file(0, { uid: 4294967294, gid: 4294967293, mode: 0o6755, ...mtime(0) }),
          b: file(0, { uid: 65536, mode: 0, ...mtime(4_102_444_800, 999_999_999) }),
          c: directory({}, { mode: 0o3777, ...mtime(1, 1) }),
        }),
      )
      mount()
      assert.deepEqual([stat('a').uid, stat('a').gid, stat('b').uid], [4294967294n, 4294967293n, 65536n])
      assert.deepEqual(
        ['a', 'b', 'c'].map((p) => stat(p).mode & 0o7777n),
        [0o6755n, 0n, 0o3777n],
      )
      const times = ['a', 'b', 'c'].map((p) => stat(p).mtimeNs)
      assert.deepEqual(times, [0n, 4_102_444_800_999_999_999n, 1_000_000_001n])
    })

    it('has symlinks of 1 and of 4095 bytes', () => {
      const targets = [1, 4031, 4032, 4033, 4095].map((n) => 'a/'.repeat(2048).slice(0, n))
      write(directory(Object.fromEntries(targets.map((t) => [`l${t.length}`, node(TYPES.symlink, { target: t })]))))
      sound()
      mount()
      for (const t of targets) assert.equal(fs.readlinkSync(at(`l${t.length}`)), t)
    })

    it('has extended attributes beside any amount of data, beyond a block of them too', function () {
      if (spawnSync('getfattr', ['--version']).error !== undefined) {
        console.log('      skipped: no getfattr (Debian: attr)')
        this.skip()
      }
      const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
      const some = new Map([
        ['security.capability', capability],
        ['user.a', Buffer.from([0, 255, 10])],
        [`user.${'n'.repeat(250)}`, Buffer.alloc(0)],
      ])
      const many = new Map(Array.from({ length: 500 }, (_, i) => [`user.${i}`, Buffer.from([i & 255])] as const))
      const large = new Map([['user.large', NOISE.subarray(0, 3000)]])
      const files: Record<string, TreeNode> = {}
      for (const [name, xattrs] of Object.entries({ some, many, large })) {
        for (const n of [0, 1, 1000, 3700, 4096, 9000]) files[`${name}${n}`] = file(n, { xattrs: encodeXattrs(xattrs) })
        files[`${name}d`] = directory({ f: file(1) }, { xattrs: encodeXattrs(xattrs) })
      }
      write(directory(files, { xattrs: encodeXattrs(some) }))
      sound()
      mount()
      for (const [name, xattrs] of Object.entries({ some, many, large })) {
        for (const suffix of ['0', '1', '1000', '3700', '4096', '9000', 'd']) {
          const args = ['-m', '-', '-d', '-e', 'hex', '--absolute-names', at(name + suffix)]
          const { stdout } = spawnSync('getfattr', args, { encoding: 'latin1' })
          const lines = [...xattrs].map(([n, v]) => `${n}=0x${v.toString('hex')}`)
          assert.deepEqual(stdout.trim().split('\n').slice(1).sort(), lines.sort(), name + suffix)
          if (suffix === 'd') continue
          assert.ok(fs.readFileSync(at(name + suffix)).equals(NOISE.subarray(0, Number(suffix))))
        }
      }
    })
  })

  it('is the same bytes each time, in whatever order the tree came about', () => {
    const names = Array.from({ length: 400 }, (_, i) => `n${(i * 7919) % 400}`)
    const made = (order: readonly string[]): Buffer => {
      const shared = file(4097)
      const children = (n: string) => file(Number(n.slice(1)) * 13, { dataOffset: 7 * Number(n.slice(1)) })
      const d = directory(Object.fromEntries(order.map((n) => [n, n.endsWith('7') ? shared : children(n)])))
      write(directory({ d, z: shared }))
      return fs.readFileSync(image)
    }
    const first = made(names)
    assert.ok(first.equals(made(names)))
    assert.ok(first.equals(made([...names].reverse())))
    assert.equal(first.length % BLOCK, 0)
  })

  it('is other bytes where anything that can be seen is another', () => {
    const tree = (more: Partial<Inode>, name = 'f'): TreeDirectory => directory({ [name]: file(10, more) })
    const variants = [
      ...[tree({}), tree({}, 'g'), tree({ uid: 1 }), tree({ gid: 1 }), tree({ mode: 0o600 }), tree({ dataOffset: 1 })],
      ...[tree({ sizeBytes: 11 }), tree({ mtime: { seconds: 1_500_000_000, nanoseconds: 1 } })],
      ...[tree({ xattrs: encodeXattrs(new Map([['user.a', Buffer.from('1')]])) }), directory({ f: directory({}) })],
    ]
    const digests = variants.map((t) => {
      write(t)
      return createHash('sha256').update(fs.readFileSync(image)).digest('hex')
    })
    assert.equal(new Set(digests).size, variants.length)
  })

  it('has nothing but zeros between what it holds', () => {
    write(directory({ a: file(1), b: file(BLOCK + 3500), c: file(3500), d: node(TYPES.symlink, { target: 'x' }) }))
    const bytes = fs.readFileSync(image)
    assert.equal(
      bytes.subarray(0, 1024).every((b) => b === 0),
      true,
    )
    assert.equal(
      bytes.subarray(1024 + 128, BLOCK).every((b) => b === 0),
      true,
    )
    const used = bytes.filter((b) => b !== 0).length
    assert.ok(used < BLOCK + 3500 + 3500 + 1 + 5 * 64 + 128 + 100, `${used} bytes are not 0`)
  })

  it('is read back by ours as it was written', () => {
    const xattrs = encodeXattrs(new Map([['user.k', Buffer.from('v')]]))
    const shared = file(6000, { dataOffset: 9 })
    const tree = {
      a: shared,
      b: directory({ c: shared, '!': file(2, { xattrs }) }),
      l: node(TYPES.symlink, { target: '/' }),
    }
    write(directory(tree))
    const fd = fs.openSync(image, 'r')
    try {
      const entries = [...treeEntries(fd)].map(({ entry, data }) => ({ ...entry, text: Buffer.concat([...data]) }))
      assert.deepEqual(
        entries.map((e) => [e.path, e.type, e.linkPath, e.size]),
        [
          ['.', 'directory', '', 0],
          ['a', 'file', '', 6000],
          ['b', 'directory', '', 0],
          ['b/!', 'file', '', 2],
          ['b/c', 'hardlink', 'a', 0],
          ['l', 'symlink', '/', 0],
        ],
      )
      assert.ok(entries[1]?.text.equals(NOISE.subarray(9, 6009)))
      assert.deepEqual(entries[3]?.xattrs, new Map([['user.k', Buffer.from('v')]]))
      const reader = new ErofsReader(fd)
      assert.ok(reader.rootNid > 0 && reader.inode(reader.rootNid).links === 3)
    } finally {
      fs.closeSync(fd)
    }
  })

  for (const [name, value] of [
    ['trusted', 1],
    ['user.', 1],
    [`user.${'n'.repeat(256)}`, 1],
    ['user.a', 65536],
  ] as const) {
    it(`refuses an extended attribute ${name.slice(0, 10)} of ${value} bytes that it could not hold`, () => {
      assert.throws(() => encodeXattrs(new Map([[name, Buffer.alloc(value)]])), RangeError)
    })
  }
})

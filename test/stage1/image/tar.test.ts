import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LayerTree } from '../../../stage1/image/layer-tree.ts'
import { parsePax } from '../../../stage1/image/pax.ts'
import { type TarEntry, TarReader } from '../../../stage1/image/tar.ts'
import { decimal, paxTime, tarNumber } from '../../../stage1/image/tar-numbers.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { sealHeader, type TarEntrySpec, tar, tarBlocks } from '../../support/images.ts'

interface Read {
  readonly entry: TarEntry
  readonly data: string
}

/** Reads an archive in pieces of a given size. */
function read(archive: Buffer, pieceBytes = archive.length || 1): Read[] {
  const found: { entry: TarEntry; data: string }[] = []
  const reader = new TarReader({
    entry: (entry) => found.push({ entry, data: '' }),
    data: (bytes) => {
      const last = found.at(-1)
      assert.ok(last)
      last.data += bytes.toString('latin1')
    },
  })
  for (let at = 0; at < archive.length; at += pieceBytes) reader.push(archive.subarray(at, at + pieceBytes))
  reader.end()
  return found
}

const sample: TarEntrySpec[] = [
  { name: 'dir/', mode: 0o755 },
  { name: 'dir/file', data: 'x'.repeat(1000), uid: 1, gid: 2 },
  { name: 'empty' },
  { name: 'exact', data: 'y'.repeat(512) },
  { name: 'link', link: 'dir/file' },
  { name: 'x', data: 'z', pax: { path: `long/${'n'.repeat(200)}`, mtime: '5.5', comment: 'hello' } },
]

describe('tar reader', () => {
  it('reads the same whatever the size of the pieces', () => {
    const archive = tar(sample)
    const whole = read(archive)
    assert.deepEqual(
      whole.map((r) => r.entry.path),
      ['dir/', 'dir/file', 'empty', 'exact', 'link', `long/${'n'.repeat(200)}`],
    )
    assert.equal(whole[1]?.data.length, 1000)
    assert.deepEqual(whole[5]?.entry.mtime, { seconds: 5, nanoseconds: 500_000_000 })
    for (const size of [1, 7, 511, 512, 513, 4096]) assert.deepEqual(read(archive, size), whole, `pieces of ${size}`)
  })

  it('refuses every prefix that ends inside of something, with a coded error', () => {
    const archive = tar(sample.slice(0, 4))
    const boundaries = new Set([0, 512, 1024, 1024 + 1024, 2048, 2560, 3584, archive.length - 512])
    for (let length = 0; length < archive.length; length += 37) {
      if (boundaries.has(length) || length > archive.length - 1024) continue
      assert.throws(() => read(archive.subarray(0, length)), { code: 'IMAGE_LAYER_BAD' }, `prefix of ${length}`)
    }
  })

  it('takes an archive without its end mark, and an empty one', () => {
    assert.equal(read(Buffer.concat(tarBlocks({ name: 'a' }))).length, 1)
    assert.deepEqual(read(Buffer.alloc(0)), [])
    assert.deepEqual(read(Buffer.alloc(1024)), [])
  })

  it('takes the prefix of ustar, and not what GNU and old headers have in its place', () => {
    for (const [magic, wanted] of [
      ['ustar\x0000', 'pre/name'],
      ['ustar  \0', 'name'],
      ['\0\0\0\0\0\0\0\0', 'name'],
    ] as const) {
      const [header = Buffer.alloc(0)] = tarBlocks({ name: 'name' })
      header.write(magic, 257, 8, 'latin1')
      header.write('pre', 345, 'latin1')
      sealHeader(header)
      assert.equal(read(header)[0]?.entry.path, wanted)
    }
  })

  it('takes an old file whose name ends in a slash for a directory, and type 7 for a file', () => {
    assert.equal(read(tar([{ name: 'd/', type: '\0' }]))[0]?.entry.type, 'directory')
    assert.equal(read(tar([{ name: 'f', type: '7', data: 'x' }]))[0]?.data, 'x')
  })

  it('takes a checksum that was summed as signed bytes', () => {
    const [header = Buffer.alloc(0)] = tarBlocks({ name: '\xff' })
    sealHeader(header)
    const signed = header.reduce((sum, b, i) => sum + (i >= 148 && i < 156 ? 32 : b < 128 ? b : b - 256), 0)
    header.write(`${signed.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    assert.equal(read(header)[0]?.entry.path, '\xff')
  })

  it('takes sizes in PAX and base-256, and GNU long names', () => {
    const [header = Buffer.alloc(0), ...rest] = tarBlocks({ name: 'f', data: 'abc' })
    header.fill(0, 124, 136)
    header[124] = 0x80
    header[135] = 3
    sealHeader(header)
    assert.equal(read(Buffer.concat([header, ...rest]))[0]?.data, 'abc')
    const long = 'p/'.repeat(100)
    const named = read(
      Buffer.concat([...tarBlocks({ name: 'L', type: 'L', data: `${long}f\0` }), ...tarBlocks({ name: 's' })]),
    )
    assert.equal(named[0]?.entry.path, `${long}f`)
  })

  for (const type of ['8', '9', 'A', 'D', 'M', 'N', 'V', 'X', 'Z', '\x7f']) {
    it(`refuses an entry of type ${JSON.stringify(type)}`, () => {
      assert.throws(() => read(tar([{ name: 'a', type }])), { code: 'IMAGE_LAYER_BAD' })
    })
  }

  for (const type of ['1', '2', '3', '4', '5', '6']) {
    it(`refuses an entry of type ${type} with data`, () => {
      assert.throws(() => read(tar([{ name: 'a', type, link: 'b', data: 'x' }])), { code: 'IMAGE_LAYER_BAD' })
    })
  }

  it('gives entries or a coded error for any bytes, and never anything else', () => {
    const archive = tar(sample)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.boolean(),
        (changes, seal) => {
          const changed = Buffer.from(archive)
          for (const [at, value] of changes) changed[at] = value
          if (seal) for (const at of [0, 512, 2048, 2560]) sealHeader(changed.subarray(at, at + 512))
          try {
            const tree = new LayerTree(() => {}, { whiteouts: true })
            const reader = new TarReader({ entry: (e) => tree.add(e), data: () => {} })
            reader.push(changed)
            reader.end()
            tree.finish()
          } catch (err) {
            assert.match(String(err instanceof Error && 'code' in err && err.code), /^IMAGE_/)
          }
        },
      ),
      { numRuns: fuzzRuns(2000) },
    )
  })

  it('never emits a path with .., an empty component, or a symlink in it', () => {
    const name = fc
      .array(fc.constantFrom('a', 'b', 'c', '..', '.', '', '.wh.a', '.wh..wh..opq'), { maxLength: 4 })
      .map((p) => p.join('/'))
    const entry = fc.record({ name, type: fc.constantFrom('0', '1', '2', '5'), link: name })
    fc.assert(
      fc.property(fc.array(fc.array(entry, { maxLength: 6 }), { maxLength: 4 }), (layers) => {
        const kinds = new Map<string, string>([['', 'mkdir']])
        const tree = new LayerTree(
          (op) => {
            for (let p = op.path; p !== ''; ) {
              const parent = p.includes('/') ? p.slice(0, p.lastIndexOf('/')) : ''
              assert.ok(!['', '.', '..'].includes(p.slice(parent.length).replace(/^\//, '')), op.path)
              assert.equal(kinds.get(parent), 'mkdir', `parent of ${op.path}`)
              p = parent
            }
            if (op.kind === 'remove')
              for (const k of [...kinds.keys()]) if (k === op.path || k.startsWith(`${op.path}/`)) kinds.delete(k)
            if (['file', 'symlink', 'hardlink'].includes(op.kind)) {
              assert.ok(!kinds.has(op.path), `${op.path} is free`)
              if (op.kind === 'hardlink')
                assert.ok(['file', 'symlink', 'hardlink'].includes(kinds.get(op.argument ?? '') ?? ''))
              kinds.set(op.path, op.kind)
            }
            if (op.kind === 'mkdir') {
              assert.ok((kinds.get(op.path) ?? 'mkdir') === 'mkdir')
              kinds.set(op.path, 'mkdir')
            }
            if (op.kind === 'meta') assert.equal(kinds.get(op.path), 'mkdir')
          },
          { whiteouts: true },
        )
        for (const layer of layers) {
          tree.nextLayer()
          for (const spec of layer) {
            const [read1] = readOne({ ...spec, link: spec.type === '1' || spec.type === '2' ? spec.link : '' })
            try {
              if (read1 !== undefined) tree.add(read1.entry)
            } catch (err) {
              assert.match(String(err instanceof Error && 'code' in err && err.code), /^IMAGE_/)
            }
          }
        }
        tree.finish()
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })
})

function readOne(spec: TarEntrySpec): Read[] {
  return read(tar([spec]))
}

describe('numbers of archives', () => {
  const field = (text: string): number => tarNumber(Buffer.from(text, 'latin1'), 0, text.length, 'field')

  it('are octal with spaces before and NUL or space behind, or base-256', () => {
    assert.deepEqual(['0000644\0', '   644 \0', '\0\0\0\0', '777'].map(field), [0o644, 0o644, 0, 0o777])
    assert.deepEqual([field('\x80\0\0\x01'), field('\xff\xff\xff\xfb')], [1, -5])
  })

  for (const text of [
    '8',
    '0x1',
    '12a',
    '1 2',
    '-1',
    '+1',
    '\xc0\0\0\0',
    `\x80${'\xff'.repeat(11)}`,
    `\xff\0${'\0'.repeat(9)}`,
  ]) {
    it(`are refused when they are ${JSON.stringify(text)}`, () =>
      assert.throws(() => field(text), { code: 'IMAGE_LAYER_BAD' }))
  }

  it('in PAX are decimal, times with a fraction', () => {
    assert.equal(decimal('12', 'n'), 12)
    assert.deepEqual(paxTime('-1.25', 't'), { seconds: -2, nanoseconds: 750_000_000 })
    assert.deepEqual(paxTime('7.', 't'), { seconds: 7, nanoseconds: 0 })
    assert.deepEqual(paxTime('1.0000000019', 't'), { seconds: 1, nanoseconds: 1 })
    for (const text of ['', '-1', '1.5', '1e3', ' 1', '99999999999999999999']) {
      assert.throws(() => decimal(text, 'n'), { code: 'IMAGE_LAYER_BAD' }, text)
    }
    for (const text of ['', 'abc', '.5', '1,5', '--1', '1.2.3', 'NaN', '1'.repeat(16)]) {
      assert.throws(() => paxTime(text, 't'), { code: 'IMAGE_LAYER_BAD' }, text)
    }
  })
})

describe('PAX records', () => {
  const parse = (text: string, global = false) => parsePax(Buffer.from(text, 'latin1'), global)

  it('give bytes as they are, and the last of two', () => {
    assert.equal(parse('11 path=a\xff\n11 path=b\xff\n').path, 'b\xff')
    assert.equal(parse('8 path=\n').path, undefined)
    assert.equal(parse('9 path=a\n8 path=\n').path, undefined)
  })

  for (const text of [
    'x',
    '9 path=a',
    '99 path=a\n',
    '8 path=a\n',
    '11 path=a\n',
    '3 \n',
    '0 path=a\n',
    '-1 path=a\n',
    '1099511627776 path=x\n',
    '6 =a\n ',
    '7 path\n',
    '11 path=a\0\n',
    '21 linkpath=aaaaaaaa\0\n',
    '14 uid=notanum\n',
  ]) {
    it(`are refused when they are ${JSON.stringify(text)}`, () =>
      assert.throws(() => parse(text), { code: 'IMAGE_LAYER_BAD' }))
  }

  for (const keyword of ['path', 'linkpath', 'size', 'uid', 'gid', 'mtime', 'hdrcharset', 'SCHILY.xattr.user.a']) {
    it(`are refused when a global header sets ${keyword}`, () => {
      const body = ` ${keyword}=1\n`
      assert.throws(() => parse(`${body.length + 2}${body}`, true), { code: 'IMAGE_LAYER_BAD' })
    })
  }

  it('of a global header may be comments', () => assert.deepEqual(parse('14 comment=hi\n', true), {}))
})

describe('the memory that an image takes', () => {
  it('is that of its names, and not of the paths they come in', () => {
    const tree = new LayerTree(() => {}, { whiteouts: true })
    tree.nextLayer()
    const long = `${'d'.repeat(200)}/`.repeat(16)
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 20_000; i++) {
      // a string of its own, as from an archive
      tree.add(fileEntry(Buffer.from(`${long}the-name-of-file-${i}`, 'latin1').toString('latin1')))
    }
    // the paths alone are 64 MB
    assert.ok(process.memoryUsage().heapUsed - before < 48e6)
    tree.finish()
  })

  it('has an end', () => {
    const tree = new LayerTree(() => {}, { whiteouts: true })
    tree.nextLayer()
    const link = { ...fileEntry('x'), type: 'symlink' as const, linkPath: 'x'.repeat(3500) }
    assert.throws(
      () => {
        for (let i = 0; i < 100_000; i++) tree.add({ ...link, path: `l${i}` })
      },
      { code: 'IMAGE_TOO_LARGE', message: /names, link targets/ },
    )
  })

  function fileEntry(path: string): TarEntry {
    const time = { seconds: 0, nanoseconds: 0 }
    const device = { deviceMajor: 0, deviceMinor: 0 }
    return {
      path,
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: time,
      linkPath: '',
      ...device,
      xattrs: new Map(),
    }
  }
})

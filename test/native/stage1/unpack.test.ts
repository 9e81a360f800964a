import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeOperation, type Operation, STREAM_MAGIC } from '../../../stage1/image/operations.ts'
import { stage1Program } from '../../support/images.ts'

const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 1, nanoseconds: 2 } }

/** What the parser would never send: the program has to hold by itself. */
describe('holdfast-stage1 unpack', () => {
  let dir: string
  let root: string

  before(function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: not root')
      this.skip()
    }
  })
  beforeEach(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-native-unpack-'))
    root = join(dir, 'root')
    fs.mkdirSync(root)
    fs.writeFileSync(join(dir, 'victim'), 'v')
  })
  afterEach(() => {
    assert.equal(fs.readFileSync(join(dir, 'victim'), 'utf8'), 'v')
    assert.deepEqual(fs.readdirSync(dir).sort(), ['root', 'victim'])
    fs.rmSync(dir, { recursive: true, force: true })
  })

  function run(input: Uint8Array, args: readonly string[] = [root]) {
    return spawnSync(stage1Program(), ['unpack', ...args], { input, encoding: 'utf8' })
  }

  function stream(...operations: readonly (Operation & { readonly data?: string })[]): Buffer {
    return Buffer.concat([
      STREAM_MAGIC,
      ...operations.flatMap((op) => [
        encodeOperation({ ...op, ...(op.data !== undefined && { dataBytes: op.data.length }) }),
        Buffer.from(op.data ?? ''),
      ]),
    ])
  }

  const END: Operation = { kind: 'end', path: '' }

  it('applies a stream and ends with 0', () => {
    const done = run(
      stream(
        { kind: 'mkdir', path: 'd' },
        { kind: 'file', path: 'd/f', attributes, data: 'hello' },
        { kind: 'symlink', path: 'l', argument: '/etc/passwd', attributes },
        { kind: 'hardlink', path: 'h', argument: 'd/f' },
        { kind: 'mkdir', path: 'gone' },
        { kind: 'file', path: 'gone/x', attributes },
        { kind: 'remove', path: 'gone' },
        { kind: 'mkdir', path: 'gone' },
        { kind: 'file', path: 'gone/y', attributes },
        { kind: 'meta', path: 'd', attributes: { ...attributes, mode: 0o750 } },
        { kind: 'meta', path: '', attributes: { ...attributes, mode: 0o755 } },
        END,
      ),
    )
    assert.deepEqual([done.status, done.stderr], [0, ''])
    assert.deepEqual(fs.readdirSync(root).sort(), ['d', 'gone', 'h', 'l'])
    assert.deepEqual(fs.readdirSync(join(root, 'gone')), ['y'])
    assert.equal(fs.readFileSync(join(root, 'h'), 'utf8'), 'hello')
    assert.equal(fs.lstatSync(join(root, 'l'), { bigint: true }).mtimeNs, 1_000_000_002n)
    assert.equal(fs.statSync(join(root, 'd')).mode & 0o7777, 0o750)
  })

  const refused: { name: string; operations: (Operation & { data?: string })[] }[] = [
    { name: 'a path that climbs', operations: [{ kind: 'file', path: '../victim', attributes }] },
    {
      name: 'a path that climbs in the middle',
      operations: [
        { kind: 'mkdir', path: 'a' },
        { kind: 'file', path: 'a/../../victim', attributes },
      ],
    },
    { name: "a path that is '..'", operations: [{ kind: 'remove', path: '..' }] },
    { name: "a path that ends in '.'", operations: [{ kind: 'remove', path: 'a/.' }] },
    { name: 'an absolute path', operations: [{ kind: 'file', path: '/etc/x', attributes }] },
    {
      name: 'a parent that is a symlink',
      operations: [
        { kind: 'symlink', path: 'l', argument: '/', attributes },
        { kind: 'file', path: 'l/x', attributes },
      ],
    },
    {
      name: 'a file where a symlink is',
      operations: [
        { kind: 'symlink', path: 'l', argument: 'x', attributes },
        { kind: 'file', path: 'l', attributes },
      ],
    },
    {
      name: 'a directory where a symlink is',
      operations: [
        { kind: 'symlink', path: 'l', argument: '/', attributes },
        { kind: 'mkdir', path: 'l' },
      ],
    },
    {
      name: 'attributes of a symlink as a directory',
      operations: [
        { kind: 'symlink', path: 'l', argument: '/', attributes },
        { kind: 'meta', path: 'l', attributes },
      ],
    },
    {
      name: 'an extended attribute through a symlink',
      operations: [
        { kind: 'symlink', path: 'l', argument: '/', attributes },
        { kind: 'xattr', path: 'l', argument: 'user.x', data: 'y' },
      ],
    },
    {
      name: 'an extended attribute of the trusted family',
      operations: [{ kind: 'xattr', path: '', argument: 'trusted.overlay.opaque', data: 'y' }],
    },
    {
      name: 'a hardlink through a symlink',
      operations: [
        { kind: 'symlink', path: 'l', argument: '/', attributes },
        { kind: 'hardlink', path: 'h', argument: 'l/x' },
      ],
    },
    { name: 'a hardlink to nothing', operations: [{ kind: 'hardlink', path: 'h', argument: 'none' }] },
    {
      name: 'a node that is a regular file',
      operations: [{ kind: 'node', path: 'n', attributes: { ...attributes, mode: 0o100644 } }],
    },
    { name: 'removal of nothing', operations: [{ kind: 'remove', path: 'none' }] },
    { name: 'removal of the root', operations: [{ kind: 'remove', path: '' }] },
    { name: 'data where none belongs', operations: [{ kind: 'mkdir', path: 'a', data: 'x' }] },
    { name: 'a path longer than PATH_MAX', operations: [{ kind: 'mkdir', path: 'a'.repeat(5000) }] },
    { name: 'NUL in a path', operations: [{ kind: 'mkdir', path: 'a\0b' }] },
  ]
  for (const { name, operations } of refused) {
    it(`refuses ${name}`, () => {
      const done = run(stream(...operations, END))
      assert.equal(done.status, 254)
      assert.match(done.stderr, /^unpack: errno \d+: .*\n$/)
    })
  }

  it('refuses every stream that is cut, and one that goes on behind its end', () => {
    const whole = stream({ kind: 'file', path: 'f', attributes, data: 'hello' }, END)
    for (let length = 0; length < whole.length; length += 3) {
      fs.rmSync(join(root, 'f'), { force: true })
      assert.equal(run(whole.subarray(0, length)).status, 254, `prefix of ${length}`)
    }
    fs.rmSync(join(root, 'f'), { force: true })
    assert.equal(run(Buffer.concat([whole, Buffer.from('x')])).status, 254)
  })

  it('escapes hostile names in its message', () => {
    const done = run(stream({ kind: 'remove', path: 'a\x1b[31m\nb' }, END))
    assert.match(done.stderr, /'a\\x1b\[31m\\x0ab'/)
  })

  it('refuses a wrong magic, an unknown operation, a missing root and a missing argument', () => {
    assert.equal(run(Buffer.from('HFUNPK99')).status, 254)
    const unknown = stream({ kind: 'mkdir', path: 'a' }, END)
    unknown.writeUInt32LE(99, 8)
    assert.equal(run(unknown).status, 254)
    assert.equal(run(stream(END), [join(dir, 'none')]).status, 254)
    assert.equal(run(stream(END), []).status, 254)
  })
})

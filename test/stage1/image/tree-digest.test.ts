import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { treeDigestOf, VerityHasher } from '../../../stage1/image/index.ts'

const BLOCK = 4096

/** `count` blocks, each with its number in its first four bytes (little-endian) and zeros after it. */
function numberedBlocks(count: number): Buffer {
  const data = Buffer.alloc(count * BLOCK)
  for (let i = 0; i < count; i++) data.writeUInt32LE(i, i * BLOCK)
  return data
}

// Root hashes as `veritysetup format --hash=sha256 --salt=- --data-block-size=4096 --hash-block-size=4096` of
// cryptsetup 2.6.1 printed them for numberedBlocks(count).
const vectors = [
  { count: 1, root: 'ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7' },
  { count: 2, root: 'f92ee626c329ac6003c22a70a104bf89d8d1a326ff913e648a44698b9ed65195' },
  { count: 127, root: 'd69ecdcdaaa9db96343263b56cc8b5ab90baad21273eccd5ee86e08796b0bb3e' },
  { count: 128, root: '2c7b230a3e5d3960d3aa7ba13cf085b94af1280aa4e96fb5e799fd0d642abb0c' },
  { count: 129, root: '89cc567fe951297b2c88cc2ebdbf35afabdf58c8129bef1981b5cd3137fb6e51' },
  { count: 128 * 128, root: 'ffc6c05d8a35a865e8d0496331cfb4cf04c65b9e38f908e81d75a4e925fdd59f' },
  { count: 128 * 128 + 1, root: '3a47772a5ddbd8d1d86d62c8e1134d1d9edc3c00014cc6cd2175fa12ff5736ed' },
]

describe('tree digest', () => {
  let dir: string
  before(() => {
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-digest-'))
  })
  after(() => fs.rmSync(dir, { recursive: true, force: true }))

  function digestOfFile(data: Uint8Array, sizeBytes = data.length): string {
    const file = join(dir, 'data')
    fs.writeFileSync(file, data)
    const fd = fs.openSync(file, 'r')
    try {
      return treeDigestOf(fd, sizeBytes)
    } finally {
      fs.closeSync(fd)
    }
  }

  for (const { count, root } of vectors) {
    it(`gives the root hash of dm-verity for ${count} blocks`, () => {
      assert.equal(digestOfFile(numberedBlocks(count)), `erofs-verity-2:sha256:${root}`)
    })
  }

  it('gives the same in whatever pieces the data comes', () => {
    const data = numberedBlocks(300)
    const hasher = new VerityHasher()
    for (let at = 0, n = 1; at < data.length; at += n * BLOCK, n = (n % 7) + 1) {
      hasher.update(data.subarray(at, Math.min(at + n * BLOCK, data.length)))
    }
    assert.equal(`erofs-verity-2:sha256:${hasher.digest()}`, digestOfFile(data))
  })

  it('is another one when any single bit is another one', () => {
    const data = numberedBlocks(130)
    const original = digestOfFile(data)
    for (const at of [0, 4095, 4096, 128 * BLOCK, data.length - 1]) {
      data[at] = (data[at] ?? 0) ^ 1
      assert.notEqual(digestOfFile(data), original, `byte ${at}`)
      data[at] = (data[at] ?? 0) ^ 1
    }
  })

  it('tells the order of blocks and a zero block at the end from none', () => {
    const two = numberedBlocks(2)
    const swapped = Buffer.concat([two.subarray(BLOCK), two.subarray(0, BLOCK)])
    assert.notEqual(digestOfFile(swapped), digestOfFile(two))
    assert.notEqual(digestOfFile(Buffer.concat([two, Buffer.alloc(BLOCK)])), digestOfFile(two))
  })

  for (const size of [0, 1, 4095, 4097]) {
    it(`refuses a file of ${size} bytes, which no block device has`, () => {
      assert.throws(() => digestOfFile(Buffer.alloc(size)), RangeError)
    })
  }

  it('refuses a file that is shorter or longer than it was said to be', () => {
    assert.throws(() => digestOfFile(numberedBlocks(2), 3 * BLOCK), /instead of/)
    assert.throws(() => digestOfFile(numberedBlocks(2), BLOCK), /grew/)
  })

  it('agrees with veritysetup on this machine', function () {
    if (spawnSync('veritysetup', ['--version']).status !== 0) {
      console.log('      skipped: no veritysetup (Debian: cryptsetup-bin)')
      this.skip()
    }
    for (const count of [1, 5, 128, 129, 1000]) {
      const [data, hashes] = [join(dir, 'data'), join(dir, 'hashes')]
      const ours = digestOfFile(numberedBlocks(count))
      fs.rmSync(hashes, { force: true })
      const theirs = spawnSync('veritysetup', ['format', '--hash=sha256', '--salt=-', data, hashes], {
        encoding: 'utf8',
      })
      assert.equal(/Root hash:\s+([0-9a-f]{64})/.exec(theirs.stdout)?.[1], ours.slice(-64))
    }
  })
})

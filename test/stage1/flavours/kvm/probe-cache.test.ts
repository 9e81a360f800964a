import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { readProbe, writeProbe } from '../../../../stage1/flavours/kvm/probe-cache.ts'

const KEY = { bootId: 'boot', qemuDigest: 'sha256-q', kernelDigest: 'sha256-k' }
const FAILED = { works: false, why: 'it hung' } as const

describe('the result of a probe', () => {
  let dir = ''
  let file = ''
  beforeEach(() => {
    dir = fs.mkdtempSync(`${tmpdir()}/holdfast-probe-`)
    file = `${dir}/accelerator`
  })
  afterEach(() => fs.rmSync(dir, { recursive: true }))

  it('is remembered, good or bad, and replaced by the next', () => {
    assert.equal(readProbe(file, KEY), undefined)
    writeProbe(file, KEY, FAILED)
    assert.deepEqual(readProbe(file, KEY), FAILED)
    writeProbe(file, KEY, { works: true })
    assert.deepEqual(readProbe(file, KEY), { works: true })
    assert.equal(fs.statSync(file).mode & 0o7777, 0o600)
    assert.deepEqual(fs.readdirSync(dir), ['accelerator'])
  })

  for (const name of ['bootId', 'qemuDigest', 'kernelDigest'] as const) {
    it(`is forgotten with another ${name}`, () => {
      writeProbe(file, KEY, { works: true })
      assert.equal(readProbe(file, { ...KEY, [name]: 'other' }), undefined)
    })
  }

  const distrusted: readonly { name: string; change: () => void }[] = [
    { name: 'others may write it', change: () => fs.chmodSync(file, 0o620) },
    { name: 'others may read it, so that it is not what was written', change: () => fs.chmodSync(file, 0o604) },
    { name: 'others may write to its directory', change: () => fs.chmodSync(dir, 0o777) },
    { name: 'it has a second name', change: () => fs.linkSync(file, `${dir}/other`) },
    {
      name: 'it is a link',
      change: () => {
        fs.renameSync(file, `${dir}/other`)
        fs.symlinkSync(`${dir}/other`, file)
      },
    },
    {
      name: 'it is a directory',
      change: () => {
        fs.rmSync(file)
        fs.mkdirSync(file, { mode: 0o600 })
      },
    },
    { name: 'it is too long', change: () => fs.appendFileSync(file, ' '.repeat(4096)) },
    { name: 'it is no JSON', change: () => fs.writeFileSync(file, '{') },
    { name: 'it is null', change: () => fs.writeFileSync(file, 'null') },
    {
      name: 'it says neither yes nor no',
      change: () => fs.writeFileSync(file, JSON.stringify({ key: KEY, result: { works: 1 } })),
    },
    {
      name: 'it has no reason',
      change: () => fs.writeFileSync(file, JSON.stringify({ key: KEY, result: { works: false } })),
    },
  ]
  for (const { name, change } of distrusted) {
    it(`is not believed where ${name}`, () => {
      writeProbe(file, KEY, { works: true })
      change()
      assert.equal(readProbe(file, KEY), undefined)
    })
  }

  it('is not believed where it is another user’s', function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: only root can give files away')
      return this.skip()
    }
    writeProbe(file, KEY, { works: true })
    fs.chownSync(file, 65534, 65534)
    assert.equal(readProbe(file, KEY), undefined)
  })

  it('is not written to a directory of others', () => {
    fs.chmodSync(dir, 0o777)
    writeProbe(file, KEY, { works: true })
    assert.deepEqual(fs.readdirSync(dir), [])
  })
})

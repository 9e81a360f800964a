import assert from 'node:assert/strict'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fetchImage, openImageStore, type StoredImage } from '../../../stage1/image/index.ts'
import { PROJECT_ROOT, type Ran, run } from '../../support/holdfast.ts'
import { cannotRender, tar, writeOciLayout } from '../../support/images.ts'

const POD = 'pods/prepared/0c0e1f6e-5a2f-4c0b-9d5e-2f6f6f0d3b11'

describe('holdfast image', function () {
  this.timeout(60_000)
  let dir: string
  let store: string
  let a: StoredImage
  let b: StoredImage

  before(async function () {
    const reason = cannotRender()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    dir = fs.mkdtempSync(join(tmpdir(), 'holdfast-image-'))
    store = join(dir, 'store')
    a = await fetch('a', 'x')
    b = await fetch('b', 'x'.repeat(100_000))
  })
  after(() => {
    if (dir !== undefined) fs.rmSync(dir, { recursive: true, force: true })
  })

  function fetch(name: string, content: string): Promise<StoredImage> {
    writeOciLayout(join(dir, name), { layers: [{ tar: tar([{ name: 'f', data: content }]) }], config: { Cmd: ['/f'] } })
    return fetchImage(openImageStore(store), `oci:${join(dir, name)}`, { cwd: '/' })
  }

  const image = (...args: string[]): Promise<Ran> =>
    run(process.execPath, ['--import=tsx', join(PROJECT_ROOT, 'holdfast.ts'), 'image', ...args, '--dir', store])

  it('lists what is asked for in the order asked for', async () => {
    const listed = await image('list', '--fields=name,size', '--sort=size,name', '--order=desc', '--no-legend')
    assert.equal(listed.status, 0, listed.stderr)
    assert.match(listed.stdout, /^oci:\S+\/b +0\.1 MiB\noci:\S+\/a +0\.0 MiB\n$/)
    const rows = JSON.parse((await image('list', '--format=json')).stdout)
    assert.deepEqual(
      rows.map((r: { name: string; kind: string }) => [r.name, r.kind]),
      [
        [a.origin.name, 'oci'],
        [b.origin.name, 'oci'],
      ],
    )
    const wrong = await image('list', '--fields=colour')
    assert.equal(wrong.status, 254)
    assert.match(wrong.stderr, /there are id, name, size/)
  })

  it('prints the manifest that stands for an image', async () => {
    const printed = await image('cat-manifest', a.id)
    assert.deepEqual(JSON.parse(printed.stdout).app.exec, ['/f'])
  })

  it('keeps what a prepared pod is to be launched with, name and files, and lets go of it with the pod', async () => {
    fs.mkdirSync(join(store, POD), { recursive: true })
    const mention = { apps: [{ image: { id: a.id } }], tree: a.treeDigest }
    fs.writeFileSync(join(store, POD, 'pod'), JSON.stringify(mention))
    const refused = await image('rm', 'a', 'b')
    assert.equal(refused.status, 254)
    assert.match(refused.stderr, /0c0e1f6e.*prepared.*IMAGE_IN_USE/s)
    assert.equal(refused.stdout, `${b.origin.name}\n`, 'the other one goes')
    fs.rmSync(join(store, 'refs'), { recursive: true }) // somebody who does not ask
    fs.mkdirSync(join(store, 'refs'))
    const collected = await image('gc', '--grace-period=0')
    assert.equal(collected.status, 0, collected.stderr)
    assert.ok(!collected.stdout.includes(a.treeDigest.slice(-64)), collected.stdout)
    assert.ok(collected.stdout.includes(b.treeDigest.slice(-64)), collected.stdout)
    fs.rmSync(join(store, POD), { recursive: true })
    assert.ok((await image('gc', '--grace-period=0')).stdout.includes(a.treeDigest.slice(-64)))
  })

  it('says what is wrong with an image and what to do, and exits with 254', async () => {
    const c = await fetch('c', 'c')
    const sound = await image('verify')
    assert.deepEqual([sound.status, sound.stdout], [0, `${c.id}\n`])
    const tree = join(store, 'trees', `${c.treeDigest.slice(-64)}.erofs`)
    fs.chmodSync(tree, 0o600)
    fs.writeFileSync(tree, Buffer.alloc(8192))
    const found = await image('verify', 'c')
    assert.equal(found.status, 254)
    assert.match(found.stderr, new RegExp(`is not sound:\n.*${c.treeDigest.slice(-64)}`))
    assert.match(found.stderr, /To mend it, fetch it again:\n {2}holdfast fetch oci:/)
  })
})

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import type { PodManifest } from '../../../stage1/manifest/index.ts'
import { busyboxTree, type Ended, PodFixture, podsImpossible, putOciImage } from '../../support/pods.ts'

describe('volumes that an OCI image names', () => {
  let pods: PodFixture

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    const tree = busyboxTree(pods.work, (root) => {
      fs.mkdirSync(path.join(root, 'data'))
      fs.writeFileSync(path.join(root, 'data/default.conf'), 'of the image\n')
    })
    putOciImage(pods.dir, tree, { name: 'docker://test.invalid/db:1', env: ['PATH=/bin'], volumes: ['/data'] })
  })
  after(async () => {
    await pods?.stop()
  })

  const sh = (script: string, ...options: string[]): Promise<Ended> =>
    pods.run([...options, 'db', '--exec', '/bin/sh', '--', '-c', script])
  const USE = 'ls /data; echo x > /data/written && cat /data/written; grep -c " /data " /proc/self/mounts'

  it('are the app’s own layer with what the image has there, where nothing is given for them', async () => {
    assert.deepEqual(await sh(USE), { status: 1, signal: null, stdout: 'default.conf\nx\n0\n', stderr: '' })
    const measured = pods.agent.launches.at(-1)?.pod.manifest as unknown as PodManifest
    assert.deepEqual(measured.apps[0]?.app.mountPoints, [
      { name: 'volume-data', path: '/data', readOnly: false, optional: true },
    ])
    assert.deepEqual([measured.apps[0]?.mounts, measured.volumes], [[], []])
  })

  it('take a volume by name, or by place', async () => {
    const source = path.join(pods.work, 'host')
    fs.mkdirSync(source)
    const said = { status: 0, signal: null, stdout: 'x\n1\n', stderr: '' }
    assert.deepEqual(await sh(USE, '--volume', `volume-data,kind=host,source=${source}`), said)
    assert.equal(fs.readFileSync(path.join(source, 'written'), 'utf8'), 'x\n')
    assert.deepEqual(await sh(USE, '--volume', 'volume-data,kind=empty'), said)
    assert.deepEqual(await sh(USE, '--volume', 'mine,kind=empty', '--mount', 'volume=mine,target=/data'), said)
  })
})

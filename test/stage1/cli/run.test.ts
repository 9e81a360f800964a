import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { type Ended, ended, PodFixture, podsImpossible, putOciImage, busyboxTree, said, treeFile } from '../../support/pods.ts'

describe('holdfast run with real systemd-nspawn (agent and verifier stand in)', () => {
  let pods: PodFixture
  let tree = ''

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    tree = busyboxTree(pods.work)
    putOciImage(pods.dir, tree, { name: 'docker://test.invalid/busybox:1', cmd: ['sh'], env: ['PATH=/bin', 'COLOUR=blue'] })
  })
  after(async () => {
    await pods?.stop()
  })
  afterEach(() => {
    pods.agent.changes = {}
  })

  const sh = (script: string, ...options: string[]): Promise<Ended> =>
    pods.run([...options, 'busybox', '--', 'sh', '-c', script])

  it('delivers output and exit status', async () => {
    const run = await sh('echo out; echo err >&2; exit 7')
    assert.deepEqual(run, { status: 7, signal: null, stdout: 'out\n', stderr: 'err\n' })
  })
})

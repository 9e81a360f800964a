import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { listPods } from '../../../stage1/pod/index.ts'
import { busyboxTree, ended, PodFixture, podsImpossible, putOciImage, said } from '../../support/pods.ts'

describe('holdfast run --private-users', () => {
  let pods: PodFixture

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    const image = { name: 'docker://test.invalid/busybox:1', cmd: ['sh'], env: ['PATH=/bin'] }
    putOciImage(pods.dir, busyboxTree(pods.work), image)
  })
  after(async () => {
    await pods?.stop()
  })

  const ranges = (): string[] => fs.readFileSync(path.join(pods.dir, 'user-ranges'), 'utf8').trim().split('\n').sort()
  const start = async (): Promise<{ uuid: string; first: string; stop: () => Promise<void> }> => {
    const before = listPods(pods.dir, ['run']).map((p) => p.uuid)
    const child = pods.startRun(['--private-users', 'busybox', '--', 'sh', '-c', 'echo up; exec sleep 1000'])
    const end = ended(child)
    await said(child, 'up')
    const uuid = listPods(pods.dir, ['run']).find((p) => !before.includes(p.uuid))?.uuid ?? assert.fail('no pod')
    const stop = async (): Promise<void> => {
      child.kill('SIGTERM')
      await end
    }
    const first =
      ranges()
        .find((line) => line.endsWith(uuid))
        ?.split(' ')[0] ?? assert.fail('no range')
    return { uuid, first, stop }
  }

  it('gives each pod users of its own, which enter has too, and takes them back with the pod', async () => {
    const [a, b] = [await start(), await start()]
    try {
      assert.notEqual(a.first, b.first)
      assert.match(JSON.stringify(pods.agent.launches.at(-1)), /"name":"holdfast\/private-users","value":true/)
      for (const pod of [a, b]) {
        const inside = await pods.enter(pod.uuid, 'sh', '-c', 'id -u; cat /proc/self/uid_map; touch /entered')
        assert.deepEqual([inside.status, inside.stderr], [0, ''])
        assert.deepEqual(inside.stdout.trim().split(/\s+/), ['0', '0', pod.first, '65536'])
        const file = path.join(pods.dir, 'pods/run', pod.uuid, 'apps/busybox/upper/entered')
        assert.equal(fs.statSync(file).uid, Number(pod.first))
      }
    } finally {
      for (const pod of [a, b]) await pod.stop()
    }
    const out = await pods.cli(['export', a.uuid, path.join(pods.work, 'out.aci'), ...pods.dirOption])
    assert.equal(out.status, 254)
    assert.match(out.stderr, /POD_UNSUPPORTED/)
    assert.equal((await pods.cli(['rm', a.uuid, ...pods.dirOption])).status, 0)
    const c = await start()
    await c.stop()
    assert.deepEqual(ranges(), [`${b.first} ${b.uuid}`, `${c.first} ${c.uuid}`].sort())
  })

  it('is of prepared pods as well', async () => {
    const words = [...pods.dirOption, ...pods.configOptions]
    const prepared = await pods.cli(['prepare', '--quiet', '--private-users', ...words, 'busybox', '--', 'id', '-u'])
    const trust = ['--agent', pods.agent.socket, '--trust', pods.agent.trust]
    const run = await pods.cli(['run-prepared', ...words, ...trust, prepared.stdout.trim()])
    assert.deepEqual([run.status, run.stdout], [0, '0\n'], run.stderr)
    assert.ok(ranges().some((line) => line.endsWith(prepared.stdout.trim())))
  })
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { listPods, removePod } from '../../../stage1/pod/index.ts'
import {
  busyboxTree,
  type Ended,
  ended,
  PodFixture,
  podsImpossible,
  putOciImage,
  treeFile,
} from '../../support/pods.ts'

describe('holdfast prepare, run-prepared, stop, logs and gc', () => {
  let pods: PodFixture
  let tree = ''
  const image = { name: 'docker://test.invalid/busybox:1', cmd: ['sh'], env: ['PATH=/bin'] }

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    tree = busyboxTree(pods.work)
    putOciImage(pods.dir, tree, image)
  })
  after(async () => {
    await pods?.stop()
  })
  afterEach(async () => {
    if (pods === undefined) return
    pods.agent.changes = {}
    for (const pod of listPods(pods.dir)) await removePod(pods.dir, pod)
  })

  const prepare = async (...words: string[]): Promise<string> => {
    const run = await pods.cli(['prepare', '--quiet', ...pods.dirOption, ...pods.configOptions, ...words])
    assert.equal(run.status, 0, run.stderr)
    return run.stdout.trim()
  }
  const launch = (uuid: string, ...options: string[]): Promise<Ended> => {
    const trust = ['--agent', pods.agent.socket, '--trust', pods.agent.trust]
    return ended(pods.startCli(['run-prepared', ...pods.dirOption, ...pods.configOptions, ...trust, ...options, uuid]))
  }
  const stateOf = async (uuid: string): Promise<string> =>
    (await pods.cli(['status', uuid, ...pods.dirOption])).stdout.split('\n')[0] ?? ''

  it('measure nothing at prepare, and at run-prepared what run measures', async () => {
    const asked = pods.agent.launches.length
    const uuid = await prepare('--set-env', 'A=1', 'busybox', '--memory', '64Mi', '--', 'sh', '-c', 'echo $A; exit 5')
    assert.equal(pods.agent.launches.length, asked)
    assert.equal(await stateOf(uuid), 'state=prepared')
    const run = await launch(uuid.slice(0, 8))
    assert.deepEqual([run.status, run.stdout, run.stderr], [5, '1\n', ''])
    await pods.run(['--set-env', 'A=1', 'busybox', '--memory', '64Mi', '--', 'sh', '-c', 'echo $A; exit 5'])
    const [prepared, direct] = pods.agent.launches.slice(-2).map((l) => {
      const { pod: _, ...rest } = l as { pod: unknown; images: { verification: string }[] }
      return JSON.parse(JSON.stringify(rest).replaceAll('full-file', 'stat-cache')) // the first of them hashed
    })
    assert.deepEqual(prepared, direct)
    assert.equal((await launch(uuid)).status, 254) // once
  })

  const changes: readonly (readonly [what: string, change: (pod: string) => void])[] = [
    ['manifest', (pod) => edit(path.join(pod, 'pod'), '"user":"0"', '"user":"7"')],
    ['redaction key', (pod) => fs.writeFileSync(path.join(pod, 'redaction-key'), Buffer.alloc(32))],
    ['record', (pod) => edit(path.join(pod, 'prepared.json'), '"v":1', '"v":2')],
    ['record of its images', (pod) => edit(path.join(pod, 'prepared.json'), '"tree":"erofs', '"tree":"xrofs')],
  ]
  for (const [what, change] of changes) {
    it(`refuse a prepared pod whose ${what} was changed, and leave it prepared`, async () => {
      const uuid = await prepare('busybox', '--', 'echo', 'STARTED')
      const asked = pods.agent.launches.length
      change(path.join(pods.dir, 'pods/prepared', uuid))
      const run = await launch(uuid)
      assert.deepEqual([run.status, run.stdout, pods.agent.launches.length], [254, '', asked])
      assert.match(run.stderr, /LAUNCH_CHANGED|POD_FILE_BAD/)
      assert.equal(await stateOf(uuid), 'state=prepared')
    })
  }

  it('refuse a tree that was changed in between, and a name that stands for another image now', async () => {
    const other = busyboxTree(pods.work, (root) => fs.writeFileSync(path.join(root, 'etc/other'), 'x'))
    const uuid = await prepare('busybox', '--', 'echo', 'STARTED')
    putOciImage(pods.dir, other, { ...image, cmd: ['true'] })
    const moved = await launch(uuid)
    assert.deepEqual([moved.status, moved.stdout], [254, ''])
    assert.match(moved.stderr, /is another image or otherwise vouched for now/)
    const stored = putOciImage(pods.dir, tree, image)
    const file = treeFile(pods.dir, stored)
    const bytes = fs.readFileSync(file)
    fs.writeFileSync(file, Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(4096), bytes.subarray(8192)]))
    try {
      const tampered = await launch(uuid)
      assert.deepEqual([tampered.status, tampered.stdout], [254, ''])
    } finally {
      fs.writeFileSync(file, bytes)
    }
  })

  it('keep a prepared pod where there is no agent, and tell of a refused one why it was refused', async () => {
    const uuid = await prepare('busybox', '--', 'true')
    assert.equal((await launch(uuid, '--agent', '/nonexistent/agent.sock')).status, 254)
    assert.equal(await stateOf(uuid), 'state=prepared')
    pods.agent.changes = {
      answer: () => ({ status: 403, body: JSON.stringify({ decision: 'denied', code: 'X', reasons: ['not today'] }) }),
    }
    assert.equal((await launch(uuid)).status, 254)
    const status = await pods.cli(['status', uuid, ...pods.dirOption])
    assert.match(status.stdout, /^state=garbage\n[\s\S]*^refused=LAUNCH_DENIED: .*not today/m)
  })

  it('give a prepared pod to one of two that launch it at once', async () => {
    const uuid = await prepare('busybox', '--', 'echo', 'up')
    const both = await Promise.all([launch(uuid), launch(uuid)])
    assert.deepEqual(both.map((r) => r.status).sort(), [0, 254])
    assert.equal(both.map((r) => r.stdout).join(''), 'up\n')
  })

  it('run what a pod manifest says, with the images of the store', async () => {
    const file = path.join(pods.work, 'manifest.json')
    const app = {
      exec: ['sh', '-c', 'echo $AC_APP_NAME $X'],
      user: '0',
      group: '0',
      environment: [{ name: 'X', value: 'y' }],
    }
    const manifest = {
      acKind: 'PodManifest',
      acVersion: '0.8.11',
      apps: [{ name: 'mine', image: { name: 'busybox' }, app }],
    }
    fs.writeFileSync(file, JSON.stringify(manifest))
    assert.equal((await pods.run(['--pod-manifest', file])).stdout, 'mine y\n')
    fs.writeFileSync(file, JSON.stringify({ ...manifest, volumez: [] }))
    const bad = await pods.run(['--pod-manifest', file])
    assert.deepEqual([bad.status, bad.stdout], [254, ''])
    assert.match(bad.stderr, /volumez/)
  })

  it('detach a pod that is then followed, stopped, looked at and collected', async () => {
    const script = 'trap "echo bye >&2; exit 3" TERM; echo up; while :; do sleep 0.05; done'
    const run = await pods.run(['--detach', 'busybox', '--', 'sh', '-c', script])
    assert.equal(run.status, 0, run.stderr)
    const uuid = run.stdout.trim()
    assert.equal((await pods.cli(['status', '--wait-ready=20s', uuid, ...pods.dirOption])).status, 0)
    assert.equal((await pods.cli(['status', '--wait=100ms', uuid, ...pods.dirOption])).status, 254)
    const following = pods.cli(['logs', '--follow', uuid, ...pods.dirOption])
    assert.deepEqual((await pods.cli(['stop', uuid, ...pods.dirOption])).stdout, `${uuid}\n`)
    const logs = await following
    assert.deepEqual([logs.status, logs.stdout, logs.stderr], [0, 'up\n', 'bye\n'])
    assert.match((await pods.cli(['status', uuid, ...pods.dirOption])).stdout, /^app-busybox=3$/m)
    assert.match((await pods.cli(['cat-manifest', uuid, ...pods.dirOption])).stdout, /^\{"acKind":"PodManifest"/)
    const stopped = await pods.cli(['stop', uuid, ...pods.dirOption])
    assert.deepEqual([stopped.status, /POD_NOT_RUNNING/.test(stopped.stderr)], [254, true])
    assert.equal((await pods.cli(['gc', ...pods.dirOption])).stdout, '') // marked, and kept for half an hour
    assert.equal(await stateOf(uuid), 'state=garbage')
    assert.equal((await pods.cli(['gc', '--grace-period=0', ...pods.dirOption])).stdout, `${uuid}\n`)
    assert.deepEqual(listPods(pods.dir), [])
  })

  it('export what an app has made of its root, once', async () => {
    const file = path.join(pods.work, 'uuid-exported')
    await pods.run(['--uuid-file-save', file, 'busybox', '--', 'sh', '-c', 'echo new >/tmp/made; rm /etc/group'])
    const uuid = fs.readFileSync(file, 'utf8')
    const aci = path.join(pods.work, 'out.aci')
    const exported = await pods.cli(['export', uuid, aci, ...pods.dirOption])
    assert.deepEqual([exported.status, exported.stderr], [0, ''])
    const names = execFileSync('tar', ['tf', aci], { encoding: 'utf8' }).split('\n')
    for (const name of ['manifest', 'rootfs/tmp/made', 'rootfs/etc/passwd']) assert.ok(names.includes(name), name)
    assert.equal(names.includes('rootfs/etc/group'), false)
    assert.equal((await pods.cli(['export', uuid, aci, ...pods.dirOption])).status, 254)
    assert.equal((await pods.cli(['export', '--overwrite', uuid, aci, ...pods.dirOption])).status, 0)
  })

  it('kill all of a pod at once that does not listen', async () => {
    const run = await pods.run(['--detach', 'busybox', '--', 'sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done'])
    const uuid = run.stdout.trim()
    const stopped = await pods.cli(['stop', '--force', uuid, ...pods.dirOption])
    assert.deepEqual([stopped.status, stopped.stdout], [0, `${uuid}\n`])
    assert.match((await pods.cli(['status', uuid, ...pods.dirOption])).stdout, /^app-busybox-reason=killed-with-pod$/m)
  })

  it('say so where a detached pod ends before its apps run', async () => {
    const run = await pods.run(['--detach', 'busybox', '--', '/no/such/program'])
    assert.equal(run.status, 254)
    assert.match(run.stderr, /no such program|No such file|POD_NOT_STARTED/)
  })
})

function edit(file: string, from: string, to: string): void {
  const text = fs.readFileSync(file, 'utf8')
  assert.ok(text.includes(from), `${from} is in ${file}`)
  fs.writeFileSync(file, text.replace(from, to))
}

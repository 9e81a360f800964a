import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { listImages, openImageStore } from '../../stage1/image/index.ts'
import { listPods } from '../../stage1/pod/index.ts'
import { tar, writeOciLayout } from '../support/images.ts'
import { busyboxTree, ended, PodFixture, podsImpossible, putOciImage } from '../support/pods.ts'

/** HOLDFAST_KILLS=200 for a long run. */
const KILLS = Number(process.env['HOLDFAST_KILLS'] ?? 20)

describe(`stage0, killed at ${KILLS} moments of fetch, prepare, run and gc`, () => {
  let pods: PodFixture

  before(async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = await PodFixture.start()
    putOciImage(pods.dir, busyboxTree(pods.work), {
      name: 'docker://test.invalid/busybox:1',
      cmd: ['true'],
      env: ['PATH=/bin'],
    })
  })
  after(async () => {
    await pods?.stop()
  })

  it('leaves a store that verifies, and nothing that the next gc does not clear', async function () {
    this.timeout(60_000 + KILLS * 3000)
    const uuids = new Set<string>()
    let fetched = 0
    const commands = [
      // each time another image, so that each fetch has all of its work to do
      () => pods.startCli(['fetch', '--insecure-options=image', ...pods.dirOption, layout(pods.work, fetched++)]),
      () => pods.startRun(['busybox', '--', 'true']),
      () => pods.startCli(['prepare', ...pods.dirOption, ...pods.configOptions, 'busybox', '--', 'true']),
      () => pods.startCli(['gc', '--grace-period=0', '--expire-prepared=0', ...pods.dirOption]),
    ]
    const wholeMs: number[] = [] // how long each takes here and now, so that the moments are spread over all of it
    for (const start of commands) {
      const begun = performance.now()
      assert.equal((await ended(start())).status, 0)
      wholeMs.push(performance.now() - begun)
    }
    for (let n = 0; n < KILLS; n++) {
      const child = commands[n % commands.length]?.() ?? assert.fail()
      const end = ended(child)
      const lateMs = Math.random() * (wholeMs[n % commands.length] ?? 0)
      await wait(lateMs) // the moment is what is random here: nothing is waited for
      child.kill('SIGKILL')
      await end
      for (const { uuid } of listPods(pods.dir)) uuids.add(uuid)
    }
    // a pod whose supervisor was killed ends by itself: its PID 1 notices
    for (const pod of listPods(pods.dir)) {
      if (pod.state === 'running') await pods.cli(['status', '--wait=20s', pod.uuid, ...pods.dirOption])
    }
    for (let times = 0; times < 2; times++) {
      const gc = await pods.cli(['gc', '--grace-period=0', '--expire-prepared=0', ...pods.dirOption])
      assert.deepEqual([gc.status, gc.stderr], [0, ''])
    }
    const sound = await pods.cli(['image', 'verify', ...pods.dirOption])
    assert.deepEqual([sound.status, sound.stderr], [0, ''])
    const again = await pods.cli(['fetch', '--insecure-options=image', ...pods.dirOption, layout(pods.work, fetched)])
    assert.equal(again.status, 0, again.stderr)
    for (const { id, origins } of listImages(openImageStore(pods.dir))) {
      if (!origins.some(({ name }) => name.startsWith('oci:'))) continue
      assert.equal((await pods.cli(['image', 'rm', id, ...pods.dirOption])).status, 0)
    }
    assert.equal((await pods.cli(['image', 'gc', '--grace-period=0', ...pods.dirOption])).status, 0)
    const kept = ['tmp', 'images', 'refs'].map((part) => fs.readdirSync(path.join(pods.dir, part)).length)
    assert.deepEqual(kept, [0, 2, 2]) // busybox and stage1
    const left = fs
      .readdirSync(path.join(pods.dir, 'pods'))
      .flatMap((state) => fs.readdirSync(path.join(pods.dir, 'pods', state)).map((name) => `${state}/${name}`))
    assert.deepEqual(left, [])
    const groups = execFileSync('find', ['/sys/fs/cgroup', '-path', '*holdfast/*', '-type', 'd'], { encoding: 'utf8' })
    assert.deepEqual(
      [...uuids].filter((uuid) => groups.includes(uuid)),
      [],
    )
    const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8')
    assert.equal(mounts.includes(pods.dir), false)
  })

  it('does not keep two gcs that run at once from clearing all of it, each pod once', async () => {
    for (let n = 0; n < 3; n++) assert.equal((await pods.run(['busybox', '--', 'true'])).status, 0)
    const gc = () => pods.cli(['gc', '--grace-period=0', ...pods.dirOption])
    const both = await Promise.all([gc(), gc()])
    assert.deepEqual(
      both.map((r) => [r.status, r.stderr]),
      [
        [0, ''],
        [0, ''],
      ],
    )
    const removed = both.flatMap((r) => r.stdout.split('\n').filter((line) => line !== ''))
    assert.equal(new Set(removed).size, removed.length)
    await gc()
    assert.deepEqual(listPods(pods.dir), [])
  })
})

/** An OCI layout of two layers that no other number has. @returns the reference */
function layout(directory: string, number: number): string {
  const place = path.join(directory, `layout-${number}`)
  writeOciLayout(place, {
    layers: [
      { tar: tar([{ name: 'number', data: String(number) }]) },
      { tar: tar([{ name: 'random', data: randomBytes(2 << 20) }]) },
    ],
  })
  return `oci:${place}`
}

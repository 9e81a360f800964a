import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { podsImpossible } from '../../support/pods.ts'
import { podManifest, Stage1Pods, type StartedPod, shellApp, whenFile } from '../../support/stage1-pods.ts'

describe('logs of holdfast-stage1', () => {
  let pods: Stage1Pods

  before(function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new Stage1Pods()
  })
  after(async () => {
    await pods?.stop()
  })

  const log = (maxBytes: number, files: number) => ({ streams: { kind: 'log' as const, maxBytes, files } })
  const read = (pod: StartedPod, name: string): string => fs.readFileSync(path.join(pod.path, 'log', name), 'utf8')
  /** Stream, tag and text of each entry, and that each has a time. */
  const entries = (text: string): string[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const [, entry] = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (std(?:out|err) [FP] .*)$/.exec(line) ?? []
        return entry ?? assert.fail(line)
      })

  it('has an entry for each line, of both streams and each app, and nothing on its own streams', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('one', 'echo out; echo err >&2; echo; printf unfinished; cat'),
        shellApp('two', 'echo other'),
      ]),
      log(1 << 20, 2),
    )
    assert.deepEqual([pod.status, pod.stdout, pod.stderr], [0, '', ''])
    assert.deepEqual(entries(read(pod, 'one.log')).sort(), [
      'stderr F err',
      'stdout F ',
      'stdout F out',
      'stdout P unfinished',
    ])
    assert.deepEqual(entries(read(pod, 'two.log')), ['stdout F other'])
  })

  it('has the reason why an app could not be executed', async () => {
    const pod = await pods.run(podManifest([{ name: 'app', exec: ['/bin/absent'] }]), log(1 << 20, 2))
    assert.equal(pod.status, 127)
    assert.match(read(pod, 'app.log'), / stderr F holdfast app: \/bin\/absent: No such file or directory\n/)
  })

  it('splits lines longer than 16 KiB into pieces', async () => {
    const pod = await pods.run(
      podManifest([shellApp('app', 'head -c 40000 /dev/zero | tr "\\0" x; echo')]),
      log(1 << 20, 2),
    )
    const pieces = entries(read(pod, 'app.log'))
    assert.deepEqual(
      pieces.map((p) => [p.slice(0, 8), p.length - 9]),
      [
        ['stdout P', 16384],
        ['stdout P', 16384],
        ['stdout F', 7232],
      ],
    )
  })

  it('keeps to its bounds, and to the newest entries', async () => {
    const pod = await pods.run(
      podManifest([shellApp('app', 'i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done')]),
      log(100_000, 3),
    )
    const files = fs.readdirSync(path.join(pod.path, 'log')).sort()
    assert.deepEqual(files, ['app.log', 'app.log.1', 'app.log.2'])
    // what one read brings is written at once, and the file it goes to is changed before
    for (const file of files.slice(1)) assert.ok(read(pod, file).length < 100_000 + 128 * 1024, file)
    const numbers = [...files].reverse().flatMap((file) => entries(read(pod, file)).map((e) => Number(e.slice(9))))
    assert.equal(numbers.at(-1), 19999)
    assert.deepEqual(
      numbers,
      [...numbers.keys()].map((i) => i + (numbers[0] ?? 0)),
    )
  })

  it('lets no app wait for a full disk, and says how much is lost', async () => {
    const pod = pods.start(
      podManifest([
        shellApp(
          'app',
          'i=0; while [ $i -lt 9000 ]; do echo a line of some length that fills the disk $i; i=$((i + 1)); done; echo x > /full; until [ -e /tmp/room ]; do sleep 0.05; done; echo again',
        ),
      ]),
      log(1 << 30, 1),
      () => {},
      (podPath) => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path.join(podPath, 'log')]),
    )
    try {
      await whenFile(pod, 'apps/app/upper/full')
      execFileSync('mount', ['-o', 'remount,size=2m', path.join(pod.path, 'log')])
      fs.mkdirSync(path.join(pod.path, 'apps/app/upper/tmp'), { recursive: true })
      execFileSync('nsenter', ['-t', String(appProcess(pod)), '-m', 'touch', '/tmp/room'])
      assert.equal((await pod.end).status, 0)
      const found = entries(read(pod, 'app.log'))
      assert.equal(found.at(-1), 'stdout F again')
      const lost = found.flatMap((e) => LOST.exec(e)?.[1] ?? []).map(Number)
      assert.ok(lost.length > 0)
      const written = found.filter((e) => e.startsWith('stdout F ')).length
      assert.equal(
        lost.reduce((a, b) => a + b, written),
        9001,
      )
    } finally {
      execFileSync('umount', [path.join(pod.path, 'log')])
    }
  })
})

const LOST = /^stderr F holdfast: ([0-9]+) entries before this could not be written$/

/** A process of the pod's app, as the host sees it. */
function appProcess(pod: StartedPod): number {
  const members = new TextDecoder().decode(pod.plan.get('apps/app/enter.members')).slice(0, -1)
  return Number(fs.readFileSync(members, 'utf8').split('\n')[0])
}

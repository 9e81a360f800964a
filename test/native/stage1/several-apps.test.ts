import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { podsImpossible } from '../../support/pods.ts'
import { podManifest, Stage1Pods, shellApp, statusOf, whenFile } from '../../support/stage1-pods.ts'

describe('holdfast-stage1 with several apps', () => {
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

  it('gives each app a root of its own, and says when all have started', async () => {
    const pod = pods.start(
      podManifest([
        shellApp('one', 'echo one; echo 1 > /mine; exec sleep 100'),
        shellApp('two', 'test -e /mine || echo two; echo 1 > /mine; exec sleep 100'),
      ]),
    )
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    for (const app of ['one', 'two']) await whenFile(pod, `apps/${app}/upper/mine`)
    for (const app of ['one', 'two']) {
      const status = statusOf(pod, app)
      assert.equal(status['phase'], 'running')
      assert.equal(typeof status['pid'], 'number')
    }
    pod.child.kill('SIGTERM')
    const end = await pod.end
    assert.deepEqual([end.status, end.stdout.split('\n').sort().join(' ')], [143, ' one two'], end.stderr)
    assert.deepEqual(statusOf(pod, '_pod')['phase'], 'ended')
    for (const app of ['one', 'two']) {
      const { startedAtMs, finishedAtMs, ...rest } = statusOf(pod, app)
      assert.deepEqual(rest, {
        phase: 'ended',
        pid: 0,
        restarts: 0,
        oomKills: 0,
        exitStatus: 143,
        during: 'main',
        signal: 15,
      })
      assert.ok(Number(startedAtMs) > 1.6e12 && Number(finishedAtMs) >= Number(startedAtMs))
      assert.equal(fs.readFileSync(path.join(pod.path, 'status', app), 'utf8'), '143')
    }
  })

  it('starts apps in their order, and none after one that could not be executed', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('first', 'trap "exit 9" TERM; while true; do sleep 1; done'),
        { name: 'second', exec: ['/bin/absent'] },
        shellApp('third', 'echo never'),
      ]),
    )
    assert.deepEqual([pod.status, pod.stdout], [127, ''])
    assert.match(pod.stderr, /\/bin\/absent/)
    assert.equal(statusOf(pod, 'first')['exitStatus'], 9)
    assert.deepEqual(statusOf(pod, 'third'), { phase: 'ended', pid: 0, restarts: 0, oomKills: 0 })
    assert.ok(!fs.existsSync(path.join(pod.path, 'status/third')))
  })

  it('ends with the status of the app that failed first, and kills what does not stop', async () => {
    const pod = await pods.run(
      podManifest([shellApp('stubborn', 'trap "" TERM; while true; do sleep 1; done'), shellApp('failing', 'exit 5')]),
      {},
      (plan) => plan.set('stop-timeout-ms', new TextEncoder().encode('50\0')),
    )
    assert.equal(pod.status, 5)
    assert.equal(statusOf(pod, 'stubborn')['exitStatus'], 137)
  })

  it('runs handlers before and after the app, in its root and environment', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('app', 'cat /made; echo main > /made; exit 3', {
          environment: [
            { name: 'PATH', value: '/bin' },
            { name: 'WORD', value: 'hello' },
          ],
          user: 'web',
          group: 'web',
          workingDirectory: '/tmp/here',
          eventHandlers: [
            { name: 'pre-start', exec: ['/bin/sh', '-c', 'echo $WORD $(id -u) $PWD; echo pre'] },
            { name: 'post-stop', exec: ['/bin/sh', '-c', 'echo post $WORD'] },
          ],
        }),
      ]),
    )
    assert.deepEqual([pod.status, pod.stdout], [3, 'hello 1001 /tmp/here\npre\npost hello\n'])
  })

  it('lets post-stop see what the app wrote, after SIGTERM too', async () => {
    const pod = pods.start(
      podManifest([
        shellApp('app', 'cat /pre; echo written > /new; mv /new /file; exec sleep 100', {
          eventHandlers: [
            { name: 'pre-start', exec: ['/bin/sh', '-c', 'echo pre > /pre'] },
            { name: 'post-stop', exec: ['/bin/sh', '-c', 'sleep 0.1; cat /file'] },
          ],
        }),
      ]),
    )
    await whenFile(pod, 'apps/app/upper/file')
    pod.child.kill('SIGTERM')
    const end = await pod.end
    assert.deepEqual([end.status, end.stdout], [143, 'pre\nwritten\n'])
  })

  it('does not run an app whose pre-start fails, and fails an app whose post-stop does', async () => {
    const handler = (name: 'pre-start' | 'post-stop') => ({
      eventHandlers: [{ name, exec: ['/bin/sh', '-c', 'exit 4'] }],
    })
    const before = await pods.run(podManifest([shellApp('app', 'echo ran', handler('pre-start'))]))
    assert.deepEqual([before.status, before.stdout, statusOf(before, 'app')['during']], [4, '', 'pre-start'])
    const after = await pods.run(podManifest([shellApp('app', 'echo ran', handler('post-stop'))]))
    assert.deepEqual([after.status, after.stdout, statusOf(after, 'app')['during']], [4, 'ran\n', 'post-stop'])
  })

  it('ends a post-stop handler that takes too long', async () => {
    const pod = await pods.run(
      podManifest([shellApp('app', 'true', { eventHandlers: [{ name: 'post-stop', exec: ['/bin/sleep', '1000'] }] })]),
      {},
      (plan) => plan.set('stop-timeout-ms', new TextEncoder().encode('50\0')),
    )
    assert.equal(pod.status, 137)
  })

  const restart = (policy: string, limit: number) => ({
    isolators: [{ name: 'holdfast/restart', value: { policy, limit } }],
  })

  it('restarts a failing app as often as it was told, from pre-start on', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('app', 'echo run >> /runs; exit 6', {
          ...restart('on-failure', 2),
          eventHandlers: [
            { name: 'pre-start', exec: ['/bin/sh', '-c', 'echo pre >> /runs'] },
            { name: 'post-stop', exec: ['/bin/sh', '-c', 'echo post >> /runs'] },
          ],
        }),
      ]),
      {},
      (plan) => plan.set('apps/app/restart', new TextEncoder().encode('on-failure\x002\x001\x001\0')),
    )
    assert.equal(pod.status, 6)
    assert.equal(statusOf(pod, 'app')['restarts'], 2)
    assert.equal(fs.readFileSync(path.join(pod.path, 'apps/app/upper/runs'), 'utf8'), 'pre\nrun\npost\n'.repeat(3))
  })

  it('restarts an app that succeeds only where it always does', async () => {
    const once = await pods.run(podManifest([shellApp('app', 'echo run', restart('on-failure', 5))]))
    assert.deepEqual([once.status, once.stdout], [0, 'run\n'])
    const twice = await pods.run(podManifest([shellApp('app', 'echo run', restart('always', 1))]))
    assert.deepEqual([twice.status, twice.stdout], [0, 'run\nrun\n'])
  })

  it('kills what an app leaves running before it is restarted', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp(
          'app',
          '[ -e /pid ] && ! kill -0 $(cat /pid) && exit 0; sleep 1000 & echo $! > /pid; exit 1',
          restart('on-failure', 1),
        ),
      ]),
    )
    assert.equal(pod.status, 0, pod.stderr)
  })

  it('says that an app was killed for want of memory', async () => {
    const pod = await pods.run(
      podManifest([
        shellApp('app', 'x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done', {
          isolators: [{ name: 'resource/memory', value: { limit: '8Mi' } }],
        }),
      ]),
    )
    const { oomKills, exitStatus } = statusOf(pod, 'app')
    assert.deepEqual([pod.status, exitStatus, oomKills], [137, 137, 1])
  })
})

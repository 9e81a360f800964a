import assert from 'node:assert/strict'
import fs from 'node:fs'
import { podsImpossible } from '../../support/pods.ts'
import { podManifest, Stage1Pods, shellApp } from '../../support/stage1-pods.ts'

describe('the terminal of a pod', () => {
  let pods: Stage1Pods

  before(function () {
    const why = podsImpossible() ?? (fs.existsSync('/usr/bin/script') ? undefined : 'no script(1)')
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new Stage1Pods()
  })
  after(async () => {
    await pods?.stop()
  })

  for (const users of ['host', 'private']) {
    it(`is the app’s controlling terminal, and its status the pod’s, with ${users} users`, async () => {
      const isolators = [{ name: 'holdfast/private-users', value: users === 'private' }]
      const script = 'test -t 0 && test -t 1 && test -t 2 && echo said > /dev/tty; exit 4'
      const pod = await pods.run(
        podManifest([shellApp('app', script, { user: 'web' })], { isolators }),
        { streams: { kind: 'terminal' }, firstUser: 0x7abe_0000 },
        undefined,
        undefined,
        ['script', '-qec'],
      )
      assert.equal(pod.status, 4, pod.stderr)
      assert.match(pod.stdout, /said\r\n/)
    })
  }
})

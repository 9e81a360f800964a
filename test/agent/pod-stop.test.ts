import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { PodStopper } from '../../agent/pod-stop.ts'
import { tempDir } from '../support/temp-dir.ts'

describe('stopping pods', () => {
  const uuid = '6a1ed54c-5a4e-4d4c-9a3b-0d8a54a1a0aa'
  const dir = tempDir()
  after(() => dir.remove())

  it('ends no process that only a file says to be of the pod: what counts is what the kernel says', async () => {
    const bystander = spawn('sleep', ['1000'], { stdio: 'ignore' })
    const ended = once(bystander, 'exit')
    try {
      const pod = join(dir.path, 'pod')
      const forged = join(dir.path, 'holdfast', uuid)
      mkdirSync(join(pod, 'plan'), { recursive: true })
      mkdirSync(forged, { recursive: true })
      writeFileSync(join(forged, 'cgroup.procs'), `${bystander.pid}\n`)
      writeFileSync(join(pod, 'plan', 'cgroups.top'), `${forged}\0`)
      const stopper = new PodStopper({
        open: () => [uuid],
        place: async () => pod,
        logger: pino({ enabled: false }),
        graceMs: 60,
      })
      await stopper.stopAll('the node has failed')
      assert.equal(bystander.exitCode ?? bystander.signalCode, null)
    } finally {
      bystander.kill('SIGKILL')
      await ended
    }
  })
})

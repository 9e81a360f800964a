import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { readCgroupMounts } from '../../../stage1/pod/cgroups.ts'
import { createPod, findPod, newPodUuid, type Pod, removePod } from '../../../stage1/pod/index.ts'
import { removeGroups } from '../../../stage1/pod/remove.ts'
import { removePodCgroups } from '../../support/cgroups.ts'

describe('the removal of a pod whose control groups are in use', () => {
  let dir = ''
  let pod: Pod
  let groups: string[] = []
  let child: ChildProcess

  /** A pod that has ended, but for a process in one of its groups, below the top. */
  beforeEach(function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: control groups are made by root')
      this.skip()
    }
    dir = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-remove-'))
    const uuid = newPodUuid()
    const made = createPod(dir, uuid)
    const { v1, named, v2 } = readCgroupMounts()
    const roots = [named, v2, v1['pids']].filter((root) => root !== undefined)
    groups = roots.map((root) => path.join(root, 'holdfast', uuid))
    fs.mkdirSync(path.join(made.path, 'plan'))
    fs.writeFileSync(path.join(made.path, 'plan/cgroups.top'), groups.map((group) => `${group}\0`).join(''))
    fs.closeSync(made.fd)
    pod = findPod(dir, uuid)
    child = spawn('sleep', ['1000'], { stdio: 'ignore' })
    for (const group of groups) {
      fs.mkdirSync(path.join(group, 'app'), { recursive: true })
      fs.writeFileSync(path.join(group, 'app/cgroup.procs'), String(child.pid))
    }
  })
  afterEach(async () => {
    if (dir === '') return
    await end()
    await removePodCgroups(pod.uuid)
    fs.rmSync(dir, { recursive: true, force: true })
  })

  async function end(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  }

  it('waits until the last process is gone', async () => {
    const removal = removePod(dir, pod)
    await turn() // it has found the groups in use by now
    assert.ok(groups.every((group) => fs.existsSync(group)))
    assert.ok(fs.existsSync(pod.path.replace('/prepare/', '/garbage/')))
    await end()
    await removal
    assert.deepEqual(
      groups.filter((group) => fs.existsSync(group)),
      [],
    )
    assert.throws(() => findPod(dir, pod.uuid), { code: 'POD_NOT_FOUND' })
  })

  it('gives up with POD_NOT_STOPPED, naming who is left, and can be done again', async () => {
    await assert.rejects(removeGroups(pod.uuid, groups, 0), {
      code: 'POD_NOT_STOPPED',
      message: `control groups of pod ${pod.uuid} are still in use by ${child.pid} (sleep)`,
    })
    await end()
    await removePod(dir, findPod(dir, pod.uuid))
    assert.deepEqual(
      groups.filter((group) => fs.existsSync(group)),
      [],
    )
  })
})

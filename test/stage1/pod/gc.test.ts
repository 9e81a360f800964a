import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  collectGarbage,
  createPod,
  listPods,
  movePod,
  newPodUuid,
  type PodDirectoryName,
} from '../../../stage1/pod/index.ts'

const HOUR = 3_600_000

describe('collectGarbage', () => {
  let dir = ''
  const left: string[] = []
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'holdfast-gc-'))
    left.length = 0
  })
  const locked: number[] = []
  afterEach(() => {
    for (const fd of locked.splice(0)) closeSync(fd)
    rmSync(dir, { recursive: true, force: true })
  })

  const make = (directory: PodDirectoryName, keepLocked = false): string => {
    const made = createPod(dir, newPodUuid())
    const pod = directory === 'prepare' ? made : movePod(dir, made, directory)
    if (keepLocked) locked.push(pod.fd)
    else closeSync(pod.fd)
    return pod.uuid
  }
  const gc = (over: Partial<Parameters<typeof collectGarbage>[1]> = {}) =>
    collectGarbage(dir, {
      ...{ gracePeriodMs: HOUR, expirePreparedMs: HOUR, markOnly: false, nowMs: Date.now() },
      onLeft: (uuid) => left.push(uuid),
      ...over,
    })
  const where = () => Object.fromEntries(listPods(dir).map((p) => [p.uuid, p.directory]))

  it('marks what has ended, and removes at once what was abandoned', async () => {
    const [ended, aborted, prepared] = [make('run'), make('prepare'), make('prepared')]
    const { marked, removed } = await gc()
    assert.deepEqual([[...marked].sort(), removed], [[ended, aborted].sort(), [aborted]])
    assert.deepEqual(where(), { [ended]: 'exited-garbage', [prepared]: 'prepared' })
  })

  it('removes what was marked when the grace period is over, with none in the same run', async () => {
    const ended = make('run')
    await gc()
    assert.deepEqual((await gc()).removed, [])
    assert.deepEqual((await gc({ nowMs: Date.now() + 2 * HOUR })).removed, [ended])
    const next = make('run')
    assert.deepEqual((await gc({ gracePeriodMs: 0 })).removed, [next])
  })

  it('expires what was prepared and never launched, and only marks where that was asked for', async () => {
    const prepared = make('prepared')
    const later = { nowMs: Date.now() + 2 * HOUR }
    assert.deepEqual((await gc({ ...later, markOnly: true })).removed, [])
    assert.deepEqual(where(), { [prepared]: 'garbage' })
    assert.deepEqual((await gc()).removed, [prepared])
  })

  it('leaves alone whatever somebody holds', async () => {
    for (const directory of ['embryo', 'prepare', 'prepared', 'run', 'exited-garbage', 'garbage'] as const) {
      make(directory, true)
    }
    const before = where()
    const { marked, removed } = await gc({ gracePeriodMs: 0, expirePreparedMs: 0 })
    assert.deepEqual([marked, removed, left], [[], [], []])
    assert.deepEqual(where(), before)
  })

  it('tells of a pod that cannot be cleared, goes on with the others, and tries again the next time', async () => {
    const [first, second] = [make('run'), make('run')]
    const busy = (stuck: string) => async (path: string) => {
      if (path.endsWith(stuck)) throw Object.assign(new Error('EBUSY: resource busy'), { code: 'EBUSY' })
    }
    const { removed } = await gc({ gracePeriodMs: 0, undoNetworks: busy(first) })
    assert.deepEqual([removed, left], [[second], [first]])
    assert.deepEqual((await gc({ gracePeriodMs: 0 })).removed, [first])
  })
})

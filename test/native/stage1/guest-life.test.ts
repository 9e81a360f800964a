import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import { Guests, guestsImpossible } from '../../support/guest.ts'
import { FRAME, type Frame } from '../../support/guest-frames.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

const WAITING = 0
const PRE_START = 1
const RUNNING = 2
const POST_STOP = 3
const RESTARTING = 4
const ENDED = 5

/** struct frame_app of native/stage1/frames.h. */
function appStatus({ payload }: Frame) {
  return {
    phase: payload[0],
    during: payload[1],
    exitStatus: payload[2],
    signal: payload[3],
    restarts: payload.readUInt32LE(4),
    oomKills: Number(payload.readBigUInt64LE(12)),
  }
}

describe('the life of a pod in a guest', () => {
  let guests: Guests

  before(function () {
    const why = guestsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    guests = new Guests()
  })
  after(async () => {
    await guests?.stop()
  })

  const lastOf = (frames: readonly Frame[], app: number) =>
    appStatus(frames.filter((f) => f.kind === FRAME.APP && f.channel === app).at(-1) ?? assert.fail('no APP'))
  const exitsOf = (frames: readonly Frame[]): [number, number | undefined][] =>
    frames.flatMap((f) => (f.kind === FRAME.APP_EXIT ? [[f.channel, f.payload[0]]] : []))
  const list = (...items: string[]): Uint8Array => utf8(items.map((i) => `${i}\0`).join(''))

  it('says hello, runs handlers around apps that are restarted, and gives all that was said before it powers off', async () => {
    const handler = (name: 'pre-start' | 'post-stop', script: string) => ({ name, exec: ['/bin/sh', '-c', script] })
    const guest = await guests.run(
      podManifest([
        shellApp('one', 'echo main; exit 7', {
          eventHandlers: [handler('pre-start', 'echo pre'), handler('post-stop', 'echo post >&2')],
        }),
        shellApp('two', 'seq 1 20000; echo $((0$(cat /n) + 1)) > /n; exit 0'),
      ]),
      {
        change: (plan) => {
          plan.set('apps/one/restart', list('on-failure', '2', '10', '10'))
          plan.set('apps/two/restart', list('always', '1', '10', '10'))
        },
      },
    )
    assert.equal(guest.result, 7, guest.console)
    assert.deepEqual(guest.events, ['SHUTDOWN guest-shutdown'])
    const [hello] = guest.control.frames
    assert.deepEqual([hello?.kind, hello?.payload.readUInt32LE(0)], [FRAME.HELLO, 1])
    const once = [PRE_START, RUNNING, POST_STOP]
    assert.deepEqual(guest.phases(0), [...once, RESTARTING, ...once, RESTARTING, ...once, ENDED])
    assert.deepEqual([guest.phases(1)[0], guest.phases(1).at(-1)], [RUNNING, ENDED])
    assert.equal(guest.phases(1).includes(WAITING), false)
    const { oomKills, ...one } = lastOf(guest.control.frames, 0)
    assert.deepEqual(one, { phase: ENDED, during: 2, exitStatus: 7, signal: 0, restarts: 2 })
    assert.equal(oomKills, 0)
    assert.ok(exitsOf(guest.control.frames).some(([app, status]) => app === 0 && status === 7))
    assert.equal(guest.streams.said(FRAME.OUT, 0), 'pre\nmain\n'.repeat(3))
    assert.equal(guest.streams.said(FRAME.ERR, 0), 'post\n'.repeat(3))
    const numbers = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join('')
    assert.ok(guest.streams.said(FRAME.OUT, 1).startsWith(numbers))
    const pod = guest.control.frames.flatMap((f) => (f.kind === FRAME.POD ? [f.payload[0]] : []))
    assert.deepEqual([pod[0], pod.at(-1)], [0, 3])
  })

  it('stops in order when it is told to, and by force when the time is up', async () => {
    const guest = await guests.start(
      podManifest([
        shellApp('polite', 'trap "echo bye; exit 3" TERM; echo up; while true; do sleep 0.05; done'),
        shellApp('deaf', 'trap "" TERM; echo up; while true; do sleep 0.05; done'),
      ]),
      { change: (plan) => plan.set('stop-timeout-ms', list('400')) },
    )
    await guest.said('up', 0)
    await guest.said('up', 1)
    await guest.control.send(FRAME.STOP)
    await guest.control.send(FRAME.STOP) // a second time is no nonsense
    await guests.conclude(guest, 2)
    const end = await guest.end
    assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
    assert.deepEqual(
      exitsOf(guest.control.frames).sort(([a], [b]) => a - b),
      [
        [0, 3],
        [1, 137],
      ],
    )
    assert.equal(lastOf(guest.control.frames, 1).signal, 9)
    assert.match(guest.streams.said(FRAME.OUT, 0), /bye/)
    assert.equal(guest.control.frames.find((f) => f.kind === FRAME.RESULT)?.payload[0], 3)
  })

  it('is ended by an app that cannot be executed, with the reason among what the app says', async () => {
    const guest = await guests.run(podManifest([{ name: 'first', exec: ['/bin/absent'] }, shellApp('second', 'true')]))
    assert.equal(guest.result, 127, guest.console)
    assert.match(guest.streams.said(FRAME.ERR, 0), /^holdfast app: \/bin\/absent: No such file/)
    assert.deepEqual(guest.phases(1), [ENDED])
  })

  it('stops when its keeper is gone', async () => {
    const guest = await guests.start(podManifest([shellApp('app', 'echo up; exec sleep 1000')]))
    await guest.said('up')
    await guest.control.close()
    const end = await guest.end
    assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
  })

  it('powers off at once in mode probe', async () => {
    const guest = await guests.start(podManifest([shellApp('app', 'echo never')]), { mode: 'probe' })
    const end = await guest.end
    assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
    assert.deepEqual(guest.control.frames, [])
  })
})

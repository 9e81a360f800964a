import assert from 'node:assert/strict'
import { type Guest, Guests, guestsImpossible } from '../../support/guest.ts'
import { FRAME, FRAME_MAX_BYTES, windowSize } from '../../support/guest-frames.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

describe('entering an app of a guest', () => {
  let guests: Guests
  let guest: Guest

  before(async function () {
    const why = guestsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    guests = new Guests()
    guest = await guests.start(
      podManifest([
        shellApp('app', 'echo up; exec sleep 1000', {
          user: 'web',
          workingDirectory: '/tmp',
          isolators: [{ name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN'] } }],
        }),
        shellApp('other', 'echo mine > /other; exec sleep 1000'),
        shellApp('late', 'exit 0'),
      ]),
    )
    await guest.said('up')
    await guest.control.when((f) => f.kind === FRAME.APP && f.channel === 2 && f.payload[0] === 5)
  })
  after(async () => {
    await guests?.stop()
  })

  const sh = (script: string, port = 0, app = 'app') => guest.run(port, app, ['/bin/sh', '-c', script])

  it('gives streams and status, in the app’s root and as confined as it is', async () => {
    const show = 'id -u; pwd; grep -E "^(CapBnd|Seccomp):" /proc/self/status; cat /proc/self/cgroup'
    const { status, stdout, stderr } = await sh(`${show}; echo wrong >&2; test -e /other || exit 7`)
    assert.deepEqual([status, stderr], [7, 'wrong\n'])
    assert.match(stdout, /^1001\n\/tmp\nCapBnd:\t0000000000000001\nSeccomp:\t2\n0::\/holdfast\/[-0-9a-f]+\/app-app\n$/)
    assert.equal((await sh('cat /other', 1, 'other')).stdout, 'mine\n')
    assert.equal((await guest.run(0, 'app', ['/bin/absent'])).status, 127)
  })

  it('uses a port again, with long arguments and output, in several sessions at a time', async () => {
    const long = 'x'.repeat(3 * FRAME_MAX_BYTES)
    const all = await Promise.all([0, 1, 2, 3].map((port) => sh(`echo ${long.slice(0, 15_000)}; seq 1 50000`, port)))
    for (const { status, stdout } of all) {
      assert.equal(status, 0)
      assert.ok(stdout.startsWith('xxx') && stdout.endsWith('\n50000\n'))
    }
  })

  it('carries input until its end', async () => {
    const { at, exit } = await guest.open(2, 'app', ['/bin/sh', '-c', 'wc -c; echo end'])
    const io = guest.enterPort(2)
    for (let i = 0; i < 4; i++) await io.send(FRAME.IN, 0, Buffer.alloc(FRAME_MAX_BYTES, 'x'))
    await io.send(FRAME.IN)
    assert.equal((await exit).payload[0], 0)
    assert.equal(io.said(FRAME.OUT, 0, at), `${4 * FRAME_MAX_BYTES}\nend\n`)
  })

  it('passes a signal on though the program reads nothing of a full window, and kills', async () => {
    const io = guest.enterPort(3)
    for (const [number, status] of [
      [15, 143],
      [9, 137],
    ] as const) {
      const { at, exit } = await guest.open(3, 'app', ['/bin/sh', '-c', 'echo on; exec sleep 1000'])
      await io.when((f) => io.frames.indexOf(f) >= at && f.kind === FRAME.OUT)
      for (let i = 0; i < 4; i++) await io.send(FRAME.IN, 0, Buffer.alloc(FRAME_MAX_BYTES))
      await io.send(FRAME.SIGNAL, 0, Buffer.from([number]))
      assert.equal((await exit).payload[0], status)
    }
    // what was sent in ignorance of the end is late, and left out
    await io.send(FRAME.IN, 0, Buffer.from('late'))
    await io.send(FRAME.SIGNAL, 0, Buffer.from([15]))
    await io.send(FRAME.IN)
    assert.equal((await sh('true', 3)).status, 0)
  })

  it('gives a terminal of the size that is said', async () => {
    const script = 'stty size; trap "stty size; exit 4" WINCH; echo ready; while true; do sleep 0.05; done'
    const { at, exit } = await guest.open(1, 'app', ['/bin/sh', '-c', script], [31, 77])
    const io = guest.enterPort(1)
    await io.when(() => io.said(FRAME.OUT, 0, at).includes('ready'))
    await io.send(FRAME.RESIZE, 0, windowSize(22, 66))
    assert.equal((await exit).payload[0], 4)
    assert.equal(io.said(FRAME.OUT, 0, at), '31 77\r\nready\r\n22 66\r\n')
  })

  it('refuses an app that has ended and a profile that is none, and the pod goes on', async () => {
    const ended = await sh('true', 0, 'late')
    assert.equal(ended.status, 254)
    assert.match(ended.stderr, /the app does not run/)
    const io = guest.enterPort(0)
    for (const [name, says] of [
      ['../up', /a name that is none/],
      ['', /a name that is none/],
    ] as const) {
      const at = io.frames.length
      await io.send(FRAME.OPEN, 0, Buffer.alloc(6))
      await io.send(FRAME.FILE, 0, Buffer.from(`${name}\0x`))
      await io.send(FRAME.START)
      await io.when((f) => io.frames.indexOf(f) >= at && f.kind === FRAME.EXIT)
      assert.match(io.said(FRAME.ERR, 0, at), says)
    }
    const at = io.frames.length
    await io.send(FRAME.OPEN, 0, Buffer.alloc(6))
    await io.send(FRAME.START) // without any file
    const exit = await io.when((f) => io.frames.indexOf(f) >= at && f.kind === FRAME.EXIT)
    assert.equal(exit.payload[0], 254)
    assert.match(io.said(FRAME.ERR, 0, at), /holdfast exec: plan file /)
    assert.equal((await sh('true')).status, 0)
  })
})

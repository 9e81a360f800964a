import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Guests, guestsImpossible } from '../../support/guest.ts'
import { FRAME, FRAME_MAX_BYTES, frame, INPUT_WINDOW, windowSize } from '../../support/guest-frames.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

describe('the streams of a guest', () => {
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

  it('carry input within its window, tell what was taken of it, and end it', async () => {
    const guest = await guests.start(
      podManifest([shellApp('app', 'until [ -e /go ]; do sleep 0.05; done; md5sum; echo done')]),
    )
    const piece = Buffer.alloc(FRAME_MAX_BYTES, 'x')
    const taken = (): number =>
      guest.streams.frames.reduce((n, f) => (f.kind === FRAME.TAKEN ? n + f.payload.readUInt32LE(0) : n), 0)
    const total = 2 * INPUT_WINDOW
    await guest.told((f) => f.kind === FRAME.POD && f.payload[0] === 1)
    for (let sent = 0; sent < INPUT_WINDOW; sent += piece.length) await guest.streams.send(FRAME.IN, 0, piece)
    // nobody reads yet: the window is full, and still the guest hears what else is said
    const { status } = await guest.run(0, 'app', ['/bin/sh', '-c', ': > /go'])
    assert.equal(status, 0)
    for (let sent = INPUT_WINDOW; sent < total; sent += piece.length) {
      await guest.streams.when(() => sent + piece.length - taken() <= INPUT_WINDOW)
      await guest.streams.send(FRAME.IN, 0, piece)
    }
    await guest.streams.send(FRAME.IN)
    await guests.conclude(guest, 1)
    await guest.end
    assert.equal(taken(), total)
    const md5 = createHash('md5').update(Buffer.alloc(total, 'x')).digest('hex')
    assert.equal(guest.streams.said(FRAME.OUT), `${md5}  -\ndone\n`)
  })

  it('make an app wait that says more than is taken, and nobody else', async () => {
    const bytes = 12 << 20
    const guest = await guests.start(
      podManifest([
        shellApp('app', `echo up; head -c ${bytes} /dev/zero; exit 5`),
        shellApp('other', 'exec sleep 1000'),
      ]),
    )
    await guest.said('up')
    await guest.streams.pause()
    // control and the ports for entering go on
    const { status, stdout } = await guest.run(1, 'other', ['/bin/echo', 'hello'])
    assert.deepEqual([status, stdout], [0, 'hello\n'])
    assert.equal(
      guest.control.frames.some((f) => f.kind === FRAME.APP_EXIT),
      false,
    )
    await guest.streams.resume()
    await guests.conclude(guest, 2)
    const end = await guest.end
    assert.equal(guest.control.frames.find((f) => f.kind === FRAME.RESULT)?.payload[0], 5, end.console)
    assert.equal(guest.streams.said(FRAME.OUT).length, 'up\n'.length + bytes)
  })

  it('are one terminal, with the size that it is said to have', async () => {
    const guest = await guests.start(
      podManifest([
        shellApp(
          'app',
          'trap "stty size" WINCH; tty; echo said > /dev/tty; while true; do read line && echo "<$line>"; done',
        ),
      ]),
      { streams: { kind: 'terminal' } },
    )
    await guest.said('said\r\n')
    assert.match(guest.streams.said(FRAME.OUT), /^\/dev\/pts\/0\r\nsaid\r\n/)
    await guest.control.send(FRAME.RESIZE, 0, windowSize(33, 99))
    await guest.said('33 99')
    await guest.streams.send(FRAME.IN, 0, Buffer.from('typed\n'))
    await guest.said('<typed>')
    await guest.streams.send(FRAME.IN, 0, Buffer.from([3])) // ^C
    await guests.conclude(guest, 1)
    const end = await guest.end
    assert.equal(guest.control.frames.find((f) => f.kind === FRAME.RESULT)?.payload[0], 130, end.console)
  })

  const nonsense: { name: string; port: 'control' | 'streams' | 'enter'; bytes: Buffer }[] = [
    { name: 'a kind that there is not', port: 'control', bytes: frame(200) },
    { name: 'a kind of the other direction', port: 'control', bytes: frame(FRAME.HELLO) },
    { name: 'OFF before RESULT', port: 'control', bytes: frame(FRAME.OFF) },
    { name: 'a size beyond the bound', port: 'control', bytes: Buffer.from([FRAME.STOP, 0, 1, 64]) },
    { name: 'input for an app that there is not', port: 'streams', bytes: frame(FRAME.IN, 9, Buffer.from('x')) },
    {
      name: 'more input than the window',
      port: 'streams',
      bytes: Buffer.concat(Array(16).fill(frame(FRAME.IN, 0, Buffer.alloc(FRAME_MAX_BYTES)))),
    },
    {
      name: 'an app to enter that there is not',
      port: 'enter',
      bytes: frame(FRAME.OPEN, 0, Buffer.from([7, 0, 0, 0, 0, 0])),
    },
    {
      name: 'OPEN twice',
      port: 'enter',
      bytes: Buffer.concat([frame(FRAME.OPEN, 0, Buffer.alloc(6)), frame(FRAME.OPEN, 0, Buffer.alloc(6))]),
    },
    {
      name: 'a signal that there is not',
      port: 'enter',
      bytes: Buffer.concat([frame(FRAME.OPEN, 0, Buffer.alloc(6)), frame(FRAME.SIGNAL, 0, Buffer.from([65]))]),
    },
  ]
  for (const { name, port, bytes } of nonsense) {
    it(`end the guest with FAILURE: ${name}`, async () => {
      const guest = await guests.start(podManifest([shellApp('app', 'echo up; exec sleep 1000')]))
      await guest.said('up')
      await (port === 'enter' ? guest.enterPort(2) : guest[port]).sendBytes(bytes)
      const failure = await guest.told((f) => f.kind === FRAME.FAILURE)
      assert.match(failure.payload.toString(), /^holdfast guest: port holdfast\.\S+: the host sends /)
      const end = await guest.end
      assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
      assert.equal(
        guest.control.frames.some((f) => f.kind === FRAME.RESULT),
        false,
      )
    })
  }
})

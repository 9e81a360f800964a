import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { KeeperPods, keeperImpossible, vmEnd } from '../../support/keeper-pods.ts'

/** The guest is not trusted: whatever of this its ports carry, the pod ends, and nothing is taken from it any more. */
describe('a guest that talks nonsense', () => {
  let pods: KeeperPods

  before(function () {
    const why = keeperImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new KeeperPods()
  })
  after(async () => {
    await pods?.stop()
  })

  const cases: readonly { name: string; say: string; says: RegExp }[] = [
    { name: 'an unknown kind', say: `hello(); say(200)`, says: /kind that is none/ },
    { name: 'a kind of the keeper’s own', say: `hello(); say(STOP)`, says: /kind that is none/ },
    { name: 'a frame before HELLO', say: `say(POD, 0, [1])`, says: /before HELLO/ },
    { name: 'another version', say: `say(HELLO, 0, u32(2))`, says: /version/ },
    { name: 'a HELLO of three bytes', say: `say(HELLO, 0, [1, 0, 0])`, says: /HELLO has another size/ },
    { name: 'a second HELLO', say: `hello(); hello()`, says: /second HELLO/ },
    { name: 'an app that is none', say: `hello(); app(2, RUNNING)`, says: /channel that is none/ },
    { name: 'the last channel', say: `hello(); say(APP_EXIT, 255, [0])`, says: /channel that is none/ },
    { name: 'a result of a channel', say: `hello(); say(RESULT, 1, [0])`, says: /channel that is none/ },
    { name: 'a phase that is none', say: `hello(); app(0, 6)`, says: /no phase/ },
    { name: 'an end of nothing that runs', say: `hello(); app(0, ENDED, { during: 4 })`, says: /ended during nothing/ },
    { name: 'signal 65', say: `hello(); app(0, ENDED, { during: 2, signal: 65 })`, says: /number that is none/ },
    { name: 'a PID of 32 bits', say: `hello(); app(0, RUNNING, { pid: 0xffffffff })`, says: /number that is none/ },
    { name: 'a status of 19 bytes', say: `hello(); say(APP, 0, Buffer.alloc(19))`, says: /another size/ },
    {
      name: 'an app that goes on after its end',
      say: `hello(); say(APP_EXIT, 0, [0]); app(0, RUNNING)`,
      says: /goes on/,
    },
    { name: 'two exits of an app', say: `hello(); say(APP_EXIT, 0, [0]); say(APP_EXIT, 0, [1])`, says: /exit status/ },
    { name: 'an exit without a status', say: `hello(); say(APP_EXIT, 0)`, says: /exit status/ },
    { name: 'a pod phase that is none', say: `hello(); say(POD, 0, [4])`, says: /no phase/ },
    { name: 'a pod that starts again', say: `hello(); say(POD, 0, [2]); say(POD, 0, [1])`, says: /went back/ },
    { name: 'a result of two bytes', say: `hello(); say(RESULT, 0, [0, 0])`, says: /result that is none/ },
    { name: 'two results', say: `hello(); say(RESULT, 0, [0]); say(RESULT, 0, [1])`, says: /after the last one/ },
    { name: 'a failure of 1025 bytes', say: `say(FAILURE, 0, 'x'.repeat(1025))`, says: /too long/ },
    {
      name: 'a frame of 16385 bytes',
      say: `hello(); put(CONTROL, [APP, 0, 1, 64]); silence()`,
      says: /a frame is too long/,
    },
    {
      name: 'output of an app that is none',
      say: `hello(); put(STREAMS, frame(OUT, 2, 'x'))`,
      says: /app that is none/,
    },
    {
      name: 'output after its end',
      say: `hello(); put(STREAMS, Buffer.concat([frame(OUT), frame(OUT, 0, 'x')]))`,
      says: /after its end/,
    },
    { name: 'input where output belongs', say: `hello(); put(STREAMS, frame(IN, 0, 'x'))`, says: /none of streams/ },
    {
      name: 'more taken than given',
      say: `hello(); put(STREAMS, frame(TAKEN, 0, u32(1)))`,
      says: /more input was taken/,
    },
    {
      name: 'a TAKEN of three bytes',
      say: `hello(); put(STREAMS, frame(TAKEN, 0, [0, 0, 0]))`,
      says: /TAKEN has another size/,
    },
    { name: 'a stream frame of 65535 bytes', say: `hello(); put(STREAMS, [OUT, 0, 255, 255])`, says: /too long/ },
    {
      name: 'words where nobody has entered',
      say: `hello(); put(ENTER, frame(OUT, 0, 'x'))`,
      says: /nobody has entered/,
    },
    {
      name: 'a long frame where nobody has entered',
      say: `hello(); put(ENTER + 3, [EXIT, 0, 255, 255])`,
      says: /too long/,
    },
    { name: 'a monitor’s line without an end', say: `hello(); put(MONITOR, 'x'.repeat(70000))`, says: /monitor/ },
  ]
  for (const { name, say, says } of cases) {
    it(`ends with ${name}`, async () => {
      const pod = await pods.run({ apps: ['a', 'b'], qemu: `greet(); ${say}; silence()` })
      assert.equal(pod.status, 254, pod.stderr)
      assert.equal(vmEnd(pod).end, 'nonsense')
      assert.match(vmEnd(pod).message, says)
    })
  }

  it('waits for the rest of half a frame, and takes what was whole before', async () => {
    const pod = await pods.run({
      qemu: `greet(); hello(); app(0, RUNNING, { pid: 3 }); put(CONTROL, [APP, 0]); put(CONSOLE, 'half')
        shutdown('guest-reset'); process.exit(0)`,
    })
    assert.equal(vmEnd(pod).end, 'crashed')
    assert.match(fs.readFileSync(path.join(pod.path, 'status/app.json'), 'utf8'), /"running","pid":3/)
  })

  it('cannot fill the status file with what is no text', async () => {
    const pod = await pods.run({
      qemu: `greet(); const all = Buffer.alloc(1024, 'quote " backslash \\\\\\\\ \\x00\\x01\\x7f\\xff \\x1b[2J'); say(FAILURE, 0, all); process.exit(0)`,
    })
    assert.match(vmEnd(pod).message, /^quote " backslash \\+ {2}\[2J/)
  })
})

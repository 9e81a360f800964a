import assert from 'node:assert/strict'
import fs from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { KeeperPods, keeperImpossible, list, whenLogged } from '../../support/keeper-pods.ts'
import { said } from '../../support/pods.ts'
import { whenFile } from '../../support/stage1-pods.ts'

describe('holdfast-stage1 attach', () => {
  let pods: KeeperPods

  before(function () {
    const why = keeperImpossible('script')
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new KeeperPods()
  })
  after(async () => {
    await pods?.stop()
  })

  /** A guest with one app that runs, and then what the script says. */
  const up = (script: string): string => `greet(); hello(); say(POD, 0, [1]); ${script}`
  const running = (pod: Parameters<typeof whenFile>[0]): Promise<string> =>
    whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))

  it('sends the profile, carries streams, and ends with the program’s status', async () => {
    const pod = pods.start({
      qemu: up(`const open = expect(ENTER, OPEN); const files = {}
        for (;;) { const f = next(ENTER); if (f.kind === START) break; const end = f.payload.indexOf(0)
          const name = f.payload.subarray(0, end).toString(); files[name] = (files[name] ?? '') + f.payload.subarray(end + 1) }
        const sizes = Object.keys(files).sort().map((name) => name + ' ' + files[name].length).join(', ')
        put(ENTER, frame(OUT, 0, [...open].join(' ') + '; ' + sizes + '; ')); let input = ''
        for (;;) { const part = expect(ENTER, IN); if (part.length === 0) break; input += part; put(ENTER, frame(TAKEN, 0, u32(part.length))) }
        put(ENTER, Buffer.concat([frame(OUT, 0, input), frame(ERR, 0, 'err'), frame(EXIT, 0, [42])])); finish(0)`),
    })
    await running(pod)
    const profile = { argv: list('/bin/cat'), env: '', seccomp: 's'.repeat(40_000) }
    const { child, end } = pods.attach(pod, { stdin: 'pipe', profile })
    child.stdin?.end('in')
    assert.deepEqual(await end, {
      ...{ status: 42, signal: null, stderr: 'err' },
      stdout: '0 0 0 0 0 0; argv 9, env 0, seccomp 40000; in',
    })
    assert.equal((await pod.end).status, 0)
  })

  it('carries what came in one piece to its last frame, though a full one was before it', async () => {
    const pod = pods.start({
      qemu: up(`while (next(ENTER).kind !== START); const full = frame(OUT, 0, Buffer.alloc(16384))
        put(ENTER, Buffer.concat([full, frame(EXIT, 0, [0])])); finish(0)`),
    })
    await running(pod)
    const client = connect(path.join(pod.path, 'enter.sock'))
    const open = [96, 0, 6, 0, 0, 0, 0, 0, 0, 0]
    const file = [97, 0, 0, 64, 97, 0, ...Buffer.alloc(16382)]
    client.write(Buffer.from([...open, ...file, 98, 0, 0, 0]))
    let size = 0
    for await (const bytes of client) size += (bytes as Buffer).length
    assert.equal(size, 4 + 16384 + 5)
    assert.equal((await pod.end).status, 0)
  })

  it('passes signals on', async () => {
    const pod = pods.start({
      qemu: up(`while (next(ENTER).kind !== START); put(ENTER, frame(OUT, 0, 'ready'))
        put(ENTER, frame(EXIT, 0, [128 + expect(ENTER, SIGNAL)[0]])); finish(0)`),
    })
    await running(pod)
    const { child, end } = pods.attach(pod, { stdin: 'pipe' })
    await said(child, 'ready')
    child.kill('SIGUSR1')
    assert.equal((await end).status, 138)
    await pod.end
  })

  it('lets four in, refuses a fifth, and gives a port again that has come free', async () => {
    const pod = pods.start({
      qemu: up(`for (let i = 0; i < 4; i++) { while (next(ENTER + i).kind !== START); put(ENTER + i, frame(OUT, 0, 'in')) }
        expect(ENTER + 2, IN); put(ENTER + 2, frame(EXIT, 0, [2])); while (next(ENTER + 2).kind !== START);
        put(ENTER + 2, frame(EXIT, 0, [3])); for (const i of [0, 1, 3]) put(ENTER + i, frame(EXIT, 0, [0])); finish(0)`),
    })
    await running(pod)
    const four = []
    for (let i = 0; i < 4; i++) {
      const one = pods.attach(pod, { stdin: 'pipe' })
      await said(one.child, 'in')
      four.push(one)
    }
    const fifth = await pods.attach(pod).end
    assert.equal(fifth.status, 254)
    assert.match(fifth.stderr, /^holdfast attach: all enter ports of the pod are in use\n$/)
    four[2]?.child.stdin?.end()
    assert.equal((await four[2]?.end)?.status, 2)
    assert.equal((await pods.attach(pod).end).status, 3)
    for (const i of [0, 1, 3]) assert.equal((await four[i]?.end)?.status, 0)
    assert.equal((await pod.end).status, 0)
  })

  it('has the program killed when it is killed itself, and what the guest says meanwhile goes nowhere', async () => {
    const pod = pods.start({
      qemu: up(`while (next(ENTER).kind !== START); put(ENTER, frame(OUT, 0, 'ready')); const n = expect(ENTER, SIGNAL)[0]
        for (let i = 0; i < 100; i++) put(ENTER, frame(OUT, 0, Buffer.alloc(16384)))
        put(ENTER, frame(EXIT, 0, [137])); put(CONSOLE, 'signal ' + n + '\\n'); while (next(ENTER).kind !== START);
        put(ENTER, frame(EXIT, 0, [1])); finish(0)`),
    })
    await running(pod)
    const { child, end } = pods.attach(pod, { stdin: 'pipe' })
    await said(child, 'ready')
    child.kill('SIGKILL')
    await end
    await whenLogged(pod, '_console', 'signal 9')
    assert.equal((await pods.attach(pod).end).status, 1)
    assert.equal((await pod.end).status, 0)
  })

  it('holds the guest back, not the pod’s other streams, while its own consumer is slow', async () => {
    const pod = pods.start({
      qemu: up(`while (next(ENTER).kind !== START); let blocked = false
        const { Socket } = require('node:net'); const port = new Socket({ fd: ENTER, readable: false, writable: true })
        let queued = 0; while (port.write(frame(OUT, 0, Buffer.alloc(16384, 'y')))) queued++
        for (let i = 0; i < 200; i++) port.write(frame(OUT, 0, Buffer.alloc(16384, 'y')))
        put(STREAMS, frame(OUT, 0, 'others go on'))
        port.write(frame(EXIT, 0, [0]), () => finish(0))`),
    })
    await running(pod)
    const { child, end } = pods.attach(pod)
    child.stdout?.pause()
    await said(pod.child, 'others go on')
    child.stdout?.resume()
    assert.equal((await end).status, 0)
    assert.equal((await pod.end).status, 0)
  })

  it('says that the pod boots still, that it ended under it, that it is no more', async () => {
    const pod = pods.start({
      stdin: 'pipe',
      qemu: `greet(); put(CONSOLE, 'booting\\n'); fs.readSync(CONSOLE, Buffer.alloc(1)); process.exit(0)`,
    })
    await whenLogged(pod, '_console', 'booting')
    const early = await pods.attach(pod).end
    assert.equal(early.status, 254)
    assert.match(early.stderr, /the pod boots still/)
    pod.child.kill('SIGTERM')
    await pod.end
    const late = await pods.attach(pod).end
    assert.equal(late.status, 254)
    assert.match(late.stderr, /the pod has ended, or was not started/)

    const crashing = pods.start({
      qemu: up(`while (next(ENTER).kind !== START); put(ENTER, frame(OUT, 0, 'ready')); expect(ENTER, IN)
        shutdown('guest-reset'); process.exit(0)`),
    })
    await running(crashing)
    const { child, end } = pods.attach(crashing, { stdin: 'pipe' })
    await said(child, 'ready')
    child.stdin?.end()
    const cut = await end
    assert.equal(cut.status, 254)
    assert.match(cut.stderr, /the pod has ended/)
    await crashing.end
  })

  it('is let in by nobody but root, whatever the mode of the socket became', async () => {
    const pod = pods.start({ stdin: 'pipe', qemu: up(`expect(STREAMS, IN); finish(0)`) })
    await running(pod)
    const socket = path.join(pod.path, 'enter.sock')
    assert.equal(fs.statSync(socket).mode & 0o777, 0o600)
    fs.chmodSync(pods.work, 0o755)
    fs.chmodSync(socket, 0o666)
    const end = await pods.attach(pod, { user: 61_235 }).end
    assert.equal(end.status, 254)
    assert.match(end.stderr, /the pod has ended/)
    pod.child.stdin?.end()
    assert.equal((await pod.end).status, 0)
  })

  /** What a client may not say. The guest is told nothing of it, and the next one finds the port free. */
  const refused: readonly { name: string; bytes: readonly number[] }[] = [
    { name: 'an app that is none', bytes: [96, 0, 6, 0, 1, 0, 0, 0, 0, 0] },
    { name: 'a session that begins with START', bytes: [98, 0, 0, 0] },
    { name: 'a frame that is too long', bytes: [96, 0, 255, 255] },
    { name: 'a kind of the guest’s', bytes: [100, 0, 1, 0, 0] },
  ]
  for (const { name, bytes } of refused) {
    it(`leaves a client with ${name}`, async () => {
      const pod = pods.start({
        qemu: up(`while (next(ENTER).kind !== START); put(ENTER, frame(EXIT, 0, [6])); finish(0)`),
      })
      await running(pod)
      const client = connect(path.join(pod.path, 'enter.sock'))
      client.on('error', () => {})
      client.write(Buffer.from(bytes))
      await new Promise((resolve) => client.on('close', resolve).resume())
      assert.equal((await pods.attach(pod).end).status, 6)
      await pod.end
    })
  }

  for (const { name, frame } of [
    { name: 'an OUT of another channel', frame: 'frame(OUT, 1)' },
    { name: 'more taken than given', frame: 'frame(TAKEN, 0, u32(1))' },
    { name: 'an EXIT without a status', frame: 'frame(EXIT)' },
    { name: 'FAILURE, which is the keeper’s', frame: `frame(FAILURE, 0, 'x')` },
  ]) {
    it(`ends with a guest that answers with ${name}`, async () => {
      const pod = pods.start({ qemu: up(`while (next(ENTER).kind !== START); put(ENTER, ${frame}); silence()`) })
      await running(pod)
      const end = await pods.attach(pod).end
      assert.equal(end.status, 254)
      assert.match(end.stderr, /the pod has ended/)
      assert.equal((await pod.end).status, 254)
    })
  }
})

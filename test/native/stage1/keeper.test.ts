import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { KeeperPods, keeperImpossible, list, vmEnd, whenLogged } from '../../support/keeper-pods.ts'
import { said } from '../../support/pods.ts'
import { statusOf, whenFile } from '../../support/stage1-pods.ts'

describe('the keeper of a virtual machine', () => {
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

  it('ends with the pod’s status and writes what became of each app', async () => {
    const pod = await pods.run({
      apps: ['first', 'second'],
      qemu: `greet(); hello(); say(POD, 0, [0]); app(0, PRE_START); app(0, RUNNING, { pid: 7 }); app(1, RUNNING, { pid: 8 })
        say(POD, 0, [1]); app(0, ENDED, { during: 2, exitStatus: 0 }); say(APP_EXIT, 0, [0]); app(1, RESTARTING, { during: 2, exitStatus: 1, restarts: 1 })
        app(1, RUNNING, { during: 2, exitStatus: 1, restarts: 1, pid: 9 }); say(POD, 0, [2])
        app(1, ENDED, { during: 2, exitStatus: 137, signal: 9, restarts: 1, oomKills: 3 }); say(APP_EXIT, 1, [137]); finish(137, 2)`,
    })
    assert.equal(pod.status, 137, pod.stderr)
    assert.equal(fs.readFileSync(path.join(pod.path, 'status/first'), 'utf8'), '0')
    assert.equal(fs.readFileSync(path.join(pod.path, 'status/second'), 'utf8'), '137')
    const { startedAtMs, finishedAtMs, ...second } = statusOf(pod, 'second')
    assert.deepEqual(second, {
      ...{ phase: 'ended', pid: 0, restarts: 1, oomKills: 3 },
      ...{ exitStatus: 137, during: 'main', signal: 9 },
    })
    assert.ok(Number(finishedAtMs) >= Number(startedAtMs))
    const { readyAtMs, ...whole } = statusOf(pod, '_pod')
    assert.deepEqual(whole, { phase: 'ended' })
    assert.equal(typeof readyAtMs, 'number')
    assert.deepEqual(vmEnd(pod), { end: 'poweroff', message: '' })
    assert.ok(!fs.existsSync(path.join(pod.path, 'enter.sock')))
  })

  it('tells each phase when it comes', async () => {
    const pod = pods.start({
      stdin: 'pipe',
      qemu: `greet(); hello(); app(0, RUNNING, { pid: 7 }); say(POD, 0, [1])
        expect(STREAMS, IN); say(POD, 0, [2]); expect(STREAMS, IN); app(0, ENDED, { during: 2 }); say(APP_EXIT, 0, [0]); finish(0)`,
    })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    assert.equal(statusOf(pod, 'app').phase, 'running')
    assert.ok(!fs.existsSync(path.join(pod.path, 'status/app')))
    pod.child.stdin?.write('on')
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"stopping"'))
    pod.child.stdin?.write('on')
    assert.equal((await pod.end).status, 0)
  })

  it('carries the streams of apps to its own, and its input to the one app with its end', async () => {
    const pod = pods.start({
      stdin: 'pipe',
      qemu: `greet(); hello(); let got = ''
        for (;;) { const part = expect(STREAMS, IN); if (part.length === 0) break; got += part; put(STREAMS, frame(TAKEN, 0, u32(part.length))) }
        put(STREAMS, Buffer.concat([frame(OUT, 0, 'got ' + got), frame(ERR, 0, 'error')])); finish(0)`,
    })
    pod.child.stdin?.end('input')
    const end = await pod.end
    assert.equal(end.status, 0)
    assert.equal(end.stdout, 'got input')
    assert.equal(end.stderr, 'error')
  })

  it('gives no more input than the guest has room for', async () => {
    const pod = pods.start({
      stdin: 'pipe',
      qemu: `greet(); hello(); let total = 0
        while (total + 4096 <= 65536) total += expect(STREAMS, IN).length
        fs.writeSync(CONSOLE, 'window of ' + total + '\\n')
        put(STREAMS, frame(TAKEN, 0, u32(total))); for (let rest = 200000 - total; rest > 0; ) {
          const n = expect(STREAMS, IN).length; rest -= n; put(STREAMS, frame(TAKEN, 0, u32(n))) }
        if (expect(STREAMS, IN).length !== 0) process.exit(97)
        finish(0)`,
    })
    pod.child.stdin?.end(Buffer.alloc(200_000))
    assert.equal((await pod.end).status, 0)
    assert.match(fs.readFileSync(path.join(pod.path, 'log/_console.log'), 'utf8'), /window of (6[1-5]\d{3})\n/)
  })

  it('gives no app its input where the pod has several', async () => {
    const pod = pods.start({
      apps: ['a', 'b'],
      stdin: 'pipe',
      qemu: `greet(); hello(); put(STREAMS, Buffer.concat([frame(OUT, 0, 'a\\n'), frame(OUT, 1, 'b\\n')])); finish(3, 2)`,
    })
    pod.child.stdin?.end('input')
    const end = await pod.end
    assert.equal(end.status, 3)
    assert.equal(end.stdout, 'a\nb\n')
  })

  it('lets the guest wait, not its own memory grow, while a consumer is slow, and loses nothing', async () => {
    const pod = pods.start({
      qemu: `greet(); hello(); const piece = frame(OUT, 0, Buffer.alloc(16384, 'x'))
        for (let i = 0; i < 256; i++) { if (i === 12) put(CONSOLE, 'more than a pipe holds\\n'); put(STREAMS, piece) }
        finish(5)`,
    })
    pod.child.stdout?.removeAllListeners('data')
    pod.child.stdout?.pause()
    await whenLogged(pod, '_console', 'more than a pipe holds')
    const rssKib = Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pod.child.pid}/status`, 'utf8'))?.[1])
    assert.ok(rssKib > 0 && rssKib < 1024, `${rssKib} KiB`)
    let size = 0
    pod.child.stdout?.on('data', (part: Buffer) => {
      size += part.length
    })
    pod.child.stdout?.resume()
    assert.equal((await pod.end).status, 5)
    assert.equal(size, 256 * 16384)
  })

  it('goes on where its consumer is gone', async () => {
    const pod = pods.start({
      stdin: 'pipe',
      qemu: `greet(); hello(); put(STREAMS, frame(OUT, 0, 'here')); expect(STREAMS, IN)
        for (let i = 0; i < 64; i++) put(STREAMS, frame(OUT, 0, Buffer.alloc(16384))); finish(0)`,
    })
    await said(pod.child, 'here')
    pod.child.stdout?.destroy()
    pod.child.stdin?.write('on')
    assert.equal((await pod.end).status, 0)
  })

  it('writes logs, rotated, where the pod is detached', async () => {
    const pod = await pods.run({
      apps: ['a', 'b'],
      plan: { streams: list('log', '4096', '3') },
      qemu: `greet(); hello()
        for (let i = 0; i < 200; i++) put(STREAMS, frame(OUT, 0, 'line ' + i + ' ' + 'x'.repeat(40) + '\\n'))
        put(STREAMS, Buffer.concat([frame(ERR, 1, 'unfin'), frame(ERR, 1, 'ished')])); finish(0, 2)`,
    })
    assert.equal(pod.status, 0, pod.stderr)
    assert.equal(pod.stdout, '')
    const log = (name: string): string => fs.readFileSync(path.join(pod.path, 'log', name), 'utf8')
    assert.match(log('a.log'), /Z stdout F line 199 x+\n$/)
    assert.deepEqual(
      fs.readdirSync(path.join(pod.path, 'log')).filter((name) => name.startsWith('a.')),
      ['a.log', 'a.log.1', 'a.log.2'],
    )
    for (const name of ['a.log', 'a.log.1', 'a.log.2']) assert.ok(log(name).length <= 4096)
    assert.match(log('b.log'), /^\S+ stderr P unfinished\n$/)
  })

  it('keeps a flood of the console within its bounds, and its end for the message', async () => {
    const pod = await pods.run({
      qemu: `greet(); for (let i = 0; i < 20000; i++) put(CONSOLE, 'kernel \\x1b[31m says ' + i + ' ' + 'y'.repeat(60) + '\\r\\n')
        put(CONSOLE, 'Kernel panic\\r\\n'); event('GUEST_PANICKED', '{"action": "pause"}'); shutdown('guest-panic'); process.exit(0)`,
    })
    assert.equal(pod.status, 254)
    const { end, message } = vmEnd(pod)
    assert.equal(end, 'crashed')
    assert.match(message, /kernel \[31m says 19999 y+\nKernel panic$/)
    assert.ok(message.length < 3000)
    assert.match(pod.stderr, /^holdfast keeper: the guest crashed; its console ends with:\n/)
    const files = fs.readdirSync(path.join(pod.path, 'log')).filter((name) => name.startsWith('_console'))
    assert.equal(files.length, 2)
    for (const name of files) assert.ok(fs.statSync(path.join(pod.path, 'log', name)).size <= 256 * 1024)
  })

  it('has the guest stop in order when it is told to', async () => {
    const pod = pods.start({
      qemu: `greet(); hello(); app(0, RUNNING, { pid: 7 }); say(POD, 0, [1]); expect(CONTROL, STOP); say(POD, 0, [2])
        app(0, ENDED, { during: 2, exitStatus: 143, signal: 15 }); say(APP_EXIT, 0, [143]); finish(143)`,
    })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    pod.child.kill('SIGTERM')
    assert.equal((await pod.end).status, 143)
    assert.equal(vmEnd(pod).end, 'poweroff')
  })

  it('ends the machine when it is told to stop twice', async () => {
    const pod = pods.start({
      qemu: `greet(); hello(); app(0, RUNNING, { pid: 7 }); say(POD, 0, [1]); expect(CONTROL, STOP)
        put(CONSOLE, 'told to stop\\n'); if (!command().includes('quit')) process.exit(97); shutdown('host-qmp-quit'); process.exit(0)`,
    })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    pod.child.kill('SIGTERM')
    await whenLogged(pod, '_console', 'told to stop')
    pod.child.kill('SIGINT')
    assert.equal((await pod.end).status, 137)
    assert.equal(vmEnd(pod).end, 'killed')
    assert.equal(statusOf(pod, '_pod').phase, 'ended')
    assert.ok(!fs.existsSync(path.join(pod.path, 'status/app')))
  })

  it('ends a machine that neither stops nor quits', async () => {
    const pod = pods.start({
      qemu: `greet(); hello(); say(POD, 0, [1]); expect(CONTROL, STOP); put(CONSOLE, 'told to stop\\n'); silence()`,
    })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    pod.child.kill('SIGTERM')
    await whenLogged(pod, '_console', 'told to stop')
    pod.child.kill('SIGTERM')
    assert.equal((await pod.end).status, 137)
    assert.equal(vmEnd(pod).end, 'killed')
  })

  it('ends a machine that has not stopped in twice its time and 5 s', async () => {
    const pod = pods.start({
      plan: { 'stop-timeout-ms': list('0') },
      qemu: `greet(); hello(); say(POD, 0, [1]); expect(CONTROL, STOP); command(); shutdown('host-qmp-quit'); process.exit(0)`,
    })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"running"'))
    pod.child.kill('SIGTERM')
    assert.equal((await pod.end).status, 137)
    assert.match(vmEnd(pod).message, /had not stopped in time/)
  })

  it('ends at once what is told to stop while it boots', async () => {
    const pod = pods.start({
      qemu: `greet(); put(CONSOLE, 'booting\\n'); command(); shutdown('host-qmp-quit'); process.exit(0)`,
    })
    await whenLogged(pod, '_console', 'booting')
    pod.child.kill('SIGTERM')
    assert.equal((await pod.end).status, 137)
    assert.deepEqual(vmEnd(pod), { end: 'killed', message: 'stopped while it booted' })
  })

  it('does not wait for HELLO longer than planned', async () => {
    const pod = await pods.run({
      plan: { 'boot-timeout-ms': list('500') },
      qemu: `greet(); put(CONSOLE, 'no root\\n'); silence()`,
    })
    assert.equal(pod.status, 254)
    assert.equal(vmEnd(pod).end, 'hung-at-boot')
  })

  const ends: readonly { name: string; qemu: string; end: string; says: RegExp }[] = [
    {
      name: 'a reset',
      qemu: `greet(); hello(); put(CONSOLE, 'device-mapper: verity: data block 3 is corrupted\\n'); shutdown('guest-reset'); process.exit(0)`,
      end: 'crashed',
      says: /data block 3 is corrupted$/,
    },
    {
      name: 'a panic',
      qemu: `greet(); hello(); put(CONSOLE, 'panic'); event('GUEST_PANICKED', '{"action": "pause"}'); process.exit(0)`,
      end: 'crashed',
      says: /panic$/,
    },
    {
      name: 'a guest that gave up',
      qemu: `greet(); say(FAILURE, 0, 'no "disk"\\n\\x1b]0;title\\x07é'); shutdown('guest-shutdown'); process.exit(0)`,
      end: 'failed',
      says: /^no "disk"\n\]0;title$/,
    },
    {
      name: 'a guest that powers off without a word',
      qemu: `greet(); hello(); shutdown('guest-shutdown'); process.exit(0)`,
      end: 'vmm-ended',
      says: /powered off without a result/,
    },
    {
      name: 'a QEMU that dies',
      qemu: `greet(); hello(); process.kill(process.pid, 'SIGKILL'); process.abort()`,
      end: 'vmm-ended',
      says: /^QEMU was ended by signal \d+/,
    },
    {
      name: 'a QEMU that cannot start',
      qemu: `process.stderr.write('qemu: -device nonsense: no such device\\n'); process.exit(1)`,
      end: 'vmm-ended',
      says: /^QEMU ended with status 1: qemu: -device nonsense: no such device$/,
    },
  ]
  for (const { name, qemu, end, says } of ends) {
    it(`tells of ${name}`, async () => {
      const pod = await pods.run({ qemu })
      assert.equal(pod.status, 254, pod.stderr)
      assert.equal(vmEnd(pod).end, end)
      assert.match(vmEnd(pod).message, says)
      assert.match(pod.stderr, /^holdfast keeper: /)
      assert.equal(statusOf(pod, '_pod').phase, 'ended')
      assert.ok(!fs.existsSync(path.join(pod.path, 'status/app')))
    })
  }

  it('believes a result before what comes after it', async () => {
    const pod = await pods.run({
      qemu: `greet(); hello(); say(RESULT, 0, [7]); shutdown('guest-panic'); process.exit(0)`,
    })
    assert.equal(pod.status, 7)
    assert.equal(vmEnd(pod).end, 'poweroff')
  })
})

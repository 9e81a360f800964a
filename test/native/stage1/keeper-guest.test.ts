import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { guestsImpossible } from '../../support/guest.ts'
import { KeeperGuests, VIRTIOFSD } from '../../support/keeper-guests.ts'
import { childrenOf, keeperImpossible, list, vmEnd } from '../../support/keeper-pods.ts'
import { said } from '../../support/pods.ts'
import { podManifest, shellApp, statusOf, whenFile } from '../../support/stage1-pods.ts'

/** QEMU, kernel and PID 1 of the guest as they are; what they cannot be made to do is in the other tests of the keeper. */
describe('a guest under the keeper', () => {
  let guests: KeeperGuests

  before(function () {
    const why = keeperImpossible() ?? guestsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    guests = new KeeperGuests()
  })
  after(async () => {
    await guests?.stop()
  })

  it('boots, runs the app with the keeper’s streams, lets in who enters, and ends with its status', async () => {
    const pod = guests.start(podManifest([shellApp('app', 'echo up; cat; echo over >&2; exit 7')]), { stdin: 'pipe' })
    await said(pod.child, 'up')
    const rssKib = Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pod.child.pid}/status`, 'utf8'))?.[1])
    assert.ok(rssKib > 0 && rssKib < 1024, `${rssKib} KiB`)
    const profile: Record<string, string | Uint8Array> = {}
    for (const [name, content] of pod.guestPlan)
      if (name.startsWith('apps/app/')) profile[name.slice('apps/app/'.length)] = content
    profile['cgroups.join'] = profile['enter.join'] ?? ''
    profile['cgroup-members'] = profile['enter.members'] ?? ''
    profile.argv = list('/bin/sh', '-c', 'cat; exit 9')
    const { child, end } = guests.pods.attach(pod, { profile, stdin: 'pipe' })
    child.stdin?.end('entered')
    const entered = await end
    assert.equal(entered.stdout, 'entered', entered.stderr)
    assert.equal(entered.status, 9)
    pod.child.stdin?.end('input\n')
    const ended = await pod.end
    assert.equal(ended.status, 7, ended.stderr)
    assert.equal(ended.stdout, 'up\ninput\n')
    assert.equal(ended.stderr, 'over\n')
    assert.deepEqual(vmEnd(pod), { end: 'poweroff', message: '' })
    assert.equal(statusOf(pod, 'app').exitStatus, 7)
    assert.equal(fs.readFileSync(path.join(pod.path, 'status/app'), 'utf8'), '7')
  })

  it('stops in order', async () => {
    const pod = guests.start(
      podManifest([shellApp('app', "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done")]),
    )
    await said(pod.child, 'up')
    pod.child.kill('SIGTERM')
    const ended = await pod.end
    assert.equal(ended.status, 3, ended.stderr)
    assert.match(ended.stdout, /bye\n$/)
    assert.equal(vmEnd(pod).end, 'poweroff')
  })

  it('leaves nothing when the keeper is killed', async () => {
    const pod = guests.start(podManifest([shellApp('app', 'echo up; sleep 1000')]))
    await said(pod.child, 'up')
    const processes = childrenOf(pod.child.pid).map((pid) => fs.openSync(`/proc/${pid}`, 'r'))
    pod.child.kill('SIGKILL')
    await pod.end
    for (const process of processes) await whenGone(process)
  })

  it('says what QEMU says where it cannot start', async () => {
    const end = await guests.pods.run({
      qemu: { program: '/usr/bin/qemu-system-x86_64', argv: ['qemu', '-machine', 'none-such'] },
    })
    assert.equal(end.status, 254)
    assert.match(vmEnd(end).message, /^QEMU ended with status 1: qemu: .*unsupported machine type/)
  })

  it('shares directories of the host, read-only ones as such, and takes virtiofsd with it', async function () {
    if (!fs.existsSync(VIRTIOFSD)) {
      console.log(`      skipped: no ${VIRTIOFSD}`)
      return this.skip()
    }
    const sources = ['one', 'two'].map((name) =>
      fs.realpathSync(fs.mkdtempSync(path.join(guests.pods.work, `${name},`))),
    )
    const [one = '', two = ''] = sources
    fs.writeFileSync(path.join(one, 'file'), 'of the host\n')
    const manifest = podManifest(
      [
        shellApp('app', 'cat /one/file; echo x > /one/new; echo guest > /two/new; echo up; cat', {
          mounts: [
            { volume: 'one', path: '/one' },
            { volume: 'two', path: '/two' },
          ],
        } as object),
      ],
      {
        volumes: [
          { name: 'one', kind: 'host', source: one, readOnly: true },
          { name: 'two', kind: 'host', source: two, readOnly: false },
        ],
      } as object,
    )
    const pod = guests.start(manifest, { stdin: 'pipe' })
    await said(pod.child, 'up')
    const processes = childrenOf(pod.child.pid).map((pid) => fs.openSync(`/proc/${pid}`, 'r'))
    assert.equal(processes.length, 4, 'two virtiofsd, QEMU, who holds the lock')
    pod.child.stdin?.end()
    const ended = await pod.end
    assert.equal(ended.status, 0, ended.stderr)
    assert.equal(ended.stdout, 'of the host\nup\n')
    assert.match(ended.stderr, /can't create \/one\/new: Read-only file system/)
    assert.ok(!fs.existsSync(path.join(one, 'new')))
    assert.equal(fs.readFileSync(path.join(two, 'new'), 'utf8'), 'guest\n')
    for (const process of processes) await whenGone(process)
  })

  it('has the network of the interface that its tap is joined with, and the host’s own stack answers nobody', async () => {
    const [here, there] = [`hfk${process.pid}a`, `hfk${process.pid}b`]
    const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })
    try {
      for (const name of [here, there]) ip('netns', 'add', name)
      ip('-n', here, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'peer', 'netns', there)
      ip('-n', here, 'addr', 'add', '10.83.0.2/24', 'dev', 'eth0') // as a plugin leaves it
      ip('-n', there, 'addr', 'add', '10.83.0.1/24', 'dev', 'peer')
      for (const [name, device] of [
        [here, 'eth0'],
        [there, 'peer'],
      ] as const)
        ip('-n', name, 'link', 'set', device, 'up')
      const mac = '02:83:00:00:00:02'
      const pod = guests.start(
        podManifest([shellApp('app', 'ping -c 1 -W 20 10.83.0.1 > /dev/null && echo up; cat')]),
        {
          stdin: 'pipe',
          plan: { network: list(`/run/netns/${here}`), taps: list('eth0', mac) },
          interfaces: [{ mac, name: 'eth0', mtu: 1500, addresses: ['10.83.0.2/24'], routes: [] } as never],
        },
      )
      await said(pod.child, 'up')
      execFileSync('ip', ['netns', 'exec', there, 'busybox', 'ping', '-c', '1', '-W', '20', '10.83.0.2'])
      assert.match(ip('-n', there, 'neigh', 'show', '10.83.0.2'), new RegExp(mac))
      assert.match(ip('-n', here, 'link', 'show', 'eth0'), new RegExp(mac))
      assert.equal(ip('-n', here, 'neigh', 'show'), '', 'the host’s own stack has met nobody')
      pod.child.stdin?.end()
      const ended = await pod.end
      assert.equal(ended.status, 0, ended.stderr)
      assert.doesNotMatch(ip('-n', here, 'link', 'show'), /holdfast0/)
    } finally {
      for (const name of [here, there]) {
        if (fs.existsSync(`/run/netns/${name}`)) ip('netns', 'del', name)
      }
    }
  })

  it('crashes as a guest that told nothing of it', async () => {
    const pod = guests.start(podManifest([shellApp('app', 'echo up; cat')]), { stdin: 'pipe' })
    await said(pod.child, 'up')
    const [qemu] = childrenOf(pod.child.pid)
    process.kill(qemu ?? 0, 'SIGKILL')
    const ended = await pod.end
    assert.equal(ended.status, 254)
    assert.deepEqual(vmEnd(pod), { end: 'vmm-ended', message: 'QEMU was ended by signal 9' })
    await whenFile(pod, 'status/_pod.json', (text) => text.includes('"ended"'))
  })

  /** The directory of a process below /proc, which is the process's own, whoever gets its number next. */
  async function whenGone(process: number): Promise<void> {
    for (;;) {
      try {
        fs.readdirSync(`/proc/self/fd/${process}`)
      } catch {
        fs.closeSync(process)
        return
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
})

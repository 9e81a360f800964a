import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { utf8 } from '../../../attestation/base/index.ts'
import { Guests, guestsImpossible } from '../../support/guest.ts'
import { FRAME } from '../../support/guest-frames.ts'
import { podsImpossible } from '../../support/pods.ts'
import { podManifest, Stage1Pods, shellApp } from '../../support/stage1-pods.ts'

describe('how a guest confines an app', () => {
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
  const list = (...items: string[]): Uint8Array => utf8(items.map((i) => `${i}\0`).join(''))

  it('gives an app what the other flavour gives it', async function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      return this.skip()
    }
    const script =
      'id -u; id -g; id -G; pwd; umask; env | sort; grep -E "^(Cap|NoNewPrivs|Seccomp:|Sig[PBIC])" /proc/self/status; ls /proc/self/fd; ' +
      'for f in null zero full random urandom tty ptmx; do stat -L -c "%n %t %T %a" /dev/$f; done; ls -l /dev/fd | cut -d" " -f1; ' +
      'for f in keys timer_list kcore interrupts; do cat /proc/$f | head -c 1 | wc -c; done; ls /sys/firmware /sys/kernel/debug | grep -vc :; ' +
      'for f in sys/kernel/hostname sysrq-trigger irq/default_smp_affinity; do (echo 1 > /proc/$f) 2> /dev/null && echo wrote $f; done; ' +
      'touch /sys/x 2>&1; mount -t tmpfs none /tmp 2>&1; mknod /tmp/d b 254 0 && cat /tmp/d 2>&1; echo file > /tmp/f && ls -ln /tmp/f | cut -c1-10'
    const settings = [
      {
        user: 'web',
        supplementaryGIDs: [5000],
        workingDirectory: '/tmp',
        environment: [{ name: 'PATH', value: '/bin' }],
      },
      { user: '0', isolators: [{ name: 'os/linux/no-new-privileges', value: true }] },
    ]
    const manifest = podManifest(settings.map((more, i) => shellApp(`app-${i}`, `${script}; true`, more)))
    const streams = { kind: 'log', maxBytes: 1 << 20, files: 2 } as const
    const guest = await guests.run(manifest, { streams })
    assert.equal(guest.result, 0, guest.console)
    const pods = new Stage1Pods()
    try {
      for (const [i, app] of manifest.apps.entries()) {
        const pod = await pods.run({ ...manifest, apps: [app] })
        assert.equal(guest.streams.said(FRAME.OUT, i), pod.stdout, `${guest.streams.said(FRAME.ERR, i)}${pod.stderr}`)
      }
    } finally {
      await pods.stop()
    }
  })

  it('keeps the limits of apps, and outlives what they do to it', async () => {
    const limited = (name: string, value: unknown) => ({ isolators: [{ name, value }] })
    const guest = await guests.start(
      podManifest([
        shellApp('killer', 'kill -9 1; kill -SEGV 1; kill -STOP 1; sleep 0.2; echo alive; exec sleep 1000', {
          user: '0',
        }),
        shellApp(
          'forks',
          'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo made',
          limited('holdfast/pids', { limit: '4' }),
        ),
        shellApp('eats', 'exec tail /dev/zero', limited('resource/memory', { limit: '8Mi' })),
        shellApp(
          'fills',
          'dd if=/dev/zero of=/dev/shm/x bs=65536 2>&1 | tail -n 1; for i in $(seq 1 400); do true > /dev/f$i; done; rm /dev/shm/x; echo over; exec sleep 1000',
        ),
      ]),
      {
        change: (plan) => {
          for (const app of ['forks', 'eats']) plan.set(`apps/${app}/restart`, list('always', '1', '600000', '600000'))
        },
      },
    )
    await guest.said('alive', 0)
    await guest.said('over', 3)
    const killed = await guest.told(
      (f) => f.kind === FRAME.APP && f.channel === 2 && f.payload.readBigUInt64LE(12) > 0n,
    )
    assert.deepEqual([...killed.payload.subarray(1, 4)], [2, 137, 9])
    await guest.control.send(FRAME.STOP)
    await guests.conclude(guest, 4)
    const end = await guest.end
    assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
    assert.match(guest.streams.said(FRAME.ERR, 1), /can't fork/)
    // also of those that were waiting for their restart, the exit status is the last word
    for (const app of [0, 1, 2, 3]) {
      const last = guest.control.frames.filter(
        (f) => f.channel === app && (f.kind === FRAME.APP || f.kind === FRAME.APP_EXIT),
      )
      assert.equal(last.at(-1)?.kind, FRAME.APP_EXIT)
      assert.equal(last.filter((f) => f.kind === FRAME.APP_EXIT).length, 1)
    }
  })

  it('has the network that it is given, its names and its hostname', async function () {
    if (!/user/.test(execFileSync('qemu-system-x86_64', ['-netdev', 'help'], { encoding: 'utf8' }))) {
      console.log('      skipped: this QEMU has no network of its own')
      return this.skip()
    }
    const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02']
    const show =
      'hostname; cat /etc/resolv.conf /etc/hosts; for i in lo eth0 eth1; do ip addr show dev $i | grep -oE "mtu [0-9]+|inet6? (fd|10|127)[^ ]*|LOWER_UP"; done; ip route; ip -6 route | grep fd01'
    const guest = await guests.run(podManifest([shellApp('app', show)], { annotations: [] }), {
      // the first one is what the second was called: names are exchanged
      change: (plan) => {
        plan.set('hostname', list('some-name'))
        plan.set('resolv.conf', utf8('nameserver 10.0.2.3\n'))
        plan.set('hosts', utf8('127.0.0.1 localhost\n'))
        const own = [
          macs[1] ?? '',
          'eth0',
          '1400',
          '10.1.0.2/16 fd00::2/64',
          '0.0.0.0/0,10.1.0.1 fd01::/16,fd00::1 10.9.0.0/16',
          '',
        ]
        plan.set('interfaces', list(...own, macs[0] ?? '', 'eth1', '', '10.0.2.15/24', '', ''))
      },
      more: macs.flatMap((mac, i) => [
        '-netdev',
        `user,id=n${i}`,
        '-device',
        `virtio-net-pci,netdev=n${i},mac=${mac},romfile=`,
      ]),
    })
    assert.equal(guest.result, 0, guest.console)
    const said = guest.streams.said(FRAME.OUT)
    assert.match(said, /^some-name\nnameserver 10\.0\.2\.3\n127\.0\.0\.1 localhost\n/)
    assert.match(
      said,
      /inet 127\.0\.0\.1\/8\n[\s\S]*mtu 1400\ninet 10\.1\.0\.2\/16\ninet6 fd00::2\/64\n[\s\S]*mtu 1500\ninet 10\.0\.2\.15\/24/,
    )
    assert.match(said, /default via 10\.1\.0\.1 dev eth0[\s\S]*10\.9\.0\.0\/16 dev eth0/)
    assert.match(said, /fd01::\/16 via fd00::1 dev eth0/)
  })

  it('says nothing where there is too little memory to boot', async () => {
    const guest = await guests.start(podManifest([shellApp('app', 'echo never')]), { memoryMiB: 64 })
    const end = await guest.end
    assert.deepEqual(end.events, ['SHUTDOWN guest-reset'], end.stderr)
    assert.deepEqual(guest.control.frames, [])
  })
})

import assert from 'node:assert/strict'
import { type QemuSettings, qemuArguments, qemuEnvironment } from '../../../../stage1/flavours/kvm/qemu-arguments.ts'

const SETTINGS: QemuSettings = {
  program: '/usr/bin/qemu-system-x86_64',
  podUuid: '0f6c1f9e-6c1c-4a2b-9a55-3a1a1f2b7d10',
  accelerator: 'kvm',
  memoryMiB: 256,
  processors: 2,
  firmwareDirectories: ['/usr/share/seabios', '/usr/share/qemu'],
  commandLine: 'quiet, panic=-1 -- guest',
  disks: [],
  interfaces: [],
  shares: [],
}
const disks = (count: number) => Array.from({ length: count }, (_, i) => ({ serial: `d${i}`, readOnly: true }))

/** Values of all options of this name. */
function valuesOf(option: string, settings: Partial<QemuSettings> = {}): string[] {
  const argv = qemuArguments({ ...SETTINGS, ...settings })
  return argv.flatMap((word, i) => (word === `-${option}` ? [argv[i + 1] ?? ''] : []))
}

describe('arguments of QEMU', () => {
  it('make a machine with nothing that was not asked for, which ends at a reset and starts no programs', () => {
    const argv = qemuArguments(SETTINGS)
    assert.equal(argv[0], SETTINGS.program)
    for (const flag of ['-nodefaults', '-no-user-config', '-no-reboot']) assert.ok(argv.includes(flag), flag)
    assert.match(valuesOf('sandbox')[0] ?? '', /^on,.*elevateprivileges=deny,spawn=deny/)
    assert.deepEqual(valuesOf('display'), ['none'])
    assert.deepEqual(valuesOf('object'), [])
    assert.deepEqual(valuesOf('m'), ['256M'])
    assert.deepEqual(valuesOf('smp'), ['2'])
    assert.deepEqual(valuesOf('append'), [SETTINGS.commandLine])
    assert.deepEqual(valuesOf('L'), SETTINGS.firmwareDirectories)
  })

  it('name one accelerator: QEMU falls back to none by itself', () => {
    assert.deepEqual([valuesOf('accel'), valuesOf('cpu')], [['kvm'], ['host']])
    const tcg = { accelerator: 'tcg' } as const
    assert.deepEqual([valuesOf('accel', tcg), valuesOf('cpu', tcg)], [['tcg,thread=multi'], ['max']])
  })

  it('give each channel the descriptor that the keeper placed for it', () => {
    assert.deepEqual(valuesOf('chardev'), [
      ...['socket,id=qmp,fd=4', 'socket,id=console,fd=7', 'socket,id=port0,fd=5', 'socket,id=port1,fd=6'],
      ...['socket,id=port2,fd=8', 'socket,id=port3,fd=9', 'socket,id=port4,fd=10', 'socket,id=port5,fd=11'],
    ])
    const ports = valuesOf('device').filter((device) => device.startsWith('virtserialport'))
    assert.deepEqual(
      ports.map((port) => port.replace(/^virtserialport,bus=ports\.0,/, '')),
      [
        ...['chardev=port0,name=holdfast.control', 'chardev=port1,name=holdfast.streams'],
        ...[0, 1, 2, 3].map((n) => `chardev=port${n + 2},name=holdfast.enter.${n}`),
      ],
    )
  })

  it('give disks and then taps the descriptors from 12 on, and say which disks are read-only', () => {
    const given = {
      disks: [
        { serial: 'd0', readOnly: true },
        { serial: 'w', readOnly: false },
      ],
      interfaces: ['0a:58:0a:00:00:02', '0a:58:0a:00:00:03'],
    }
    assert.deepEqual(valuesOf('add-fd', given), ['fd=12,set=0', 'fd=13,set=1'])
    assert.deepEqual(valuesOf('blockdev', given), [
      'driver=file,node-name=d0,filename=/dev/fdset/0,locking=off,read-only=on',
      'driver=file,node-name=w,filename=/dev/fdset/1,locking=off,read-only=off,discard=unmap',
    ])
    assert.deepEqual(valuesOf('netdev', given), ['tap,id=net0,fd=14,vhost=off', 'tap,id=net1,fd=15,vhost=off'])
    const cards = valuesOf('device', given).filter((device) => device.startsWith('virtio-net'))
    assert.match(cards[1] ?? '', /,netdev=net1,mac=0a:58:0a:00:00:03,romfile=,/)
  })

  it('have the guest told of what could not be written, as where the host’s disk is full: else the machine would stop', () => {
    const [device] = valuesOf('device', { disks: [{ serial: 'w', readOnly: false }] }).filter((d) =>
      d.includes('-blk-'),
    )
    assert.match(device ?? '', /,serial=w,.*,werror=report,/)
  })

  it('share the guest’s memory where virtiofsd needs it, and nowhere else', () => {
    assert.deepEqual(valuesOf('object', { shares: ['v1'] }), ['memory-backend-memfd,id=memory,size=256M,share=on'])
    assert.match(valuesOf('machine', { shares: ['v1'] })[0] ?? '', /,memory-backend=memory$/)
    assert.ok(valuesOf('chardev', { shares: ['v1'] }).includes('socket,id=v1,path=/run/holdfast/v1.sock'))
    assert.doesNotMatch(valuesOf('machine')[0] ?? '', /memory/)
  })

  it('give the control channel of a TPM the descriptor behind all others, and have none unasked', () => {
    const given = { tpm: true, disks: disks(2), interfaces: ['0a:58:0a:00:00:02'] }
    assert.ok(valuesOf('chardev', given).includes('socket,id=tpm,fd=15'))
    assert.deepEqual(valuesOf('tpmdev', given), ['emulator,id=tpm,chardev=tpm'])
    assert.ok(valuesOf('device', given).includes('tpm-crb,tpmdev=tpm'))
    assert.doesNotMatch(qemuArguments(SETTINGS).join(' '), /tpm/)
  })

  it('have room for more devices than slots: each has a place of its own, and a first in its slot', () => {
    const devices = valuesOf('device', { disks: disks(237) }).filter((device) => device.includes('addr='))
    const places = devices.map((device) => /addr=0x([0-9a-f]+)\.([0-7])/.exec(device)?.slice(1) ?? [])
    assert.equal(new Set(places.map((place) => place.join('.'))).size, 240)
    for (const [slot = '', at] of places) {
      const number = Number.parseInt(slot, 16)
      assert.ok(number >= 1 && number <= 30, `slot ${slot} is the board’s`)
      const first = devices.find((device) => device.includes(`addr=0x${slot}.0,`))
      assert.match(first ?? '', /,multifunction=on$/, `${slot}.${at}`)
    }
    assert.throws(() => qemuArguments({ ...SETTINGS, disks: disks(238) }), RangeError)
  })

  for (const { name, settings } of [
    { name: 'a UUID', settings: { podUuid: 'x,debug-threads=on' } },
    { name: 'a hardware address', settings: { interfaces: ['0a:58:0a:00:00:02,id=x'] } },
    { name: 'the serial of a disk', settings: { disks: [{ serial: 'd0,read-only=off', readOnly: true }] } },
    { name: 'a tag', settings: { shares: ['v0,path=/etc'] } },
    { name: 'an empty tag', settings: { shares: [''] } },
  ]) {
    it(`are not made of ${name} that would be another option`, () => {
      assert.throws(() => qemuArguments({ ...SETTINGS, ...settings }), RangeError)
    })
  }

  it('come with an environment that says where modules are, and nothing of the caller', () => {
    assert.deepEqual(qemuEnvironment('/usr/lib/qemu'), [
      'LC_ALL=C',
      'PATH=/usr/bin:/bin',
      'QEMU_MODULE_DIR=/usr/lib/qemu',
    ])
    assert.deepEqual(qemuEnvironment(undefined), ['LC_ALL=C', 'PATH=/usr/bin:/bin'])
  })
})

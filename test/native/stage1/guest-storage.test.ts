import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { utf8 } from '../../../attestation/base/index.ts'
import { hashTreeLayout } from '../../../stage1/image/hash-tree.ts'
import { drive, Guests, type GuestTree, guestsImpossible } from '../../support/guest.ts'
import { FRAME } from '../../support/guest-frames.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

const BLOCK = 4096
const MARK = 'holdfast test: a block of a file'

describe('the storage of a guest', () => {
  let guests: Guests
  const list = (...items: string[]): Uint8Array => utf8(items.map((i) => `${i}\0`).join(''))

  before(function () {
    const why = guestsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    guests = new Guests((root) => {
      // far from what is read in any case: its blocks are data of their own
      fs.writeFileSync(path.join(root, 'etc/marked'), Buffer.concat([utf8(MARK), Buffer.alloc(16 * BLOCK, 'm')]))
    })
  })
  after(async () => {
    await guests?.stop()
  })

  /** A copy of the tree with a byte changed that belongs to the marked file: of the data, or of its hash. */
  function flipped(name: string, what: 'data' | 'hashes'): GuestTree {
    const copy = {
      ...guests.tree,
      data: path.join(guests.work, `${name}.d`),
      hashes: path.join(guests.work, `${name}.h`),
    }
    const data = fs.readFileSync(guests.tree.data)
    const hashes = fs.readFileSync(guests.tree.hashes)
    const at = data.indexOf(MARK) + 5 * BLOCK
    const block = Math.floor(at / BLOCK)
    if (what === 'data') data.writeUInt8(data.readUInt8(at) ^ 1, at)
    else {
      const hash = hashTreeLayout(copy.blocks).offsetOf(0, Math.floor(block / 128)) + (block % 128) * 32
      hashes.writeUInt8(hashes.readUInt8(hash) ^ 1, hash)
    }
    fs.writeFileSync(copy.data, data)
    fs.writeFileSync(copy.hashes, hashes)
    return copy
  }

  it('ends the guest when a byte of an image is not what was measured, with the kernel’s line on the console', async () => {
    const guest = await guests.start(
      podManifest([shellApp('app', 'echo before; cat /etc/marked | wc -c; echo after')]),
      {
        tree: flipped('data', 'data'),
      },
    )
    const end = await guest.end
    assert.ok(end.events.includes('GUEST_PANICKED'), end.console)
    assert.match(end.console, /verity: [0-9:]+: data block [0-9]+ is corrupted[\s\S]*dm-verity device corrupted/)
    assert.doesNotMatch(guest.streams.said(FRAME.OUT), /after/)
    assert.equal(
      guest.control.frames.some((f) => f.kind === FRAME.RESULT),
      false,
    )
  })

  it('ends the guest when a byte of the hashes is not what was measured', async () => {
    const guest = await guests.start(podManifest([shellApp('app', 'cat /etc/marked | wc -c; echo after')]), {
      tree: flipped('hashes', 'hashes'),
    })
    const end = await guest.end
    assert.ok(end.events.includes('GUEST_PANICKED'), end.console)
    assert.match(end.console, /verity: [0-9:]+: metadata block [0-9]+ is corrupted/)
    assert.doesNotMatch(guest.streams.said(FRAME.OUT), /after/)
  })

  it('starts nothing of an image with another root hash', async () => {
    const guest = await guests.start(podManifest([shellApp('app', 'echo never')]), {
      change: (plan) => plan.set('trees', list('d0', 'h0', String(guests.tree.blocks), 'ab'.repeat(32))),
    })
    const end = await guest.end
    assert.ok(end.events.includes('GUEST_PANICKED'), end.console)
    assert.equal(
      guest.control.frames.some((f) => f.kind === FRAME.APP),
      false,
    )
    assert.equal(guest.streams.frames.length, 0)
  })

  const failures: { name: string; change: (plan: Map<string, Uint8Array>) => void; says: RegExp }[] = [
    {
      name: 'a disk that is missing',
      change: (plan) => plan.set('trees', list('d9', 'h0', '1', 'ab'.repeat(32))),
      says: /^holdfast guest: the host gives no disk d9$/,
    },
    {
      name: 'a disk that is too small',
      change: (plan) => plan.set('trees', list('d0', 'h0', '1000000000', 'ab'.repeat(32))),
      says: /^holdfast guest: verity of d0/,
    },
    {
      name: 'a root hash that is none',
      change: (plan) => plan.set('trees', list('d0', 'h0', '5', '- 1 ignore_corruption')),
      says: /is no root hash$/,
    },
    {
      name: 'a plan file that is missing',
      change: (plan) => void plan.delete('apps/app/caps'),
      says: /^holdfast app: plan file caps: No such file/,
    },
    {
      name: 'a volume that nobody shares',
      change: (plan) => plan.set('volumes', list('shared', 'tag', 'v0', 'rw', 'single', '0', '0', '0')),
      says: /^holdfast guest: volume shared: the host shares nothing as v0: /,
    },
    {
      name: 'an interface that is missing',
      change: (plan) => plan.set('interfaces', list('52:54:00:00:00:09', 'eth0', '', '', '', '')),
      says: /^holdfast guest: the host gives no interface 52:54:00:00:00:09$/,
    },
  ]
  for (const { name, change, says } of failures) {
    it(`says why it gives up: ${name}`, async () => {
      const guest = await guests.start(podManifest([shellApp('app', 'echo never')]), { change })
      void guests.conclude(guest, 1)
      const end = await guest.end
      assert.deepEqual(end.events, ['SHUTDOWN guest-shutdown'], end.console)
      const failure = guest.control.frames.find((f) => f.kind === FRAME.FAILURE)?.payload.toString()
      assert.match(failure ?? guest.streams.said(FRAME.ERR).trim().split('\n')[0] ?? '', says)
      assert.equal(guest.streams.said(FRAME.OUT), '')
    })
  }

  it('gives each app a root of its own on a limited memory, which may be read-only, and volumes to all', async () => {
    const volumes = [{ name: 'shared', kind: 'empty' as const, uid: 1001, gid: 1002, mode: '0750' }]
    const mounts = [{ volume: 'shared', path: '/data' }]
    const guest = await guests.run(
      podManifest(
        [
          shellApp(
            'writer',
            'echo 1 > /mine; echo told > /data/file; stat -c "%u %g %a" /data; dd if=/dev/zero of=/fill bs=65536 2>&1 | tail -n 3; ' +
              'rm /fill; echo again > /again && cat /again; : > /data/done',
            { mounts } as object,
          ),
          shellApp(
            'reader',
            'until [ -e /data/done ]; do sleep 0.05; done; test -e /mine || echo own; cat /data/file; echo 1 > /x; echo 1 > /dev/null && echo null',
            { readOnlyRootFS: true, mounts } as object,
          ),
        ],
        { volumes } as object,
      ),
      { change: (plan) => plan.set('memory-layer-bytes', list(String(4 << 20))) },
    )
    assert.equal(guest.result, 0, guest.console)
    assert.match(guest.streams.said(FRAME.OUT, 0), /^1001 1002 750\n[\s\S]*No space left on device[\s\S]*again\n$/)
    assert.equal(guest.streams.said(FRAME.OUT, 1), 'own\ntold\nnull\n')
    assert.match(guest.streams.said(FRAME.ERR, 1), /can't create \/x: Read-only file system/)
  })

  it('keeps what apps write on a disk that is unmounted at the end', async function () {
    if (!fs.existsSync('/sbin/mkfs.ext4')) {
      console.log('      skipped: no mkfs.ext4')
      return this.skip()
    }
    const disk = path.join(guests.work, 'writable')
    fs.writeFileSync(disk, '')
    fs.truncateSync(disk, 32 << 20)
    execFileSync('/sbin/mkfs.ext4', ['-q', disk])
    const guest = await guests.run(podManifest([shellApp('app', 'echo kept > /root/file')]), {
      change: (plan) => plan.set('writable', list('w')),
      more: drive('w', disk, false),
    })
    assert.equal(guest.result, 0, guest.console)
    const debugfs = (request: string): string =>
      execFileSync('/sbin/debugfs', ['-R', request, disk], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    assert.equal(debugfs('cat /apps/app/upper/root/file'), 'kept\n')
    assert.doesNotMatch(debugfs('stats'), /needs_recovery/)
  })

  it('has directories of the host as they are shared', async function () {
    const program = '/usr/lib/qemu/virtiofsd'
    if (!fs.existsSync(program) || process.geteuid?.() !== 0) {
      console.log(`      skipped: no ${program}, or not root`)
      return this.skip()
    }
    const source = path.join(guests.work, 'source')
    fs.mkdirSync(source)
    fs.writeFileSync(path.join(source, 'file'), 'of the host\n')
    const socket = path.join(guests.work, 'share')
    const share = spawn(program, [`--socket-path=${socket}`, '-o', `source=${source}`, '-f'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(share, 'close')
    try {
      for await (const line of share.stderr) if (String(line).includes('Waiting for vhost-user socket')) break
      const memory = 160
      const guest = await guests.run(
        podManifest(
          [
            shellApp('app', 'cat /data/file; echo of the guest > /data/back; echo no > /seen/x; ls /seen', {
              mounts: [
                { volume: 'shared', path: '/data' },
                { volume: 'seen', path: '/seen' },
              ],
            } as object),
          ],
          {
            volumes: [
              { name: 'shared', kind: 'host', source },
              { name: 'seen', kind: 'empty' },
            ],
          } as object,
        ),
        {
          memoryMiB: memory,
          change: (plan) => {
            const seen = ['seen', 'empty', '', 'ro', 'single', '0', '0', '493']
            plan.set('volumes', list('shared', 'tag', 'v0', 'rw', 'single', '0', '0', '0', ...seen))
          },
          more: [
            ...['-object', `memory-backend-memfd,id=mem,size=${memory}M,share=on`, '-machine', 'memory-backend=mem'],
            ...['-chardev', `socket,id=v0,path=${socket}`, '-device', 'vhost-user-fs-pci,chardev=v0,tag=v0'],
          ],
        },
      )
      assert.equal(guest.result, 0, guest.console)
      assert.equal(guest.streams.said(FRAME.OUT), 'of the host\n')
      assert.match(guest.streams.said(FRAME.ERR), /\/seen\/x: Read-only file system/)
      assert.equal(fs.readFileSync(path.join(source, 'back'), 'utf8'), 'of the guest\n')
    } finally {
      share.kill('SIGKILL')
      await ended
    }
  })
})

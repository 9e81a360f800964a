import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Ran } from '../support/holdfast.ts'
import { KVM } from '../support/measured-flavours.ts'
import { assertInStep, needsWholePath, startNode, type WholeNode } from '../support/whole-path.ts'

const MIB = 1 << 20
const BUSYBOX = '/bin/busybox'
/** The machine of an app without a limit has 256 MiB, and half of that is the most for layers on memory. */
const LEAST_BYTES = 140 * MIB

describe('a pod that is a virtual machine with a disk', () => {
  let node: WholeNode
  /** What the pod writes. */
  let big: Buffer
  let writes: string

  before(async function () {
    needsWholePath(this)
    KVM.require(this)
    if (!existsSync('/usr/sbin/debugfs')) {
      console.log('      skipped: no /usr/sbin/debugfs')
      this.skip()
    }
    const busybox = readFileSync(BUSYBOX)
    const copies = Math.ceil(LEAST_BYTES / busybox.length)
    big = Buffer.alloc(copies * busybox.length, busybox)
    writes = `set -e; for i in $(seq ${copies}); do cat ${BUSYBOX}; done > /root/big; sync; df -m / | tail -n 1`
    node = await startNode({ stage0: true })
  })
  after(async () => {
    await node?.d.stop()
  })

  const launch = async (script: string, ...options: string[]): Promise<Ran & { uuid: string; pod: string }> => {
    const { d, image } = node
    const uuidFile = join(d.directory, 'uuid')
    const words = [...KVM.options, '--uuid-file-save', uuidFile, ...options]
    const ran = await d.launch(...words, image, '--name', 'app', '--', 'sh', '-c', script)
    const uuid = readFileSync(uuidFile, 'utf8').trim()
    return { ...ran, uuid, pod: join(d.dataDirectory, 'pods/run', uuid) }
  }
  const onPods = (command: string, ...words: string[]): Promise<Ran> =>
    node.d.holdfast(command, '--dir', node.d.dataDirectory, ...words)

  it('keeps more than its memory holds, in a file that is there until the pod is removed', async () => {
    const { uuid, pod, ...ran } = await launch(`${writes}; echo last > /root/last`, '--disk', '256Mi')
    assert.equal(ran.status, 0, ran.stderr)
    const [, size, used] = /^overlay +(\d+) +(\d+) /.exec(ran.stdout) ?? assert.fail(ran.stdout)
    assert.ok(Number(size) > 230 && Number(size) <= 256, ran.stdout)
    assert.ok(Number(used) * MIB >= LEAST_BYTES, ran.stdout)

    const disk = join(pod, 'disk')
    const told = statSync(disk)
    assert.deepEqual([told.size, told.mode & 0o7777], [256 * MIB, 0o600])
    assert.ok(told.uid >= 0x7000_0000 && told.gid === told.uid, String(told.uid))
    assert.ok(told.blocks * 512 < big.length + 16 * MIB, `${told.blocks} blocks: only what was written takes room`)
    assert.equal(debugfs(disk, 'cat /apps/app/upper/root/last').toString(), 'last\n')
    assert.ok(debugfs(disk, 'cat /apps/app/upper/root/big').equals(big))
    execFileSync('/usr/sbin/e2fsck', ['-fn', disk], { stdio: 'ignore' })

    const records = await assertInStep(node.d)
    assert.match(JSON.stringify(records.find((r) => r.record === 'stage1')), /\/sbin\/mke2fs"/)
    const { answer } = JSON.parse(readFileSync(join(pod, 'launch.json'), 'utf8')) as { answer: { request: string } }
    assert.match(answer.request, /"isolators":\[\{[^\]]*"name":"holdfast\/disk"[^\]]*256Mi/)

    const out = join(node.d.directory, 'out.aci')
    const exported = await onPods('export', uuid, out)
    assert.equal(exported.status, 254)
    assert.match(exported.stderr, /POD_UNSUPPORTED/)
    assert.ok(exported.stderr.includes(`is on its disk ${disk}`), exported.stderr)
    assert.ok(!existsSync(out))
    const removed = await onPods('rm', uuid)
    assert.deepEqual([removed.status, existsSync(pod)], [0, false], removed.stderr)
  })

  it('writes to memory without one, as much as that holds, and it is gone with the machine', async () => {
    const { uuid, pod, ...ran } = await launch(writes)
    assert.notEqual(ran.status, 0)
    assert.match(ran.stderr, /No space left on device/)
    assert.ok(!existsSync(join(pod, 'disk')))
    const exported = await onPods('export', uuid, join(node.d.directory, 'out.aci'))
    assert.equal(exported.status, 254)
    assert.match(exported.stderr, /was in its memory and is gone/)
  })

  it('has none without room for it: nothing is asked or started', async () => {
    const { pod, ...ran } = await launch('echo started', '--disk', '8Ti')
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /has no room for a disk of 8388608 MiB: \d+ MiB are free/)
    assert.ok(!existsSync(pod))
  })

  it('is not had by a pod that shares the kernel of the host', async () => {
    const { d, image } = node
    const ran = await d.launch('--disk', '64Mi', image, '--', 'echo', 'started')
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /only a virtual machine has a disk of its own/)
  })
})

function debugfs(disk: string, request: string): Buffer {
  return execFileSync('/usr/sbin/debugfs', ['-R', request, disk], {
    maxBuffer: 2 * LEAST_BYTES,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
}

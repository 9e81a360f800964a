import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { tryFlock } from '../../../native/process/index.ts'
import {
  childrenOf,
  KeeperPods,
  keeperImpossible,
  list,
  QEMU_USER,
  vmEnd,
  whenLogged,
} from '../../support/keeper-pods.ts'
import type { StartedPod } from '../../support/stage1-pods.ts'

/** A QEMU that a guest has taken over is nobody, sees nothing and reaches nothing; the fake one stands still to be looked at. */
describe('what confines QEMU', () => {
  let pods: KeeperPods
  let pod: StartedPod
  let qemu = 0

  before(async function () {
    const why = keeperImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new KeeperPods()
    fs.writeFileSync(path.join(pods.work, 'disk'), 'disk')
    pod = pods.start({
      disks: [path.join(pods.work, 'disk')],
      qemu: `const list = (at) => fs.readdirSync(at).sort().join(' ')
        const tried = (what) => { try { what(); return 'done' } catch (err) { return err.code } }
        put(CONSOLE, ['root ' + list('/'), 'dev ' + list('/dev'), 'stage1 ' + list('/stage1'), 'etc ' + list('/etc'), 'run ' + list('/run/holdfast'),
          'initrd ' + fs.readFileSync('/stage1/initrd').toString('latin1').replaceAll('\\0', '.'), 'kernel ' + fs.readFileSync('/stage1/vmlinuz'),
          'disk ' + fs.readFileSync(12), 'write ' + tried(() => fs.writeFileSync('/run/holdfast/x', '')), 'pid ' + process.pid,
          'interfaces ' + Object.keys(require('node:os').networkInterfaces()).join(' '), 'environment ' + Object.keys(process.env).join(' '), 'done', ''].join('\\n'))
        silence()`,
      plan: { 'qemu-env': list('ONLY=this') },
    })
    await whenLogged(pod, '_console', 'F done')
    ;[qemu = 0] = childrenOf(pod.child.pid)
  })
  after(async () => {
    await pods?.stop()
  })

  const said = (what: string): string | undefined =>
    new RegExp(`stdout F ${what} ?(.*)\n`).exec(fs.readFileSync(path.join(pod.path, 'log/_console.log'), 'utf8'))?.[1]
  const field = (pid: number | undefined, name: string): string | undefined =>
    new RegExp(`^${name}:[\\t ]*(.*)$`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]

  it('is a root with little in it, which it cannot change', () => {
    assert.match(said('root') ?? '', /^(bin )?dev etc (lib\w* )*run stage1 usr$/)
    assert.equal(said('dev'), 'null urandom')
    assert.equal(said('stage1'), 'initrd vmlinuz')
    assert.equal(said('etc'), fs.existsSync('/etc/ld.so.cache') ? 'ld.so.cache' : '')
    assert.equal(said('run'), '')
    assert.equal(said('write'), 'EROFS')
    assert.equal(said('environment'), 'ONLY')
  })

  it('shows it kernel, initrd padded between its archives, and disks', () => {
    assert.equal(said('kernel'), 'kernel')
    assert.equal(said('initrd'), 'initramfs...pod.addresses...')
    assert.equal(said('disk'), 'disk')
  })

  it('is a user without privileges and with no way to any', () => {
    assert.equal(field(qemu, 'Uid'), Array(4).fill(QEMU_USER).join('\t'))
    assert.equal(field(qemu, 'Gid'), Array(4).fill(QEMU_USER).join('\t'))
    assert.equal(field(qemu, 'Groups'), '')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(field(qemu, set) ?? '', /^0+$/)
    assert.equal(field(qemu, 'NoNewPrivs'), '1')
  })

  it('is namespaces of its own, a network with nothing in it among them', () => {
    for (const name of ['mnt', 'pid', 'ipc', 'uts', 'net'])
      assert.notEqual(fs.readlinkSync(`/proc/${qemu}/ns/${name}`), fs.readlinkSync(`/proc/self/ns/${name}`))
    for (const name of ['net', 'mnt'])
      assert.notEqual(fs.readlinkSync(`/proc/${qemu}/ns/${name}`), fs.readlinkSync(`/proc/${pod.child.pid}/ns/${name}`))
    assert.equal(said('pid'), '1')
    assert.equal(said('interfaces'), '')
  })

  it('leaves it no descriptor but ports and disks: no lock that it could give up, no directory of the host', () => {
    const given = fs
      .readdirSync(`/proc/${qemu}/fd`)
      .map((fd) => [Number(fd), fs.readlinkSync(`/proc/${qemu}/fd/${fd}`)])
    const names = new Map(given.map(([fd, target]) => [Number(fd), String(target)]))
    assert.equal(names.get(0), '/dev/null')
    assert.ok(![...names.values()].includes(pod.path))
    for (let fd = 4; fd <= 11; fd++) assert.match(names.get(fd) ?? '', /^socket:/)
    assert.equal(names.get(12), path.join(pods.work, 'disk'))
    // what is above is Node's own: it opens no files but those
    for (const [fd, target] of names)
      assert.ok(fd <= 12 || /^(anon_inode|pipe|\/dev\/null|socket)/.test(target), target)
  })

  it('keeps nothing open in the keeper but the lock and its ends', () => {
    const targets = fs
      .readdirSync(`/proc/${pod.child.pid}/fd`)
      .map((fd) => fs.readlinkSync(`/proc/${pod.child.pid}/fd/${fd}`))
    assert.ok(
      !targets.some((target) => target.endsWith('/disk') || target.endsWith('/node') || target.endsWith('.erofs')),
    )
  })

  it('is locked by a process that has nothing but the lock, and takes no signal', () => {
    const [, holder] = childrenOf(pod.child.pid)
    const given = fs.readdirSync(`/proc/${holder}/fd`).map((fd) => fs.readlinkSync(`/proc/${holder}/fd/${fd}`))
    assert.deepEqual(given, [pod.path, 'anon_inode:[pidfd]'])
    // all but SIGKILL and SIGSTOP, and those that the C library keeps to itself
    assert.match(field(holder, 'SigBlk') ?? '', /^fffffff.7ffbfeff$/)
    assert.equal(
      fs.readFileSync(`/proc/${holder}/stat`, 'latin1').split(' ')[5],
      String(holder),
      'a session of its own',
    )
  })

  it('ends with the keeper when the keeper is killed, and the pod is locked until it has', async () => {
    const other = pods.start({ qemu: `put(CONSOLE, 'up\\n'); silence()` })
    await whenLogged(other, '_console', 'up')
    const [pid] = childrenOf(other.child.pid)
    const gone = fs.openSync(`/proc/${pid}`, 'r') // the process's own, whoever gets the number next
    const lock = fs.openSync(other.path, 'r')
    assert.ok(!tryFlock(lock, 'exclusive'))
    other.child.kill('SIGKILL')
    await other.end // of all who have its standard streams: QEMU and the lock's holder have none of them
    while (!tryFlock(lock, 'exclusive')) await new Promise((resolve) => setImmediate(resolve))
    // a zombie shows no descriptors, and one that was waited for nothing
    assert.throws(() => assert.notEqual(fs.readdirSync(`/proc/self/fd/${gone}/fd`).length, 0))
    for (const fd of [gone, lock]) fs.closeSync(fd)
    assert.ok(!fs.existsSync(path.join(other.path, 'status/_vm.json')))
  })

  it('is refused where it would be root', async () => {
    for (const user of [list('0', '5'), list('5', '0')]) {
      const refused = await pods.run({ qemu: 'silence()', plan: { 'qemu-user': user } })
      assert.equal(refused.status, 254)
      assert.match(refused.stderr, /qemu-user: nothing of a virtual machine runs as root/)
    }
  })

  it('gives no device that is none', async () => {
    for (const device of ['/dev/../etc/shadow', '/dev/shm', '/etc/passwd', '/dev/no-such-thing', '/dev/pts/ptmx']) {
      const refused = await pods.run({ qemu: 'silence()', plan: { 'qemu-devices': list(device) } })
      assert.equal(refused.status, 254)
      assert.match(refused.stderr, /is no device/)
    }
  })

  it('is all gone when the machine has ended', async () => {
    pod.child.kill('SIGTERM')
    await pod.end
    assert.equal(vmEnd(pod).end, 'killed')
    assert.deepEqual(fs.readdirSync(path.join(pod.path, 'stage1')), [])
    assert.deepEqual(fs.readdirSync(pod.path).sort(), ['log', 'plan', 'stage1', 'status'])
  })
})

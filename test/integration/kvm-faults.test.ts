import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { qemuFiles } from '../../stage1/flavours/kvm/index.ts'
import { AgentProxy } from '../support/agent-proxy.ts'
import { flip } from '../support/flip.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run } from '../support/holdfast.ts'
import { HostNetwork, networksImpossible } from '../support/host-network.ts'
import { busyboxTar, writeOciLayout } from '../support/images.ts'
import { KvmPods, leftOf, machineOf, processesOf } from '../support/kvm-pods.ts'
import { KVM } from '../support/measured-flavours.ts'
import { tarMember } from '../support/tar-member.ts'
import {
  assertInStep,
  assertRefused,
  expectRefusal,
  needsWholePath,
  startedPods,
  startNode,
  type WholeNode,
} from '../support/whole-path.ts'

const STAGE1 = join(PROJECT_ROOT, 'build/stage1-kvm.aci')
const PERMIT = `permit (principal, action in [Action::"launch", Action::"enter"], resource)
when { principal.tier == "affirming" };
`
/** What the app does to its kernel, and then to its memory. */
const ATTACK = [
  'kill -9 1; echo c >/proc/sysrq-trigger || echo sysrq refused',
  'dd if=/dev/zero of=/full bs=1048576 || echo full; rm /full; echo x >/more && echo room again; exec tail /dev/zero',
].join('\n')

describe('a virtual machine that comes to harm', () => {
  let node: WholeNode
  let pods: KvmPods
  let proxy: AgentProxy
  let host: HostNetwork

  before(async function () {
    needsWholePath(this)
    KVM.require(this)
    const why = networksImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    host = HostNetwork.make()
    node = await startNode({ policies: { '10.cedar': PERMIT } })
    pods = new KvmPods(node, host.command)
    proxy = await AgentProxy.start(join(node.d.directory, 'proxy.sock'), node.d.agentSocket)
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
    host?.remove()
  })
  afterEach(async () => {
    if (node === undefined) return
    for (const pod of startedPods(node.d)) {
      const uuid = pod.slice(-36)
      if (processesOf(uuid).length > 0) await pods.done('stop', '--force', uuid) // of a test that failed
      await pods.done('rm', uuid)
      assert.deepEqual(leftOf(uuid), [])
    }
    assert.deepEqual(host.traces(), [])
    await assertInStep(node.d)
  })

  const forever = (): Promise<string> => pods.detach(node.image, '--name=app', '--', 'sleep', '1000')

  describe('while it runs', () => {
    it('QEMU is killed: the pod ends and says by what', async () => {
      const uuid = await forever()
      process.kill(machineOf(uuid).pid, 'SIGKILL')
      const { status, exited } = await pods.ended(uuid)
      assert.deepEqual(status.vmEnd, { end: 'vmm-ended', message: 'QEMU was ended by signal 9' })
      assert.deepEqual(
        status.apps.map((app) => [app.exitStatus, app.reason]),
        [[null, 'killed-with-pod']],
      )
      assert.deepEqual(exited, { reason: 'killed', statuses: {} })
      assert.match(await pods.done('status', uuid), /^vm-end=vmm-ended\nvm-message=QEMU was ended by signal 9$/m)
      assert.deepEqual(processesOf(uuid), [])
    })

    it('its keeper is killed: QEMU and virtiofsd end with it, and its network is taken back', async () => {
      const source = join(node.d.directory, 'share')
      mkdirSync(source)
      const volume = ['--volume', `data,kind=host,source=${source}`]
      const mount = ['--mount', 'volume=data,target=/data']
      const uuid = await pods.detach(
        '--net=default',
        ...volume,
        node.image,
        '--name=app',
        ...mount,
        '--',
        'sleep',
        '1000',
      )
      assert.ok(processesOf(uuid).some(({ name }) => name === 'virtiofsd'))
      process.kill(machineOf(uuid).parent, 'SIGKILL')
      const { status, exited } = await pods.ended(uuid)
      assert.deepEqual([status.vmEnd, status.apps[0]?.reason], [null, 'killed-with-pod'])
      assert.deepEqual(processesOf(uuid), [])
      assert.deepEqual(exited, { reason: 'killed', statuses: {} })
    })

    it('a byte of its image changes on the disk: the guest does not read it', async () => {
      const content = randomBytes(1 << 20).toString('hex')
      const layout = join(node.d.directory, 'large')
      const tar = busyboxTar([{ name: 'large', data: content }])
      writeOciLayout(layout, { layers: [{ tar }], config: { Env: ['PATH=/bin'] } })
      const waits = 'until [ -e /go ]; do sleep 0.1; done; cat /large'
      const uuid = await pods.detach(`oci:${layout}:latest`, '--name=app', '--', 'sh', '-c', waits)
      const { tree } = request(uuid).images[0] ?? assert.fail('no image')
      const file = join(node.d.dataDirectory, 'trees', `${tree.split(':').at(-1)}.erofs`)
      corrupt(file, content.slice(1_000_000, 1_000_100))
      assert.deepEqual(pods.enter(uuid, 'app', ['touch', '/go']), { status: 0, stdout: '', stderr: '' })
      const { status, exited } = await pods.ended(uuid)
      assert.equal(status.vmEnd?.end, 'crashed')
      assert.match(status.vmEnd?.message ?? '', /verity: .*data block \d+ is corrupted/)
      assert.deepEqual(exited, { reason: 'killed', statuses: {} })
      assert.equal((await pods.done('logs', uuid)).includes(content.slice(999_900, 1_000_000)), false)
    })
  })

  it('a byte of the hash tree is changed before it boots: the guest does not start', async () => {
    await forever().then((uuid) => pods.done('stop', '--force', uuid)) // makes the hash tree
    const launched = startedPods(node.d).at(-1) ?? assert.fail('no pod')
    const { tree } = request(launched.slice(-36)).images[0] ?? assert.fail('no image')
    const restore = flip(join(node.d.dataDirectory, 'trees', `${tree.split(':').at(-1)}.verity`))
    try {
      const file = join(node.d.directory, 'uuid')
      const ran = await pods.launch('--uuid-file-save', file, node.image, '--name=app', '--', 'echo', 'started')
      assertRefused(ran, 'verity', 'is corrupted')
      const { status, exited } = await pods.ended(readFileSync(file, 'utf8').trim())
      assert.equal(status.vmEnd?.end, 'crashed')
      assert.deepEqual(exited, { reason: 'killed', statuses: {} })
    } finally {
      restore()
    }
  })

  it('it is stopped while it boots: no app has run, and nobody waits for one', async () => {
    const file = join(node.d.directory, 'uuid-booting')
    const launched = pods.launch('--uuid-file-save', file, node.image, '--name=app', '--', 'echo', 'started')
    const uuid = await node.d.agent.waitUntil('a QEMU that boots', async () => {
      const known = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
      return processesOf(known || 'none').some(({ name }) => name.startsWith('qemu-system')) ? known : undefined
    })
    await pods.done('stop', uuid)
    const ran = await launched
    assert.deepEqual([ran.status, ran.stdout], [137, ''], ran.stderr)
    const { status, exited } = await pods.ended(uuid)
    assert.deepEqual(status.vmEnd, { end: 'killed', message: 'stopped while it booted' })
    assert.deepEqual(exited.reason, 'killed')
  })

  it('it is to have more memory than there is: QEMU says so', async () => {
    const file = join(node.d.directory, 'uuid-large')
    const large = ['--uuid-file-save', file, node.image, '--name=app', '--memory=15Ti']
    assertRefused(await pods.launch(...large, '--', 'echo', 'started'), 'QEMU ended with status 1', 'memory')
    const { status, exited } = await pods.ended(readFileSync(file, 'utf8').trim())
    assert.equal(status.vmEnd?.end, 'vmm-ended')
    assert.equal(exited.reason, 'killed')
  })

  it('an app does what it can to kernel and memory: it ends alone, and the pod in order', async () => {
    const words = [
      '--name=app',
      '--',
      'sh',
      '-c',
      ATTACK,
      '---',
      node.image,
      '--name=other',
      '--',
      'sh',
      '-c',
      'exit 0',
    ]
    const ran = await pods.launch(node.image, ...words)
    assert.deepEqual([ran.status, ran.stdout], [137, 'sysrq refused\nfull\nroom again\n'], ran.stderr)
    assert.match(ran.stderr, /Read-only file system[\s\S]*No space left on device/)
    const uuid = (startedPods(node.d)[0] ?? '').slice(-36)
    const { status } = await pods.ended(uuid)
    assert.deepEqual(status.vmEnd, { end: 'poweroff', message: '' })
    assert.deepEqual(
      status.apps.map((app) => [app.exitStatus, app.reason]),
      [
        [137, 'oom-killed'],
        [0, 'exited'],
      ],
    )
  })

  describe('is not started', () => {
    it('without a QEMU that its stage1 names', async () => {
      const stage1 = join(node.d.directory, 'other.aci')
      writeFileSync(stage1, withName('qemu-system-x86_64', 'qemu-system-none64'))
      await expectRefusal(node, ['qemu-system-none64'], () =>
        node.d.launch('--stage1', stage1, '--accel=tcg', node.image, '--', 'true'),
      )
    })

    it('without the stage1 image of the installation, or virtiofsd', async () => {
      const volume = ['--volume', `data,kind=host,source=${node.d.directory}`, '--mount', 'volume=data,target=/data']
      await expectRefusal(node, ['stage1-none.aci'], () =>
        node.d.launch('--stage1=/nowhere/stage1-none.aci', '--accel=tcg', node.image, '--', 'true'),
      )
      await expectRefusal(node, ['virtiofsd'], () =>
        hidden('mount -t tmpfs none /usr/lib/qemu', ...launchWords(), ...volume, node.image, '--', 'true'),
      )
    })

    it('with more memory than any machine has', async () => {
      await expectRefusal(node, ['at most 16777216 MiB of memory', 'POD_UNSUPPORTED'], () =>
        pods.launch(node.image, '--memory=16Ti', '--', 'true'),
      )
    })

    it('by hardware where there is none that works', async function () {
      const ran = await node.d.launch('--stage1=kvm', '--accel=kvm', node.image, '--', 'true')
      if (ran.status === 0) {
        console.log('      skipped: this machine has hardware virtualisation')
        this.skip()
      }
      assertRefused(ran, 'POD_ACCEL_MISSING', 'hardware virtualisation does not work on this machine')
    })

    for (const file of qemuFiles('tcg', existsSync).files) {
      it(`when ${file} was changed after it was allowed`, async () => {
        const copy = join(node.d.directory, 'firmware')
        copyFileSync(file, copy)
        proxy.hook = (_, answer) => {
          assert.equal(answer.status, 200)
          flip(copy)
          return answer
        }
        await expectRefusal(node, ['LAUNCH_CHANGED', file], () =>
          hidden(`mount --bind ${copy} ${file}`, ...launchWords('--agent', proxy.socket), node.image, '--', 'true'),
        )
      })
    }

    it('when somebody has put a pod.cpio of his own into its plan', async () => {
      proxy.hook = (asked, answer) => {
        const { podDirectory } = JSON.parse(asked)
        writeFileSync(join(podDirectory, 'plan/pod.cpio'), 'another')
        return answer
      }
      await expectRefusal(node, ['LAUNCH_CHANGED', 'plan'], () =>
        pods.launch('--agent', proxy.socket, node.image, '--', 'true'),
      )
    })
  })

  const launchWords = (...more: string[]): string[] => ['run', ...node.d.nodeOptions, ...KVM.options, ...more]
  /** Runs holdfast where a mount, which nobody else sees, has been made before. */
  const hidden = (mount: string, ...words: readonly string[]): Promise<Ran> =>
    run('unshare', ['--mount', 'sh', '-c', `${mount} && exec "$@"`, 'sh', HOLDFAST_PROGRAM, ...words])

  /** What was measured of a pod that was started. */
  const request = (uuid: string): { images: readonly { tree: string }[] } => {
    const { answer } = JSON.parse(readFileSync(join(node.d.dataDirectory, 'pods/run', uuid, 'launch.json'), 'utf8'))
    return JSON.parse(answer.request)
  }
})

/** Changes the byte behind a text, in place: whoever has the file open reads the other one. */
function corrupt(file: string, behind: string): void {
  const at = readFileSync(file).indexOf(behind)
  assert.ok(at >= 0)
  const fd = openSync(file, 'r+')
  writeSync(fd, '!', at + behind.length)
  closeSync(fd)
}

/** The stage1 image with another word, of the same length, in its manifest. */
function withName(name: string, other: string): Buffer {
  const aci = readFileSync(STAGE1)
  const at = aci.indexOf(tarMember(aci, 'manifest'))
  aci.write(other, aci.indexOf(name, at), 'latin1')
  return aci
}

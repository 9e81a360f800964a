import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { HostNetwork, networksImpossible } from '../support/host-network.ts'
import { KvmPods, leftOf, processesOf } from '../support/kvm-pods.ts'
import { KVM } from '../support/measured-flavours.ts'
import { assertInStep, assertRefused, expectRefusal, needsWholePath, startNode } from '../support/whole-path.ts'

const PERMIT = `permit (principal, action in [Action::"launch", Action::"enter"], resource)
when { principal.tier == "affirming" };
forbid (principal, action == Action::"enter", resource) when { context.program == "id" };
`
const NO_EMULATION = `${PERMIT}@id("no-emulation")
@description("emulation is no boundary")
forbid (principal, action == Action::"launch", resource)
when { resource has accelerator && resource.accelerator == "tcg" };
`
/** What the app tells first of itself, its directories and its network. */
const WEB = [
  'cat /ro/greeting; echo x >/ro/new || echo "ro: refused"; echo written >/rw/index.html',
  'until [ -s /between/note ]; do sleep 0.1; done; cat /between/note; echo x >/between/note || echo "between: refused"',
  'id -u; id -g; grep -E "^(CapEff|CapBnd|Seccomp|NoNewPrivs):" /proc/self/status; hostname',
  'cat /etc/hosts /etc/resolv.conf; busybox ip -o -4 addr show eth0; busybox ip route',
  'trap "echo asked to end; exit 7" TERM',
  'busybox httpd -p 8000 -h /rw; echo serving',
  'while :; do sleep 0.1; done',
].join('\n')

describe('a pod that is a virtual machine, as its users meet it', () => {
  let host: HostNetwork
  let pods: KvmPods

  before(async function () {
    needsWholePath(this)
    KVM.require(this)
    const why = networksImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    host = HostNetwork.make()
    pods = new KvmPods(await startNode({ policies: { '10.cedar': PERMIT } }), host.command)
  })
  after(async () => {
    await pods?.node.d.stop()
    host?.remove()
  })

  describe('detached, with two apps, a network and volumes', () => {
    let uuid = ''
    let rw: string

    before(async () => {
      const { d, image } = pods.node
      rw = join(d.directory, 'rw')
      const ro = join(d.directory, 'ro')
      for (const directory of [ro, rw]) mkdirSync(directory)
      chmodSync(rw, 0o777)
      writeFileSync(join(ro, 'greeting'), 'of the host\n')
      const volumes = [
        ...['--volume', `rw,kind=host,source=${rw}`, '--volume', `ro,kind=host,source=${ro},readOnly=true`],
        ...['--volume', 'between,kind=empty'],
      ]
      const mount = (name: string): string[] => ['--mount', `volume=${name},target=/${name}`]
      uuid = await pods.detach(
        ...['--net=default', '--port=8000-tcp:127.0.0.1:8080', '--hostname=web-1'],
        ...['--dns=10.9.9.9', '--hosts-entry=10.9.8.7=db', ...volumes],
        ...[image, '--name', 'web', '--memory=48Mi', '--user=1001', '--group=1002', '--caps-retain=CAP_CHOWN'],
        ...['rw', 'ro', 'between'].flatMap(mount),
        ...['--', 'sh', '-c', WEB, '---'],
        ...[image, '--name', 'side', '--cpu=1500m', ...mount('between'), '--', 'sh', '-c'],
        'echo shared >/between/note; echo x >/ro/new || echo "has no other volume"; exec sleep 1000',
      )
      await pods.hasSaid(uuid, 'web', 'serving\n')
    })
    after(async () => {
      if (uuid !== '' && processesOf(uuid).length > 0) await pods.done('stop', '--force', uuid)
    })

    it('says in status and list what it is', async () => {
      const status = await pods.status(uuid)
      assert.deepEqual([status.state, status.accelerator, status.vmEnd], ['running', 'tcg', null])
      assert.match(status.networks?.join() ?? '', /^default:ip4=172\.16\.28\.\d+$/)
      assert.match(await pods.done('status', uuid), /^stage1=kvm sha512-[\s\S]*^accelerator=tcg$/m)
      assert.match(await pods.done('list'), new RegExp(`^${uuid.slice(0, 8)} .*running`, 'm'))
    })

    it('gives each app its user, capabilities, filter, volumes, names and addresses', async () => {
      const said = (await pods.done('logs', '--app', 'web', uuid)).split('\n')
      const expected = [
        ...['of the host', 'ro: refused', 'shared', 'between: refused', '1001', '1002', 'web-1'],
        // no capability without root, and of all that it could get back one
        ...['CapEff:\t0000000000000000', 'CapBnd:\t0000000000000001', 'Seccomp:\t2'],
        ...['10.9.8.7 db', 'nameserver 10.9.9.9'],
      ]
      for (const line of expected) assert.ok(said.includes(line), `${line} is not in ${said.join('\n')}`)
      assert.ok(said.some((line) => /inet 172\.16\.28\.\d+\/\d+/.test(line)))
      assert.ok(said.some((line) => line.startsWith('default via 172.16.28.1 dev eth0')))
      assert.equal(await pods.done('logs', '--app', 'side', uuid), 'has no other volume\n')
      const written = statSync(join(rw, 'index.html'))
      assert.deepEqual([written.uid, written.gid], [1001, 1002])
    })

    it('has the processors and the memory that its apps may use together, as they were measured', () => {
      const launched = readFileSync(join(pods.node.d.dataDirectory, 'pods/run', uuid, 'launch.json'), 'utf8')
      const { memoryMiB, processors } = JSON.parse(JSON.parse(launched).answer.request).guest
      // 128 MiB of its own, and for an app without a limit
      assert.deepEqual([memoryMiB, processors], [128 + 48 + 128, Math.min(2, availableParallelism())])
      const seen = pods.enter(uuid, 'side', ['busybox', 'nproc'])
      assert.deepEqual([seen.status, seen.stdout], [0, `${processors}\n`])
    })

    it('is reached by the port of the host, and reaches its gateway', () => {
      assert.equal(host.run('busybox', 'wget', '-qO-', 'http://127.0.0.1:8080/'), 'written\n')
      const ping = pods.enter(uuid, 'side', ['busybox', 'ping', '-c', '1', '-W', '10', '172.16.28.1'])
      assert.equal(ping.status, 0, JSON.stringify(ping))
    })

    it('is entered with what is on standard input, to the exit status, confined as the app is', () => {
      const script = 'cat; echo no >&2; grep CapBnd /proc/self/status; exit 9'
      const entered = pods.enter(uuid, 'web', ['sh', '-c', script], 'from outside\n')
      assert.deepEqual(entered, { status: 9, stdout: 'from outside\nCapBnd:\t0000000000000001\n', stderr: 'no\n' })
    })

    it('is not entered against a policy', () => {
      assertRefused(pods.enter(uuid, 'web', ['id']), 'LAUNCH_DENIED')
    })

    it('ends when it is stopped, each app in its own way, and leaves nothing but its directory', async () => {
      await pods.done('stop', uuid)
      const { status, exited } = await pods.ended(uuid)
      assert.deepEqual(status.vmEnd, { end: 'poweroff', message: '' })
      assert.deepEqual(
        status.apps.map((app) => [app.name, app.exitStatus, app.reason]),
        [
          ['web', 7, 'exited'],
          ['side', 143, 'signal'],
        ],
      )
      assert.deepEqual(exited, { reason: 'exited', statuses: { side: 143, web: 7 } })
      assert.match(await pods.done('logs', '--app', 'web', uuid), /asked to end\n$/)
      assert.deepEqual(processesOf(uuid), [])
      await pods.done('rm', uuid)
      assert.deepEqual(leftOf(uuid), [])
      assert.deepEqual(host.traces(), [])
    })
  })

  it('gives output, error output and the status of the first app that failed, and gc takes all of it back', async () => {
    const { d, image } = pods.node
    const file = join(d.directory, 'uuid')
    const fails = 'echo out; echo err >&2; until [ -e /go/go ]; do sleep 0.1; done; exit 41'
    const mount = ['--mount', 'volume=go,target=/go']
    const ran = await pods.launch(
      ...['--uuid-file-save', file, '--volume', 'go,kind=empty', image, '--name=a', ...mount, '--', 'sh', '-c', fails],
      ...['---', image, '--name=b', ...mount, '--', 'sh', '-c', 'touch /go/go; exec sleep 1000'],
    )
    assert.deepEqual([ran.status, ran.stdout], [41, 'out\n'])
    assert.match(ran.stderr, /^holdfast run: warning: the virtual machine is emulated[^\n]*\nerr\n$/)
    const uuid = readFileSync(file, 'utf8')
    assert.deepEqual((await pods.ended(uuid)).exited, { reason: 'exited', statuses: { a: 41, b: 143 } })
    await pods.done('gc', '--grace-period=0')
    assert.equal(await pods.done('gc', '--grace-period=0'), '')
    assert.deepEqual(leftOf(uuid), [])
  })

  for (const [option, words] of [
    ['--net=host', ['a virtual machine has a network stack of its own', 'POD_UNSUPPORTED']],
    ['--private-users', ['the users of a virtual machine are its own anyway', 'POD_UNSUPPORTED']],
  ] as const) {
    it(`does not take ${option}, and says so before anything is measured`, async () => {
      const before = (await assertInStep(pods.node.d)).length
      await expectRefusal(pods.node, words, () => pods.launch(option, pods.node.image, '--', 'true'))
      assert.equal((await assertInStep(pods.node.d)).length, before)
    })
  }

  it('is refused where a policy forbids emulation', async () => {
    const { d, image } = pods.node
    await d.setPolicies({ '10.cedar': NO_EMULATION })
    const words = ['LAUNCH_DENIED', 'no-emulation', 'emulation is no boundary']
    await expectRefusal(pods.node, words, () => pods.launch(image, '--', 'true'))
    assert.equal((await d.launch(image, '--', 'true')).status, 0, 'a pod that shares the kernel has no accelerator')
    await d.setPolicies({ '10.cedar': PERMIT })
    await assertInStep(d)
  })
})

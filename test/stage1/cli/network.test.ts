import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { run } from '../../support/holdfast.ts'
import { HostNetwork, networksImpossible } from '../../support/host-network.ts'
import { busyboxTree, PodFixture, podsImpossible, putOciImage, said } from '../../support/pods.ts'
import { ScriptedPlugins } from '../../support/scripted-plugin.ts'
import { handedOver } from '../../support/stage0.ts'
import { inBothWays } from '../../support/whole-path.ts'

inBothWays('holdfast run with CNI networks (real plugins, in a namespace that plays the host)', ({ stage0 }) => {
  let pods: PodFixture
  let host: HostNetwork

  before(async function () {
    const why = podsImpossible() ?? networksImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    host = HostNetwork.make()
    pods = await PodFixture.start({ stage0, inNetwork: host.command })
    const tree = busyboxTree(pods.work, (root) => {
      fs.symlinkSync('/tmp/elsewhere', path.join(root, 'etc/resolv.conf'))
    })
    putOciImage(pods.dir, tree, { name: 'docker://test.invalid/busybox:1', cmd: ['sh'], env: ['PATH=/bin'] })
  })
  after(async () => {
    await pods?.stop()
    host?.remove()
  })
  afterEach(() => {
    if (pods !== undefined) pods.agent.changes = {}
  })

  const sh = (script: string, ...options: string[]) => pods.run([...options, 'busybox', '--', 'sh', '-c', script])
  const launched = () => pods.agent.launches.at(-1) ?? assert.fail('nothing was launched')
  /** Removal waits for whoever still cleans up. */
  const removeAll = async (): Promise<void> => {
    const uuids = ['run', 'exited-garbage'].flatMap((d) => fs.readdirSync(path.join(pods.dir, 'pods', d)))
    const { status, stderr } = await pods.cli(['rm', ...uuids, ...pods.dirOption])
    assert.equal(status, 0, stderr)
    for (const uuid of uuids) assert.equal(fs.existsSync(`/run/holdfast/netns/${uuid}`), false)
  }

  it('gives the pod an address, a way out, names and ports, measures them, and takes all of it back', async () => {
    const before = handedOver(pods.work)
    const child = pods.startRun([
      ...[
        '--net=default',
        '--port=80-tcp:127.0.0.1:8080',
        '--dns=10.9.9.9',
        '--hosts-entry=10.9.8.7=db',
        '--hostname=web-1',
      ],
      ...['busybox', '--', 'sh', '-c'],
      'mkdir /www; hostname >/www/index.html; cat /etc/hosts /etc/resolv.conf >/www/names; ip route >/www/route; httpd -p 80 -h /www; echo up; exec sleep 1000',
    ])
    await said(child, 'up')
    const get = (file: string): string => host.run('busybox', 'wget', '-qO-', `http://127.0.0.1:8080/${file}`)
    assert.equal(get(''), 'web-1\n')
    assert.match(get('names'), /^172\.16\.28\.\d+ web-1$/m)
    assert.match(get('names'), /^10\.9\.8\.7 db$/m)
    assert.match(get('names'), /^nameserver 10\.9\.9\.9$/m)
    assert.match(get('route'), /^default via 172\.16\.28\.1 dev eth0/m)
    const { network, networks, ports, names } = launched()
    assert.equal(network, 'cni')
    assert.deepEqual(
      networks?.map((n) => [n.name, n.plugins.map((p) => path.basename(p.path))]),
      [['default', ['ptp', 'portmap', 'host-local']]],
    )
    assert.deepEqual(ports, [{ name: '80-tcp', protocol: 'tcp', podPort: 80, hostPort: 8080, hostIp: '127.0.0.1' }])
    assert.deepEqual(names, ['dns=10.9.9.9', 'hosts-entry=10.9.8.7=db'])
    assert.ok(host.traces().length > 0)
    const status = await pods.cli(['status', launched().pod.uuid, ...pods.dirOption])
    assert.match(status.stdout, /^networks=default:ip4=172\.16\.28\.\d+$/m)

    const taken = await sh('true', '--net=default', '--port=80-tcp:8080')
    assert.equal(taken.status, 254)
    assert.match(taken.stderr, /port 8080\/tcp of the host already \(NETWORK_PORT_TAKEN\)/)

    child.kill('SIGTERM')
    await removeAll()
    assert.deepEqual(host.traces(), [])
    assert.equal(handedOver(pods.work) - before, stage0 ? 1 : 0)
  })

  it('joins several networks of a directory in their order, and says what it cannot find', async () => {
    const configs = path.join(pods.work, 'net.d')
    fs.mkdirSync(configs)
    const lan = {
      type: 'bridge',
      bridge: 'hf-lan',
      ipam: { type: 'host-local', dataDir: path.join(pods.work, 'ipam'), subnet: '10.77.0.0/24' },
    }
    fs.writeFileSync(path.join(configs, 'lan.conf'), JSON.stringify({ cniVersion: '1.0.0', name: 'lan', ...lan }))
    const pair = { type: 'ptp', ipam: { ...lan.ipam, subnet: '10.78.0.0/24' } }
    fs.writeFileSync(
      path.join(configs, 'pair.conflist'),
      JSON.stringify({ cniVersion: '0.3.1', name: 'pair', plugins: [pair] }),
    )
    const options = ['--net-dir', configs]
    const both = await sh('ip -o -4 addr', ...options, '--net=pair,lan:IP=10.77.0.99;IgnoreUnknown=1')
    assert.match(both.stdout, /eth0 +inet 10\.78\.0\.2\/24[\s\S]*eth1 +inet 10\.77\.0\.99\/24/, both.stderr)
    assert.deepEqual(
      launched().networks?.map((n) => n.args),
      [[], ['IP=10.77.0.99', 'IgnoreUnknown=1']],
    )
    const all = await sh('ip -o -4 addr', ...options, '--net=all')
    assert.match(all.stdout, /eth0 +inet 10\.77\.[\s\S]*eth1 +inet 10\.78\./, all.stderr)
    const unknown = await sh('true', ...options, '--net=wan')
    assert.match(unknown.stderr, /no network is called wan; there are lan, pair \(NETWORK_NOT_FOUND\)/)
    const ports = await sh('true', ...options, '--net=lan', '--port=80-tcp:80')
    assert.match(ports.stderr, /NETWORK_PORTS_IMPOSSIBLE[\s\S]*portmap/)
    const plugins = await sh('true', ...options, '--net=lan', '--cni-dir', configs)
    assert.match(
      plugins.stderr,
      /needs the plugin bridge[\s\S]*NETWORK_PLUGIN_MISSING[\s\S]*containernetworking-plugins/,
    )
    await removeAll()
    assert.deepEqual(host.traces(), ['hf-lan']) // bridges stay, as the plugin has it
    assert.deepEqual(
      fs.readdirSync(path.join(pods.work, 'ipam/pair')).filter((name) => name.startsWith('10.')),
      [],
    )
  })

  it('undoes the network of a launch that is refused before it says so', async () => {
    pods.agent.changes = {
      answer: () => ({
        status: 403,
        body: JSON.stringify({ decision: 'denied', code: 'POLICY_FORBIDS', reasons: ['no'] }),
      }),
    }
    const traces = host.traces()
    const refused = await sh('true', '--net=default', '--port=80-tcp:8081')
    assert.equal(refused.status, 254)
    assert.match(refused.stderr, /POLICY_FORBIDS/)
    assert.deepEqual(host.traces(), traces)
    assert.deepEqual(
      fs.readdirSync('/run/holdfast/netns').filter((uuid) => pods.agent.launches.some((l) => l.pod.uuid === uuid)),
      [],
    )
  })

  it('takes a network back although supervisor and janitor were killed: the next launch does, or rm', async () => {
    const traces = host.traces()
    const start = async (name: string) => {
      const file = path.join(pods.work, name)
      const options = ['--net=default', '--uuid-file-save', file]
      const child = pods.startRun([...options, 'busybox', '--', 'sh', '-c', 'echo up; exec sleep 1000'])
      await said(child, 'up')
      return { child, uuid: fs.readFileSync(file, 'utf8').trim() }
    }
    const [one, two] = await Promise.all([start('one'), start('two')])
    for (const pid of janitorsOf(pods.dir)) process.kill(pid, 'SIGKILL')
    one.child.kill('SIGKILL')
    await hasEnded(pods, one.uuid)
    assert.ok(fs.existsSync(`/run/holdfast/netns/${one.uuid}`))
    assert.equal((await sh('true', '--net=default')).status, 0)
    assert.equal(fs.existsSync(`/run/holdfast/netns/${one.uuid}`), false)
    assert.ok(fs.existsSync(`/run/holdfast/netns/${two.uuid}`))
    two.child.kill('SIGKILL')
    await hasEnded(pods, two.uuid)
    await removeAll()
    assert.deepEqual(host.traces(), traces)
  })

  // by the server the process that is called does not run the plugins
  if (!stage0)
    it('undoes nothing while a plugin is at work although stage0 was killed, and everything when it has ended', async () => {
      const plugins = new ScriptedPlugins(pods.work, 'one', 'two')
      const [configs, fifo] = [path.join(pods.work, 'net.slow'), plugins.fifo('gate')]
      fs.mkdirSync(configs)
      const slow = { cniVersion: '1.0.0', name: 'slow', plugins: [{ type: 'one' }, { type: 'two', wait: fifo }] }
      fs.writeFileSync(path.join(configs, 'slow.conflist'), JSON.stringify(slow))
      const child = pods.startRun([
        '--net=slow',
        '--net-dir',
        configs,
        '--cni-dir',
        plugins.directory,
        'busybox',
        '--',
        'true',
      ])
      while (plugins.calls().length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
      const uuid = path.basename(plugins.calls()[1]?.namespace ?? '')
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
      const directory = path.join(pods.dir, 'pods/run', uuid)
      assert.equal((await run('flock', ['-n', '-s', directory, 'true'])).status, 1)
      fs.writeFileSync(fifo, 'go\n')
      await hasEnded(pods, uuid)
      await removeAll()
      assert.deepEqual(
        plugins.calls().map((c) => `${c.command} ${c.type}`),
        ['ADD one', 'ADD two', 'DEL two', 'DEL one'],
      )
    })

  // and prepared pods are launched by a process of their own
  if (!stage0)
    it('leaves a prepared pod prepared where nobody could be asked, and connects it when it is launched', async () => {
      const traces = host.traces()
      const prepared = await pods.cli([
        ...['prepare', ...pods.dirOption, ...pods.configOptions, '--port=80-tcp:8082'],
        ...['busybox', '--', 'sh', '-c', 'ip -o -4 addr'],
      ])
      const uuid = prepared.stdout.trim()
      const launch = (agent: string) =>
        pods.cli([
          'run-prepared',
          ...pods.dirOption,
          ...pods.configOptions,
          '--agent',
          agent,
          '--trust',
          pods.agent.trust,
          '--net=default',
          uuid,
        ])
      const missing = await launch(path.join(pods.work, 'nobody.sock'))
      assert.match(missing.stderr, /AGENT_MISSING/)
      assert.deepEqual(host.traces(), traces)
      const connected = await launch(pods.agent.socket)
      assert.match(connected.stdout, /eth0 +inet 172\.16\.28\./, connected.stderr)
      await removeAll()
    })

  it('refuses ports where there is no network of the pod’s own, and keeps names for none and host', async () => {
    for (const net of ['none', 'host']) {
      const refused = await sh('true', `--net=${net}`, '--port=80-tcp:80')
      assert.match(refused.stderr, /NETWORK_PORTS_IMPOSSIBLE/)
    }
    assert.equal((await sh('cat /etc/hosts', '--hosts-entry=10.0.0.1=a')).stdout.split('\n').at(-2), '10.0.0.1 a')
    const copied = await sh('cat /etc/resolv.conf', '--net=host')
    assert.equal(copied.stdout, fs.existsSync('/etc/resolv.conf') ? fs.readFileSync('/etc/resolv.conf', 'utf8') : '')
  })
})

/** When nobody holds the pod's lock any more. */
async function hasEnded(pods: PodFixture, uuid: string): Promise<void> {
  const { status } = await run('flock', ['-s', path.join(pods.dir, 'pods/run', uuid), 'true'])
  assert.equal(status, 0)
}

function janitorsOf(dir: string): number[] {
  const pids = fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))
  return pids.map(Number).filter((pid) => {
    const words = commandLine(pid)
    return words[1] === 'network' && words[2]?.startsWith(dir)
  })
}

function commandLine(pid: number): string[] {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return [] // gone meanwhile
  }
}

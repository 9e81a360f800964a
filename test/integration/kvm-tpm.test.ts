import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { nodeIdOf } from '../../attestation/tpm2/index.ts'
import { AgentProxy } from '../support/agent-proxy.ts'
import { HOLDFAST_PROGRAM, type Ran, Service } from '../support/holdfast.ts'
import { IN_TIME, KvmPods, machineOf, processesOf } from '../support/kvm-pods.ts'
import { KVM } from '../support/measured-flavours.ts'
import { startSwtpm } from '../support/swtpm.ts'
import {
  assertInStep,
  assertRefused,
  expectRefusal,
  needsWholePath,
  startNode,
  type WholeNode,
} from '../support/whole-path.ts'

/** TPM2_PCR_Read of PCR 11 in the SHA-256 bank; its answer has 62 bytes, the digest last. */
const PCR_READ = '\\200\\001\\000\\000\\000\\024\\000\\000\\001\\176\\000\\000\\000\\001\\000\\013\\003\\000\\010\\000'
const READS_PCR = `exec 3<>/dev/tpmrm0; printf '${PCR_READ}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \\n'; echo`
/** Commands of a TPM from standard input to it, one at a time, and its answers back; each is written and read at once. */
const PASSES_COMMANDS =
  'exec 3<>/dev/tpmrm0; while dd bs=4096 count=1 of=/tmp/c 2>/dev/null && [ -s /tmp/c ]; do dd bs=4096 if=/tmp/c >&3 2>/dev/null; dd bs=4096 count=1 <&3 2>/dev/null; done'
/** A handle of the EK on P-384, and where its certificate is. */
const EK = '0x81010016'
const CERTIFICATE = '0x01c00016'

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const PERMIT = `permit (principal, action in [Action::"launch", Action::"enter"], resource)
when { principal.tier == "affirming" };
`

/** Tiers of the findings of one rule, in a verdict as `nodes show` prints it. */
const rulesOf = (verdict: { findings: readonly { rule: string; tier: string }[] }, rule: string): string[] =>
  verdict.findings.filter((f) => f.rule === rule).map((f) => f.tier)

interface Guest {
  readonly archive: string
  readonly tpm?: { readonly node: string; readonly certificate: string; readonly authority: string }
}

describe('a pod that is a virtual machine with a TPM of its own', () => {
  let node: WholeNode
  let pods: KvmPods

  before(async function () {
    needsWholePath(this)
    KVM.require(this)
    node = await startNode({
      policies: { '10.cedar': PERMIT },
      verifierSettings: '  pods: admit\nattestation:\n  periodSeconds: 2\n',
    })
    pods = new KvmPods(node)
  })
  after(async () => {
    await node?.d.stop()
  })

  const launch = async (script: string, ...options: string[]): Promise<Ran & { uuid: string; pod: string }> => {
    const { d, image } = node
    const uuidFile = join(d.directory, 'uuid')
    const words = [...KVM.options, '--uuid-file-save', uuidFile, ...options]
    const ran = await d.launch(...words, image, '--name', 'app', '--user=1001', '--', 'sh', '-c', script)
    const uuid = readFileSync(uuidFile, 'utf8').trim()
    return { ...ran, uuid, pod: join(d.dataDirectory, 'pods/run', uuid) }
  }
  const onPods = (command: string, ...words: string[]): Promise<Ran> =>
    node.d.holdfast(command, '--dir', node.d.dataDirectory, ...words)
  const measured = (pod: string): Guest =>
    JSON.parse(JSON.parse(readFileSync(join(pod, 'launch.json'), 'utf8')).answer.request).guest

  it('finds in it what it was started with, and is measured with the key by which verifiers know it', async () => {
    const ran = await launch(`ls /dev | grep tpm; ${READS_PCR}`, '--tpm')
    assert.equal(ran.status, 0, ran.stderr)
    const [device, answer = ''] = ran.stdout.split('\n')
    assert.equal(device, 'tpmrm0') // and no other
    const { archive, tpm } = measured(ran.pod)
    const expected = sha256(new Uint8Array(32), Buffer.from(archive, 'hex')).toString('hex')
    assert.equal(answer.slice(-64), expected, answer)
    assert.ok(tpm !== undefined)

    const records = await assertInStep(node.d)
    const said = JSON.stringify(records)
    for (const program of ['swtpm', 'swtpm_setup', 'libtpms.so.0']) assert.ok(said.includes(`/${program}"`), program)

    const { answer: agents } = JSON.parse(readFileSync(join(ran.pod, 'launch.json'), 'utf8')) as {
      answer: { request: string }
    }
    const measuredAs = sha256(Buffer.from(agents.request)).toString('hex')
    const inLog = records.filter((r) => r.record === 'pod' && r.uuid === ran.uuid && r.request === measuredAs)
    assert.equal(inLog.length, 1) // with the TPM in it

    const state = join(ran.pod, 'tpm')
    const told = statSync(state)
    assert.equal(told.mode & 0o7777, 0o700)
    assert.ok(told.uid > 0x7000_0000, String(told.uid))
    const powered = await startSwtpm({ directory: state, caCertificates: [], remove: async () => {} })
    try {
      const read = join(powered.directory, 'read')
      await powered.tool('tpm2_readpublic', '-c', EK, '-f', 'tpmt', '-o', read)
      assert.equal(nodeIdOf(readFileSync(read)), tpm.node)
      await powered.tool('tpm2_nvread', CERTIFICATE, '-o', read)
      assert.equal(sha256(readFileSync(read)).toString('hex'), tpm.certificate)
    } finally {
      await powered.stop()
    }

    const status = await onPods('status', ran.uuid)
    assert.ok(status.stdout.split('\n').includes(`tpm-node=${tpm.node}`), status.stdout)
    const listed = JSON.parse((await onPods('list', '--format=json')).stdout) as { uuid: string; tpmNode: string }[]
    assert.equal(listed.find(({ uuid }) => uuid === ran.uuid)?.tpmNode, tpm.node)

    const removed = await onPods('rm', ran.uuid)
    assert.deepEqual([removed.status, existsSync(ran.pod)], [0, false], removed.stderr)
  })

  it('has one also when it is prepared first, which shows itself only when it is launched', async () => {
    const { d, image } = node
    const prepared = await d.holdfast(
      ...['prepare', '--dir', d.dataDirectory, '--stage1=kvm', '--tpm', image, '--', 'sh', '-c', READS_PCR],
    )
    assert.equal(prepared.status, 0, prepared.stderr)
    const uuid = prepared.stdout.trim()
    assert.ok(!existsSync(join(d.dataDirectory, 'pods/prepared', uuid, 'tpm')))
    const options = [...d.nodeOptions.slice(0, -2), '--accel=tcg'] // but --stage0
    const missing = ['--agent', join(d.directory, 'nobody.sock')]
    assertRefused(await d.holdfast('run-prepared', ...options, ...missing, uuid), 'AGENT_MISSING')
    assert.ok(!existsSync(join(d.dataDirectory, 'pods/prepared', uuid, 'tpm')))
    const ran = await d.holdfast('run-prepared', ...options, uuid)
    assert.equal(ran.status, 0, ran.stderr)
    const { archive } = measured(join(d.dataDirectory, 'pods/run', uuid))
    assert.ok(ran.stdout.includes(sha256(new Uint8Array(32), Buffer.from(archive, 'hex')).toString('hex')), ran.stdout)
  })

  it('is not had by a pod that shares the kernel of the host', async () => {
    const ran = await node.d.launch('--tpm', node.image, '--', 'echo', 'started')
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /only a virtual machine has a TPM of its own \(POD_UNSUPPORTED\)/)
  })

  // Node in an emulated guest takes long: an app in the pod passes commands on, from an agent outside to the guest's TPM.
  it('is attested by the verifier of its host, with what its guest measured', async () => {
    const { d } = node
    const uuid = await pods.detach('--tpm', node.image, '--name', 'app', '--', 'sleep', '1000')
    const { archive, tpm } = measured(join(d.dataDirectory, 'pods/run', uuid))
    const directory = mkdtempSync(join(d.directory, 'agent-of-pod-'))
    const relay = join(directory, 'relay')
    const entered = ['--dir', d.dataDirectory, '--agent', d.agentSocket, '--trust', d.trustFile, '--app', 'app', uuid]
    const command = [HOLDFAST_PROGRAM, 'enter', ...entered, 'sh', '-c', `'${PASSES_COMMANDS}'`].join(' ')
    writeFileSync(relay, `#!/bin/sh\nexec ${command}\n`, { mode: 0o755 })
    const agent = startAgentOfPod(directory, `cmd:${relay}`)
    try {
      const known = await verdictOf(agent, tpm?.node ?? assert.fail())
      const host = (await d.status()).nodeId
      assert.deepEqual([known.kind, known.host, known.pod, known.admittedBy], ['pod', host, uuid, 'host'])
      assert.equal(known.tier, 'affirming', JSON.stringify(known.verdicts))
      const evidence = join(directory, 'evidence')
      await d.expect('evidence', 'collect', '--socket', join(directory, 'run/agent.sock'), '--output', evidence)
      const shown = await d.expect('evidence', 'show', evidence, '--json')
      assert.ok(shown.includes(sha256(new Uint8Array(32), Buffer.from(archive, 'hex')).toString('hex')), shown)
    } finally {
      await agent.stop()
      await pods.done('stop', '--force', uuid)
    }
  })

  /** A real agent on a pod's TPM. */
  function startAgentOfPod(directory: string, tcti: string): Service {
    const { d } = node
    const config = join(directory, 'agent.yaml')
    const verifier = `verifier:\n  url: wss://127.0.0.1:${d.verifierPort}/v1/agent\n  trust: ${d.trustFile}\n`
    const places = `dataDirectory: ${join(directory, 'data')}\nrunDirectory: ${join(directory, 'run')}\n`
    writeFileSync(config, `tcti: "${tcti}"\nmode: enforce\n${places}${verifier}`)
    return Service.start('agent of the pod', join(directory, 'log'), HOLDFAST_PROGRAM, ['agent', '--config', config])
  }

  /** As `nodes show` has the node, once it was judged. */
  const verdictOf = (agent: Service, id: string) =>
    agent.waitUntil('a verdict of the pod', async () => {
      const shown = ['nodes', 'show', '--config', node.d.verifierConfig, '--format=json', id]
      const ran = await node.d.holdfast(...shown)
      const told = ran.status === 0 ? JSON.parse(ran.stdout) : undefined
      return told?.verdicts.length > 0 ? told : undefined
    })

  it('is a node for no longer than its pod runs, also where somebody has copied the TPM', async () => {
    const { d } = node
    const uuid = await pods.detach('--tpm', node.image, '--name', 'app', '--', 'sleep', '1000')
    const state = mkdtempSync(join(d.directory, 'tpm-of-pod-'))
    cpSync(join(d.dataDirectory, 'pods/run', uuid, 'tpm'), state, { recursive: true })
    const tpm = await startSwtpm({ directory: state, caCertificates: [], remove: async () => {} })
    const agent = startAgentOfPod(state, tpm.tcti)
    const id = measured(join(d.dataDirectory, 'pods/run', uuid)).tpm?.node ?? assert.fail()
    const shown = () => d.expect('nodes', 'show', '--config', d.verifierConfig, '--format=json', id)
    try {
      assert.equal((await verdictOf(agent, id)).tier, 'warning')
      await pods.done('stop', '--force', uuid)
      await pods.done('status', `--wait=${IN_TIME}`, uuid)
      const after = await agent.waitUntil('what became of it', async () => {
        const told = JSON.parse(await shown())
        return told.standing === 'failed' ? told : undefined
      })
      assert.deepEqual(rulesOf(after.verdicts[0], 'pod.host'), ['contraindicated'])
    } finally {
      await agent.stop()
      await tpm.stop()
      if (processesOf(uuid).length > 0) await pods.done('stop', '--force', uuid)
    }
  })

  describe('while it runs', () => {
    let uuid = ''
    before(async () => {
      uuid = await pods.detach('--tpm', node.image, '--name', 'app', '--', 'sleep', '1000')
    })
    after(async () => {
      if (uuid !== '' && processesOf(uuid).length > 0) await pods.done('stop', '--force', uuid)
    })
    const swtpm = () => processesOf(uuid).find(({ name }) => name === 'swtpm') ?? assert.fail('there is no swtpm')
    const field = (pid: number, name: string): string =>
      new RegExp(`^${name}:[\\t ]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''

    it('is there for a program that is entered, too', () => {
      const entered = pods.enter(uuid, 'app', ['sh', '-c', READS_PCR])
      assert.equal(entered.stdout.trim().length, 2 * 62, JSON.stringify(entered))
    })

    it('is a process with nothing but its state, of a user that is not QEMU’s', () => {
      const { pid, parent } = swtpm()
      assert.equal(parent, machineOf(uuid).parent)
      const user = field(pid, 'Uid').split('\t')
      assert.ok(Number(user[0]) > 0x7000_0000 && new Set(user).size === 1, user.join())
      assert.notEqual(user[0], field(machineOf(uuid).pid, 'Uid').split('\t')[0])
      const wanted = {
        CapEff: '0000000000000000',
        CapBnd: '0000000000000000',
        NoNewPrivs: '1',
        Seccomp: '2',
        Groups: '',
      }
      const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, field(pid, name).trim()]))
      assert.deepEqual(found, wanted)
      assert.match(readdirSync(`/proc/${pid}/root`).sort().join(' '), /^(bin )?dev etc (lib\w* )*state usr$/)
      assert.deepEqual(readdirSync(`/proc/${pid}/root/dev`).sort(), ['null', 'urandom'])
      assert.ok(readdirSync(`/proc/${machineOf(uuid).pid}/root`).every((name) => name !== 'state'))
    })

    it('takes the pod with it when it ends, and the pod says so', async () => {
      process.kill(swtpm().pid, 'SIGKILL')
      const { status } = await pods.ended(uuid)
      assert.equal(status.vmEnd?.end, 'vmm-ended')
      assert.match(status.vmEnd?.message ?? '', /^the TPM \(swtpm\) ended/)
      assert.deepEqual(processesOf(uuid), [])
    })
  })

  it('is refused where another directory is in its place when the agent has answered', async () => {
    const { d, image } = node
    const other = await launch('true', '--tpm')
    assert.equal(other.status, 0, other.stderr)
    const proxy = await AgentProxy.start(join(d.directory, 'proxy.sock'), d.agentSocket)
    try {
      proxy.hook = (asked, answer) => {
        const { podDirectory: pod }: { podDirectory: string } = JSON.parse(asked)
        renameSync(join(pod, 'tpm'), join(pod, 'before'))
        renameSync(join(other.pod, 'tpm'), join(pod, 'tpm'))
        return answer
      }
      const words = [...d.nodeOptions, '--agent', proxy.socket, ...KVM.options, '--tpm', image, '--', 'echo', 'started']
      await expectRefusal(node, ['LAUNCH_CHANGED', '/tpm was changed after it was measured'], () =>
        d.holdfast('run', ...words),
      )
    } finally {
      await proxy.stop()
    }
  })
})

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openStore, type Store } from '../../attestation/store/index.ts'
import { nodeIdOf } from '../../attestation/tpm2/index.ts'
import { AgentPeer, claimsOf, SoftNode } from '../support/agent-peer.ts'
import { HOLDFAST } from '../support/holdfast.ts'
import { launchRequest } from '../support/launch-request.ts'
import { startPostgresOrSkip, type TestPostgres } from '../support/postgres.ts'
import { SoftTpm } from '../support/soft-tpm.ts'
import { TcpBalancer } from '../support/tcp-balancer.ts'
import { tempDir } from '../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../support/verifier.ts'

const NODES = 8
const SILENT_S = 4
const pod = (n: number) => ({
  pod: { ...launchRequest().pod, uuid: `00000000-0000-4000-8000-${n.toString().padStart(12, '0')}` },
})

interface Verifier {
  readonly directory: string
  readonly process: ChildProcess
  readonly port: number
}

describe('several verifiers of one fleet', () => {
  const dir = tempDir()
  const tpms = Array.from({ length: NODES }, () => new SoftTpm())
  const children: ChildProcess[] = []
  const peers: AgentPeer[] = []
  const ports: number[] = []
  let server: TestPostgres | undefined
  let url = ''
  let store: Store
  let balancer: TcpBalancer
  let first: Verifier
  let second: Verifier
  let nodes: SoftNode[]

  const start = async (name: string): Promise<Verifier> => {
    const directory = join(dir.path, name)
    const config = join(dir.path, `${name}.yaml`)
    const settings = [
      'listen: 127.0.0.1:0',
      `dataDirectory: ${directory}`,
      `policies: ${join(dir.path, 'policies')}`,
      `enrolment: {admission: listed, listed: [${tpms.map((tpm) => nodeIdOf(tpm.ekPublic)).join(', ')}]}`,
      `attestation: {periodSeconds: 1, silentAfterSeconds: ${SILENT_S}}`,
      'limits: {connectionsPerAddressPerSecond: 1000}',
    ]
    writeFileSync(config, `${settings.join('\n')}\n`)
    const env = { ...process.env, DATABASE_URL: url }
    const child = spawn(HOLDFAST, ['verifier', '--config', config], { env, stdio: ['ignore', 'ignore', 'pipe'] })
    children.push(child)
    const said: string[] = []
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line)
      const { msg, port } = line.startsWith('{') ? JSON.parse(line) : { msg: line, port: 0 }
      if (msg !== 'verifier listens') continue
      child.stderr.resume()
      return { directory, process: child, port }
    }
    throw new Error(`verifier ${name} ended: ${said.join('\n')}`)
  }
  const end = async ({ process }: Verifier, signal: NodeJS.Signals): Promise<void> => {
    if (process.exitCode !== null || process.signalCode !== null) return
    process.kill(signal)
    await once(process, 'exit')
  }
  /** To one verifier, or to whichever the balancer chooses. */
  const connect = async (node: SoftNode, port = balancer.port): Promise<AgentPeer> => {
    const peer = await AgentPeer.connect(node, { port, ca: readFileSync(join(first.directory, 'ca.pem'), 'utf8') })
    peers.push(peer)
    return peer
  }
  const nodeAt = (n: number): SoftNode => {
    const node = nodes[n]
    assert.ok(node)
    return node
  }

  before(async function () {
    server = await startPostgresOrSkip(this)
    url = await server.database()
    mkdirSync(join(dir.path, 'policies'))
    writeFileSync(join(dir.path, 'policies/test.cedar'), PERMIT_AFFIRMED)
    first = await start('first')
    // what makes it the same verifier to agents: trust.json tells them these keys
    mkdirSync(join(dir.path, 'second'), { mode: 0o700 })
    for (const file of ['ticket-key.pem', 'ca-key.pem', 'tls-key.pem']) {
      copyFileSync(join(first.directory, file), join(dir.path, 'second', file))
    }
    second = await start('second')
    const [trust, same] = [first, second].map((v) => readFileSync(join(v.directory, 'trust.json'), 'utf8'))
    assert.equal(same, trust)
    ports.push(first.port, second.port)
    balancer = await TcpBalancer.start(ports)
    store = await openStore(url, { exclusive: false, create: false })
    const { verifierId } = JSON.parse(readFileSync(join(first.directory, 'trust.json'), 'utf8'))
    nodes = tpms.map((tpm) => new SoftNode(tpm, verifierId))
  })
  afterEach(async () => {
    for (const peer of peers.splice(0)) await peer.close()
  })
  after(async () => {
    for (const child of children) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
    }
    await balancer?.stop()
    await store?.close()
    await server?.stop()
    dir.remove()
  })

  it('share what they know: a node that enrolled at one proves itself to the other', async () => {
    for (const node of nodes) {
      const peer = await connect(node)
      assert.equal((await peer.enrol()).admission, 'admitted')
      assert.equal((await peer.prove()).tier, 'affirming')
      await peer.close()
    }
    for (const port of ports) {
      assert.ok((balancer.served.get(port) ?? 0) > 0, 'the balancer has used both')
      for (const node of nodes.slice(0, 2)) assert.equal((await (await connect(node, port)).login()).tier, 'affirming')
    }
  })

  it('take no evidence for the nonce of the other', async () => {
    const one = await connect(nodeAt(0), first.port)
    await one.login()
    const other = await connect(nodeAt(0), second.port)
    other.hello()
    await other.next('status')
    await other.next('challenge')
    other.nonce = one.nonce
    other.quote({ t: 'evidence', purpose: 'session' })
    assert.equal(await other.refused(), 'NONCE_UNKNOWN')
  })

  it('let one connection of a node speak: what it has proved elsewhere since voids the other', async () => {
    const one = await connect(nodeAt(1), first.port)
    await one.login()
    const other = await connect(nodeAt(1), second.port)
    await other.login()
    const { request, bytes } = nodeAt(1).measured(pod(1))
    one.quote({ t: 'launch', id: 1, request: bytes })
    assert.equal(await one.refused(), 'NODE_CHANGED')
    assert.deepEqual(await store.decisions(nodeAt(1).nodeId, 10), [])
    const answer = await other.launch(bytes)
    assert.equal(answer.t, 'ticket')
    if (answer.t === 'ticket') nodeAt(1).launch(claimsOf(answer.ticket))
    assert.equal((await store.decisions(nodeAt(1).nodeId, 10))[0]?.podUuid, request.pod.uuid)
    // the launch was authorised by one and is understood by the other
    assert.equal((await (await connect(nodeAt(1), first.port)).login()).tier, 'affirming')
  })

  it('find a log that lost a record of what the other has seen, and a reset that is none', async () => {
    const one = await connect(nodeAt(2), first.port)
    await one.login()
    const shortened = nodeAt(2).log
    const answer = await one.launch(nodeAt(2).measured(pod(2)).bytes)
    assert.equal(answer.t, 'ticket')
    if (answer.t === 'ticket') nodeAt(2).launch(claimsOf(answer.ticket))
    await one.close()
    const attacker = new SoftNode(nodeAt(2).tpm, nodeAt(2).verifierId)
    attacker.log = shortened
    const other = await connect(attacker, second.port)
    assert.equal((await other.login()).tier, 'contraindicated')
    assert.equal((await store.node(attacker.nodeId))?.tier, 'contraindicated')

    const { tpm } = nodeAt(3)
    await (await connect(nodeAt(3), first.port)).login()
    tpm.clock = { ...tpm.clock, resetCount: tpm.clock.resetCount - 1 }
    const back = await connect(nodeAt(3), second.port)
    assert.equal((await back.login()).tier, 'contraindicated')
  })

  it('lose nobody when one is killed in the middle of rounds and launches, and trust nobody unasked', async () => {
    const live = [4, 5, 6]
    const gone = nodeAt(7)
    const absent = await connect(gone, first.port)
    assert.equal((await absent.login()).tier, 'affirming')
    const authorised = new Map<string, number>()
    let killed: Promise<void> | undefined
    const answers = { before: 0, after: 0 }
    /** Launches pods one after another at whichever verifier answers, until some have gone through after the kill. */
    const work = async (n: number): Promise<void> => {
      const node = nodeAt(n)
      let peer: AgentPeer | undefined
      for (let i = 0, after = 0; after < 3; i++) {
        assert.ok(i < 200, 'a verifier answers in the end')
        try {
          if (peer === undefined) {
            peer = await connect(node)
            const { tier } = await peer.login()
            assert.equal(tier, 'affirming', JSON.stringify(await store.verdicts(node.nodeId, 1)))
          }
          const { request, bytes } = node.measured(pod(n * 1000 + i))
          const answer = await peer.launch(bytes).catch((err) => {
            // no ticket came, so the agent measures that the pod was denied
            node.record({ record: 'denied', uuid: request.pod.uuid, request: 'c'.repeat(64), code: 'UPLINK_LOST' })
            throw err
          })
          assert.equal(answer.t, 'ticket')
          if (answer.t === 'ticket') {
            authorised.set(request.pod.uuid, n)
            node.launch(claimsOf(answer.ticket))
          }
          if (killed === undefined) answers.before++
          else {
            answers.after++
            after++
          }
          if (answers.before >= 6) killed ??= end(first, 'SIGKILL')
        } catch (err) {
          if (err instanceof assert.AssertionError) throw err
          await peer?.close()
          peer = undefined
        }
      }
    }
    await Promise.all(live.map(work))
    await killed
    assert.equal(first.process.signalCode, 'SIGKILL')
    for (const n of live) {
      const node = nodeAt(n)
      const kept = await store.decisions(node.nodeId, 1000)
      const mine = [...authorised].filter(([, of]) => of === n).map(([uuid]) => uuid)
      for (const uuid of mine) {
        assert.equal(kept.filter((d) => d.podUuid === uuid && d.outcome === 'allowed').length, 1, uuid)
      }
      const tickets = kept.map((d) => d.ticketId).filter((id) => id !== undefined)
      assert.equal(new Set(tickets).size, tickets.length, 'each ticket once')
    }
    // who was at the one that died and went nowhere is not taken for good for long
    const deadline = Date.now() + 20_000
    let standing = (await store.node(gone.nodeId))?.standing
    while (standing !== 'stale' && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 200))
      standing = (await store.node(gone.nodeId))?.standing
    }
    assert.equal(standing, 'stale')
    assert.equal((await (await connect(gone)).login()).tier, 'affirming')
  })

  it('go one after another through an upgrade, and the fleet goes on', async () => {
    await end(first, 'SIGTERM') // killed already, unless the test before was not run
    first = await start('first')
    ports[0] = first.port
    await end(second, 'SIGTERM')
    const node = nodeAt(0)
    assert.equal((await (await connect(node)).login()).tier, 'affirming')
    second = await start('second')
    ports[1] = second.port
    assert.equal((await (await connect(node, second.port)).login()).tier, 'affirming')
  })

  it('refuse a store that belongs to another ticket key', async () => {
    await assert.rejects(start('stranger'), /STORE_CONFLICT/)
  })
})

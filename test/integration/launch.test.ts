import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import type { LaunchLogContent } from '../../attestation/event-log/index.ts'
import { nspawnStage1Image } from '../../stage1/flavours/nspawn/index.ts'
import { pushImage } from '../demo/image.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran } from '../support/holdfast.ts'
import { type Registry, startRegistry } from '../support/registry.ts'
import { handedOver } from '../support/stage0.ts'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  inBothWays,
  needsWholePath,
  quiet,
  seenByVerifier,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

const PERMIT = `@id("affirmed-nodes")
permit (principal, action == Action::"launch", resource) when { principal.tier == "affirming" };
`
const NO_HOST_NETWORK = `${PERMIT}@id("no-host-network")
@description("no pod shares the network of its host")
forbid (principal, action == Action::"launch", resource) when { resource.network == "host" };
`

/** At the first use, and when it changes: no record of a stage1 or an image says what the last one of the same has said. */
function assertMeasuredOnChange(records: readonly LaunchLogContent[]): void {
  const last = new Map<string, string>()
  for (const record of records) {
    if (record.record !== 'stage1' && record.record !== 'image') continue
    const of = `${record.record} ${record.id}`
    const said = JSON.stringify(record)
    assert.notEqual(last.get(of), said, 'measured again without a change')
    last.set(of, said)
  }
  assert.ok(last.size >= 2, 'a stage1 and an image')
}

inBothWays('a launch, from holdfast run to the end of the pod', (options) => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode(options)
  })
  after(async () => {
    for (const end of waiting) end()
    await node?.d.stop()
  })

  it('starts two apps of one image, whose tree is verified for the first time', async () => {
    const other = ['---', node.image, '--name=b', '--', 'true']
    const ran = await node.d.launch(node.image, '--name=a', '--', 'echo', 'a', ...other)
    assert.deepEqual(ran, { status: 0, stdout: 'a\n', stderr: '' })
  })

  it("delivers the pod's output, error output and exit status", async () => {
    const before = handedOver(node.d.directory)
    const ran = await node.d.launch(node.image, '--', 'sh', '-c', 'echo out; echo err >&2; exit 41')
    assert.deepEqual(ran, { status: 41, stdout: 'out\n', stderr: 'err\n' })
    assert.equal(handedOver(node.d.directory) - before, options.stage0 ? 1 : 0)
  })

  it('leaves agent, image, pod, launch and exit in the log, in this order, and in the register', async () => {
    const uuid = await launchedUuid(node, 'sh', '-c', 'exit 5')
    const records = await assertInStep(node.d)
    assert.equal(records[0]?.record, 'agent')
    assert.deepEqual(kindsOf(records, uuid), ['pod', 'launch', 'exited'])
    const exited = records.find((r) => r.record === 'exited' && r.uuid === uuid)
    assert.deepEqual(exited, { record: 'exited', uuid, reason: 'exited', statuses: { busybox: 5 } })
    assertMeasuredOnChange(records)
  })

  it('shows the same log as table and as CEL-JSON', async () => {
    const { log } = await quiet(node.d)
    const table = await node.d.expect('log', '--socket', node.d.agentSocket)
    assert.equal(table.split('\n').length, log.records)
    const json: unknown = JSON.parse(await node.d.expect('log', '--format=json', '--socket', node.d.agentSocket))
    assert.ok(Array.isArray(json))
    assert.equal(json.length, log.records)
  })

  it('keeps the values of environment variables out of every log, answer and store', async () => {
    const secret = 'Qm9ndXMtc2VjcmV0-7f3c91'
    const ran = await node.d.launch('--set-env', `TOKEN=${secret}`, node.image, '--', 'sh', '-c', 'echo "$TOKEN"')
    assert.deepEqual(ran, { status: 0, stdout: `${secret}\n`, stderr: '' })
    await quiet(node.d)
    const told: string[] = []
    for (const file of filesBelow(node.d.directory)) if (readFileSync(file).includes(secret)) told.push(file)
    // the pod's own files hold it, for the pod has to get it; they are readable by root alone
    const pods = join(node.d.dataDirectory, 'pods/')
    assert.deepEqual(
      told.filter((file) => !file.startsWith(pods)),
      [],
    )
    for (const file of told) {
      assert.match(file, /\/pods\/run\/[0-9a-f-]{36}\/(pod|plan\/.*)$/, 'not in launch.json, not in a log')
      assert.equal(statSync(file).mode & 0o077, 0, `${file} is readable by others`)
    }
    const log = await node.d.expect('log', '--format=json', '--socket', node.d.agentSocket)
    assert.equal(log.includes(secret), false)
  })

  it('is shown by list and status while it runs and when it has ended, and removed by rm', async () => {
    const { d } = node
    const pod = startPod(node, 'sh', '-c', 'echo up; read line; exit 6')
    const uuid = await pod.up
    const { state, mode } = await podOf(node, uuid)
    assert.deepEqual({ state, mode }, { state: 'running', mode: 'enforce' })
    const busy = await d.holdfast('rm', '--dir', d.dataDirectory, uuid)
    assert.equal(busy.status, 254)
    assert.match(busy.stderr, /POD_BUSY/)
    const waiting = d.expect('status', '--wait', '--dir', d.dataDirectory, uuid.slice(0, 8))
    pod.end()
    assert.equal(await pod.status, 6)
    const status = await waiting
    assert.match(status, /^state=exited$/m)
    assert.match(status, /^mode=enforce$/m)
    assert.match(status, /^app-busybox=6$/m)
    await quiet(d)
    assert.equal(await d.expect('rm', '--dir', d.dataDirectory, uuid), uuid)
    assert.equal((await d.holdfast('status', '--dir', d.dataDirectory, uuid)).status, 254)
    await assertInStep(d)
  })

  it('answers curl on its socket, and refuses what is no request there', async () => {
    const status = JSON.parse(await node.d.agentGet('/v1/status'))
    assert.equal(status.mode, 'enforce')
    assert.equal(status.uplink.state, 'connected')
    assert.equal(await statusOf(node, 'GET', '/v1/nothing'), 404)
    assert.equal(await statusOf(node, 'DELETE', '/v1/log'), 405)
    assert.equal(await statusOf(node, 'POST', '/v1/launches', '{"pod":'), 400)
    assert.equal(await statusOf(node, 'POST', '/v1/launches', '[]'), 400)
    assert.equal(await statusOf(node, 'POST', '/v1/launches', `"${'x'.repeat(3 << 20)}"`), 413)
    assert.equal(statSync(node.d.agentSocket).mode & 0o007, 0, 'others may not use the socket')
    await assertUsable(node)
  })

  it('is decided by the policies that hold when it is asked for: SIGHUP takes a change over', async () => {
    const { d } = node
    assert.equal((await d.launch('--net', 'host', node.image, '--', 'true')).status, 0)
    await d.setPolicies({ '10.cedar': NO_HOST_NETWORK })
    await expectRefusal(node, ['LAUNCH_DENIED', 'no-host-network', 'no pod shares the network of its host'], () =>
      d.launch('--net', 'host', node.image, '--', 'echo', 'no'),
    )
    await assertUsable(node)
    const { decisions } = await seenByVerifier(d)
    assert.ok(decisions.some((x) => x.outcome === 'denied' && x.reasons.join().includes('no-host-network')))

    await d.setPolicies({})
    await expectRefusal(node, ['LAUNCH_DENIED'])
    await d.setPolicies({ '10.cedar': PERMIT })
    await assertUsable(node)
  })

  it('goes by the policies before when the new ones have a mistake', async () => {
    const { d } = node
    writeFileSync(join(d.policyDirectory, '20-mistake.cedar'), 'permit (principal, action, resource) when {')
    process.kill(d.verifier.pid, 'SIGHUP')
    await d.verifier.waitUntil('the mistake in its log', async () =>
      readFileSync(d.verifier.logFile, 'utf8').includes('20-mistake.cedar') ? true : undefined,
    )
    await assertUsable(node)
    await d.setPolicies({ '10.cedar': PERMIT })
  })

  it('is one of eight at once: each gets its own ticket, and the log replays', async () => {
    const { d } = node
    const before = (await quiet(d)).launches.allowed
    const all = await Promise.all(
      Array.from({ length: 8 }, (_, i) => d.launch(node.image, '--', 'sh', '-c', `echo ${i}; exit ${i}`)),
    )
    assert.deepEqual(
      all,
      all.map((_, i): Ran => ({ status: i, stdout: `${i}\n`, stderr: '' })),
    )
    const records = await assertInStep(d)
    const tickets = records.flatMap((r) => (r.record === 'launch' ? [r.ticket] : []))
    assert.equal(new Set(tickets).size, tickets.length, 'no ticket is used twice')
    assert.equal((await quiet(d)).launches.allowed, before + 8)
    const seen = await verifierSees(d, 'all of them', (n) => n.tier === 'affirming')
    assert.equal(seen.quarantine, null)
  })

  it('goes on when agent and verifier die, and its end is recorded by the next agent', async () => {
    const { d } = node
    const pod = startPod(node, 'sh', '-c', 'echo up; read line; exit 9')
    const ended = startPod(node, 'sh', '-c', 'echo up; read line; exit 10')
    const [uuid, uuidEnded] = [await pod.up, await ended.up]
    await d.agent.stop('SIGKILL')
    await d.verifier.stop('SIGKILL')
    ended.end() // while nobody looks
    assert.equal(await ended.status, 10)
    assert.equal((await podOf(node, uuid)).state, 'running')
    await d.startVerifier()
    await d.startAgent()
    await d.waitForUplink('connected')
    assert.ok((await d.status()).launches.running >= 1)
    pod.end()
    assert.equal(await pod.status, 9)
    const records = await assertInStep(d)
    for (const [pod, status] of [
      [uuid, 9],
      [uuidEnded, 10],
    ] as const) {
      const exited = records.filter((r) => r.record === 'exited' && r.uuid === pod)
      assert.deepEqual(exited, [{ record: 'exited', uuid: pod, reason: 'exited', statuses: { busybox: status } }])
    }
    await assertUsable(node)
    await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
  })
})

describe('every way to name an image leads through the launch log', () => {
  let node: WholeNode
  let registry: Registry | undefined

  before(async function () {
    needsWholePath(this)
    if (!['docker-registry', 'skopeo'].every((p) => existsSync(`/usr/bin/${p}`))) {
      console.log('      skipped: not installed: docker-registry or skopeo')
      this.skip()
    }
    node = await startNode()
    registry = await startRegistry(join(node.d.directory, 'registry'))
    await pushImage(node.layout, 'latest', `docker://${registry.host}/busybox:1`)
  })
  after(async () => {
    await registry?.stop()
    await node?.d.stop()
  })

  it('a name of the store, its image ID, the beginning of the ID, and a part of the name', async () => {
    const [stored] = await images(node)
    for (const name of [stored?.name ?? '', stored?.id ?? '', (stored?.id ?? '').slice(0, 20)]) {
      await measuredLaunch(node, name, stored?.id ?? '')
    }
  })

  it('docker://, fetched by the launch itself', async () => {
    const name = `docker://${registry?.host}/busybox:1`
    const refused = await node.d.launch(name, '--', 'true')
    assert.equal(refused.status, 254, 'plain HTTP is not used unasked')
    const [stored] = await images(node)
    const records = await measuredLaunch(node, name, stored?.id ?? '', '--insecure-options=http')
    const image = records.findLast((r) => r.record === 'image')
    assert.deepEqual(image?.relaxed, ['http'], 'what was relaxed is measured')
  })

  it('oci: of a layout that was not fetched', async () => {
    const copy = join(node.d.directory, 'copy')
    cpSync(node.layout, copy, { recursive: true })
    const [stored] = await images(node)
    await measuredLaunch(node, `oci:${copy}:latest`, stored?.id ?? '')
  })

  it('another stage1: it is measured before the pod', async () => {
    const { d } = node
    const other = join(d.directory, 'other.aci')
    const program = readFileSync(join(PROJECT_ROOT, 'build/holdfast-stage1'))
    writeFileSync(other, nspawnStage1Image(Buffer.concat([program, Buffer.of(0)]), process.arch))
    const uuid = await launchedUuid(node, '--stage1', other, node.image, '--', 'true')
    const records = await assertInStep(d)
    const at = records.findIndex((r) => r.record === 'pod' && r.uuid === uuid)
    const pod = records[at]
    assert.ok(pod?.record === 'pod')
    const known = records.slice(0, at).flatMap((r) => (r.record === 'stage1' ? [r.id] : []))
    assert.equal(new Set(known).size, 2, 'the usual stage1 and the other one')
    assert.equal(known.at(-1), pod.stage1)
  })

  it('the same after the agent was started again', async () => {
    const { d } = node
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    const [stored] = await images(node)
    const records = await measuredLaunch(node, node.image, stored?.id ?? '')
    assert.equal(records.filter((r) => r.record === 'agent').length, 2)
  })

  it('none at all for an image that is not there', async () => {
    await expectRefusal(node, ['IMAGE_NOT_FOUND'], () => node.d.launch('no-such-image', '--', 'true'))
    await expectRefusal(node, ['IMAGE_'], () =>
      node.d.launch(`docker://127.0.0.1:1/busybox:1`, '--insecure-options=http', '--', 'true'),
    )
  })
})

interface StoredImageJson {
  readonly id: string
  readonly name: string
}

/** App images of the node's store. */
async function images({ d }: WholeNode): Promise<StoredImageJson[]> {
  const all: StoredImageJson[] = JSON.parse(await d.expect('image', 'list', '--format=json', '--dir', d.dataDirectory))
  return all.filter((image) => !image.name.endsWith('.aci'))
}

/** Launches and looks for stage1, image, pod and launch in the log. */
async function measuredLaunch(node: WholeNode, name: string, id: string, ...options: string[]) {
  const uuid = await launchedUuid(node, ...options, name, '--', 'true')
  const records = await assertInStep(node.d)
  assert.deepEqual(kindsOf(records, uuid), ['pod', 'launch', 'exited'])
  const pod = records.find((r) => r.record === 'pod' && r.uuid === uuid)
  assert.ok(pod?.record === 'pod')
  assert.deepEqual(pod.images, [id])
  const at = records.indexOf(pod)
  const measured = records.slice(0, at).flatMap((r) => (r.record === 'image' || r.record === 'stage1' ? [r.id] : []))
  assert.ok(measured.includes(id) && measured.includes(pod.stage1), 'measured before the pod')
  return records
}

/** Launches a pod, with an image of its own in `args` or the usual one, to its end. */
async function launchedUuid(node: WholeNode, ...args: readonly string[]): Promise<string> {
  const file = join(node.d.directory, 'uuid')
  const whole = args.includes('--') ? args : [node.image, '--', ...args]
  const ran = await node.d.launch('--uuid-file-save', file, ...whole)
  assert.notEqual(ran.status, 254, ran.stderr)
  return readFileSync(file, 'utf8').trim()
}

function kindsOf(records: readonly LaunchLogContent[], uuid: string): string[] {
  return records.flatMap((r) => ('uuid' in r && r.uuid === uuid ? [r.record] : []))
}

/** Pods that wait for end(); those that a failed test has left are ended with the suite. */
const waiting = new Set<() => void>()

/** A pod that runs until end() is called. `up` gives its UUID once its app has said something. */
function startPod({ d, image }: WholeNode, ...args: readonly string[]) {
  const file = join(d.directory, `uuid-${randomUUID()}`)
  const child: ChildProcess = spawn(
    HOLDFAST_PROGRAM,
    ['run', ...d.nodeOptions, '--uuid-file-save', file, image, '--', ...args],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const status = once(child, 'exit').then(([code]): unknown => code)
  const { stdin, stdout } = child
  assert.ok(stdin !== null && stdout !== null)
  const end = (): void => void stdin.end('\n')
  waiting.add(end)
  return {
    up: once(stdout, 'data').then(() => readFileSync(file, 'utf8').trim()),
    end,
    status,
  }
}

async function podOf({ d }: WholeNode, uuid: string): Promise<{ state: string; mode: string }> {
  return JSON.parse(await d.expect('status', '--format=json', '--dir', d.dataDirectory, uuid))
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function statusOf({ d }: WholeNode, method: string, path: string, body = ''): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: d.agentSocket, method, path }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode))
    })
    call.on('error', reject)
    call.end(body)
  })
}

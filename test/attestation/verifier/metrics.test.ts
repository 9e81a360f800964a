import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { claimsOf } from '../../support/agent-peer.ts'
import { ApiClient } from '../../support/api-client.ts'
import { makeToken } from '../../support/api-fleet.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { launchRequest } from '../../support/launch-request.ts'

const PROMTOOL = '/usr/bin/promtool'

describe('what a verifier counts', () => {
  let fleet: Fleet
  let client: ApiClient
  before(async () => {
    fleet = await startFleet(2, { settings: 'api: {listen: "127.0.0.1:0", plainHttp: true}\n' })
    const expiresAt = new Date(Date.now() + 3_600_000)
    const token = await fleet.verifier.withStore(
      async (store) => await makeToken(store, 'prometheus', 'viewer', { expiresAt }),
    )
    assert.ok(fleet.verifier.apiPort)
    client = new ApiClient(fleet.verifier.apiPort, undefined, token)
  })
  after(async () => await fleet?.stop())

  /** Value of each series, by its name with labels. */
  const read = async (): Promise<ReadonlyMap<string, number>> => {
    const { status, text, headers } = await client.get('/metrics')
    assert.equal(status, 200)
    assert.match(headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/)
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    )
  }
  const rounds = (purpose: string, result: string): string =>
    `holdfast_round_seconds_count{purpose="${purpose}",result="${result}"}`

  it('is what has happened: rounds, verdicts, launches, nodes and connections', async () => {
    const before = await read()
    assert.equal(before.get('holdfast_connections'), 0)
    assert.equal(before.get('holdfast_nodes{standing="trusted"}'), 0)
    const node = fleet.node(0)
    const good = await fleet.connect(node)
    await good.enrol()
    await good.prove()
    const answer = await good.launch(node.measured().bytes)
    assert.ok(answer.t === 'ticket')
    node.launch(claimsOf(answer.ticket))
    const bad = await fleet.connect(fleet.node(1))
    await bad.enrol()
    bad.node.append({ record: 'denied', uuid: launchRequest().pod.uuid, request: 'c'.repeat(64), code: 'X' })
    bad.node.tpm.extend(15, Buffer.from('something else'))
    assert.equal((await bad.prove()).tier, 'contraindicated')
    assert.equal((await bad.launch(bad.node.measured().bytes)).t, 'denied')
    const stranger = await fleet.connect(fleet.node(0))
    stranger.hello()
    await stranger.next('status')
    await stranger.next('challenge')
    stranger.quote({ t: 'evidence', purpose: 'session' }, { extraData: () => new Uint8Array(32) })
    await stranger.refused()

    const now = await read()
    assert.equal(now.get(rounds('session', 'affirming')), 1)
    assert.equal(now.get(rounds('session', 'contraindicated')), 1)
    assert.equal(now.get(rounds('session', 'refused')), 1)
    assert.equal(now.get(rounds('launch', 'affirming')), 1)
    assert.equal(now.get('holdfast_launches_total{outcome="allowed",code=""}'), 1)
    assert.equal(now.get('holdfast_launches_total{outcome="denied",code="NODE_CONTRAINDICATED"}'), 1)
    assert.equal(now.get('holdfast_verdict_changes_total{tier="affirming"}'), 1)
    assert.equal(now.get('holdfast_verdict_changes_total{tier="contraindicated"}'), 1)
    assert.equal(now.get('holdfast_nodes{standing="trusted"}'), 1)
    assert.equal(now.get('holdfast_connections'), 2)
    assert.equal(now.get('holdfast_store_up'), 1)
    assert.ok([...now.keys()].some((key) => key.startsWith('holdfast_policy_info{revision="')))
    assert.ok(
      [...now.keys()].every((key) => !key.includes(node.nodeId)),
      'no node is a label',
    )
  })

  it('is for tokens of the whole fleet', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000)
    const some = await fleet.verifier.withStore(
      async (store) => await makeToken(store, 'some', 'admin', { expiresAt, labels: { zone: 'a' } }),
    )
    assert.equal((await client.with(some).get('/metrics')).status, 403)
    assert.equal((await client.with(undefined).get('/metrics')).status, 401)
  })

  it('is written as Prometheus reads it', async function () {
    if (!existsSync(PROMTOOL)) {
      console.log('skipped: there is no promtool here; apt-get install prometheus')
      this.skip()
    }
    const { text } = await client.get('/metrics')
    const checked = spawnSync(PROMTOOL, ['check', 'metrics'], { input: text, encoding: 'utf8' })
    const own = checked.stderr.split('\n').filter((line) => line.startsWith('holdfast_'))
    assert.deepEqual(own, [])
  })
})

describe('a verifier that stops', () => {
  it('answers what was asked before it says so', async () => {
    const fleet = await startFleet(1)
    let stopped = false
    try {
      const node = fleet.node(0)
      const peer = await fleet.connect(node)
      await peer.enrol()
      await peer.prove()
      const answer = peer.launch(node.measured().bytes)
      while ((await fleet.verifier.withStore(async (s) => await s.decisions(node.nodeId, 1))).length === 0) {
        await setImmediate() // the decision is kept before the ticket is signed
      }
      stopped = true
      await Promise.all([fleet.verifier.stop(), answer])
      assert.equal((await answer).t, 'ticket')
      assert.equal(await peer.refused(), 'VERIFIER_STOPPING')
    } finally {
      if (!stopped) await fleet.stop()
    }
  })
})

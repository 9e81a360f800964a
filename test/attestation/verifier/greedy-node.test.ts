import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MachineLogPiece } from '../../../attestation/protocol/index.ts'
import type { AgentPeer, SoftNode } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { bootAggregateEntry, encodeList, fileEntry, templateData } from '../../support/ima-log.ts'
import { random } from '../../support/soft-tpm.ts'
import { tempDir } from '../../support/temp-dir.ts'

const MIB = 1 << 20
const IMA_POLICY = `version: 1
name: workers
owner: platform team
unlisted: observe
rules:
  files: {mode: enforce, ima: {excludes: ["/tmp/**"], violations: refuse}}
`

describe('an admitted node that wants more than its share', () => {
  let fleet: Fleet
  let used = 0
  const dir = tempDir()
  const start = async (limits: string, appraisal = ''): Promise<void> => {
    fleet = await startFleet(4, { settings: `limits: {connectionsPerAddressPerSecond: 1000, ${limits}}\n${appraisal}` })
    used = 0
  }
  afterEach(async () => await fleet.stop())
  after(() => dir.remove())
  const login = async (node: SoftNode): Promise<AgentPeer> => {
    const peer = await fleet.connect(node)
    peer.hello()
    await peer.next('status')
    await peer.next('challenge')
    peer.quote({ t: 'evidence', purpose: 'session' })
    return peer
  }
  const junk = (): MachineLogPiece => ({ source: 'ima', offset: 0, bytes: new Uint8Array(MIB), more: false })

  it('is cut off when it answers each nonce with a megabyte of logs, and another connection is of no use', async () => {
    await start('logKilobytesPerSecond: 16, logMegabytesAtOnce: 4')
    const peer = await fleet.proven(used++)
    const { nodeId } = peer.node
    let refusal: unknown
    let sent = 0
    for (; refusal === undefined && sent < 20; sent++) {
      peer.quote({ t: 'evidence', purpose: 'periodic' }, { machineLogs: [junk()] })
      await peer.next('result').catch((err: unknown) => {
        refusal = err
      })
    }
    assert.match(String(refusal), /NODE_OVER_BUDGET.*logKilobytesPerSecond/)
    assert.ok(sent <= 6, `${sent} MiB`)
    peer.node.measured()
    const error = await (await login(peer.node)).next('error') // records of its launch log are in it
    assert.equal(error.code, 'NODE_OVER_BUDGET')
    assert.ok((error.retryAfterMs ?? 0) > 1000)
    assert.equal((await fleet.verifier.withStore(async (s) => await s.node(nodeId)))?.admission, 'admitted')
    assert.equal((await fleet.proven(used++)).closeCode, undefined) // others are not concerned
  })

  it('is cut off when it quotes without end over many connections', async () => {
    await start('messagesPerSecond: 2')
    const { node } = await fleet.proven(used++)
    const codes: string[] = []
    while (!codes.includes('NODE_OVER_BUDGET') && codes.length < 50) {
      const peer = await login(node)
      codes.push(
        await peer.next('result').then(
          () => 'result',
          async (err) => /"code":"(\w+)"/.exec(String(err))?.[1] ?? '',
        ),
      )
    }
    assert.equal(codes.at(-1), 'NODE_OVER_BUDGET', codes.join())
  })

  it('does not get more launches by connecting again', async () => {
    await start('launchesPerSecond: 1')
    const peer = await fleet.proven(used++)
    const ask = async (by: AgentPeer, id: number): Promise<string> => {
      const answer = await by.launch(random(10), {}, id)
      return answer.t === 'denied' ? answer.code : answer.t
    }
    const begun = performance.now()
    const codes: string[] = []
    for (const by of [peer, undefined]) {
      const connection = by ?? (await login(peer.node))
      if (by === undefined) await connection.next('result')
      for (let id = 0; id < 10; id++) codes.push(await ask(connection, id))
    }
    const looked = codes.filter((code) => code !== 'LAUNCH_TOO_MANY').length
    assert.ok(looked <= 3 + (performance.now() - begun) / 1000, codes.join()) // two at once, and one a second
  })

  it('cannot fill the store with evidence of launches that are denied', async () => {
    await start('keptKilobytesPerSecond: 1, keptMegabytesAtOnce: 1')
    const peer = await fleet.proven(used++)
    const codes: string[] = []
    while (!codes.includes('NODE_OVER_BUDGET') && codes.length < 20) {
      const answer = await peer.launch(
        random(10),
        { machineLogs: [{ ...junk(), bytes: new Uint8Array(MIB / 2) }] },
        codes.length,
      )
      codes.push(answer.t === 'denied' ? answer.code : answer.t)
      if (answer.t === 'denied' && answer.code === 'NODE_OVER_BUDGET')
        assert.match(answer.reasons[0] ?? '', /may go on in \d+ s/)
    }
    assert.equal(codes.at(-1), 'NODE_OVER_BUDGET', codes.join())
    const kept = await fleet.verifier.withStore(async (s) => await s.decisions(peer.node.nodeId, 50))
    assert.equal(kept.length, codes.length - 1)
    assert.ok(kept.length <= 3)
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    assert.equal((await peer.result()).tier, 'affirming') // and the connection goes on
  })

  it('gets an honest list of ten megabytes through although its share is less: it is asked for as fast as that allows', async () => {
    const policies = join(dir.path, 'appraisal')
    mkdirSync(policies, { recursive: true })
    writeFileSync(join(policies, 'workers.yaml'), IMA_POLICY)
    await start(
      'logKilobytesPerSecond: 32768, logMegabytesAtOnce: 1',
      `appraisalPolicies: ${policies}\nattestation: {periodSeconds: 60}\n`,
    )
    const node = fleet.node(used++)
    const entries = [
      bootAggregateEntry(),
      ...Array.from({ length: 28_000 }, (_, i) => fileEntry(`/tmp/${'x'.repeat(300)}${i}`, `${i}`)),
    ]
    for (const entry of entries) node.tpm.extend(10, templateData(entry))
    const list = encodeList(entries)
    assert.ok(list.length > 10 * MIB, `${list.length}`)
    const peer = await fleet.connect(node)
    await peer.enrol()
    const answer = async (most: number) => {
      const { purpose, machineLogs } = await peer.next('challenge')
      const pieces = machineLogs.flatMap(({ source, offset }): MachineLogPiece[] => {
        const end = Math.min(list.length, offset + most)
        return source === 'ima' ? [{ source, offset, bytes: list.slice(offset, end), more: end < list.length }] : []
      })
      peer.quote({ t: 'evidence', purpose }, { machineLogs: pieces })
      return await peer.result()
    }
    let rounds = 1
    for (let result = await answer(100_000); result.tier !== 'affirming'; rounds++) {
      assert.equal(result.tier, 'none', JSON.stringify(result.findings))
      assert.ok(rounds < 20)
      result = await answer(MIB)
    }
    assert.ok(rounds > 10)
  })

  it('is asked for the rest of its logs when a launch is denied for want of them', async () => {
    const policies = join(dir.path, 'appraisal')
    mkdirSync(policies, { recursive: true })
    writeFileSync(join(policies, 'workers.yaml'), IMA_POLICY)
    await start('messagesPerSecond: 1000', `appraisalPolicies: ${policies}\nattestation: {periodSeconds: 60}\n`)
    const node = fleet.node(used++)
    const entries = [bootAggregateEntry(), fileEntry('/tmp/a', 'a'), fileEntry('/tmp/b', 'b')]
    const list = encodeList(entries)
    for (const entry of entries) node.tpm.extend(10, templateData(entry))
    const peer = await fleet.connect(node)
    await peer.enrol()
    const ima = (offset: number, end = list.length): MachineLogPiece[] => [
      { source: 'ima', offset, bytes: list.slice(offset, end), more: end < list.length },
    ]
    assert.equal((await peer.prove({ machineLogs: ima(0) })).tier, 'affirming')
    node.tpm.extend(10, templateData(fileEntry('/tmp/c', 'c')))
    const more: MachineLogPiece = {
      source: 'ima',
      offset: list.length,
      bytes: encodeList([fileEntry('/tmp/d', 'd')]),
      more: true,
    }
    const { bytes } = node.measured()
    const denied = await peer.launch(bytes, { machineLogs: [more] })
    assert.ok(denied.t === 'denied')
    assert.equal(denied.code, 'EVIDENCE_INCOMPLETE')
    await peer.next('challenge') // long before the interval
  })
})

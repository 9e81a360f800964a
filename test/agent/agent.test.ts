import assert from 'node:assert/strict'
import type { AgentStatus } from '../../agent/local-api/index.ts'
import { toHex } from '../../attestation/base/index.ts'
import {
  type BankRegisters,
  fromBankValues,
  type LaunchLogContent,
  parseLaunchLogContent,
  replayRecords,
  replayStart,
  toBankValues,
} from '../../attestation/event-log/index.ts'
import { decodeEvidenceFile } from '../../attestation/evidence-file/index.ts'
import { collectionBinding, pcrValuesFromWire } from '../../attestation/protocol/index.ts'
import { pcrIndex, verifyAkPublic, verifyQuoteInPool } from '../../attestation/tpm2/index.ts'
import { decodeCel } from '../support/cel.ts'
import { random } from '../support/soft-tpm.ts'
import { swtpmMissing } from '../support/swtpm.ts'
import { type ProxyAction, TPM_CC, type TpmCommand, TpmProxy } from '../support/tpm-proxy.ts'
import { AgentProcess } from './support/agent-process.ts'
import { localCall } from './support/local-call.ts'
import { makePod } from './support/pod.ts'
import { eventually, makeRealNode, measureBoot, type RealNode } from './support/real-node.ts'

describe('an agent with a TPM simulator and a verifier', () => {
  let node: RealNode
  before(async function () {
    const missing = swtpmMissing()
    if (missing !== undefined) {
      console.log(`      skipped: ${missing}`)
      this.skip()
    }
    node = await makeRealNode({ swtpm: { banks: ['sha256', 'sha384'] } })
  })
  after(async () => {
    await node?.stop()
  })

  const contents = async (): Promise<{ bytes: Buffer; records: LaunchLogContent[] }> => {
    const { bytes } = await localCall(node.socketPath, 'GET', '/v1/log?format=tlv')
    return { bytes, records: decodeCel(bytes, 0).map((r) => parseLaunchLogContent(r.content)) }
  }
  /** The log replays to what tpm2-tools read from the TPM. */
  const assertAgrees = async (): Promise<void> => {
    const { bytes, records } = await contents()
    const [first] = records
    assert.ok(first?.record === 'agent')
    const banks = ['sha256', 'sha384'] as const
    const replayed = replayRecords(replayStart(fromBankValues(first.found)), bytes, { pcr: 15, banks })
    const held = await node.swtpm.tool('tpm2_pcrread', 'sha256:15+sha384:15')
    const values = toBankValues(replayed.at(-1)?.after.banks ?? ({} as BankRegisters))
    const read = [...held.matchAll(/0x([0-9A-F]+)/g)].map((m) => m[1]?.toLowerCase())
    assert.deepEqual([values.sha256, values.sha384], read)
  }

  it('enrols, proves itself, launches and records the end', async () => {
    const agent = await node.start()
    await eventually(() => agent.status().uplink.state === 'connected')
    const pod = makePod(node.dataDirectory)
    const answer = await localCall(node.socketPath, 'POST', '/v1/launches', pod.body)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    pod.handOver()
    pod.exit('app', 3)
    pod.unlock()
    await eventually(() => agent.status().launches.running === 0)
    const { records } = await contents()
    assert.deepEqual(
      records.map((r) => r.record),
      ['agent', 'stage1', 'image', 'pod', 'launch', 'exited'],
    )
    await assertAgrees()
    const status = agent.status()
    assert.equal(status.lastResult?.tier, 'affirming')
    assert.equal(status.nodeId, node.nodeId)
    await agent.stop()
  })

  it('goes on where the agent before it stopped, and the verifier still trusts the log', async () => {
    const agent = await node.start()
    await eventually(() => agent.status().lastResult !== undefined)
    assert.equal(agent.status().lastResult?.tier, 'affirming')
    const { records } = await contents()
    assert.deepEqual(
      records.slice(-2).map((r) => r.record),
      ['exited', 'agent'],
    )
    await assertAgrees()
    await agent.stop()
  })

  it('begins a new log after a power cut, and is proved anew', async () => {
    await node.swtpm.powerCycle()
    await measureBoot(node.swtpm)
    const agent = await node.start()
    await eventually(() => agent.status().lastResult !== undefined)
    assert.equal(agent.status().lastResult?.tier, 'affirming')
    assert.equal(agent.status().log.records, 1)
    await agent.stop()
  })

  it('survives a power cut while it runs', async () => {
    const agent = await node.start()
    await eventually(() => agent.status().uplink.state === 'connected')
    const before = agent.status().log.resetCount
    await node.swtpm.powerCycle()
    await measureBoot(node.swtpm)
    const launches = async (): Promise<number> => {
      const pod = makePod(node.dataDirectory)
      const { status } = await localCall(node.socketPath, 'POST', '/v1/launches', pod.body)
      pod.unlock()
      return status
    }
    assert.equal(await launches(), 503, 'of the TPM start before')
    await eventually(() => agent.status().log.resetCount > before && agent.status().uplink.state === 'connected')
    assert.equal(await launches(), 200)
    await eventually(() => agent.status().launches.running === 0) // its end is recorded: nothing is extended from here on
    assert.equal(agent.status().log.breaks, 0)
    await assertAgrees()
    await agent.stop()
  })

  it('is refused when the TPM has other banks than the configuration expects', async () => {
    node.configure('banks: [sha256]\n')
    await assert.rejects(node.start(), { code: 'LAUNCH_LOG_BANKS', message: /sha256, sha384 allocated/ })
    node.configure('')
  })

  it('is refused while another one runs on the same data', async () => {
    const agent = await node.start()
    await assert.rejects(node.start(), { code: 'LAUNCH_LOG_LOCKED' })
    assert.equal((await localCall(node.socketPath, 'GET', '/v1/status')).status, 200)
    await agent.stop()
  })

  it('gives its evidence as a file: a quote for that nonce and no login, and every log', async () => {
    const agent = await node.start()
    const nonce = random(32)
    const { bytes } = await localCall(node.socketPath, 'POST', '/v1/evidence', { nonce: toHex(nonce) })
    const file = decodeEvidenceFile(new Uint8Array(bytes))
    const ak = verifyAkPublic(file.akPublic, {})
    const selection = (['sha256', 'sha384'] as const).map((bank) => ({
      bank,
      pcrs: Array.from({ length: 16 }, (_, i) => pcrIndex(i)),
    }))
    const claimedValues = pcrValuesFromWire(file.pcrs)
    const quote = { attest: file.attest, signature: file.signature, ak, selection, required: selection, claimedValues }
    await verifyQuoteInPool({ ...quote, expectedExtraData: collectionBinding(nonce) })
    await assert.rejects(verifyQuoteInPool({ ...quote, expectedExtraData: nonce }), {
      code: 'ATTEST_EXTRA_DATA_MISMATCH',
    })
    const log = await localCall(node.socketPath, 'GET', '/v1/log?format=tlv')
    assert.deepEqual(Buffer.from(file.logs.launch?.bytes ?? []), log.bytes)
    assert.equal(file.logs.launch?.resetCount, agent.status().log.resetCount)
    assert.equal(file.logs.firmware, undefined) // this TPM simulator has no firmware before it
    await agent.stop()
  })

  describe('killed with SIGKILL', () => {
    let proxy: TpmProxy
    before(async () => {
      proxy = await TpmProxy.start(node.swtpm.port)
      node.configure('', undefined, proxy.tcti)
    })
    after(async () => {
      await proxy?.stop()
      node.configure('')
    })

    // 0 is the agent record; a launch of an image that is new extends image, pod and launch.
    for (const nth of [0, 1, 2, 3]) {
      for (const side of ['before', 'after'] as const) {
        it(`just ${side} its extend number ${nth}, leaves log and register for the next agent to bring together`, async () => {
          const agent = new AgentProcess(node.configFile)
          const pod = makePod(node.dataDirectory)
          const killAt = (n: number): void => {
            let extend = 0
            const hook = ({ code }: TpmCommand): ProxyAction => {
              if (code !== TPM_CC.PCR_Extend || extend++ !== n) return 'pass'
              agent.kill('SIGKILL')
              return 'stall'
            }
            proxy.rules = side === 'before' ? { beforeCommand: hook } : { afterResponse: hook }
          }
          try {
            if (nth === 0) killAt(0)
            else {
              await agent.says('connected to the verifier, node proved')
              await noPodRuns()
              const [image] = pod.body.images
              assert.ok(image)
              const images = [{ ...image, name: `image-${nth}-${side}` }]
              killAt(nth - 1)
              const asked = localCall(node.socketPath, 'POST', '/v1/launches', { ...pod.body, images })
              await assert.rejects(asked, /socket hang up|ECONNRESET/)
            }
            await agent.ended
          } finally {
            await agent.stop('SIGKILL')
            proxy.rules = {}
            pod.unlock()
          }
          await assertNextAgentIsFine(pod.uuid, nth)
        })
      }
    }

    /** The ends of earlier pods are recorded: the next extend is the launch's. */
    const noPodRuns = async (): Promise<void> => {
      for (let running = 1; running > 0; ) {
        const { body } = await localCall(node.socketPath, 'GET', '/v1/status')
        running = (body as AgentStatus).launches.running // the status of an agent is what this path gives
      }
    }

    const assertNextAgentIsFine = async (uuid: string, nth: number): Promise<void> => {
      const next = await node.start()
      await eventually(() => next.status().lastResult !== undefined)
      assert.equal(next.status().lastResult?.tier, 'affirming')
      assert.equal(next.status().log.breaks, 0)
      await assertAgrees()
      // Nothing is left open: a pod that was measured is denied, one that was launched has not started.
      await eventually(() => next.status().launches.running === 0)
      const ends = async () =>
        (await contents()).records.filter((r) => (r.record === 'denied' || r.record === 'exited') && r.uuid === uuid)
      if (nth > 0) {
        const found = await ends()
        assert.deepEqual(
          found.map((r) => r.record),
          [nth === 3 ? 'exited' : 'denied'],
        )
        assert.ok(found[0]?.record !== 'exited' || found[0].reason === 'not-started')
      }
      const pod = makePod(node.dataDirectory)
      assert.equal((await localCall(node.socketPath, 'POST', '/v1/launches', pod.body)).status, 200)
      pod.unlock()
      await next.stop()
    }

    it('is told from SIGTERM, which ends it in order', async () => {
      const agent = new AgentProcess(node.configFile)
      await agent.says('agent ready')
      assert.equal(await agent.stop('SIGTERM'), 0)
      assert.equal(agent.lines.at(-1)?.['msg'], 'agent stops')
    })
  })
})

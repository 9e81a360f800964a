import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOLDFAST, Service } from '../../support/holdfast.ts'
import { type ProxyAction, TPM_CC, TpmProxy } from '../../support/tpm-proxy.ts'
import {
  assertUsable,
  expectRefusal,
  needsWholePath,
  quiet,
  startNode,
  verifierSees,
  type WholeNode,
} from '../../support/whole-path.ts'

const FOREIGN = `15:sha256=${'11'.repeat(32)}`

describe('somebody else extends the register of the launch log', () => {
  let node: WholeNode
  let proxy: TpmProxy

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    const { d } = node
    await d.agent.stop()
    proxy = await TpmProxy.start(d.tpm.port)
    d.agentTcti = proxy.tcti
    await d.startAgent()
    await d.waitForUplink('connected')
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })
  beforeEach(async () => {
    await assertUsable(node)
  })
  afterEach(async () => {
    if (node === undefined) return
    const { d } = node
    proxy.rules = {}
    await d.agent.stop()
    await d.tpm.reboot() // only this takes a foreign event out of the register
    await d.measureFirmware()
    await d.startAgent()
    await d.waitForUplink('connected')
    await verifierSees(d, 'a node in order after its reboot', (n) => n.tier === 'affirming')
  })

  /** The break is on record on both sides, and nothing starts any more. */
  async function isContraindicated(): Promise<void> {
    const { d } = node
    const { log } = await d.agent.waitUntil('the break in the log', async () => {
      const status = await d.status()
      return status.log.breaks > 0 ? status : undefined
    })
    assert.equal(log.breaks, 1)
    assert.match(await d.expect('log', '--socket', d.agentSocket), /^ *\d+ +break +reason=.*somebody else extended it/m)
    const seen = await verifierSees(d, 'the break', (n) => n.tier === 'contraindicated')
    assert.deepEqual(
      seen.verdicts[0]?.findings.filter((f) => f.policy?.mode !== 'observe').map((f) => f.rule),
      ['launch-log.replay'],
    )
    await d.waitForUplink('connected')
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED', 'no prefix of the log replays'])
  }

  it('before a launch: it is refused, the break is recorded, the node contraindicated', async () => {
    await node.d.tpm.tool('tpm2_pcrextend', FOREIGN)
    await expectRefusal(node, ['AGENT_FAILED', 'ATTEST_REGISTER_MOVED', 'holdfast log shows the break'])
    await isContraindicated()
  })

  /** Commands of the launch that comes next: the pod record's extend, the quote for the verifier, the launch record's extend. */
  function watchLaunch(hooks: {
    readonly quote?: () => void
    readonly launchRecord?: (command: Uint8Array) => ProxyAction
    readonly launchAnswer?: () => ProxyAction
  }): void {
    let stage: 'before' | 'measured' | 'quoted' | 'done' | 'over' = 'before'
    proxy.rules = {
      beforeCommand: ({ code, bytes }): ProxyAction => {
        if (code === TPM_CC.PCR_Extend && stage === 'quoted') {
          stage = 'done'
          return hooks.launchRecord?.(bytes) ?? 'pass'
        }
        if (code === TPM_CC.PCR_Extend && stage === 'before') stage = 'measured'
        return 'pass'
      },
      afterResponse: ({ code }): ProxyAction => {
        if (code === TPM_CC.Quote && stage === 'measured') {
          stage = 'quoted'
          hooks.quote?.()
        }
        if (code === TPM_CC.PCR_Extend && stage === 'done') {
          stage = 'over'
          return hooks.launchAnswer?.() ?? 'pass'
        }
        return 'pass'
      },
    }
  }

  it('between quote and launch record: the ticket is for a register that is gone, and nothing starts', async () => {
    const { d } = node
    try {
      const quoted = new Promise<void>((resolve) => {
        watchLaunch({
          quote: () => {
            process.kill(d.verifier.pid, 'SIGSTOP') // holds the ticket back
            resolve()
          },
        })
      })
      const words = ['AGENT_FAILED', 'LAUNCH_LOG_REGISTER_MISMATCH', 'something else extended it']
      const refused = expectRefusal(node, words)
      await quoted
      await d.tpm.tool('tpm2_pcrextend', FOREIGN)
      process.kill(d.verifier.pid, 'SIGCONT')
      await refused
    } finally {
      process.kill(d.verifier.pid, 'SIGCONT')
    }
    await isContraindicated()
  })

  const tampered: { name: string; change(command: Uint8Array): ProxyAction; answer?: Uint8Array }[] = [
    {
      name: 'another digest in place of the launch record',
      change: (command) => {
        const other = command.slice()
        other[other.length - 1] = (other.at(-1) ?? 0) ^ 1
        return { instead: other }
      },
    },
    {
      name: 'no launch record at all, and success',
      change: () => ({ instead: Uint8Array.of(0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 1) }), // TPM2_GetRandom of a byte
      answer: Uint8Array.of(0x80, 0x02, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0),
    },
  ]
  for (const { name, change, answer } of tampered) {
    it(`on the bus, ${name}: nothing starts, and log and register come to terms`, async () => {
      let forged = 0
      watchLaunch({
        launchRecord: (command) => {
          forged++
          return change(command)
        },
        ...(answer === undefined ? {} : { launchAnswer: () => ({ instead: answer }) }),
      })
      await expectRefusal(node, ['AGENT_FAILED', 'TPM_TAMPERED'])
      assert.equal(forged, 1)
      await node.d.agent.waitUntil('a settled log', async () => {
        const { log } = await node.d.status()
        return log.settled && log.breaks === 0 ? true : undefined
      })
      await assertUsable(node)
    })
  }

  it("while the agent is stopped: the next agent records the break, and an operator's release does not make up for it", async () => {
    const { d } = node
    await quiet(d)
    await d.agent.stop()
    await d.tpm.tool('tpm2_pcrextend', FOREIGN)
    await d.startAgent()
    await d.waitForUplink('connected')
    await isContraindicated()
    const { nodeId } = await d.status()
    await d.expect('nodes', 'release', nodeId, '--config', d.verifierConfig)
    await d.agent.stop() // the verifier has ended its connection, and the agent would wait before the next
    await d.startAgent()
    await d.waitForUplink('connected')
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED'])
  })

  it('a second agent on the same TPM with directories of its own is noticed as such', async () => {
    const { d } = node
    const [config, log] = [join(d.directory, 'second.yaml'), join(d.directory, 'second.log')]
    const text = readFileSync(d.agentConfig, 'utf8')
    writeFileSync(
      config,
      text
        .replace(/^dataDirectory: .*$/m, `dataDirectory: ${join(d.directory, 'second')}`)
        .replace(/^runDirectory: .*$/m, `runDirectory: ${join(d.directory, 'second-run')}`),
    )
    const second = Service.start('second agent', log, process.execPath, [HOLDFAST, 'agent', '--config', config])
    try {
      await second.waitUntil('its socket', async () =>
        readFileSync(log, 'utf8').includes('agent.sock') ? true : undefined,
      )
    } finally {
      await second.stop()
    }
    await expectRefusal(node, ['AGENT_FAILED'])
    await d.agent.waitUntil('the break in the log', async () => ((await d.status()).log.breaks > 0 ? true : undefined))
    await verifierSees(d, 'it', (n) => n.tier === 'contraindicated')
    await expectRefusal(node, [])
  })
})

describe('a second agent in the place of the first', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode()
  })
  after(async () => {
    await node?.d.stop()
  })

  /** Starts another agent with this change of the configuration. @returns what it said when it ended */
  async function second(change: (config: string) => string): Promise<string> {
    const { d } = node
    const config = join(d.directory, 'second.yaml')
    writeFileSync(config, change(readFileSync(d.agentConfig, 'utf8')))
    const ran = await d.holdfast('agent', '--config', config)
    assert.equal(ran.status, 254, ran.stderr)
    return `${ran.stdout}${ran.stderr}`
  }

  it('does not start on the same data directory, and leaves the first alone', async () => {
    const said = await second((c) => c.replace(/^runDirectory: .*$/m, `runDirectory: ${node.d.directory}/second-run`))
    assert.match(said, /LAUNCH_LOG_LOCKED/)
    assert.match(said, /A node has one agent/)
    await assertUsable(node)
  })

  it('does not start on the same socket, and leaves the register of the first alone', async () => {
    const said = await second((c) => c.replace(/^dataDirectory: .*$/m, `dataDirectory: ${node.d.directory}/second`))
    assert.match(said, /API_SOCKET_IN_USE/)
    await assertUsable(node)
  })
})

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { type Agent, startAgent } from '../../../agent/agent.ts'
import type { AgentConfig, LoadedConfig } from '../../../agent/config/index.ts'
import type { LaunchBody } from '../../../agent/local-api/index.ts'
import {
  fromBankValues,
  type LaunchLogContent,
  parseLaunchLogContent,
  replayRecords,
  replayStart,
  toBankValues,
} from '../../../attestation/event-log/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { decodeCel } from '../../support/cel.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { localCall } from './local-call.ts'
import { makePod, type TestPod } from './pod.ts'
import { eventually } from './real-node.ts'
import { ScriptedVerifier } from './scripted-verifier.ts'
import { SoftTpmPort } from './soft-tpm-port.ts'

/** An agent on a software TPM and a verifier that can be told what to say. */
export class SoftNode {
  readonly verifier: ScriptedVerifier
  readonly tpm = new SoftTpmPort(new SoftTpm(['sha256', 'sha384']))
  readonly directory: string
  /** What agents logged. */
  readonly lines: Record<string, unknown>[] = []
  readonly #remove: () => void
  readonly #agents: Agent[] = []
  readonly #pods: TestPod[] = []

  private constructor(verifier: ScriptedVerifier) {
    const dir = tempDir()
    this.directory = dir.path
    this.#remove = dir.remove
    this.verifier = verifier
    mkdirSync(this.dataDirectory)
  }

  static async make(): Promise<SoftNode> {
    return new SoftNode(await ScriptedVerifier.start())
  }

  get dataDirectory(): string {
    return join(this.directory, 'data')
  }
  get socketPath(): string {
    return join(this.directory, 'run', 'agent.sock')
  }

  loaded(over: Partial<AgentConfig> = {}, trust: LoadedConfig['trust'] = this.verifier.trust): LoadedConfig {
    const config: AgentConfig = {
      tcti: 'soft',
      pcr: pcrIndex(15),
      mode: 'enforce',
      machineLogs: { firmware: '/nonexistent', systemd: '/nonexistent', ima: '/nonexistent' },
      dataDirectory: this.dataDirectory,
      runDirectory: join(this.directory, 'run'),
      socketGroup: 'root',
      launchTimeoutMs: 5000,
      logLevel: 'debug',
      ...over,
    }
    return { config, sha256: 'c'.repeat(64), ...(trust === undefined ? {} : { trust }) }
  }

  async start(over: Partial<AgentConfig> = {}, loaded = this.loaded(over)): Promise<Agent> {
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        this.lines.push(JSON.parse(String(chunk)))
        done()
      },
    })
    const logger = pino({ level: 'debug' }, sink)
    const agent = await startAgent({ loaded, tpm: this.tpm, logger, version: 'test', programSha256: 'a'.repeat(64) })
    this.#agents.push(agent)
    return agent
  }

  /** As start, and waits until the verifier has let the agent in. */
  async connected(over: Partial<AgentConfig> = {}): Promise<Agent> {
    const agent = await this.start(over)
    await eventually(() => agent.status().uplink.state === 'connected')
    return agent
  }

  pod(): TestPod {
    const pod = makePod(this.dataDirectory)
    this.#pods.push(pod)
    return pod
  }

  /** Asks for a launch as stage0 does. */
  async launch(body: LaunchBody = this.pod().body): Promise<{ status: number; body: Record<string, unknown> }> {
    const { status, body: answer } = await localCall(this.socketPath, 'POST', '/v1/launches', body)
    return { status, body: answer as Record<string, unknown> } // every answer of this API is an object
  }

  /** The launch log as the agent serves it. */
  async log(): Promise<LaunchLogContent[]> {
    const { bytes } = await localCall(this.socketPath, 'GET', '/v1/log?format=tlv')
    return decodeCel(bytes, 0).map((r) => parseLaunchLogContent(r.content))
  }

  /** Whether the log replays to what the TPM holds. */
  async agrees(): Promise<boolean> {
    const { bytes } = await localCall(this.socketPath, 'GET', '/v1/log?format=tlv')
    const [first] = await this.log()
    if (first?.record !== 'agent') return false
    const { banks } = this.tpm.soft
    const end = replayRecords(replayStart(fromBankValues(first.found)), bytes, { pcr: 15, banks }).at(-1)?.after.banks
    const held = Object.fromEntries(banks.map((bank) => [bank, this.tpm.register.value(bank)]))
    return JSON.stringify(toBankValues(end ?? {})) === JSON.stringify(toBankValues(held))
  }

  async stopAgents(): Promise<void> {
    for (const agent of this.#agents.splice(0)) await agent.stop()
  }

  async stop(): Promise<void> {
    await this.stopAgents()
    for (const pod of this.#pods) pod.unlock()
    await this.verifier.stop()
    this.#remove()
  }
}

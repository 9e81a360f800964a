import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { request as requestTls } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentStatus } from '../../agent/local-api/index.ts'
import { listPods, removePod } from '../../stage1/pod/index.ts'
import { HOLDFAST_PROGRAM, type Ran, run, Service } from './holdfast.ts'
import { configOptions, writeImagePolicy } from './image-policy.ts'
import { stage0SocketIn, startStage0 } from './stage0.ts'
import { manufactureSwtpm, type Swtpm, type SwtpmOptions, type SwtpmState, startSwtpm, twoFreePorts } from './swtpm.ts'

export interface DeploymentOptions {
  /** Files of launch policies by name; default is what every pod of an affirmed node may use. */
  readonly policies?: Readonly<Record<string, string>>
  readonly tpm?: SwtpmOptions
  /** A TPM that was manufactured before, as `tpm` says; a copy of it is used. */
  readonly state?: SwtpmState
  readonly mode?: 'enforce' | 'audit' | 'off'
  readonly admission?: 'manual' | 'token' | 'listed'
  /** Lines of verifier.yaml beside what is written here anyway. */
  readonly verifierSettings?: string
  /** The maker of the TPM is not imported: its EK certificate leads nowhere. */
  readonly withoutRoots?: boolean
  /** Launches are made with the help of a stage0 server, which start() starts. */
  readonly stage0?: boolean
  /** In front of the agent's command line: what makes it another user's, for example. */
  readonly agentPrefix?: readonly string[]
  /** What firmware measures at each start of the TPM; default is a separator in each of PCR 0 to 7. */
  readonly firmware?: (tpm: Swtpm) => Promise<void>
}

/** Every pod of a node that proved itself. */
const PERMIT_AFFIRMED = `@id("affirmed-nodes")
@description("a node that has just proved what it runs may start pods")
permit (principal, action == Action::"launch", resource) when { principal.tier == "affirming" };
`

/**
 * One verifier and one node with a software TPM, as real processes of the built executable, on loopback, with
 * everything in one temporary directory.
 */
export class Deployment {
  readonly directory: string
  readonly tpm: Swtpm
  readonly verifierPort: number
  /** What the agent is started with: the TPM itself, unless a test puts something before it. */
  agentTcti: string
  /** Where the agent connects to: the verifier itself, unless a test puts something before it. */
  agentPort: number
  mode: 'enforce' | 'audit' | 'off'
  /** Lines of agent.yaml beside what is written here anyway; for the next start of the agent. */
  agentSettings = ''
  /** The trust.json that the agent is started with; the verifier's own unless a test gives it another. */
  agentTrust: string
  readonly #options: DeploymentOptions
  #verifier: Service | undefined
  #agent: Service | undefined
  #stage0: Service | undefined

  private constructor(directory: string, tpm: Swtpm, verifierPort: number, options: DeploymentOptions) {
    this.directory = directory
    this.tpm = tpm
    this.verifierPort = verifierPort
    this.#options = options
    this.agentTcti = tpm.tcti
    this.agentPort = verifierPort
    this.mode = options.mode ?? 'enforce'
    this.agentTrust = this.trustFile
  }

  /**
   * Manufactures the TPM, writes the configuration of both sides and imports the TPM maker's CA. Starts the TPM only.
   */
  static async prepare(options: DeploymentOptions = {}): Promise<Deployment> {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-test-'))
    await chmod(directory, 0o711) // where there is a user for fetches, it has to get to the store
    let tpm: Swtpm | undefined
    try {
      const state = options.state ?? (await manufactureSwtpm(options.tpm))
      try {
        tpm = await startSwtpm(state)
        const deployment = new Deployment(directory, tpm, await twoFreePorts(), options)
        await deployment.measureFirmware()
        deployment.#writeVerifierConfig()
        writeImagePolicy(deployment.configDirectory)
        if (options.tpm?.ekCertificates !== 'none' && options.withoutRoots !== true) {
          await deployment.expect('roots', 'import', '--config', deployment.verifierConfig, ...state.caCertificates)
        }
        return deployment
      } finally {
        if (options.state === undefined) await state.remove()
      }
    } catch (err) {
      await tpm?.stop()
      await rm(directory, { recursive: true, force: true })
      throw err
    }
  }

  /** A prepared deployment whose verifier runs and whose agent is connected and may launch. */
  static async start(options: DeploymentOptions = {}): Promise<Deployment> {
    const deployment = await Deployment.prepare(options)
    try {
      await deployment.startVerifier()
      await deployment.enrol()
      if (options.stage0 === true) await deployment.startStage0()
      return deployment
    } catch (err) {
      await deployment.stop()
      throw err
    }
  }

  /** What firmware does before the operating system: a software TPM has none, and an empty PCR 0 to 7 is a finding. */
  async measureFirmware(): Promise<void> {
    if (this.#options.firmware !== undefined) return await this.#options.firmware(this.tpm)
    const banks = this.#options.tpm?.banks ?? ['sha256']
    const separator = Buffer.alloc(4)
    const digests = banks.map((bank) => `${bank}=${createHash(bank).update(separator).digest('hex')}`).join(',')
    await this.tpm.tool('tpm2_pcrextend', ...[0, 1, 2, 3, 4, 5, 6, 7].map((pcr) => `${pcr}:${digests}`))
  }

  get verifierConfig(): string {
    return join(this.directory, 'verifier.yaml')
  }
  get agentConfig(): string {
    return join(this.directory, 'agent.yaml')
  }
  get trustFile(): string {
    return join(this.directory, 'verifier/trust.json')
  }
  /** Of the image policy, which admits anything. */
  get configDirectory(): string {
    return join(this.directory, 'config')
  }
  get policyDirectory(): string {
    return join(this.directory, 'policies')
  }
  get agentSocket(): string {
    return join(this.directory, 'run/agent.sock')
  }
  get stage0Socket(): string {
    return stage0SocketIn(this.directory)
  }
  /** stage0's and the agent's data directory. */
  get dataDirectory(): string {
    return join(this.directory, 'node')
  }
  get agent(): Service {
    if (this.#agent === undefined) throw new Error('the agent was not started')
    return this.#agent
  }
  get stage0(): Service {
    if (this.#stage0 === undefined) throw new Error('the stage0 server was not started')
    return this.#stage0
  }
  get verifier(): Service {
    if (this.#verifier === undefined) throw new Error('the verifier was not started')
    return this.#verifier
  }

  /** Options of stage0's commands that name this node. */
  get nodeOptions(): readonly string[] {
    const stage0 = this.#options.stage0 === true ? this.stage0Socket : 'none'
    const own = [
      '--dir',
      this.dataDirectory,
      '--agent',
      this.agentSocket,
      '--trust',
      this.trustFile,
      '--agent-config',
      this.agentConfig,
    ]
    return [...own, ...configOptions(this.configDirectory), '--stage0', stage0]
  }

  /** Runs `holdfast ARGS`. */
  holdfast(...args: readonly string[]): Promise<Ran> {
    return run(HOLDFAST_PROGRAM, args)
  }

  /** Runs `holdfast run` on this node. */
  launch(...args: readonly string[]): Promise<Ran> {
    return this.holdfast('run', ...this.nodeOptions, ...args)
  }

  /** Runs `holdfast ARGS`, which must succeed. @returns its standard output, trimmed */
  async expect(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.holdfast(...args)
    if (status !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${status}: ${stderr}`)
    return stdout.trim()
  }

  /** The ticket that a pod was started with. */
  async ticketOf(uuid: string): Promise<string> {
    const file = join(this.dataDirectory, 'pods/run', uuid, 'launch.json')
    const { answer } = JSON.parse(await readFile(file, 'utf8')) as { answer: { ticket: string } } // stage0 wrote it
    return answer.ticket
  }

  /** Puts the launch policies in place of those before; a running verifier takes them over. */
  async setPolicies(policies: Readonly<Record<string, string>>): Promise<void> {
    await rm(this.policyDirectory, { recursive: true, force: true })
    this.#writePolicies(policies)
    if (this.#verifier !== undefined) {
      process.kill(this.#verifier.pid, 'SIGHUP')
      const revision = /^revision ([0-9a-f]+)$/m.exec(await this.expect('policy', 'check', this.policyDirectory))?.[1]
      if (revision === undefined) throw new Error('holdfast policy check printed no revision')
      await this.#verifier.waitUntil('the new policies', async () =>
        readFileSync(this.verifier.logFile, 'utf8').includes(revision) ? true : undefined,
      )
    }
  }

  async startVerifier(): Promise<void> {
    const log = join(this.directory, 'verifier.log')
    this.#verifier = Service.start('verifier', log, HOLDFAST_PROGRAM, ['verifier', '--config', this.verifierConfig])
    await this.#verifier.waitUntil('an answer on /healthz', () => healthz(this.verifierPort))
  }

  /** Gives the node what the configured admission asks for, starts the agent, and waits until it may launch. */
  async enrol(): Promise<void> {
    const admission = this.#options.admission ?? 'token'
    if (admission === 'token') {
      const token = await this.expect('tokens', 'create', '--config', this.verifierConfig, '--label', 'zone=demo')
      writeFileSync(join(this.directory, 'enrolment-token'), `${token}\n`, { mode: 0o600 })
    }
    await this.startAgent()
    await this.waitForUplink('connected')
  }

  /** Starts the agent and waits until its socket answers. */
  async startAgent(): Promise<void> {
    this.#writeAgentConfig()
    const log = join(this.directory, 'agent.log')
    const command = [...(this.#options.agentPrefix ?? []), HOLDFAST_PROGRAM, 'agent', '--config', this.agentConfig]
    this.#agent = Service.start('agent', log, command[0] ?? HOLDFAST_PROGRAM, command.slice(1))
    await this.#agent.waitUntil('an answer on its socket', () => this.status().catch(() => undefined))
  }

  /** Starts the stage0 server and waits until it listens. */
  async startStage0(): Promise<void> {
    this.#stage0 = await startStage0(this.directory)
  }

  /** Waits until the agent says this of its verifier. */
  async waitForUplink(state: AgentStatus['uplink']['state']): Promise<AgentStatus> {
    return this.agent.waitUntil(`uplink ${state}`, async () => {
      const status = await this.status().catch(() => undefined)
      return status?.uplink.state === state ? status : undefined
    })
  }

  /** GET /v1/status of the agent. */
  async status(): Promise<AgentStatus> {
    return JSON.parse(await this.agentGet('/v1/status')) as AgentStatus // the agent's own answer, of the shape it shares
  }

  /** Body of a 200 answer of the agent's local API. */
  agentGet(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.agentSocket, path }, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => {
          const body = Buffer.concat(parts).toString('utf8')
          if (answer.statusCode === 200) resolve(body)
          else reject(new Error(`GET ${path}: ${answer.statusCode} ${body}`))
        })
      })
      call.on('error', reject)
      call.end()
    })
  }

  /** Ends every process, and removes the pods, whose cgroups nobody would find later, and the directory. */
  async stop(): Promise<void> {
    await this.#stage0?.stop()
    await this.#agent?.stop()
    await this.#verifier?.stop()
    await this.tpm.stop()
    for (const pod of listPods(this.dataDirectory)) await removePod(this.dataDirectory, pod)
    await rm(this.directory, { recursive: true, force: true })
  }

  #writePolicies(policies: Readonly<Record<string, string>>): void {
    mkdirSync(this.policyDirectory, { recursive: true })
    for (const [name, text] of Object.entries(policies)) writeFileSync(join(this.policyDirectory, name), text)
  }

  #writeVerifierConfig(): void {
    this.#writePolicies(this.#options.policies ?? { '10-permit.cedar': PERMIT_AFFIRMED })
    writeFileSync(
      this.verifierConfig,
      `listen: 127.0.0.1:${this.verifierPort}
dataDirectory: ${join(this.directory, 'verifier')}
policies: ${this.policyDirectory}
tls:
  names: [localhost, 127.0.0.1]
enrolment:
  admission: ${this.#options.admission ?? 'token'}
  roots: ${join(this.directory, 'roots')}
${this.#options.verifierSettings ?? ''}`,
    )
  }

  #writeAgentConfig(): void {
    const token = this.#options.admission === undefined || this.#options.admission === 'token'
    writeFileSync(
      this.agentConfig,
      `tcti: "${this.agentTcti}"
mode: ${this.mode}
dataDirectory: ${this.dataDirectory}
runDirectory: ${join(this.directory, 'run')}
verifier:
  url: wss://127.0.0.1:${this.agentPort}/v1/agent
  trust: ${this.agentTrust}
${token ? `enrolmentTokenFile: ${join(this.directory, 'enrolment-token')}\n` : ''}${this.agentSettings}`,
    )
  }
}

/** True when the verifier answers; who it is does not matter here, agents check that. */
function healthz(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const call = requestTls(
      { host: '127.0.0.1', port, path: '/healthz', rejectUnauthorized: false, timeout: 2000 },
      (answer) => {
        answer.resume()
        resolve(answer.statusCode === 200 ? true : undefined)
      },
    )
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(undefined))
    call.end()
  })
}

import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { codeOf, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { EV } from '../../attestation/event-log/index.ts'
import { honestBoot } from './boot.ts'
import { CountingRelay } from './counting-relay.ts'
import type { Deployment, DeploymentOptions } from './deployment.ts'
import { cryptoAgileLog, type WrittenEvent } from './firmware-log.ts'
import type { Ran } from './holdfast.ts'
import { encodeList, type ImaEntrySpec, templateData } from './ima-log.ts'
import type { Swtpm } from './swtpm.ts'
import { tempDir } from './temp-dir.ts'
import { prepareNode, type WholeNode } from './whole-path.ts'

/** How the verifier's store says that the node stands. */
export interface SeenStanding {
  readonly nodeId: string
  readonly admission: string
  readonly akName: string
  readonly standing: string
  readonly standingSince: string
  readonly standingReasons: readonly { readonly rule: string; readonly message: string }[]
  readonly updatedAt: string
}

const SEEN = `select node_id as nodeId, admission, ak_name as akName, standing, standing_since as standingSince,
  standing_reasons as reasons, updated_at as updatedAt from nodes`

/** A pod that runs until somebody ends it. */
export interface LongPod {
  readonly uuid: string
  /** How `holdfast run` ended. */
  readonly ended: Promise<Ran>
  /** Process IDs in its control groups. */
  readonly processes: () => number[]
}

/** How many extends one call of tpm2_pcrextend is given. */
const EXTENDS_AT_ONCE = 500

/** A whole node whose machine has a firmware log and, if a test writes one, a list of IMA, with a verifier that judges them. */
export class MachineNode {
  readonly node: WholeNode
  readonly relay: CountingRelay
  /** Where the machine's logs are: firmware, ima, systemd. */
  readonly logs: string
  readonly #policies: string
  readonly #firmware: { events: readonly WrittenEvent[] }
  readonly #removed: () => void
  readonly #pods: LongPod[] = []

  private constructor(parts: {
    readonly node: WholeNode
    readonly relay: CountingRelay
    readonly directory: string
    readonly firmware: { events: readonly WrittenEvent[] }
    readonly removed: () => void
  }) {
    this.node = parts.node
    this.relay = parts.relay
    this.logs = join(parts.directory, 'logs')
    this.#policies = join(parts.directory, 'appraisal')
    this.#firmware = parts.firmware
    this.#removed = parts.removed
  }

  /**
   * Prepared, and started: the agent is connected, whatever the verifier thinks of it.
   * @param policies appraisal policies by file name
   */
  static async start(
    policies: Readonly<Record<string, string>>,
    options: DeploymentOptions = {},
    began: (machine: MachineNode) => Promise<void> = async () => {},
  ): Promise<MachineNode> {
    const directory = tempDir()
    const appraisal = join(directory.path, 'appraisal')
    mkdirSync(appraisal)
    mkdirSync(join(directory.path, 'logs'))
    const firmware = { events: honestBoot() as readonly WrittenEvent[] }
    const verifierSettings = `appraisalPolicies: ${appraisal}\n${options.verifierSettings ?? ''}`
    for (const [name, text] of Object.entries(policies)) writeFileSync(join(appraisal, name), text)
    const node = await prepareNode({
      ...options,
      verifierSettings,
      firmware: async (tpm) => await extend(tpm, firmware.events),
    })
    const relay = await CountingRelay.start(node.d.verifierPort)
    const machine = new MachineNode({ node, relay, directory: directory.path, firmware, removed: directory.remove })
    try {
      const paths = (['firmware', 'systemd', 'ima'] as const).map((s) => `  ${s}: ${join(machine.logs, s)}\n`)
      node.d.agentSettings = `machineLogs:\n${paths.join('')}`
      node.d.agentPort = relay.port
      machine.writeFirmwareLog()
      await began(machine)
      await node.d.startVerifier()
      await node.d.enrol()
      return machine
    } catch (err) {
      await machine.stop()
      throw err
    }
  }

  get d(): Deployment {
    return this.node.d
  }

  /** The firmware's log as it was measured, another, or none. */
  writeFirmwareLog(bytes: Uint8Array | null = cryptoAgileLog(this.#firmware.events)): void {
    const file = join(this.logs, 'firmware')
    if (bytes === null) rmSync(file, { force: true })
    else writeFileSync(file, bytes)
  }

  /** From the next start of the TPM on, this is booted. */
  willBoot(events: readonly WrittenEvent[]): void {
    this.#firmware.events = events
  }

  /** The whole machine starts anew: agent, TPM, firmware, lists. @param log what it says of its boot, where that is not what it measured */
  async reboot(log?: Uint8Array | null): Promise<void> {
    await this.d.agent.stop()
    await this.d.tpm.reboot()
    rmSync(join(this.logs, 'ima'), { force: true })
    this.writeFirmwareLog(log)
    await this.d.measureFirmware()
    await this.d.startAgent()
  }

  /** As the kernel does: into the list, then into the register. */
  async measureFiles(entries: readonly ImaEntrySpec[]): Promise<void> {
    appendFileSync(join(this.logs, 'ima'), encodeList(entries))
    const specs = entries.map((entry) => `10:sha256=${toHex(digest('sha256', templateData(entry)))}`)
    for (let at = 0; at < specs.length; at += EXTENDS_AT_ONCE) {
      await this.d.tpm.tool('tpm2_pcrextend', ...specs.slice(at, at + EXTENDS_AT_ONCE))
    }
  }

  /** Puts policies beside or in place of those before, and has the verifier take them over. */
  async setAppraisal(policies: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(policies)) writeFileSync(join(this.#policies, name), text)
    const before = this.reloads()
    process.kill(this.d.verifier.pid, 'SIGHUP')
    await this.d.verifier.waitUntil('the policies taken over', async () => (this.reloads() > before ? true : undefined))
  }

  reloads(): number {
    return readFileSync(this.d.verifier.logFile, 'utf8').split('policies and roots taken over').length - 1
  }

  /** Read from the store, for it is asked often; there is one node. */
  seen(): SeenStanding {
    const [row] = this.query<Omit<SeenStanding, 'standingReasons'> & { readonly reasons: string }>(SEEN)
    if (row === undefined) throw new Error('the verifier knows no node')
    const { reasons, ...seen } = row
    return { ...seen, standingReasons: JSON.parse(reasons) }
  }

  /** Waits until the node stands so, or so and as `is` says. */
  async stands(standing: string, is: (node: SeenStanding) => boolean = () => true): Promise<SeenStanding> {
    let last: SeenStanding | undefined
    try {
      return await this.d.verifier.waitUntil(`standing ${standing}`, async () => {
        last = this.seen()
        return last.standing === standing && is(last) ? last : undefined
      })
    } catch (err) {
      throw new Error(`${String(err)}\nlast seen: ${last?.standing} ${JSON.stringify(last?.standingReasons, null, 1)}`)
    }
  }

  /** Waits until the verifier has taken this many further rounds of evidence. @returns every standing that was seen meanwhile */
  async rounds(count: number): Promise<Set<string>> {
    const seen = new Set<string>()
    let at = ''
    let left = count + 1
    await this.d.verifier.waitUntil(`${count} rounds of evidence`, async () => {
      const { updatedAt, standing } = this.seen()
      seen.add(standing)
      if (updatedAt !== at) left--
      at = updatedAt
      return left <= 0 ? true : undefined
    })
    return seen
  }

  /** Every change of standing that the verifier has kept, oldest first: `pending trusted`. */
  events(): string[] {
    return this.query<{ from: string; to: string }>('select "from", "to" from node_events order by id').map(
      (e) => `${e.from} ${e.to}`,
    )
  }

  /** Looks into the verifier's store. */
  query<Row>(sql: string): Row[] {
    const db = new Database(join(this.d.directory, 'verifier/store.sqlite'), { readonly: true })
    try {
      return db.prepare<[], Row>(sql).all()
    } finally {
      db.close()
    }
  }

  /** Launches a pod that runs until somebody ends it, and waits until it works. */
  async longPod(): Promise<LongPod> {
    const { d, image } = this.node
    const uuidFile = join(this.logs, 'uuid')
    rmSync(uuidFile, { force: true })
    const ended = d.launch('--uuid-file-save', uuidFile, image, '--', 'sh', '-c', 'echo at work; exec sleep 1000')
    let told: Ran | undefined
    ended.then(
      (ran) => (told = ran),
      () => {}, // told to whoever waits for it
    )
    const uuid = await d.agent.waitUntil('a pod', async () => {
      if (told !== undefined) throw new Error(`the pod ended: ${JSON.stringify(told)}`)
      return existsSync(uuidFile) ? readFileSync(uuidFile, 'utf8').trim() : undefined
    })
    const pod: LongPod = { uuid, ended, processes: () => podProcesses(join(d.dataDirectory, 'pods/run', uuid)) }
    this.#pods.push(pod)
    await d.agent.waitUntil('the pod at work', async () => (pod.processes().length > 2 ? true : undefined))
    return pod
  }

  async stop(): Promise<void> {
    for (const pod of this.#pods) for (const pid of pod.processes()) kill(pid)
    await Promise.all(this.#pods.map((pod) => pod.ended))
    await this.relay.stop()
    await this.d.stop()
    this.#removed()
  }
}

async function extend(tpm: Swtpm, events: readonly WrittenEvent[]): Promise<void> {
  const measured = events.filter((e) => e.type !== EV.NO_ACTION)
  const specs = measured.map((e) => `${e.register}:sha256=${toHex(digest('sha256', e.measured ?? e.data))}`)
  await tpm.tool('tpm2_pcrextend', ...specs)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (err) {
    if (codeOf(err) !== 'ESRCH') throw err
  }
}

function podProcesses(pod: string): number[] {
  const plan = join(pod, 'plan/cgroups.top')
  if (!existsSync(plan)) return []
  const groups = readFileSync(plan, 'utf8')
    .split('\0')
    .filter((g) => g !== '' && existsSync(g))
  const all = groups.flatMap((g) => [
    g,
    ...readdirSync(g, { recursive: true, encoding: 'utf8' }).map((e) => join(g, e)),
  ])
  const lists = all.map((d) => join(d, 'cgroup.procs')).filter((f) => existsSync(f))
  const pids = lists.flatMap((f) => readFileSync(f, 'utf8').split('\n')).filter((line) => line !== '')
  return [...new Set(pids)].map(Number)
}

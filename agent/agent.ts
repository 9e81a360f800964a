import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { CodedError, fromHex, messageOf } from '../attestation/base/index.ts'
import { toBankValues } from '../attestation/event-log/index.ts'
import type { MachineLogSource } from '../attestation/protocol/index.ts'
import { Attester } from './attester.ts'
import { collectEvidence } from './collect.ts'
import { type AgentConfig, findGroup, type LoadedConfig } from './config/index.ts'
import { type NodeIdentity, readIdentity } from './identity.ts'
import { LaunchLog, LaunchLogError, openLogDirectory } from './launch-log/index.ts'
import { Launcher } from './launcher.ts'
import { AGENT_SOCKET_NAME, type AgentStatus } from './local-api/index.ts'
import { LocalApi, refuseServedSocket } from './local-api/server.ts'
import { machineLogReader } from './machine-logs/index.ts'
import { PodStopper } from './pod-stop.ts'
import { PodWatch } from './pod-watch.ts'
import type { Tpm, TpmDescription } from './ports.ts'
import { SilenceWatch } from './silence-watch.ts'
import { Uplink, type UplinkOptions } from './uplink/index.ts'

export interface AgentOptions {
  readonly loaded: LoadedConfig
  readonly tpm: Tpm
  readonly logger: Logger
  readonly version: string
  /** SHA-256 of the program, lowercase hex. */
  readonly programSha256: string
}

/** A node agent that runs. */
export interface Agent {
  readonly socketPath: string
  readonly status: () => AgentStatus
  /** Settles with a reason for which this agent cannot go on and another one could; not when it is stopped. */
  readonly failed: Promise<CodedError>
  /** Takes no more launches, lets the one in hand finish its extend, closes uplink, log and TPM. */
  stop(): Promise<void>
}

/**
 * Starts everything: the launch log is settled and locked before anybody can ask for a launch.
 * @throws CodedError of whatever could not be started; what was started before it has been stopped again
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { loaded, tpm, logger } = options
  const { config } = loaded
  const undo: (() => Promise<void>)[] = [() => tpm.close()]
  let fail: (reason: CodedError) => void = () => {}
  const failed = new Promise<CodedError>((resolve) => {
    fail = resolve
  })
  try {
    const description = await tpm.describe()
    checkBanks(config, description)
    const identity = await readIdentity(tpm)
    const mayBegin = async (): Promise<void> => {
      if (await hasKey(tpm, identity)) return
      fail(keyLost())
      throw keyLost()
    }
    const launchLog = await openLaunchLog(options, description, identity, mayBegin)
    undo.push(() => launchLog.close())
    const machineLogs = machineLogReader(config.machineLogs, unreadableLogs(logger))
    const attester = new Attester(tpm, config.pcr, machineLogs)
    const podWatch = new PodWatch({
      stateDirectory: join(config.dataDirectory, 'agent', 'pods'),
      dataDirectory: config.dataDirectory,
      launchLog,
      logger,
      onRecorded: () => uplink?.reportSoon(),
    })
    const stopper = new PodStopper({
      open: () => launchLog.view.summary.open.keys(),
      place: (uuid) => podWatch.place(uuid),
      logger,
    })
    const silence = silenceWatch(config, stopper)
    if (silence !== undefined) undo.push(async () => silence.stop())
    const uplink = makeUplink(options, description, identity, {
      attester,
      launchLog,
      onAnswer: () => silence?.heard(),
      onStopPods: (reason) => void stopper.stopAll(reason),
      onKeyLost: () => fail(keyLost()),
    })
    undo.push(() => podWatch.stop())
    await podWatch.start()
    uplink?.start()
    undo.push(async () => uplink?.stop())
    const launcher = new Launcher({
      mode: config.mode,
      identity,
      pcr: config.pcr,
      launchLog,
      ...(uplink === undefined ? {} : { uplink }),
      ticketKeys: new Map((loaded.trust?.ticketKeys ?? []).map((k) => [k.id, k.key])),
      timeoutMs: config.launchTimeoutMs,
      podWatch,
      clock: { now: () => new Date() },
      logger,
    })
    const status = statusOf(options, description, identity, launchLog, uplink, launcher)
    const socketPath = join(config.runDirectory, AGENT_SOCKET_NAME)
    const gid = await socketGroup(config, logger)
    const api = await LocalApi.listen({
      socketPath,
      ...(gid === undefined ? {} : { gid }),
      status,
      log: () => launchLog.view,
      launch: (body) => launcher.launch(body),
      enter: (body, by) => launcher.enter(body, by),
      evidence: (nonce) =>
        collectEvidence(nonce, {
          ...{ attester, launchLog, machineLogs, identity, banks: description.banks, pcr: config.pcr },
          ...{ collector: `holdfast/${options.version}`.slice(0, 64), now: () => new Date() },
        }),
      logger,
    })
    undo.push(() => api.close())
    const { start, size } = launchLog.view
    logger.info(
      { nodeId: identity.nodeId, mode: config.mode, pcr: config.pcr, ...start, logBytes: size, socketPath },
      'agent ready',
    )
    return { socketPath, status, failed, stop: () => unwind(undo, logger) }
  } catch (err) {
    await unwind(undo, logger)
    throw err
  }
}

/** Undoes what was started, last first; an error of one does not keep the others. */
async function unwind(undo: (() => Promise<void>)[], logger: Logger): Promise<void> {
  for (const step of undo.splice(0).reverse()) {
    await step().catch((err: unknown) => logger.error({ err }, 'while the agent stopped'))
  }
}

/** All allocated banks are extended: a bank left alone could be forged. `banks` in the configuration only says what is expected. */
function checkBanks(config: AgentConfig, description: TpmDescription): void {
  const expected = config.banks
  if (expected === undefined) return
  const same = expected.length === description.banks.length && expected.every((b) => description.banks.includes(b))
  if (same) return
  throw new LaunchLogError(
    'LAUNCH_LOG_BANKS',
    `the configuration expects the PCR banks ${expected.join(', ')}, the TPM has ${description.banks.join(', ')} allocated`,
  )
}

async function openLaunchLog(
  options: AgentOptions,
  { banks }: TpmDescription,
  { akNameHex }: NodeIdentity,
  mayBegin: () => Promise<void>,
): Promise<LaunchLog> {
  const { loaded, tpm, logger, version, programSha256 } = options
  const { config, trust, sha256 } = loaded
  const storage = await openLogDirectory(join(config.dataDirectory, 'agent', 'launch-log'), akNameHex)
  try {
    await refuseServedSocket(join(config.runDirectory, AGENT_SOCKET_NAME)) // while nothing has been extended
    return await LaunchLog.open({
      storage,
      tpm,
      pcr: config.pcr,
      banks,
      mayBegin,
      agentRecord: (found) => ({
        record: 'agent',
        version,
        programSha256,
        configSha256: sha256,
        mode: config.mode,
        found,
        verifierKeys: (trust?.ticketKeys ?? []).map((k) => k.id),
      }),
      onBreak: ({ reason, expected, found }) =>
        logger.fatal({ code: 'LAUNCH_LOG_BREAK', reason, expected, found }, 'launch log and register do not add up'),
    })
  } catch (err) {
    await storage.close()
    throw err
  }
}

function makeUplink(
  options: AgentOptions,
  description: TpmDescription,
  identity: NodeIdentity,
  parts: Pick<UplinkOptions, 'attester' | 'launchLog' | 'onStopPods' | 'onAnswer' | 'onKeyLost'>,
): Uplink | undefined {
  const { loaded, tpm, logger, version } = options
  const { config, trust, enrolmentToken } = loaded
  if (trust === undefined || config.mode === 'off') return undefined
  const { ekPublic, ekCertificate, ekChain, akPublic, platformCertificate } = identity.tpm
  return new Uplink({
    trust,
    identity,
    hello: {
      t: 'hello',
      agent: `holdfast/${version}`.slice(0, 64),
      hostname: hostname().slice(0, 253),
      ekPublic,
      ...(ekCertificate === undefined ? {} : { ekCertificate }),
      ekChain: [...ekChain],
      ...(platformCertificate === undefined ? {} : { platformCertificate }),
      akPublic,
      pcr: config.pcr,
      banks: [...description.banks],
      mode: config.mode,
      ...(enrolmentToken === undefined ? {} : { token: enrolmentToken }),
    },
    verifierId: fromHex(trust.verifierId),
    tpm,
    ...parts,
    hasKey: () => hasKey(tpm, identity),
    nowMs: () => performance.now(),
    random: Math.random,
    logger,
    onCertificate: (der) => {
      const file = join(config.dataDirectory, 'agent', 'ak-certificate.der')
      writeFile(file, der, { mode: 0o644 }).catch((err: unknown) =>
        logger.warn({ err }, 'the AK certificate was not kept'),
      )
    },
  })
}

function silenceWatch({ stopPodsAfterSilenceMs }: AgentConfig, stopper: PodStopper): SilenceWatch | undefined {
  if (stopPodsAfterSilenceMs === undefined) return undefined
  return new SilenceWatch({
    afterMs: stopPodsAfterSilenceMs,
    nowMs: () => performance.now(),
    onSilence: (reason) => void stopper.stopAll(reason),
  })
}

/** A TPM that does not answer now may have it: whatever is wrong then will be said by the quote. */
async function hasKey(tpm: Tpm, { akNameHex }: NodeIdentity): Promise<boolean> {
  try {
    return (await readIdentity(tpm)).akNameHex === akNameHex
  } catch {
    return true
  }
}

function keyLost(): CodedError<'AGENT_KEY_LOST'> {
  const message =
    'the TPM has another attestation key than at the start, as after TPM2_Clear: the agent has to be started anew with it'
  return new CodedError('AGENT_KEY_LOST', message)
}

/** Said once for each log, not once for each quote. */
function unreadableLogs(logger: Logger): (source: MachineLogSource, err: unknown) => void {
  const said = new Set<MachineLogSource>()
  return (source, err) => {
    if (said.has(source)) return
    said.add(source)
    logger.warn(
      { code: 'MACHINE_LOG_UNREADABLE', source, err },
      'a log of this machine cannot be read; the verifier gets none of it',
    )
  }
}

/** Where the group does not exist, the socket stays with root: nobody is let in by default. */
async function socketGroup(config: AgentConfig, logger: Logger): Promise<number | undefined> {
  try {
    return findGroup(await readFile('/etc/group', 'utf8'), config.socketGroup)
  } catch (err) {
    logger.warn({ code: 'AGENT_GROUP_UNKNOWN', reason: messageOf(err) }, 'only root may use the socket')
    return undefined
  }
}

function statusOf(
  options: AgentOptions,
  description: TpmDescription,
  identity: NodeIdentity,
  launchLog: LaunchLog,
  uplink: Uplink | undefined,
  launcher: Launcher,
): () => AgentStatus {
  const { config, trust } = options.loaded
  const startedAt = new Date().toISOString()
  return () => {
    const { start, size, registers, summary } = launchLog.view
    const last = uplink?.lastResult
    return {
      version: options.version,
      startedAt,
      mode: config.mode,
      nodeId: identity.nodeId,
      akName: identity.akNameHex,
      tpm: { manufacturer: description.manufacturer, firmwareVersion: `0x${description.firmwareVersion.toString(16)}` },
      pcr: config.pcr,
      banks: description.banks,
      ...(trust === undefined ? {} : { verifier: { url: trust.url, id: trust.verifierId } }),
      uplink: uplink?.status ?? { state: 'unused' },
      ...(last === undefined
        ? {}
        : { lastResult: { at: last.at.toISOString(), tier: last.result.tier, findings: last.result.findings } }),
      log: {
        ...start,
        records: summary.records,
        bytes: size,
        register: toBankValues(registers),
        settled: launchLog.settled,
        breaks: summary.breaks.length,
      },
      launches: {
        allowed: summary.launches,
        denied: summary.denials,
        running: summary.open.size,
        waiting: launcher.waiting,
      },
    }
  }
}

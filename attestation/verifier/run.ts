import { randomBytes } from 'node:crypto'
import pino, { type Logger } from 'pino'
import type { RunningApi } from '../api/index.ts'
import type { AppraisalPolicy, AppraisalPolicySet } from '../appraisal-policy/index.ts'
import { codeOf, messageOf } from '../base/index.ts'
import { loadLaunchPolicies } from '../launch-policy/index.ts'
import { openStore } from '../store/index.ts'
import { loadAppraisalPolicies } from './appraisal-policies.ts'
import { storePlace, type VerifierConfig, VerifierError } from './config/index.ts'
import { loadIdentity, type TrustFile, type VerifierIdentity } from './identity.ts'
import { Listener } from './listener.ts'
import { DEFAULT_JITTER_PERCENT } from './quote-exchange.ts'
import { KeyedRateLimit } from './rate-limit.ts'
import { readRootStore } from './roots/index.ts'
import { VerifierService } from './service.ts'
import { Session } from './session.ts'
import { readReceivers, WebhookDeliverer } from './webhooks/index.ts'

/** Agents are told to come back; those that do not read that are cut off. */
const SHUTDOWN_GRACE_MS = 3000
/** For a request of the API to arrive, headers and body. */
const API_REQUEST_MS = 10_000
/** Version of what appraises, in attestation results. */
const BUILD = { developer: 'Holdfast', build: 'holdfast-verifier/1' } as const

/** A verifier that listens. */
export interface RunningVerifier {
  readonly host: string
  readonly port: number
  readonly trust: TrustFile
  /** Where the API answers, if it does. */
  readonly api?: { readonly host: string; readonly port: number }
  /** Reads policies and roots again; with a mistake in them, the old ones stay. */
  reload(): Promise<void>
  /** Ends connections in order, then the listener, then the store. */
  close(): Promise<void>
}

export interface StartOptions {
  readonly log: Logger
  /** Wall clock; injected by tests. */
  readonly now?: () => Date
  /** Path or URL, as storePlace has it; the file in the data directory where absent. */
  readonly store?: string
}

/**
 * Starts a verifier. Policies, roots, keys and store are all checked before it listens.
 *
 * @throws VerifierError, LaunchPolicyError, StoreError, CaError: nothing is left open then
 */
export async function startVerifier(config: VerifierConfig, options: StartOptions): Promise<RunningVerifier> {
  const { log } = options
  const now = options.now ?? (() => new Date())
  const policies = loadLaunchPolicies(config.policies)
  const appraisal = readAppraisal(config)
  const roots = readRootStore(config.enrolment.roots)
  const receivers = readReceivers(config)
  const identity = await loadIdentity(config, now())
  const store = await openStore(options.store ?? config.storeFile, { exclusive: true, create: true, now })
  try {
    await store.claimFor(identity.verifierIdHex)
    const keep = async (set: typeof policies): Promise<void> =>
      await store.saveEvidence({ sha256: set.revision, kind: 'policy-set', bytes: set.canonical })
    const keepAppraisal = async (set: AppraisalPolicySet | undefined): Promise<void> => {
      for (const { revision, canonical } of set === undefined ? [] : policiesOf(set)) {
        await store.saveEvidence({ sha256: revision, kind: 'appraisal-policy', bytes: canonical })
      }
    }
    await keep(policies)
    await keepAppraisal(appraisal)
    const random = (size: number): Uint8Array => new Uint8Array(randomBytes(size))
    const service = new VerifierService({
      config,
      identity,
      store,
      policies,
      appraisalPolicies: appraisal,
      roots,
      log,
      random,
      now,
      build: BUILD,
    })
    const listener = new Listener(
      {
        ...config.listen,
        ...config.limits,
        certificate: identity.tls.certificate,
        key: identity.tls.key,
        healthy: service.healthy,
        ready: service.ready,
        onConnection: (connection, connectionLog) => {
          const session = new Session(connection, service, connectionLog)
          service.sessionStarted(session)
          connection.serve(session)
        },
      },
      log,
    )
    const address = await listener.listen()
    let api: RunningApi | undefined
    try {
      api = await listenForApi(config, identity, service, log)
    } catch (err) {
      await listener.close(0)
      throw err
    }
    service.start()
    const webhooks = new WebhookDeliverer(receivers, { store, verifierId: identity.verifierIdHex, log, now })
    log.info(
      {
        host: address.address,
        port: address.port,
        verifierId: identity.verifierIdHex,
        policyRevision: policies.revision,
        policies: policies.policies.length,
        roots: roots.anchorFingerprints.size,
      },
      'verifier listens',
    )
    if (roots.anchorFingerprints.size === 0 && config.enrolment.listed.size === 0) {
      log.warn('no TPM maker is trusted and no node is listed: nobody can enrol; see holdfast roots import')
    }
    return {
      host: address.address,
      port: address.port,
      trust: identity.trust,
      ...(api !== undefined && { api: { host: api.host, port: api.port } }),
      async reload() {
        try {
          const fresh = loadLaunchPolicies(config.policies)
          const freshAppraisal = readAppraisal(config)
          const freshRoots = readRootStore(config.enrolment.roots)
          await keep(fresh)
          await keepAppraisal(freshAppraisal)
          service.replace(fresh, freshAppraisal, freshRoots)
          log.info(
            { policyRevision: fresh.revision, roots: freshRoots.anchorFingerprints.size },
            'policies and roots taken over',
          )
        } catch (err) {
          log.error(
            {
              ...(codeOf(err) === undefined ? { err } : { code: codeOf(err), reason: messageOf(err) }), // a stack for what nobody expected
              policyRevision: service.policies().revision,
            },
            'policies and roots not taken over; the old ones stay',
          )
        }
      },
      async close() {
        const ended = listener.close(SHUTDOWN_GRACE_MS)
        await service.stop()
        await webhooks.stop()
        await api?.close()
        await ended
        await store.close()
        log.info('verifier stopped')
      },
    }
  } catch (err) {
    await store.close()
    throw err
  }
}

/** What an address or a token may use up at once, in seconds of its share. */
const API_BURST_S = 5

/** @throws VerifierError VERIFIER_LISTEN_FAILED */
async function listenForApi(
  config: VerifierConfig,
  { tls }: VerifierIdentity,
  service: VerifierService,
  log: Logger,
): Promise<RunningApi | undefined> {
  if (config.api === undefined) return undefined
  const { listen, plainHttp, requestsPerSecond, requestsPerAddressPerSecond, connections, streams } = config.api
  const { startApi, TokenAuthenticator } = await import('../api/index.ts') // its libraries are for those who use it
  const { store, now, policies, appraisalPolicies, operatorActed } = service
  const metrics = async () => await service.metrics.text()
  const sources = { store, now, launchPolicies: policies, appraisalPolicies, operatorActed, metrics }
  const options = {
    ...(!plainHttp && { tls }),
    ...{ connections, streams, requestMs: API_REQUEST_MS },
    perAddress: new KeyedRateLimit(requestsPerAddressPerSecond, API_BURST_S * requestsPerAddressPerSecond),
    perPrincipal: new KeyedRateLimit(requestsPerSecond, API_BURST_S * requestsPerSecond),
    authenticator: new TokenAuthenticator(store, now, log),
  }
  try {
    const api = await startApi(listen, sources, options, log)
    log.info({ host: api.host, port: api.port, plainHttp }, 'the API listens')
    return api
  } catch (cause) {
    const message = `cannot listen on api.listen, ${listen.host} port ${listen.port}: ${messageOf(cause)}`
    throw new VerifierError('VERIFIER_LISTEN_FAILED', message, { cause })
  }
}

function readAppraisal({ appraisalPolicies, attestation }: VerifierConfig): AppraisalPolicySet | undefined {
  if (appraisalPolicies === undefined) return undefined
  const set = loadAppraisalPolicies(appraisalPolicies)
  for (const policy of policiesOf(set)) checkInterval(policy, attestation)
  return set
}

function policiesOf(set: AppraisalPolicySet): AppraisalPolicy[] {
  return [...set.selecting, ...(set.fallback === undefined ? [] : [set.fallback])]
}

/** A node that may take longer between two quotes than silence may last would be stale again and again. */
function checkInterval({ name, attestation }: AppraisalPolicy, { silentAfterMs }: VerifierConfig['attestation']): void {
  const { intervalMs, jitterPercent = DEFAULT_JITTER_PERCENT } = attestation
  if (intervalMs === undefined || intervalMs * (1 + jitterPercent / 100) < silentAfterMs) return
  const message =
    `appraisal policy ${name}: ${intervalMs / 1000} s and ${jitterPercent} % between quotes is not within ` +
    `attestation.silentAfterSeconds of the verifier, ${silentAfterMs / 1000}; its nodes would be stale: shorten the one or raise the other`
  throw new VerifierError('VERIFIER_CONFIG_INVALID', message)
}

/** Runs until SIGTERM or SIGINT; SIGHUP reloads. Resolves when everything has ended. */
export async function runVerifier(config: VerifierConfig): Promise<void> {
  const log = pino(
    {
      ...{ level: config.logLevel, name: 'holdfast-verifier', timestamp: pino.stdTimeFunctions.isoTime },
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination(2),
  )
  const signals = new ProcessSignals()
  try {
    const verifier = await startVerifier(config, { log, store: storePlace(config, process.env) })
    for (let signal = await signals.next(); ; signal = await signals.next()) {
      if (signal === 'SIGHUP') {
        await verifier.reload()
        continue
      }
      log.info({ signal }, 'stopping')
      break
    }
    signals.release() // who asks a second time does not want to wait for an end in order
    await verifier.close()
  } finally {
    signals.release()
  }
}

const HANDLED = ['SIGHUP', 'SIGTERM', 'SIGINT'] as const
type Signal = (typeof HANDLED)[number]

/** Signals in their order, from the first moment on: none ends the process half-way through its start. */
class ProcessSignals {
  readonly #come: Signal[] = []
  #wake: (() => void) | undefined

  constructor() {
    for (const signal of HANDLED) process.on(signal, this.#take)
  }

  /** The next one, one that has come already or is yet to come; any number of SIGHUP that wait are one. */
  async next(): Promise<Signal> {
    for (;;) {
      const signal = this.#come.shift()
      if (signal !== undefined) return signal
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  release(): void {
    for (const signal of HANDLED) process.off(signal, this.#take)
  }

  readonly #take = (signal: NodeJS.Signals): void => {
    const known = HANDLED.find((handled) => handled === signal)
    if (known === undefined || this.#come.includes(known)) return
    this.#come.push(known)
    this.#wake?.()
  }
}

import { readFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Static, Type } from '@sinclair/typebox'
import { STANDINGS, type Standing } from '../../appraisal/index.ts'
import { codeOf, messageOf } from '../../base/index.ts'
import { type BankRegisters, fromBankValues } from '../../event-log/index.ts'
import { MAX_TICKET_LIFETIME_S } from '../../protocol/index.ts'
import { type Complain, parseSettings } from '../../settings/index.ts'
import { VerifierError } from './errors.ts'

const closed = { additionalProperties: false }
const text = (description: string, pattern?: string) =>
  Type.String({ minLength: 1, maxLength: 4096, description, ...(pattern !== undefined && { pattern }) })
const path = (what: string) => text(`an absolute path (${what})`, '^/[^\\u0000]*$')
const choice = <T extends string>(...values: readonly T[]) =>
  Type.Unsafe<T>(Type.String({ pattern: `^(${values.join('|')})$`, description: `one of ${values.join(', ')}` }))
const whole = (what: string, minimum: number, maximum: number) =>
  Type.Integer({ minimum, maximum, description: `${what}, ${minimum} to ${maximum}` })
const block = (what: string) => ({ ...closed, description: `a block of settings: ${what}` })
const NodeId = text('a node ID: 64 lowercase hexadecimal digits', '^[0-9a-f]{64}$')
const HostName = text('a host name or an IP address', '^[0-9A-Za-z.:_-]+$')

const hexDigits = (n: number) => Type.Optional(text(`${n} lowercase hexadecimal digits`, `^[0-9a-f]{${n}}$`))
const StartValue = Type.Object(
  { sha1: hexDigits(40), sha256: hexDigits(64), sha384: hexDigits(96), sha512: hexDigits(128) },
  { ...closed, minProperties: 1, description: 'the register in each bank, as {sha256: <hex>}' },
)

const LISTEN_PATTERN = '^(\\[[0-9a-fA-F:.]+\\]|[^:\\s]+):[0-9]{1,5}$'

/** The file as an operator writes it; config/verifier.yaml explains each setting. */
const ConfigSchema = Type.Object(
  {
    listen: Type.Optional(text('host:port, such as 0.0.0.0:7443 or [::]:7443', LISTEN_PATTERN)),
    dataDirectory: Type.Optional(path('of keys and store')),
    policies: path('of the directory that holds the *.cedar files'),
    appraisalPolicies: Type.Optional(path('of the directory that holds appraisal policies, *.yaml')),
    tls: Type.Optional(
      Type.Object(
        {
          names: Type.Optional(
            Type.Array(HostName, {
              minItems: 1,
              maxItems: 32,
              description: 'a list of 1 to 32 host names or addresses',
            }),
          ),
          certificate: Type.Optional(path('of a PEM certificate with its chain')),
          key: Type.Optional(path('of its PEM private key')),
        },
        block('names, or certificate and key'),
      ),
    ),
    enrolment: Type.Optional(
      Type.Object(
        {
          admission: Type.Optional(choice('manual', 'token', 'listed')),
          roots: Type.Optional(path('of the directory that holds TPM makers’ certificates')),
          ekCertificateValidity: Type.Optional(choice('ignore-expiry', 'at-issue', 'strict')),
          ekSha1Signatures: Type.Optional(choice('warn', 'refuse')),
          akReplacement: Type.Optional(choice('automatic', 'operator')),
          pods: Type.Optional(choice('refuse', 'admit')),
          listed: Type.Optional(Type.Array(NodeId, { maxItems: 100_000, description: 'a list of node IDs' })),
        },
        block('admission, roots, listed'),
      ),
    ),
    attestation: Type.Optional(
      Type.Object(
        {
          pcrs: Type.Optional(
            Type.Array(whole('a PCR of the boot', 0, 15), {
              maxItems: 16,
              uniqueItems: true,
              description: 'a list of different PCRs, such as [0, 1, 2, 3, 4, 5, 6, 7]',
            }),
          ),
          registers: Type.Optional(
            Type.Array(whole('a PCR that may carry a launch log', 8, 15), {
              minItems: 1,
              maxItems: 8,
              uniqueItems: true,
              description: 'a list of different PCRs, such as [15]',
            }),
          ),
          startValues: Type.Optional(
            Type.Array(StartValue, { maxItems: 64, description: 'a list of register values, each as {sha256: <hex>}' }),
          ),
          periodSeconds: Type.Optional(whole('seconds', 1, 86_400)),
          silentAfterSeconds: Type.Optional(whole('seconds', 2, 86_400)),
        },
        block('pcrs, registers, startValues, periodSeconds, silentAfterSeconds'),
      ),
    ),
    launch: Type.Optional(
      Type.Object(
        {
          ticketSeconds: Type.Optional(whole('seconds', 5, MAX_TICKET_LIFETIME_S)),
          deadlineSeconds: Type.Optional(whole('seconds', 5, 600)),
        },
        block('ticketSeconds, deadlineSeconds'),
      ),
    ),
    webhooks: Type.Optional(
      Type.Array(
        Type.Object(
          {
            url: text('an address, as https://host/path', '^https?://[^\\s]+$'),
            secretFile: path('of the secret that the receiver shares'),
            standings: Type.Optional(
              Type.Array(choice(...STANDINGS), {
                minItems: 1,
                uniqueItems: true,
                description: `a list of ${STANDINGS.join(', ')}`,
              }),
            ),
          },
          block('url, secretFile, standings'),
        ),
        { maxItems: 16, description: 'a list of at most 16 receivers' },
      ),
    ),
    limits: Type.Optional(
      Type.Object(
        {
          connections: Type.Optional(whole('connections', 1, 1_000_000)),
          connectionsPerAddressPerSecond: Type.Optional(whole('connections', 1, 100_000)),
          messagesPerSecond: Type.Optional(whole('messages of one connection', 1, 10_000)),
          launchesPerSecond: Type.Optional(whole('launches of one node', 1, 10_000)),
          logKilobytesPerSecond: Type.Optional(whole('kilobytes of logs of one node', 16, 1_048_576)),
          logMegabytesAtOnce: Type.Optional(whole('megabytes of logs of one node', 1, 4096)),
          keptKilobytesPerSecond: Type.Optional(whole('kilobytes kept of one node', 1, 1_048_576)),
          keptMegabytesAtOnce: Type.Optional(whole('megabytes kept of one node', 1, 65_536)),
        },
        block('connections, messagesPerSecond, launchesPerSecond and others'),
      ),
    ),
    api: Type.Optional(
      Type.Object(
        {
          listen: text('host:port, such as 0.0.0.0:7444', LISTEN_PATTERN),
          plainHttp: Type.Optional(Type.Boolean({ description: 'true or false' })),
          connections: Type.Optional(whole('connections', 1, 100_000)),
          streams: Type.Optional(whole('streams of events', 1, 10_000)),
          requestsPerSecond: Type.Optional(whole('requests with one token', 1, 100_000)),
          requestsPerAddressPerSecond: Type.Optional(whole('requests from one address', 1, 100_000)),
        },
        block('listen, plainHttp, connections, streams and others'),
      ),
    ),
    logLevel: Type.Optional(choice('trace', 'debug', 'info', 'warn', 'error', 'fatal')),
  },
  { ...closed, description: 'a map of settings' },
)

export type AdmissionMode = 'manual' | 'token' | 'listed'

/** The verifier's settings, defaults filled in. */
export interface VerifierConfig {
  readonly listen: { readonly host: string; readonly port: number }
  readonly dataDirectory: string
  /** `<dataDirectory>/store.sqlite` */
  readonly storeFile: string
  readonly policies: string
  /** Absent: nothing is asked of how machines boot. */
  readonly appraisalPolicies?: string
  readonly tls:
    | { readonly kind: 'own-ca'; readonly names: readonly string[] }
    | { readonly kind: 'files'; readonly certificate: string; readonly key: string }
  readonly enrolment: {
    readonly admission: AdmissionMode
    readonly roots: string
    readonly ekCertificateValidity: 'ignore-expiry' | 'at-issue' | 'strict'
    readonly ekSha1Signatures: 'warn' | 'refuse'
    readonly akReplacement: 'automatic' | 'operator'
    /** TPMs of pods, where their hosts vouch for them. */
    readonly pods: 'refuse' | 'admit'
    readonly listed: ReadonlySet<string>
  }
  readonly attestation: {
    readonly pcrs: readonly number[]
    readonly registers: readonly number[]
    /** What the register may hold before the agent's first record, beside zero. */
    readonly startValues: readonly BankRegisters[]
    readonly periodMs: number
    readonly silentAfterMs: number
  }
  readonly launch: { readonly ticketSeconds: number; readonly deadlineMs: number }
  readonly webhooks: readonly {
    readonly url: string
    readonly secretFile: string
    readonly standings: ReadonlySet<Standing>
  }[]
  readonly limits: {
    readonly connections: number
    readonly connectionsPerAddressPerSecond: number
    readonly messagesPerSecond: number
    readonly launchesPerSecond: number
    readonly logKilobytesPerSecond: number
    readonly logMegabytesAtOnce: number
    readonly keptKilobytesPerSecond: number
    readonly keptMegabytesAtOnce: number
  }
  /** Absent: there is no API. */
  readonly api?: {
    readonly listen: { readonly host: string; readonly port: number }
    /** HTTP in clear text, which is for an address of loopback only. */
    readonly plainHttp: boolean
    readonly connections: number
    readonly streams: number
    readonly requestsPerSecond: number
    readonly requestsPerAddressPerSecond: number
  }
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
}

/**
 * @param file path of the YAML
 * @throws VerifierError VERIFIER_CONFIG_UNREADABLE, VERIFIER_CONFIG_INVALID
 */
export function readVerifierConfig(file: string): VerifierConfig {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const reason =
      codeOf(cause) === 'ENOENT' ? 'there is no such file; config/verifier.yaml is one to start from' : messageOf(cause)
    throw new VerifierError('VERIFIER_CONFIG_UNREADABLE', `configuration ${file}: ${reason}`, { cause })
  }
  return parseVerifierConfig(text, file)
}

/** Where the store is: what `DATABASE_URL` says, else the file in the data directory. */
export function storePlace(config: VerifierConfig, environment: NodeJS.ProcessEnv): string {
  const url = environment['DATABASE_URL']
  return url === undefined || url === '' ? config.storeFile : url
}

/** @throws VerifierError VERIFIER_CONFIG_INVALID with every mistake at once, one `file:line:col: message` a line */
export function parseVerifierConfig(text: string, file: string): VerifierConfig {
  const rules = {
    schema: ConfigSchema,
    together: contradictions,
    error: (mistakes: string) => new VerifierError('VERIFIER_CONFIG_INVALID', mistakes),
  }
  return withDefaults(parseSettings(rules, text, file))
}

function withDefaults(c: Static<typeof ConfigSchema>): VerifierConfig {
  const dataDirectory = c.dataDirectory ?? '/var/lib/holdfast-verifier'
  const listen = listenAddress(c.listen ?? '0.0.0.0:7443')
  return {
    listen,
    dataDirectory,
    storeFile: join(dataDirectory, 'store.sqlite'),
    policies: c.policies,
    ...(c.appraisalPolicies !== undefined && { appraisalPolicies: c.appraisalPolicies }),
    tls: tlsSettings(c.tls),
    enrolment: {
      admission: c.enrolment?.admission ?? 'manual',
      roots: c.enrolment?.roots ?? join(dataDirectory, 'roots'),
      ekCertificateValidity: c.enrolment?.ekCertificateValidity ?? 'ignore-expiry',
      ekSha1Signatures: c.enrolment?.ekSha1Signatures ?? 'warn',
      akReplacement: c.enrolment?.akReplacement ?? 'automatic',
      pods: c.enrolment?.pods ?? 'refuse',
      listed: new Set(c.enrolment?.listed ?? []),
    },
    attestation: {
      pcrs: [...(c.attestation?.pcrs ?? [0, 1, 2, 3, 4, 5, 6, 7])].sort((a, b) => a - b),
      registers: c.attestation?.registers ?? [15],
      startValues: (c.attestation?.startValues ?? []).map(fromBankValues),
      periodMs: (c.attestation?.periodSeconds ?? 30) * 1000,
      silentAfterMs: (c.attestation?.silentAfterSeconds ?? 90) * 1000,
    },
    launch: {
      ticketSeconds: c.launch?.ticketSeconds ?? 30,
      deadlineMs: (c.launch?.deadlineSeconds ?? 30) * 1000,
    },
    webhooks: (c.webhooks ?? []).map(({ url, secretFile, standings }) => ({
      url,
      secretFile,
      standings: new Set(standings ?? STANDINGS),
    })),
    limits: {
      connections: c.limits?.connections ?? 10_000,
      connectionsPerAddressPerSecond: c.limits?.connectionsPerAddressPerSecond ?? 20,
      messagesPerSecond: c.limits?.messagesPerSecond ?? 50,
      launchesPerSecond: c.limits?.launchesPerSecond ?? 20,
      logKilobytesPerSecond: c.limits?.logKilobytesPerSecond ?? 256,
      logMegabytesAtOnce: c.limits?.logMegabytesAtOnce ?? 32,
      keptKilobytesPerSecond: c.limits?.keptKilobytesPerSecond ?? 16,
      keptMegabytesAtOnce: c.limits?.keptMegabytesAtOnce ?? 64,
    },
    ...(c.api !== undefined && {
      api: {
        listen: listenAddress(c.api.listen),
        plainHttp: c.api.plainHttp ?? false,
        connections: c.api.connections ?? 1000,
        streams: c.api.streams ?? 64,
        requestsPerSecond: c.api.requestsPerSecond ?? 20,
        requestsPerAddressPerSecond: c.api.requestsPerAddressPerSecond ?? 50,
      },
    }),
    logLevel: c.logLevel ?? 'info',
  }
}

function contradictions(c: Static<typeof ConfigSchema>, complain: Complain): void {
  const config = withDefaults(c)
  const { port } = config.listen
  if (port > 65_535) complain(['listen'], `'listen' names port ${port}; the last one is 65535`)
  if (config.api !== undefined) {
    const { listen, plainHttp } = config.api
    if (listen.port > 65_535)
      complain(['api', 'listen'], `'api.listen' names port ${listen.port}; the last one is 65535`)
    if (listen.host === 'localhost') {
      complain(['api', 'listen'], "'api.listen' names localhost, which may be two addresses; write 127.0.0.1 or [::1]")
    }
    if (plainHttp && !isLoopback(listen.host === '::1' ? '[::1]' : listen.host)) {
      const why =
        'would send tokens over the network in clear text; it is for an address of loopback (127.0.0.1, [::1])'
      complain(['api', 'plainHttp'], `'api.plainHttp' ${why}`)
    }
  }
  if ((c.tls?.certificate === undefined) !== (c.tls?.key === undefined)) {
    complain(['tls'], "'tls.certificate' and 'tls.key' go together: set both or neither")
  }
  if (c.tls?.certificate !== undefined && c.tls.names !== undefined) {
    const why = "is for the certificate that the verifier makes; with 'tls.certificate' it has no effect, remove it"
    complain(['tls', 'names'], `'tls.names' ${why}`)
  }
  const { silentAfterMs, periodMs } = config.attestation
  if (silentAfterMs <= periodMs) {
    const why = "must be longer than 'attestation.periodSeconds'"
    complain(['attestation', 'silentAfterSeconds'], `'attestation.silentAfterSeconds' ${why}`)
  }
  if (config.enrolment.admission === 'listed' && config.enrolment.listed.size === 0) {
    const why = "is listed, but 'enrolment.listed' names no node: nobody could be admitted"
    complain(['enrolment', 'admission'], `'enrolment.admission' ${why}`)
  }
  for (const pcr of config.attestation.registers) {
    const where = ['attestation', 'registers']
    if (pcr === 10) complain(where, "'attestation.registers' names PCR 10, which the kernel (IMA) extends")
    if (config.attestation.pcrs.includes(pcr)) {
      const why = "is in 'attestation.pcrs' and in 'attestation.registers'; a register of the boot holds no launch log"
      complain(where, `PCR ${pcr} ${why}`)
    }
  }
  for (const [i, { url }] of config.webhooks.entries()) {
    // not one of these messages repeats it: it may hold the receiver's secret
    if (!URL.canParse(url)) complain(['webhooks', String(i), 'url'], `'webhooks[${i}].url' is not an address`)
    else if (url.startsWith('http:') && !isLoopback(new URL(url).hostname)) {
      complain(['webhooks', String(i), 'url'], `'webhooks[${i}].url' goes over the network in clear text; use https`)
    } else if (new URL(url).username !== '' || new URL(url).password !== '') {
      const why = 'names a user or a password, which are not sent; receivers know the verifier by its signature'
      complain(['webhooks', String(i), 'url'], `'webhooks[${i}].url' ${why}`)
    }
    if (config.webhooks.findIndex((other) => other.url === url) !== i) {
      complain(['webhooks', String(i), 'url'], `'webhooks[${i}].url' is named twice`)
    }
  }
  if (!isAbsolute(config.policies)) complain(['policies'], "'policies' is not an absolute path")
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.[0-9]{1,3}){3}$/.test(host)
}

function tlsSettings(tls: Static<typeof ConfigSchema>['tls']): VerifierConfig['tls'] {
  if (tls?.certificate !== undefined && tls.key !== undefined) {
    return { kind: 'files', certificate: tls.certificate, key: tls.key }
  }
  return { kind: 'own-ca', names: tls?.names ?? ['localhost', '127.0.0.1', '::1'] }
}

function listenAddress(text: string): VerifierConfig['listen'] {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

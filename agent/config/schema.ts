import { type Static, type TSchema, Type } from '@sinclair/typebox'

const closed = { additionalProperties: false }

/** `description` completes the sentence "wants ..." of an error message. */
const text = (description: string, pattern?: string) =>
  Type.String({ minLength: 1, maxLength: 4096, description, ...(pattern === undefined ? {} : { pattern }) })
const path = (what: string) => text(`an absolute path (${what})`, '^/[^\\u0000]*$')
const choice = <const T extends string>(values: readonly T[]) =>
  Type.Unsafe<T>(Type.String({ pattern: `^(${values.join('|')})$`, description: `one of ${values.join(', ')}` }))
const list = (of: TSchema, max: number) => ({
  minItems: 1,
  maxItems: max,
  description: `a list of 1 to ${max}: ${of.description}`,
})

const Spki = text('the SHA-256 of a public key (SPKI) as 64 hexadecimal digits', '^[0-9a-fA-F]{64}$')
const KeyFile = path('of a public key: PEM or JWK')
const Bank = choice(['sha1', 'sha256', 'sha384', 'sha512'])
const seconds = (min: number, max: number) =>
  Type.Number({ minimum: min, maximum: max, description: `seconds, ${min} to ${max}` })

const Verifier = Type.Object(
  {
    url: text('the address of the verifier, as wss://host:7443/v1/agent', '^wss://[^\\s]+$'),
    trust: Type.Optional(path("of the verifier's trust.json")),
    tlsSpkiSha256: Type.Optional(Type.Array(Spki, list(Spki, 8))),
    ca: Type.Optional(path('of PEM certificates')),
    ticketKeys: Type.Optional(Type.Array(KeyFile, list(KeyFile, 8))),
  },
  { ...closed, description: 'a block with url and trust' },
)

const MachineLogs = Type.Object(
  {
    firmware: Type.Optional(path('of the TCG firmware log')),
    systemd: Type.Optional(path('of tpm2-measure.log')),
    ima: Type.Optional(path('of the binary IMA list')),
  },
  { ...closed, description: 'a block with firmware, systemd and ima' },
)

/** The file as an operator writes it. Defaults are in `parse.ts`, where they are explained to the operator. */
export const AgentConfigSchema = Type.Object(
  {
    tcti: text('a TCTI configuration, as device:/dev/tpmrm0'),
    pcr: Type.Optional(Type.Integer({ minimum: 0, maximum: 23, description: 'the number of a PCR, usually 15' })),
    banks: Type.Optional(Type.Array(Bank, { ...list(Bank, 4), uniqueItems: true })),
    mode: Type.Optional(choice(['enforce', 'audit', 'off'])),
    dataDirectory: Type.Optional(path('of the data directory')),
    runDirectory: Type.Optional(path('of the directory that holds the socket')),
    socketGroup: Type.Optional(text('the name of a group', '^[a-z_][a-z0-9_-]*\\$?$')),
    machineLogs: Type.Optional(MachineLogs),
    verifier: Type.Optional(Verifier),
    enrolmentToken: Type.Optional(
      Type.String({ minLength: 1, maxLength: 256, description: 'a one-time token of at most 256 characters' }),
    ),
    enrolmentTokenFile: Type.Optional(path('of a file that holds the token')),
    launchTimeoutSeconds: Type.Optional(seconds(1, 60)),
    stopPodsAfterSilenceSeconds: Type.Optional(seconds(120, 604_800)),
    logLevel: Type.Optional(choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])),
  },
  { ...closed, description: 'a map of settings' },
)
export type AgentConfigFile = Static<typeof AgentConfigSchema>

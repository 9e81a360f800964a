import { type TOptional, Type } from '@sinclair/typebox'
import {
  block,
  choice,
  closed,
  DateText,
  Digest,
  Glob,
  Globs,
  Mode,
  Owner,
  ReferenceDigests,
  ReferencedFile,
  Selector,
  Sha256,
  text,
  whole,
} from './schema-words.ts'

/** 16 and 23 anybody may reset, 17 to 22 belong to dynamic launch: none of them carries a claim of the boot. */
const BootPcr = '^([0-9]|1[0-5])$'
const PcrValues = Type.Record(
  text('a PCR, 0 to 15', BootPcr),
  Type.Array(Digest, { minItems: 1, maxItems: 1024, description: 'a list of 1 to 1024 digests in quotes' }),
  { ...closed, minProperties: 1, description: 'a map of PCRs (0 to 15) to lists of values' },
)
const EventPattern = Type.Object(
  {
    name: Type.Optional(text('what the event is, for people')),
    type: Type.Optional(text('a type of events, as logs spell it', '^[A-Za-z0-9_. -]+$')),
    digests: Type.Optional(ReferenceDigests),
    text: Type.Optional(Glob),
  },
  { ...block('name, type, and digests or text or both'), minProperties: 1 },
)
const EventPatterns = Type.Array(EventPattern, {
  minItems: 1,
  maxItems: 1024,
  description: 'a list of 1 to 1024 events',
})

const Version = text('numbers with dots between, such as 7.85', '^\\d{1,9}(\\.\\d{1,9}){0,7}$')
const Vendor = text('the four-letter id of a TPM maker, such as IFX, STM, NTC or INTC', '^[A-Z0-9]{2,4}$')
const Certificate = text('the SHA-256 of a certificate in DER, or text of its subject with * for the rest')
const Certificates = Type.Array(Certificate, {
  minItems: 1,
  maxItems: 256,
  description: 'a list of 1 to 256 certificates',
})
const StartValue = Type.Object(
  { sha256: Type.Optional(Sha256), sha384: Type.Optional(Digest), sha512: Type.Optional(Digest) },
  {
    ...block('the register in each bank, as {sha256: <hex>}'),
    minProperties: 1,
  },
)

const FileDigests = Type.Array(
  text(
    'a digest: 64, 96 or 128 lowercase hexadecimal digits, or verity: and such',
    '^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}|verity:([0-9a-f]{64}|[0-9a-f]{128}))$',
  ),
  {
    minItems: 1,
    maxItems: 256,
    description: 'a list of 1 to 256 digests',
  },
)
const AnyDigests = Type.Array(text('a digest in lowercase hexadecimal digits', '^([0-9a-f]{2}){20,64}$'), {
  minItems: 1,
  maxItems: 256,
  description: 'a list of 1 to 256 digests',
})
const Names = (what: string) =>
  Type.Array(text(what), { minItems: 1, maxItems: 1024, description: `a list of 1 to 1024: ${what}` })
const ImaFiles = (what: string) =>
  Type.Array(ReferencedFile, {
    minItems: 1,
    maxItems: 32,
    description: `a list of 1 to 32 files (${what}) beside the policy`,
  })

/** Each kind of rule by the key it is written under. A rule has exactly one. */
export const RULE_KINDS = {
  require: Type.Array(
    text(
      'the id of an appraisal rule, such as boot.replay, or boot.* for all of them',
      '^[a-z0-9-]+(\\.[a-z0-9-]+)*(\\.\\*)?$',
    ),
    {
      minItems: 1,
      maxItems: 256,
      description: 'a list of 1 to 256 ids of appraisal rules',
    },
  ),
  pcrs: Type.Object(
    { sha256: Type.Optional(PcrValues), sha384: Type.Optional(PcrValues), sha512: Type.Optional(PcrValues) },
    { ...block('sha256, sha384 or sha512, each a map of PCRs to lists of values'), minProperties: 1 },
  ),
  events: Type.Object(
    {
      pcr: whole('a PCR', 0, 15),
      types: Type.Optional(
        Type.Array(text('a type of events'), {
          minItems: 1,
          maxItems: 32,
          description: 'a list of 1 to 32 event types',
        }),
      ),
      required: Type.Optional(EventPatterns),
      allowed: Type.Optional(EventPatterns),
      forbidden: Type.Optional(EventPatterns),
    },
    block('pcr, types, and required, allowed or forbidden events'),
  ),
  secureBoot: Type.Object(
    {
      enabled: Type.Optional(Type.Boolean({ description: 'true or false' })),
      authorities: Type.Optional(
        Type.Object(
          { allowed: Type.Optional(Certificates), required: Type.Optional(Certificates) },
          { ...block('allowed, required'), minProperties: 1 },
        ),
      ),
      dbx: Type.Optional(
        Type.Object(
          {
            minimumEntries: Type.Optional(whole('entries', 1, 1_000_000)),
            contains: Type.Optional(
              Type.Array(Sha256, { minItems: 1, maxItems: 4096, description: 'a list of 1 to 4096 SHA-256 digests' }),
            ),
            atLeast: Type.Optional(ReferencedFile),
          },
          { ...block('minimumEntries, contains, atLeast'), minProperties: 1 },
        ),
      ),
    },
    { ...block('enabled, authorities, dbx'), minProperties: 1 },
  ),
  bootLoader: Type.Object({ digests: ReferenceDigests }, block('digests (Authenticode)')),
  kernel: Type.Object({ digests: ReferenceDigests }, block('digests (Authenticode)')),
  initrd: Type.Object({ digests: ReferenceDigests }, block('digests')),
  commandLine: Type.Object(
    {
      mustContain: Type.Optional(Globs('arguments')),
      mustNotContain: Type.Optional(Globs('arguments')),
      allowed: Type.Optional(Globs('arguments')),
      matches: Type.Optional(Globs('whole command lines')),
      digests: Type.Optional(ReferenceDigests),
    },
    { ...block('mustContain, mustNotContain, allowed, matches, digests'), minProperties: 1 },
  ),
  platformFirmware: Type.Object(
    {
      versions: Type.Array(Type.Object({ match: Glob, minimum: Type.Optional(Version) }, block('match, minimum')), {
        minItems: 1,
        maxItems: 256,
        description: 'a list of 1 to 256 {match, minimum}',
      }),
    },
    block('versions'),
  ),
  tpmFirmware: Type.Object(
    {
      vendors: Type.Optional(
        Type.Record(Vendor, Type.Object({ minimum: Type.Optional(Version) }, block('minimum')), {
          ...closed,
          description: 'a map of TPM makers (IFX, STM, ...) to {minimum}',
        }),
      ),
      otherVendors: Type.Optional(choice('allow', 'refuse')),
      knownVulnerable: Type.Optional(choice('allow', 'refuse')),
      denied: Type.Optional(
        Type.Array(
          Type.Object(
            { vendor: Vendor, from: Version, to: Version, reason: text('why, for people') },
            block('vendor, from, to, reason'),
          ),
          { minItems: 1, maxItems: 256, description: 'a list of 1 to 256 ranges of versions' },
        ),
      ),
    },
    { ...block('vendors, otherVendors, knownVulnerable, denied'), minProperties: 1 },
  ),
  ima: Type.Object(
    {
      files: Type.Optional(
        Type.Record(text('an absolute path', '^/[^\\u0000]{0,4095}$'), FileDigests, {
          ...closed,
          maxProperties: 4096,
          description: 'a map of paths to lists of digests',
        }),
      ),
      digests: Type.Optional(ImaFiles('as sha256sum prints')),
      excludes: Type.Optional(Names('a pattern of paths: * within a directory, ** across')),
      keys: Type.Optional(ImaFiles('certificates or public keys')),
      requireSignature: Type.Optional(Type.Boolean({ description: 'true or false' })),
      keyrings: Type.Optional(
        Type.Record(text('a keyring, such as .ima'), AnyDigests, {
          description: 'a map of keyrings to lists of digests',
        }),
      ),
      ignoredKeyrings: Type.Optional(Names('a keyring, or *')),
      learnKeysFrom: Type.Optional(Names('a keyring')),
      buffers: Type.Optional(
        Type.Record(
          text('a pattern of names'),
          Type.Union([Type.Literal('any'), AnyDigests], { description: 'any, or a list of digests' }),
          {
            description: 'a map of patterns of names to lists of digests, or any',
          },
        ),
      ),
      violations: Type.Optional(choice('refuse', 'warn', 'allow')),
    },
    {
      ...block(
        'files, digests, excludes, keys, requireSignature, keyrings, ignoredKeyrings, learnKeysFrom, buffers, violations',
      ),
      minProperties: 1,
    },
  ),
  launchLog: Type.Object(
    {
      mode: Type.Optional(choice('enforce')),
      startValues: Type.Optional(Type.Array(StartValue, { maxItems: 64, description: 'a list of register values' })),
      verifierKeys: Type.Optional(
        Type.Array(Sha256, { minItems: 1, maxItems: 64, description: 'a list of 1 to 64 verifier ids' }),
      ),
      unticketed: Type.Optional(choice('refuse')),
    },
    { ...block('mode, startValues, verifierKeys, unticketed'), minProperties: 1 },
  ),
  banks: Type.Object(
    {
      required: Type.Optional(
        Type.Array(choice('sha256', 'sha384', 'sha512'), { minItems: 1, maxItems: 3, description: 'a list of banks' }),
      ),
      unused: Type.Optional(choice('refuse')),
      sha1: Type.Optional(choice('refuse')),
    },
    { ...block('required, unused, sha1'), minProperties: 1 },
  ),
  clock: Type.Object(
    { safe: Type.Optional(choice('required')), maxDriftPercent: Type.Optional(whole('percent', 1, 1000)) },
    { ...block('safe, maxDriftPercent'), minProperties: 1 },
  ),
} as const
export type RuleKind = keyof typeof RULE_KINDS
export const RULE_KIND_NAMES = Object.keys(RULE_KINDS) as readonly RuleKind[] // Object.keys() forgets the keys' type

const Exception = Type.Object(
  {
    node: Type.Optional(text('a node ID: 64 lowercase hexadecimal digits', '^[0-9a-f]{64}$')),
    nodes: Type.Optional(Selector),
    reason: text('why, for people'),
    owner: Owner,
    expires: DateText,
  },
  block('node or nodes, reason, owner, expires'),
)

const kinds = Object.fromEntries(Object.entries(RULE_KINDS).map(([key, schema]) => [key, Type.Optional(schema)])) as {
  // Object.fromEntries() forgets which schema belongs to which key
  readonly [K in RuleKind]: TOptional<(typeof RULE_KINDS)[K]>
}
export const RuleSchema = Type.Object(
  {
    description: Type.Optional(text('what the rule is for')),
    mode: Mode,
    owner: Type.Optional(Owner),
    expires: Type.Optional(DateText),
    exceptions: Type.Optional(
      Type.Array(Exception, { maxItems: 256, description: 'a list of at most 256 exceptions' }),
    ),
    ...kinds,
  },
  {
    ...block(`mode, owner, expires, exceptions, and one of ${RULE_KIND_NAMES.join(', ')}`),
    // for editors: parseAppraisalPolicy() says it in words
    oneOf: RULE_KIND_NAMES.map((kind) => ({ required: [kind] })),
  },
)

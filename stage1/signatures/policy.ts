import { EncodingError, isArray, isMap, parseJson, type Value } from '../../attestation/encoding/index.ts'
import { ManifestError, ShapeReader } from '../manifest/index.ts'
import { SignatureError } from './errors.ts'

/** Bytes of a policy: a file to be read, or the bytes themselves. */
export type Material =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'data'; readonly bytes: Uint8Array }

/** Which image reference a signature has to name (containers-policy.json(5), "signedIdentity"). */
export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string }
  /** Ours: the digest alone counts, as for a Sigstore bundle, which names no reference. */
  | { readonly type: 'matchDigest' }

/** Whose certificate signs: both are compared with what the certificate says. */
export interface CertificateHolder {
  /** The identity provider, exactly. */
  readonly oidcIssuer: string
  /** Ours: `exact` for an address or URI, `pattern` with `*` and `?` for the whole of it. */
  readonly subject: { readonly exact: string } | { readonly pattern: string }
}

/** One requirement of a scope; an image has to satisfy all of them. */
export type Requirement =
  | { readonly type: 'insecureAcceptAnything' | 'reject' }
  /** Ours: an OpenPGP key of the trust store whose prefix the image's name has. */
  | { readonly type: 'signedByTrustedKey' }
  | { readonly type: 'signedBy'; readonly keys: readonly Material[] }
  | {
      readonly type: 'sigstoreKey'
      readonly keys: readonly Material[]
      /** Logs of which one must have logged the signature; empty when none has to. */
      readonly logKeys: readonly Material[]
      readonly identity: SignedIdentity
      readonly predicateType: string
    }
  | {
      readonly type: 'sigstoreCertificate'
      readonly roots:
        | { readonly kind: 'trusted-root'; readonly material: Material }
        | { readonly kind: 'ca'; readonly material: Material; readonly logKeys: readonly Material[] }
      readonly holder: CertificateHolder
      readonly identity: SignedIdentity
      readonly predicateType: string
    }

/** A parsed policy: requirements by scope within a transport, and what goes for all the rest. */
export interface ImagePolicy {
  readonly fallback: readonly Requirement[]
  readonly transports: ReadonlyMap<string, ReadonlyMap<string, readonly Requirement[]>>
}

/** What `cosign sign` states of an image. */
export const COSIGN_SIGN = 'https://sigstore.dev/cosign/sign/v1'
/** Those of containers-policy.json(5), and ours for App Container images. */
const TRANSPORTS = [
  ...['aci', 'atomic', 'containers-storage', 'dir', 'docker', 'docker-archive', 'docker-daemon', 'oci', 'oci-archive'],
  ...['ostree', 'sif', 'tarball'],
]
const LIMITS = { maxBytes: 1 << 20, maxDepth: 16, maxItems: 100_000 }
const MAX_LIST = 1000

/**
 * Reads an image policy: containers-policy.json(5) with what is ours beside it. A member that is not known is refused,
 * as one that is misspelt would relax what it was meant to ask for.
 *
 * @param what the policy's name in messages
 * @throws SignatureError IMAGE_POLICY_BAD naming the path of each fault
 */
export function parseImagePolicy(bytes: Uint8Array, what: string): ImagePolicy {
  try {
    const r = new ShapeReader(what)
    const o = r.object(plain(parseJson(bytes, LIMITS)), '$')
    r.onlyKnown(o, '$', ['default', 'transports'])
    const fallback = readRequirements(r, o['default'], '$.default')
    const transports = new Map(
      Object.entries(r.optionalObject(o['transports'], '$.transports') ?? {}).map(([name, scopes]) => {
        const at = `$.transports.${name}`
        if (!TRANSPORTS.includes(name)) r.complain(at, `unknown transport; there are ${TRANSPORTS.join(', ')}`)
        const entries = Object.entries(r.object(scopes, at))
        return [
          name,
          new Map(entries.map(([scope, v]) => [scope, readRequirements(r, v, `${at}[${JSON.stringify(scope)}]`)])),
        ] as const
      }),
    )
    r.finish()
    return { fallback, transports }
  } catch (cause) {
    if (cause instanceof ManifestError) throw new SignatureError('IMAGE_POLICY_BAD', cause.message, { cause })
    if (!(cause instanceof EncodingError)) throw cause
    throw new SignatureError('IMAGE_POLICY_BAD', `${what} is no image policy: ${cause.message}`, { cause })
  }
}

/** Maps as objects without a prototype, which is what ShapeReader takes apart. */
function plain(value: Value): unknown {
  if (isArray(value)) return value.map(plain)
  if (!isMap(value)) return value
  return Object.assign(Object.create(null), Object.fromEntries([...value].map(([k, v]) => [String(k), plain(v)])))
}

type Members = Readonly<Record<string, unknown>>

function readRequirements(r: ShapeReader, value: unknown, at: string): readonly Requirement[] {
  const list = r.list(value, at, MAX_LIST)
  if (list.length === 0) r.complain(at, 'must be a list of at least one requirement')
  return list.flatMap((v, i) => readRequirement(r, r.object(v, `${at}[${i}]`), `${at}[${i}]`))
}

function readRequirement(r: ShapeReader, o: Members, at: string): Requirement[] {
  const type = r.string(o['type'], `${at}.type`)
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
    case 'signedByTrustedKey':
      r.onlyKnown(o, at, ['type'])
      return [{ type }]
    case 'signedBy':
      return [readSignedBy(r, o, at)]
    case 'sigstoreSigned':
      return [readSigstore(r, o, at)]
    default:
      r.complain(`${at}.type`, `unknown requirement '${type.slice(0, 40)}'`)
      return []
  }
}

function readSignedBy(r: ShapeReader, o: Members, at: string): Requirement {
  r.onlyKnown(o, at, ['type', 'keyType', 'keyPath', 'keyPaths', 'keyData', 'signedIdentity'])
  if (o['keyType'] !== 'GPGKeys') r.complain(`${at}.keyType`, "must be 'GPGKeys'")
  readIdentity(r, o['signedIdentity'], `${at}.signedIdentity`) // an ACI is signed as a whole, with its name inside
  return { type: 'signedBy', keys: oneWay(r, o, at, ['keyPath', 'keyPaths', 'keyData']) }
}

function readSigstore(r: ShapeReader, o: Members, at: string): Requirement {
  const keyNames = ['keyPath', 'keyPaths', 'keyData', 'keyDatas']
  const logNames = ['rekorPublicKeyPath', 'rekorPublicKeyPaths', 'rekorPublicKeyData', 'rekorPublicKeyDatas']
  r.onlyKnown(o, at, ['type', ...keyNames, ...logNames, 'fulcio', 'signedIdentity', 'predicateType'])
  const identity = readIdentity(r, o['signedIdentity'], `${at}.signedIdentity`)
  const predicateType = r.optionalString(o['predicateType'], `${at}.predicateType`) ?? COSIGN_SIGN
  const hasLogs = logNames.some((name) => o[name] !== undefined)
  const logKeys = hasLogs ? oneWay(r, o, at, logNames) : []
  if (o['fulcio'] === undefined) {
    return { type: 'sigstoreKey', keys: oneWay(r, o, at, keyNames), logKeys, identity, predicateType }
  }
  for (const name of keyNames) if (o[name] !== undefined) r.complain(`${at}.${name}`, 'is not for fulcio')
  const path = `${at}.fulcio`
  const f = r.object(o['fulcio'], path)
  const [caNames, rootNames] = [
    ['caPath', 'caData'],
    ['trustedRootPath', 'trustedRootData'],
  ]
  r.onlyKnown(f, path, [...caNames, ...rootNames, 'oidcIssuer', 'subjectEmail', 'subject', 'subjectPattern'])
  const isRoot = rootNames.some((name) => f[name] !== undefined)
  const [material = NOTHING] = oneWay(r, f, path, isRoot ? rootNames : caNames)
  if (isRoot && (hasLogs || caNames.some((name) => f[name] !== undefined))) {
    r.complain(path, 'a trusted root has its CAs and logs in itself: give it alone')
  }
  if (!isRoot && !hasLogs) r.complain(at, 'a certificate is short-lived: give a rekorPublicKey member')
  return {
    type: 'sigstoreCertificate',
    roots: isRoot ? { kind: 'trusted-root', material } : { kind: 'ca', material, logKeys },
    holder: { oidcIssuer: r.string(f['oidcIssuer'], `${path}.oidcIssuer`), subject: readSubject(r, f, path) },
    identity,
    predicateType,
  }
}

const NOTHING: Material = { kind: 'data', bytes: new Uint8Array() } // only where a complaint was made

function readSubject(r: ShapeReader, f: Members, at: string): CertificateHolder['subject'] {
  const given = ['subjectEmail', 'subject', 'subjectPattern'].filter((name) => f[name] !== undefined)
  const [name = 'subjectEmail', ...more] = given
  if (given.length === 0 || more.length > 0) r.complain(at, 'give one of subjectEmail, subject, subjectPattern')
  const text = r.string(f[name], `${at}.${name}`)
  if (text === '') r.complain(`${at}.${name}`, 'is empty')
  if (name === 'subjectPattern' && /^[*?]*$/.test(text)) r.complain(`${at}.${name}`, 'would be anybody')
  return name === 'subjectPattern' ? { pattern: text } : { exact: text }
}

const IDENTITY_MEMBERS = {
  matchExact: [],
  matchRepoDigestOrExact: [],
  matchRepository: [],
  matchDigest: [],
  exactReference: ['dockerReference'],
  exactRepository: ['dockerRepository'],
  remapIdentity: ['prefix', 'signedPrefix'],
} as const

function readIdentity(r: ShapeReader, value: unknown, at: string): SignedIdentity {
  if (value === undefined) return { type: 'matchRepoDigestOrExact' }
  const o = r.object(value, at)
  const type = r.string(o['type'], `${at}.type`)
  const members: readonly string[] = Object.hasOwn(IDENTITY_MEMBERS, type)
    ? IDENTITY_MEMBERS[type as keyof typeof IDENTITY_MEMBERS] // hasOwn has just said so
    : []
  r.onlyKnown(o, at, ['type', ...members])
  const text = (name: string): string => r.string(o[name], `${at}.${name}`)
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
      return { type }
    case 'exactReference':
      return { type, dockerReference: text('dockerReference') }
    case 'exactRepository':
      return { type, dockerRepository: text('dockerRepository') }
    case 'remapIdentity':
      return { type, prefix: text('prefix'), signedPrefix: text('signedPrefix') }
    default:
      r.complain(`${at}.type`, `unknown; there are ${Object.keys(IDENTITY_MEMBERS).join(', ')}`)
      return { type: 'matchExact' }
  }
}

/** Key material given by exactly one of some members: `...Path` and `...Data`, with an s for several. */
function oneWay(r: ShapeReader, o: Members, at: string, names: readonly string[]): readonly Material[] {
  const given = names.filter((name) => o[name] !== undefined)
  const [name, ...more] = given
  if (name === undefined || more.length > 0) {
    r.complain(at, `give exactly one of ${names.join(', ')}`)
    return []
  }
  const path = `${at}.${name}`
  const texts = name.endsWith('s') ? r.strings(o[name], path, MAX_LIST) : [r.string(o[name], path)]
  if (texts.length === 0) r.complain(path, 'must not be empty')
  return texts.map((text): Material => {
    if (/Datas?$/.test(name)) {
      if (!/^[A-Za-z0-9+/\s]+={0,2}\s*$/.test(text)) r.complain(path, 'must be base64')
      return { kind: 'data', bytes: new Uint8Array(Buffer.from(text, 'base64')) }
    }
    if (!text.startsWith('/')) r.complain(path, 'must be an absolute path')
    return { kind: 'file', path: text }
  })
}

import { type Certificate, decodeCertificate, EndorsementError } from '../endorsement/index.ts'
import { malformed } from './errors.ts'
import { type Members, parseMembers } from './members.ts'
import { importSigningKey, type SigningKey } from './signing-key.ts'

/** When something of a trusted root counts; `until` is the last moment, absent while it goes on. */
export interface Period {
  readonly from: Date
  readonly until?: Date
}

/** A log: of signatures (Rekor), or of certificates. */
export interface TrustedLog extends Period {
  readonly key: SigningKey
}

/** A CA as its chain, from the certificate that issues leaves to the root. */
export interface TrustedAuthority extends Period {
  readonly chain: readonly [Certificate, ...Certificate[]]
}

/** All that is trusted to verify signatures by certificates. */
export interface TrustedRoot {
  readonly authorities: readonly TrustedAuthority[]
  readonly logs: readonly TrustedLog[]
  /** Where there are some, a certificate needs a promise of one of them. */
  readonly certificateLogs: readonly TrustedLog[]
  readonly timestampAuthorities: readonly TrustedAuthority[]
}

const MEDIA_TYPES = /^application\/vnd\.dev\.sigstore\.trustedroot(\+json;version=0\.1|\.v0\.[12]\+json)$/
const MAX_ENTRIES = 100
const MAX_CHAIN = 8

/**
 * Reads a Sigstore trusted root (protobuf-specs, sigstore_trustroot.proto), as JSON. Whoever chose the file is trusted
 * for it: it is not signed in itself.
 *
 * @throws SigstoreError SIGSTORE_MALFORMED, SIGSTORE_UNSUPPORTED
 */
export function parseTrustedRoot(bytes: Uint8Array): TrustedRoot {
  const root = parseMembers(bytes, 'trusted root')
  const mediaType = root.text('mediaType')
  if (!MEDIA_TYPES.test(mediaType)) throw malformed(`'${mediaType.slice(0, 80)}' is no trusted root that is read here`)
  return {
    authorities: root.objects('certificateAuthorities', MAX_ENTRIES).map(readAuthority),
    logs: root.objects('tlogs', MAX_ENTRIES).map(readLog),
    certificateLogs: root.objects('ctlogs', MAX_ENTRIES).map(readLog),
    timestampAuthorities: root.objects('timestampAuthorities', MAX_ENTRIES).map(readAuthority),
  }
}

function readLog(log: Members): TrustedLog {
  const key = log.object('publicKey')
  return { key: importSigningKey(key.bytes('rawBytes')), ...readPeriod(key) }
}

function readAuthority(ca: Members): TrustedAuthority {
  const list = ca.object('certChain').objects('certificates', MAX_CHAIN)
  const [first, ...rest] = list.map((c) => readCertificate(c.bytes('rawBytes')))
  if (first === undefined) throw malformed('trusted root: a certificate authority without a certificate')
  return { chain: [first, ...rest], ...readPeriod(ca) }
}

function readPeriod(of: Members): Period {
  if (!of.has('validFor')) throw malformed('trusted root: a key or authority without validFor')
  const validFor = of.object('validFor')
  const [from, until] = [validFor.time('start'), validFor.time('end')]
  return { from: from ?? new Date(0), ...(until && { until }) }
}

/** @throws SigstoreError SIGSTORE_MALFORMED */
export function readCertificate(der: Uint8Array): Certificate {
  try {
    return decodeCertificate(der)
  } catch (cause) {
    if (!(cause instanceof EndorsementError)) throw cause
    throw malformed(cause.message, cause)
  }
}

export function isWithin({ from, until }: Period, time: Date): boolean {
  return time >= from && (until === undefined || time <= until)
}

import { equalBytes, fromUtf8, toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { malformed, SigstoreError } from './errors.ts'
import { base64Bytes, type Members, parseMembers, pemBytes } from './members.ts'

/** What a log's entry says: this signature, by this key, of what has this digest. */
export interface LoggedSignature {
  readonly kind: 'hashedrekord' | 'dsse' | 'intoto'
  /** SHA-256, hex: of the artifact in a hashedrekord, of the payload in the others. */
  readonly sha256: string
  readonly signature: Uint8Array
  /** DER of the certificate, or of the SubjectPublicKeyInfo of a bare key. */
  readonly verifier: Uint8Array
}

/**
 * Reads the body of an entry (Rekor's types hashedrekord 0.0.1, dsse 0.0.1 and intoto 0.0.2).
 * @throws SigstoreError SIGSTORE_MALFORMED, SIGSTORE_UNSUPPORTED
 */
export function parseLogBody(bytes: Uint8Array): LoggedSignature {
  const body = parseMembers(bytes, 'log entry')
  const [kind, version] = [body.text('kind'), body.text('apiVersion')]
  const spec = body.object('spec')
  switch (`${kind} ${version}`) {
    case 'hashedrekord 0.0.1':
      return readHashedRekord(spec)
    case 'dsse 0.0.1':
      return readDsse(spec)
    case 'intoto 0.0.2':
      return readInToto(spec)
    default:
      throw new SigstoreError(
        'SIGSTORE_UNSUPPORTED',
        `a log entry of type ${kind.slice(0, 40)} ${version.slice(0, 20)}`,
      )
  }
}

function readHashedRekord(spec: Members): LoggedSignature {
  const signature = spec.object('signature')
  return {
    kind: 'hashedrekord',
    sha256: readHash(spec.object('data').object('hash')),
    signature: signature.bytes('content'),
    verifier: readVerifier(signature.object('publicKey').bytes('content')),
  }
}

function readDsse(spec: Members): LoggedSignature {
  const only = oneOf(spec.objects('signatures', 16))
  return {
    kind: 'dsse',
    sha256: readHash(spec.object('payloadHash')),
    signature: only.bytes('signature'),
    verifier: readVerifier(only.bytes('verifier')),
  }
}

function readInToto(spec: Members): LoggedSignature {
  const content = spec.object('content')
  const only = oneOf(content.object('envelope').objects('signatures', 16))
  return {
    kind: 'intoto',
    sha256: readHash(content.object('payloadHash')),
    signature: base64Bytes(fromUtf8(only.bytes('sig')), 'log entry: sig'), // base64 of base64, as Rekor writes it
    verifier: readVerifier(only.bytes('publicKey')),
  }
}

function oneOf(signatures: readonly Members[]): Members {
  const [only, ...more] = signatures
  if (only === undefined || more.length > 0) throw malformed('log entry: not exactly one signature')
  return only
}

function readHash(hash: Members): string {
  const value = hash.text('value')
  if (hash.text('algorithm') !== 'sha256' || !/^[0-9a-f]{64}$/.test(value)) throw malformed('log entry: no SHA-256')
  return value
}

function readVerifier(pem: Uint8Array): Uint8Array {
  return pemBytes(fromLatin1(pem), 'log entry: the key')
}

function fromLatin1(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes)
}

/** What was signed in truth, for comparison with what a log says of it. */
export interface SignedHere {
  readonly kind: 'message' | 'dsse'
  /** The artifact, or the payload of the envelope. */
  readonly bytes: Uint8Array
  readonly signature: Uint8Array
  /** DER of certificate or SubjectPublicKeyInfo. */
  readonly verifier: Uint8Array
}

/** @throws SigstoreError SIGSTORE_ENTRY_MISMATCH where the entry is about something else */
export function matchLogBody(logged: LoggedSignature, here: SignedHere): void {
  const differs = (what: string): SigstoreError =>
    new SigstoreError('SIGSTORE_ENTRY_MISMATCH', `the log's entry is about another ${what} than this signature`)
  if ((logged.kind === 'hashedrekord') !== (here.kind === 'message')) throw differs('kind of content')
  if (logged.sha256 !== toHex(digest('sha256', here.bytes))) throw differs('artifact')
  if (!equalBytes(logged.signature, here.signature)) throw differs('signature')
  if (!equalBytes(logged.verifier, here.verifier)) throw differs('key')
}

import { concatBytes, utf8 } from '../base/index.ts'
import { malformed, SigstoreError } from './errors.ts'
import { parseMembers } from './members.ts'

/** Payload type of an envelope with an in-toto statement. */
export const IN_TOTO = 'application/vnd.in-toto+json'
const STATEMENTS: ReadonlySet<string> = new Set([
  'https://in-toto.io/Statement/v0.1',
  'https://in-toto.io/Statement/v1',
])
const MAX_SUBJECTS = 1000

/** An in-toto statement: that something holds of artifacts. */
export interface Statement {
  readonly predicateType: string
  /** SHA-256, hex, of each artifact it is about. */
  readonly subjects: ReadonlySet<string>
}

/** What an envelope's signature is over (DSSE v1, "Pre-Authentication Encoding"). */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType)
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload)
}

/** @throws SigstoreError SIGSTORE_MALFORMED, SIGSTORE_UNSUPPORTED */
export function parseStatement(payloadType: string, payload: Uint8Array): Statement {
  if (payloadType !== IN_TOTO) {
    throw new SigstoreError('SIGSTORE_UNSUPPORTED', `an envelope of ${payloadType.slice(0, 80)}, not ${IN_TOTO}`)
  }
  const statement = parseMembers(payload, 'in-toto statement')
  const type = statement.text('_type')
  if (!STATEMENTS.has(type)) throw new SigstoreError('SIGSTORE_UNSUPPORTED', `a statement of type ${type.slice(0, 80)}`)
  const subjects = statement.objects('subject', MAX_SUBJECTS).flatMap((subject) => {
    const sha256 = subject.object('digest').optionalText('sha256')
    return sha256 === undefined ? [] : [sha256]
  })
  if (subjects.some((s) => !/^[0-9a-f]{64}$/.test(s))) throw malformed('in-toto statement: a SHA-256 that is none')
  return { predicateType: statement.text('predicateType'), subjects: new Set(subjects) }
}

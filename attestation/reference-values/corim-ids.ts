import { toHex } from '../base/index.ts'
import { asBytes, asInteger, asText, isTagged, kindOf, type Value } from '../encoding/index.ts'
import type { CorimId } from './corim.ts'
import { badValue } from './errors.ts'

export const MAX_TEXT = 4096

/** Tags of CBOR in a CoRIM. Source: draft-ietf-rats-corim-08 §12.2; 1, 18, 32, 37 and 111 of IANA's registry. */
export const TAG = {
  time: 1,
  coseSign1: 18,
  uri: 32,
  uuid: 37,
  oid: 111,
  corimOld: 500,
  corim: 501,
  signedCorimOld: 502,
  coswid: 505,
  comid: 506,
  cotl: 508,
  ueid: 550,
  integer: 551,
  svn: 552,
  minSvn: 553,
  pkixKey: 554,
  pkixCertificate: 555,
  pkixPath: 556,
  keyThumbprint: 557,
  coseKey: 558,
  certificateThumbprint: 559,
  bytes: 560,
  pathThumbprint: 561,
  pkixDer: 562,
  maskedRaw: 563,
} as const

/** An identifier of any kind; a bare 16 bytes are a UUID, as in tag and manifest ids. */
export function readId(value: Value | undefined, what: string): CorimId {
  if (typeof value === 'string') return { kind: 'text', value: asText(value, what, MAX_TEXT, badValue) }
  if (typeof value === 'number') return { kind: 'integer', value: String(value) }
  if (value instanceof Uint8Array) return { kind: 'uuid', value: uuid(asBytes(value, what, 16, 16, badValue)) }
  if (!isTagged(value)) throw badValue(`${what}: ${kindOf(value)} where an identifier must be`)
  switch (value.tag) {
    case TAG.uuid:
      return { kind: 'uuid', value: uuid(asBytes(value.value, what, 16, 16, badValue)) }
    case TAG.oid:
      return { kind: 'oid', value: toHex(asBytes(value.value, what, 1, 256, badValue)) }
    case TAG.uri:
      return { kind: 'uri', value: asText(value.value, what, MAX_TEXT, badValue) }
    case TAG.ueid:
      return { kind: 'ueid', value: toHex(asBytes(value.value, what, 7, 33, badValue)) }
    case TAG.bytes:
      return { kind: 'bytes', value: toHex(asBytes(value.value, what, 1, MAX_TEXT, badValue)) }
    case TAG.integer: {
      const integer = asInteger(value.value, what, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, badValue)
      return { kind: 'integer', value: String(integer) }
    }
    default:
      throw badValue(`${what}: no identifier has tag ${value.tag}`)
  }
}

function uuid(bytes: Uint8Array): string {
  const hex = toHex(bytes)
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

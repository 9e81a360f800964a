import {
  asArray,
  asBytes,
  asInteger,
  asMap,
  decodeCborItem,
  EncodingError,
  isArray,
  isTagged,
  kindOf,
  optional,
  type Value,
} from '../encoding/index.ts'
import type { Comid, Corim, CorimDocument, CorimId } from './corim.ts'
import { readComid } from './corim-comid.ts'
import { readId, TAG } from './corim-ids.ts'
import { checkProfile } from './corim-profiles.ts'
import { badValue, CorimError } from './errors.ts'

const LIMITS = { maxBytes: 16 << 20, maxDepth: 24, maxItems: 1 << 19, tags: Object.values(TAG) }
const MAX_TAGS = 1024
const MAX_PROFILES = 16

/**
 * A concise reference integrity manifest (CBOR tag 501), bare or as the payload of a COSE_Sign1, whose signature is not
 * checked here.
 *
 * @param bytes the whole document
 * @throws CorimError
 */
export function readCorim(bytes: Uint8Array): CorimDocument {
  const value = decode(bytes)
  const inner =
    isTagged(value) && (value.tag === TAG.corimOld || value.tag === TAG.signedCorimOld) ? value.value : value
  if (!isTagged(inner)) throw new CorimError('CORIM_NOT_CORIM', `${kindOf(inner)} where tag 501 or 18 must be`)
  switch (inner.tag) {
    case TAG.corim:
      return { signature: 'none', corim: readMap(inner.value) }
    case TAG.signedCorimOld:
      return isTagged(inner.value) && inner.value.tag === TAG.coseSign1
        ? signed(inner.value.value)
        : signed(inner.value)
    case TAG.coseSign1:
      return signed(inner.value)
    default:
      throw new CorimError('CORIM_NOT_CORIM', `tag ${inner.tag} where tag 501 or 18 must be`)
  }
}

function signed(value: Value): CorimDocument {
  const parts = asArray(value, 'COSE_Sign1', 4, badValue)
  if (parts.length !== 4) throw badValue(`COSE_Sign1: ${parts.length} parts, expected 4`)
  const header = asMap(decode(asBytes(parts[0], 'protected header', 1, 65_536, badValue)), 'protected header', badValue)
  if (!header.has(1)) throw badValue('protected header: no algorithm')
  asMap(parts[1], 'unprotected header', badValue)
  asBytes(parts[3], 'signature', 1, 4096, badValue)
  const payload = decode(asBytes(parts[2], 'payload', 1, LIMITS.maxBytes, badValue))
  if (!isTagged(payload) || payload.tag !== TAG.corim) {
    throw new CorimError('CORIM_NOT_CORIM', 'what is signed is no CoRIM')
  }
  return { signature: 'not checked', corim: readMap(payload.value) }
}

function readMap(value: Value): Corim {
  const map = asMap(value, 'CoRIM', badValue)
  const comids: Comid[] = []
  const otherTags: number[] = []
  const tags = asArray(map.get(1), 'tags', MAX_TAGS, badValue)
  if (tags.length === 0) throw badValue('tags: there are none')
  for (const tag of tags) {
    if (!isTagged(tag)) throw badValue(`tags: ${kindOf(tag)} where a tag must be`)
    if (tag.tag === TAG.comid) {
      comids.push(readComid(decode(asBytes(tag.value, 'CoMID', 1, LIMITS.maxBytes, badValue))))
    } else if (tag.tag === TAG.coswid || tag.tag === TAG.cotl) {
      otherTags.push(tag.tag)
    } else {
      throw badValue(`tags: no concise tag is ${tag.tag}`)
    }
  }
  const validity = optional(map, 4, readValidity)
  const corim = {
    id: readId(map.get(0), 'CoRIM id'),
    profiles: optional(map, 3, readProfiles) ?? [],
    ...(validity !== undefined && { validity }),
    comids,
    otherTags,
  }
  checkProfile(corim)
  return corim
}

/** One profile, or a list of them in drafts before 04. */
function readProfiles(value: Value): readonly CorimId[] {
  const list = isArray(value) ? asArray(value, 'profiles', MAX_PROFILES, badValue) : [value]
  return list.map((profile) => readId(profile, 'profile'))
}

function readValidity(value: Value): NonNullable<Corim['validity']> {
  const map = asMap(value, 'validity', badValue)
  const time = (v: Value | undefined, what: string): number => {
    const bare = isTagged(v) && v.tag === TAG.time ? v.value : v
    return asInteger(bare, what, 0, 253_402_300_799, badValue)
  }
  const notBefore = optional(map, 0, (v) => time(v, 'not before'))
  return { ...(notBefore !== undefined && { notBefore }), notAfter: time(map.get(1), 'not after') }
}

function decode(bytes: Uint8Array): Value {
  try {
    return decodeCborItem(bytes, LIMITS)
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    const tooLong = cause.code === 'ENCODING_TOO_LONG' || cause.code === 'ENCODING_TOO_COMPLEX'
    throw new CorimError(tooLong ? 'CORIM_TOO_LONG' : 'CORIM_NOT_CBOR', cause.message, { cause })
  }
}

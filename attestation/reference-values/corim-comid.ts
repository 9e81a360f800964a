import { equalBytes } from '../base/index.ts'
import { type HashAlgorithm, hashSize } from '../crypto/index.ts'
import {
  asArray,
  asBytes,
  asInteger,
  asMap,
  asText,
  isArray,
  isMap,
  isTagged,
  optional,
  type Value,
  type ValueMap,
} from '../encoding/index.ts'
import type { Comid, CorimDigest, CorimEnvironment, CorimKeys, CorimMeasurement, ReferenceValue } from './corim.ts'
import { MAX_TEXT, readId, TAG } from './corim-ids.ts'
import { badValue } from './errors.ts'

const MAX_TRIPLES = 4096
const MAX_MEASUREMENTS = 4096
const MAX_DIGESTS = 16
const MAX_RAW = 1 << 20

/** Numbers and names of the Named Information Hash Algorithm Registry that a register's bank can have. */
const BANKS: ReadonlyMap<number | string, HashAlgorithm> = new Map<number | string, HashAlgorithm>([
  [1, 'sha256'],
  [7, 'sha384'],
  [8, 'sha512'],
  ['sha-256', 'sha256'],
  ['sha-384', 'sha384'],
  ['sha-512', 'sha512'],
])
/** Keys of measurement values that are read; 5 is the older mask of a raw value. */
const READ_VALUES: readonly (number | string)[] = [0, 1, 2, 4, 8, 11, 14]
const TRIPLES = { reference: 0, endorsed: 1, identity: 2, attestationKey: 3 } as const

/**
 * A CoMID's triples. Kinds that are not read are named, so that nobody believes that they were looked at.
 * @throws CorimError CORIM_BAD_VALUE
 */
export function readComid(value: Value): Comid {
  const comid = asMap(value, 'CoMID', badValue)
  const identity = asMap(comid.get(1), 'tag identity', badValue)
  const triples = asMap(comid.get(4), 'triples', badValue)
  if (triples.size === 0) throw badValue('triples: there are none')
  const known: readonly (string | number)[] = Object.values(TRIPLES)
  return {
    id: readId(identity.get(0), 'tag id'),
    version: optional(identity, 1, (v) => asInteger(v, 'tag version', 0, Number.MAX_SAFE_INTEGER, badValue)) ?? 0,
    referenceValues: readValues(triples.get(TRIPLES.reference), 'reference triples'),
    endorsedValues: readValues(triples.get(TRIPLES.endorsed), 'endorsed triples'),
    identityKeys: readKeys(triples.get(TRIPLES.identity), 'identity triples'),
    attestationKeys: readKeys(triples.get(TRIPLES.attestationKey), 'attestation key triples'),
    otherTriples: [...triples.keys()].filter((key) => !known.includes(key)),
  }
}

function readValues(value: Value | undefined, what: string): readonly ReferenceValue[] {
  return triplesOf(value, what).flatMap(([environment, measurements]) => {
    const read = readEnvironment(environment)
    return filled(measurements, `measurements of ${what}`, MAX_MEASUREMENTS).map((measurement) => ({
      environment: read,
      measurement: readMeasurement(measurement),
    }))
  })
}

function readKeys(value: Value | undefined, what: string): readonly CorimKeys[] {
  return triplesOf(value, what).map(([environment, keys]) => ({
    environment: readEnvironment(environment),
    keys: filled(keys, `keys of ${what}`, MAX_MEASUREMENTS).map(readKey),
  }))
}

/** Pairs of an environment and a list about it. */
function triplesOf(value: Value | undefined, what: string): readonly (readonly [Value, Value])[] {
  if (value === undefined) return []
  return filled(value, what, MAX_TRIPLES).map((entry) => {
    const [subject, list] = asArray(entry, what, 4, badValue)
    if (subject === undefined || list === undefined) throw badValue(`${what}: a triple is an environment and a list`)
    return [subject, list]
  })
}

function readEnvironment(value: Value): CorimEnvironment {
  const map = asMap(value, 'environment', badValue)
  if (map.size === 0) throw badValue('environment: it is empty')
  const classMap = optional(map, 0, (v) => asMap(v, 'class', badValue))
  const instance = optional(map, 1, (v) => readId(v, 'instance'))
  const group = optional(map, 2, (v) => readId(v, 'group'))
  return {
    ...(classMap !== undefined && { class: readClass(classMap) }),
    ...(instance !== undefined && { instance }),
    ...(group !== undefined && { group }),
  }
}

function readClass(map: ValueMap): NonNullable<CorimEnvironment['class']> {
  if (map.size === 0) throw badValue('class: it is empty')
  const text = (key: number, what: string) => optional(map, key, (v) => asText(v, what, MAX_TEXT, badValue))
  const integer = (key: number, what: string) => optional(map, key, (v) => asInteger(v, what, 0, 0xffffffff, badValue))
  const id = optional(map, 0, (v) => readId(v, 'class id'))
  const [vendor, model] = [text(1, 'vendor'), text(2, 'model')]
  const [layer, index] = [integer(3, 'layer'), integer(4, 'index')]
  return {
    ...(id !== undefined && { id }),
    ...(vendor !== undefined && { vendor }),
    ...(model !== undefined && { model }),
    ...(layer !== undefined && { layer }),
    ...(index !== undefined && { index }),
  }
}

function readMeasurement(value: Value): CorimMeasurement {
  const map = asMap(value, 'measurement', badValue)
  const values = asMap(map.get(1), 'measurement values', badValue)
  if (values.size === 0) throw badValue('measurement values: there are none')
  const key = optional(map, 0, (v) => readId(v, 'measurement key'))
  const version = optional(values, 0, readVersion)
  const svn = optional(values, 1, readSvn)
  const rawValue = optional(values, 4, readRawValue)
  const serialNumber = optional(values, 8, (v) => asText(v, 'serial number', MAX_TEXT, badValue))
  const name = optional(values, 11, (v) => asText(v, 'name', MAX_TEXT, badValue))
  return {
    ...(key !== undefined && { key }),
    digests: optional(values, 2, (v) => readDigests(v, 'digests')) ?? [],
    registers: optional(values, 14, readRegisters) ?? new Map(),
    ...(version !== undefined && { version }),
    ...(svn !== undefined && { svn }),
    ...(rawValue !== undefined && { rawValue }),
    ...(serialNumber !== undefined && { serialNumber }),
    ...(name !== undefined && { name }),
    otherConditions: [
      ...[...values.keys()].filter((k) => !READ_VALUES.includes(k)),
      ...(map.has(2) ? ['authorized-by'] : []),
    ],
  }
}

function readDigests(value: Value, what: string): readonly CorimDigest[] {
  const digests: CorimDigest[] = []
  for (const entry of filled(value, what, MAX_DIGESTS)) {
    const [alg, bytes] = asArray(entry, what, 2, badValue)
    const algorithm =
      typeof alg === 'string' ? asText(alg, what, 64, badValue) : asInteger(alg, what, -0x10000, 0xffff, badValue)
    const bank = BANKS.get(algorithm)
    const size = bank === undefined ? undefined : hashSize(bank)
    const digest = asBytes(bytes, `${what}, algorithm ${algorithm}`, size ?? 4, size ?? 64, badValue)
    // several values of one algorithm are alternatives; the same twice is a slip
    if (digests.some((d) => d.algorithm === algorithm && equalBytes(d.bytes, digest))) {
      throw badValue(`${what}: a digest of algorithm ${algorithm} stands twice`)
    }
    digests.push({ algorithm, ...(bank !== undefined && { bank }), bytes: digest })
  }
  return digests
}

function readRegisters(value: Value): CorimMeasurement['registers'] {
  const map = asMap(value, 'integrity registers', badValue)
  if (map.size < 1 || map.size > MAX_MEASUREMENTS) throw badValue(`integrity registers: ${map.size} of them`)
  return new Map([...map].map(([index, digests]) => [index, readDigests(digests, `integrity register ${index}`)]))
}

function readVersion(value: Value): string {
  return asText(asMap(value, 'version', badValue).get(0), 'version', MAX_TEXT, badValue)
}

function readSvn(value: Value): NonNullable<CorimMeasurement['svn']> {
  const kind = isTagged(value) && value.tag === TAG.minSvn ? 'minimum' : 'exact'
  const bare = isTagged(value) && (value.tag === TAG.svn || value.tag === TAG.minSvn) ? value.value : value
  return { kind, value: asInteger(bare, 'svn', 0, Number.MAX_SAFE_INTEGER, badValue) }
}

/** Bytes, tagged or not. A mask beside them is a further condition; one in the same tag is refused. */
function readRawValue(value: Value): Uint8Array {
  const bare = isTagged(value) && value.tag === TAG.bytes ? value.value : value
  return asBytes(bare, 'raw value', 0, MAX_RAW, badValue)
}

const KEY_TAGS: readonly number[] = [
  TAG.pkixKey,
  TAG.pkixCertificate,
  TAG.pkixPath,
  TAG.pkixDer,
  TAG.bytes,
  TAG.keyThumbprint,
  TAG.certificateThumbprint,
  TAG.pathThumbprint,
]

function readKey(value: Value): string | Uint8Array {
  if (!isTagged(value) || !KEY_TAGS.includes(value.tag)) throw badValue('key: no tag of a key is on it')
  // a thumbprint is a digest: an array of algorithm and bytes
  const content = isArray(value.value) ? value.value[1] : value.value
  if (typeof content === 'string') return asText(content, 'key', MAX_RAW, badValue)
  return asBytes(content, 'key', 1, MAX_RAW, badValue)
}

/** One entry by itself stands for a list of one in drafts before 03. */
function filled(value: Value, what: string, max: number): readonly Value[] {
  const list = isMap(value) ? [value] : asArray(value, what, max, badValue)
  if (list.length === 0) throw badValue(`${what}: the list is empty`)
  return list
}

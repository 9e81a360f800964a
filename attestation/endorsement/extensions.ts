import {
  bitStringBytes,
  booleanValue,
  contextTag,
  contextTagPrimitive,
  DerReader,
  oidText,
  smallInteger,
  TAG,
} from './der.ts'
import { type DistinguishedName, decodeName } from './distinguished-name.ts'
import { EndorsementError } from './errors.ts'
import { EXT } from './oids.ts'

/** More extensions, key purposes or names than any real certificate has. */
const MAX_EXTENSIONS = 64
const MAX_KEY_PURPOSES = 64
const MAX_GENERAL_NAMES = 64

/** Bits of the KeyUsage BIT STRING (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const
export type KeyUsageBit = keyof typeof KEY_USAGE

/** The extensions of one certificate (RFC 5280 §4.2); absent ones are undefined. */
export interface Extensions {
  /** Object identifiers in order of occurrence; each occurs once. */
  readonly present: readonly string[]
  readonly critical: ReadonlySet<string>
  /** What each extnValue holds, for extensions that are read where they are needed. */
  readonly values: ReadonlyMap<string, Uint8Array>
  readonly basicConstraints?: { readonly ca: boolean; readonly pathLength?: number }
  readonly keyUsage?: ReadonlySet<KeyUsageBit>
  readonly extKeyUsage?: readonly string[]
  readonly subjectKeyId?: Uint8Array
  /** undefined too for an AKI without keyIdentifier */
  readonly authorityKeyId?: Uint8Array
  readonly subjectAltName?: SubjectAltName
  /** Content of SubjectDirectoryAttributes, read by the EK rules. */
  readonly subjectDirectoryAttributes?: Uint8Array
}

/** The directoryNames of a SubjectAltName; names of other kinds are counted only. */
export interface SubjectAltName {
  readonly directoryNames: readonly DistinguishedName[]
  readonly others: number
  /** One of the others is a HardwareModuleName (RFC 4108 §5), as in IDevID certificates. */
  readonly hardwareModule: boolean
}

export const NO_EXTENSIONS: Extensions = { present: [], critical: new Set(), values: new Map() }

/**
 * @param bytes content of the `[3] EXPLICIT` around Extensions
 * @throws EndorsementError CERT_MALFORMED, also for an extension that occurs twice; CERT_TOO_LARGE
 */
export function readExtensions(bytes: Uint8Array): Extensions {
  const outer = new DerReader(bytes, 'extensions')
  const list = outer.sequence('list')
  outer.end()
  return readExtensionList(list)
}

/** The same of what is inside of the SEQUENCE. @throws EndorsementError CERT_MALFORMED, CERT_TOO_LARGE */
export function readExtensionList(list: DerReader): Extensions {
  const values = new Map<string, Uint8Array>()
  const critical = new Set<string>()
  while (!list.done) {
    if (values.size === MAX_EXTENSIONS) {
      throw new EndorsementError('CERT_TOO_LARGE', `certificate has more than ${MAX_EXTENSIONS} extensions`)
    }
    const r = list.sequence('extension')
    const oid = oidText(r.expect('extnID', TAG.oid).content)
    const flag = r.optional('critical', TAG.boolean)
    const value = r.expect('extnValue', TAG.octetString).content
    r.end()
    if (values.has(oid)) throw new EndorsementError('CERT_MALFORMED', `extension ${oid} occurs twice (RFC 5280 §4.2)`)
    values.set(oid, value)
    if (flag !== undefined && booleanValue(flag.content, `critical of extension ${oid}`)) critical.add(oid)
  }
  const known = <K extends keyof Extensions, T>(name: K, oid: string, read: (value: Uint8Array) => T) => {
    const value = values.get(oid)
    return value === undefined ? undefined : ({ [name]: read(value) } as { readonly [P in K]: T }) // key is exactly `name`
  }
  const aki = known('authorityKeyId', EXT.authorityKeyIdentifier, readAuthorityKeyId)
  return {
    present: [...values.keys()],
    critical,
    values,
    ...known('basicConstraints', EXT.basicConstraints, readBasicConstraints),
    ...known('keyUsage', EXT.keyUsage, readKeyUsage),
    ...known('extKeyUsage', EXT.extKeyUsage, readExtKeyUsage),
    ...known('subjectKeyId', EXT.subjectKeyIdentifier, readSubjectKeyId),
    ...(aki?.authorityKeyId === undefined ? undefined : { authorityKeyId: aki.authorityKeyId }),
    ...known('subjectAltName', EXT.subjectAltName, readSubjectAltName),
    ...known('subjectDirectoryAttributes', EXT.subjectDirectoryAttributes, (value) => value),
  }
}

function readBasicConstraints(value: Uint8Array): { ca: boolean; pathLength?: number } {
  const outer = new DerReader(value, 'basicConstraints')
  const r = outer.sequence('value')
  outer.end()
  const ca = r.optional('cA', TAG.boolean)
  const pathLength = r.optional('pathLenConstraint', TAG.integer)
  r.end()
  return {
    ca: ca !== undefined && booleanValue(ca.content, 'basicConstraints.cA'),
    ...(pathLength === undefined
      ? undefined
      : { pathLength: smallInteger(pathLength.content, 'basicConstraints.pathLenConstraint') }),
  }
}

function readKeyUsage(value: Uint8Array): ReadonlySet<KeyUsageBit> {
  const outer = new DerReader(value, 'keyUsage')
  const { bytes } = bitStringBytes(outer.expect('value', TAG.bitString).content, 'keyUsage')
  outer.end()
  const bits = new Set<KeyUsageBit>()
  for (const [name, bit] of Object.entries(KEY_USAGE)) {
    const octet = bytes[bit >> 3] ?? 0
    if ((octet & (0x80 >> (bit & 7))) !== 0) bits.add(name as KeyUsageBit) // Object.entries widens the keys of the table
  }
  return bits
}

function readExtKeyUsage(value: Uint8Array): readonly string[] {
  const outer = new DerReader(value, 'extKeyUsage')
  const r = outer.sequence('value')
  outer.end()
  const purposes: string[] = []
  while (!r.done) {
    if (purposes.length === MAX_KEY_PURPOSES) {
      throw new EndorsementError('CERT_TOO_LARGE', `extKeyUsage has more than ${MAX_KEY_PURPOSES} purposes`)
    }
    purposes.push(oidText(r.expect('keyPurposeId', TAG.oid).content))
  }
  return purposes
}

function readSubjectKeyId(value: Uint8Array): Uint8Array {
  const r = new DerReader(value, 'subjectKeyIdentifier')
  const id = r.expect('value', TAG.octetString).content
  r.end()
  return id
}

/** Content of an AuthorityKeyIdentifier. @throws EndorsementError CERT_MALFORMED */
export function readAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const outer = new DerReader(value, 'authorityKeyIdentifier')
  const r = outer.sequence('value')
  outer.end()
  return r.optional('keyIdentifier', contextTagPrimitive(0))?.content
}

const HARDWARE_MODULE_NAME = '1.3.6.1.5.5.7.8.4'

function readSubjectAltName(value: Uint8Array): SubjectAltName {
  const outer = new DerReader(value, 'subjectAltName')
  const r = outer.sequence('value')
  outer.end()
  const directoryNames: DistinguishedName[] = []
  let others = 0
  let hardwareModule = false
  while (!r.done) {
    if (directoryNames.length + others === MAX_GENERAL_NAMES) {
      throw new EndorsementError('CERT_TOO_LARGE', `subjectAltName has more than ${MAX_GENERAL_NAMES} names`)
    }
    const { tag, content } = r.read('generalName')
    if (tag === contextTag(4)) directoryNames.push(decodeName(content, 'subjectAltName.directoryName'))
    else {
      others++
      if (tag === contextTag(0)) {
        const type = oidText(new DerReader(content, 'otherName').expect('type-id', TAG.oid).content)
        hardwareModule ||= type === HARDWARE_MODULE_NAME
      }
    }
  }
  return { directoryNames, others, hardwareModule }
}

import { EventLogError } from '../errors.ts'
import { DataReader } from './data-reader.ts'
import { decodeDevicePath } from './device-path.ts'
import type { LoadOption, VariableData, VariableValue } from './event-data.ts'
import { EV } from './event-types.ts'
import { NAMESPACE } from './guids.ts'
import { decodeSignatureLists } from './signature-list.ts'
import { asciiText, utf16Text, withoutNuls } from './text.ts'

const STRUCTURE = 'UEFI_VARIABLE_DATA'
const OWNER_BYTES = 16
const HASH_BYTES = 32
/**
 * Older shims took the size of the structure for that of its head, and so logged up to eight bytes of no meaning.
 */
const MAX_SHIM_BYTES = 8

/** Variables of one byte. `AuditMode` and `DeployedMode`: UEFI 2.10 §32.3; shim's: its README.tpm. */
const SWITCHES = new Set([
  'SecureBoot',
  'SetupMode',
  'AuditMode',
  'DeployedMode',
  'VendorKeys',
  'MokSBState',
  'MokSBStateRT',
  'MokDBState',
  'MokIgnoreDB',
  'MokListTrusted',
  'MokListTrustedRT',
])
const SIGNATURE_LISTS = new Set([
  ...['PK', 'KEK', 'db', 'dbx', 'dbt', 'dbr', 'PKDefault', 'KEKDefault', 'dbDefault', 'dbxDefault', 'dbtDefault'],
  ...['dbrDefault', 'MokList', 'MokListRT', 'MokListX', 'MokListXRT', 'vendor_db', 'vendor_dbx'],
])
const TEXTS = new Set(['SbatLevel', 'SbatLevelRT'])
const ORDERS = new Set(['BootOrder', 'DriverOrder', 'SysPrepOrder', 'BootNext', 'BootCurrent'])
const LOAD_OPTION = /^(Boot|Driver|SysPrep|PlatformRecovery)[0-9A-Fa-f]{4}$/

/**
 * UEFI_VARIABLE_DATA, little-endian: GUID, name length u64 in characters, data length u64 in bytes, name UTF-16LE
 * without NUL, data. Source: PC Client Platform Firmware Profile r1.06 §10.2.
 *
 * @param type of the event: EV_EFI_VARIABLE_AUTHORITY has another content under the same names, and what shim adds
 *   behind
 * @param bits width of the two lengths: firmware of 32 bits made from before r1.05 writes UINTN
 * @throws EventLogError EVENT_LOG_BAD_CONTENT when the structure itself is wrong; a content that its name contradicts
 *   gives `malformed`
 */
export function decodeVariable(bytes: Uint8Array, type: number, bits: 32 | 64 = 64): VariableData {
  const r = new DataReader(bytes, STRUCTURE)
  const guid = r.guid('VariableName')
  const nameLength = r.uintn('UnicodeNameLength', bits)
  const dataLength = r.uintn('VariableDataLength', bits)
  const name = utf16Text(r.bytesOfLength('UnicodeName', 2n * nameLength))
  const data = r.bytesOfLength('VariableData', dataLength)
  if (type !== EV.EFI_VARIABLE_AUTHORITY || r.remaining > MAX_SHIM_BYTES) r.end()
  const isAuthority = type === EV.EFI_VARIABLE_AUTHORITY
  const value = valueOr(() => (isAuthority ? authorityValue(name, data) : contentValue(guid, name, data)))
  return { kind: 'variable', guid, name, data, value }
}

function valueOr(read: () => VariableValue): VariableValue {
  try {
    return read()
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return { form: 'malformed', why: err.message }
  }
}

function contentValue(guid: string, name: string, data: Uint8Array): VariableValue {
  if (data.length === 0) return { form: 'empty' }
  const known = guid === NAMESPACE.global || guid === NAMESPACE.imageSecurity || guid === NAMESPACE.shim
  if (!known) return { form: 'bytes' }
  if (SWITCHES.has(name)) return switchValue(name, data)
  if (SIGNATURE_LISTS.has(name)) return { form: 'signature-lists', lists: decodeSignatureLists(data) }
  if (TEXTS.has(name)) return { form: 'text', text: withoutNuls(asciiText(data)) }
  if (ORDERS.has(name)) return { form: 'boot-order', order: bootOrder(data) }
  if (LOAD_OPTION.test(name)) return { form: 'load-option', option: decodeLoadOption(data) }
  return { form: 'bytes' }
}

/**
 * The entry of db, MokList or shim's own certificates that allowed an image: EFI_SIGNATURE_DATA by the specification;
 * shims before 15.7 write the bare certificate or hash.
 */
function authorityValue(name: string, data: Uint8Array): VariableValue {
  if (data.length === 0) return { form: 'empty' }
  if (TEXTS.has(name)) return { form: 'text', text: withoutNuls(asciiText(data)) }
  if (SWITCHES.has(name)) return switchValue(name, data)
  if (isDerOf(data) || data.length === HASH_BYTES) return { form: 'authority', entry: { data } }
  const r = new DataReader(data, 'EFI_SIGNATURE_DATA')
  const owner = r.guid('SignatureOwner')
  return { form: 'authority', entry: { owner, data: r.rest() } }
}

/** True for a DER SEQUENCE of two length bytes that fills the bytes, but for what shim leaves behind it. */
function isDerOf(data: Uint8Array): boolean {
  if (data[0] !== 0x30 || data[1] !== 0x82 || data.length < OWNER_BYTES) return false
  const length = 4 + (((data[2] as number) << 8) | (data[3] as number)) // there are 16 bytes
  return length <= data.length && data.length - length <= MAX_SHIM_BYTES
}

function switchValue(name: string, data: Uint8Array): VariableValue {
  if (data.length !== 1 || (data[0] as number) > 1) {
    // one byte
    throw new EventLogError('EVENT_LOG_BAD_CONTENT', `${name}: is one byte 0 or 1, not ${data.length} bytes`)
  }
  return { form: 'switch', on: data[0] === 1 }
}

function bootOrder(data: Uint8Array): number[] {
  const r = new DataReader(data, 'BootOrder')
  const order: number[] = []
  while (r.remaining > 0) order.push(r.u16('entry'))
  return order
}

/**
 * EFI_LOAD_OPTION, little-endian: attributes u32, length of the path list u16, description UTF-16 with NUL, path list,
 * optional data. Source: UEFI 2.10 §3.1.3.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
function decodeLoadOption(bytes: Uint8Array): LoadOption {
  const r = new DataReader(bytes, 'EFI_LOAD_OPTION')
  const attributes = r.u32('Attributes')
  const pathLength = r.u16('FilePathListLength')
  const description = r.utf16z('Description')
  const path = decodeDevicePath(r.bytesOf('FilePathList', pathLength))
  return {
    attributes,
    active: (attributes & 1) !== 0,
    hidden: (attributes & 8) !== 0,
    description,
    path,
    optionalData: r.rest(),
  }
}

import { EventLogError } from '../errors.ts'
import { guidText } from './data-reader.ts'
import type { CrtmVersionData, FirmwareEventData, GceNonHostInfoData } from './event-data.ts'
import { EV } from './event-types.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'
import { decodeGpt } from './gpt.ts'
import { decodeIpl } from './ipl.ts'
import { decodeNoAction } from './no-action.ts'
import {
  decodeFirmwareBlob,
  decodeFirmwareBlob2,
  decodeHandoffTables,
  decodeHandoffTables2,
  decodeImageLoad,
} from './platform-data.ts'
import { separatorValue } from './separator.ts'
import { decodeDeviceSecurityEvent, isDeviceSecurityEvent } from './spdm.ts'
import { isSpecId } from './spec-id.ts'
import { decodeTaggedEvents } from './tagged-event.ts'
import { asciiText, isPrintableAscii, looksLikeUtf16, utf16Text, withoutNuls } from './text.ts'
import { decodeVariable } from './uefi-variable.ts'
import { decodeWindowsEvents, isWindowsEvent } from './windows-events.ts'

/**
 * What an event's data says. Total: data that has not the form of its type gives `malformed`. Decoded on demand, as
 * reading a log needs none of it.
 *
 * Firmware of 32 bits made from before r1.05 of the profile wrote some lengths in 32 bits; this form is tried where the
 * log says so.
 *
 * @param log that the event is of
 */
export function decodeFirmwareEventData(event: FirmwareEvent, log: FirmwareLog): FirmwareEventData {
  try {
    return decode(event, 64)
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    if (isOf32Bits(log)) {
      try {
        return decode(event, 32)
      } catch (again) {
        if (!(again instanceof EventLogError)) throw again
      }
    }
    return { kind: 'malformed', why: err.message }
  }
}

const UINTN_SIZE_OFFSET = 23
const UINTN_32_BITS = 1

function isOf32Bits(log: FirmwareLog): boolean {
  const head = log.events[0]?.data
  return head !== undefined && isSpecId(head) && head[UINTN_SIZE_OFFSET] === UINTN_32_BITS
}

function decode(event: FirmwareEvent, bits: 32 | 64): FirmwareEventData {
  const { data } = event
  switch (event.type) {
    case EV.NO_ACTION:
      return decodeNoAction(data)
    case EV.SEPARATOR:
      return { kind: 'separator', value: separatorValue(data) }
    case EV.S_CRTM_VERSION:
      return decodeCrtmVersion(data)
    case EV.EFI_VARIABLE_DRIVER_CONFIG:
    case EV.EFI_VARIABLE_BOOT:
    case EV.EFI_VARIABLE_BOOT2:
    case EV.EFI_VARIABLE_AUTHORITY:
      return decodeVariable(data, event.type, bits)
    case EV.EFI_BOOT_SERVICES_APPLICATION:
    case EV.EFI_BOOT_SERVICES_DRIVER:
    case EV.EFI_RUNTIME_SERVICES_DRIVER:
      return decodeImageLoad(data, bits)
    case EV.EFI_GPT_EVENT:
    case EV.EFI_GPT_EVENT2:
      return decodeGpt(data, bits)
    case EV.EFI_HANDOFF_TABLES:
      return decodeHandoffTables(data, bits)
    case EV.EFI_HANDOFF_TABLES2:
      return decodeHandoffTables2(data)
    case EV.EVENT_TAG:
      return isWindowsEvent(data) ? decodeWindowsEvents(data) : decodeTaggedEvents(data)
    case EV.IPL:
      return decodeIpl(data)
    case EV.NONHOST_INFO:
      return decodeNonHostInfo(data)
    case EV.EFI_SPDM_FIRMWARE_BLOB:
    case EV.EFI_SPDM_FIRMWARE_CONFIG:
      return isDeviceSecurityEvent(data) ? decodeDeviceSecurityEvent(data) : textOrBytes(data)
    // devdb and its authority, measured as variables; firmware before r1.06 writes the device's event here as well.
    case EV.EFI_SPDM_DEVICE_POLICY:
    case EV.EFI_SPDM_DEVICE_AUTHORITY:
      return isDeviceSecurityEvent(data)
        ? decodeDeviceSecurityEvent(data)
        : decodeVariable(data, EV.EFI_VARIABLE_AUTHORITY, bits)
    default:
      return blobOrText(event, bits)
  }
}

/** Types whose data is where a blob lies, or text that names it, as the writer liked. */
function blobOrText(event: FirmwareEvent, bits: 32 | 64): FirmwareEventData {
  const { data } = event
  switch (event.type) {
    case EV.EFI_PLATFORM_FIRMWARE_BLOB:
      return isText(data) ? textOrBytes(data) : decodeFirmwareBlob(data, bits)
    case EV.EFI_PLATFORM_FIRMWARE_BLOB2:
    case EV.POST_CODE2:
      return decodeFirmwareBlob2(data)
    case EV.POST_CODE:
    case EV.S_CRTM_CONTENTS:
    case EV.CPU_MICROCODE:
      return data.length === 16 && !isText(data) ? decodeFirmwareBlob(data) : textOrBytes(data)
    case EV.TABLE_OF_DEVICES:
      return isText(data) ? textOrBytes(data) : tablesOrBytes(data)
    default:
      return textOrBytes(data)
  }
}

/** Intel's firmware writes the form of hand-off tables here; the profile leaves it to the maker. */
function tablesOrBytes(data: Uint8Array): FirmwareEventData {
  try {
    return decodeHandoffTables(data)
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return { kind: 'opaque', bytes: data }
  }
}

function isText(data: Uint8Array): boolean {
  return textOrBytes(data).kind === 'text'
}

function textOrBytes(data: Uint8Array): FirmwareEventData {
  const encoding = looksLikeUtf16(data) ? 'utf-16le' : 'ascii'
  const text = withoutNuls(encoding === 'ascii' ? asciiText(data) : utf16Text(data))
  return text !== '' && isPrintableAscii(text) ? { kind: 'text', text, encoding } : { kind: 'opaque', bytes: data }
}

/**
 * UTF-16 text with NUL by r1.06 §10.4; a GUID of sixteen bytes or ASCII with some makers. Nothing but NULs is no
 * version at all.
 */
function decodeCrtmVersion(data: Uint8Array): CrtmVersionData | FirmwareEventData {
  if (data.every((b) => b === 0)) return { kind: 'crtm-version', form: 'text', version: '' }
  const text = textOrBytes(data)
  if (text.kind === 'text') return { kind: 'crtm-version', form: 'text', version: text.text }
  if (data.length === 16) return { kind: 'crtm-version', form: 'guid', version: guidText(data) }
  return text
}

const GCE_SIGNATURE = 'GCE NonHostInfo\0'
const GCE_BYTES = 32
const GCE_PROTECTION: readonly GceNonHostInfoData['memoryProtection'][] = [
  ...(['none', 'amd-sev', 'amd-sev-es', 'intel-tdx', 'amd-sev-snp'] as const),
]

/**
 * Of Google's virtual firmware: signature[16], memory protection u8, 15 reserved. Others have no form that is known.
 */
function decodeNonHostInfo(data: Uint8Array): FirmwareEventData {
  const signature = asciiText(data, 0, Math.min(data.length, GCE_SIGNATURE.length))
  if (signature !== GCE_SIGNATURE || data.length !== GCE_BYTES) return textOrBytes(data)
  const memoryProtection = GCE_PROTECTION[data[GCE_SIGNATURE.length] as number] ?? 'unknown' // there are 32 bytes
  return { kind: 'gce-non-host-info', memoryProtection }
}

import { bytesText, digestText } from '../../crypto/index.ts'
import type { Coverage } from '../event.ts'
import { BANK_ORDER } from '../registers.ts'
import { EV, eventTypeName } from './event-types.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'
import { decodeIpl, type MeasuredForm, measuredForms } from './ipl.ts'
import { separatorOf, separatorValue } from './separator.ts'
import { isWindowsEvent } from './windows-events.ts'

export interface FirmwareEventCoverage {
  readonly coverage: Coverage
  /** One line for people: which rule the digests fulfil, or why none can be applied. */
  readonly why: string
}

/**
 * Types whose digest is the hash of the data, by the profile r1.06 §10.4 or, for EV_COMPACT_HASH and its like,
 * nothing else that is in the log.
 */
const HASH_OF_DATA: ReadonlySet<number> = new Set([
  EV.ACTION,
  EV.S_CRTM_VERSION,
  EV.EFI_VARIABLE_DRIVER_CONFIG,
  EV.EFI_GPT_EVENT,
  EV.EFI_GPT_EVENT2,
  EV.EFI_ACTION,
  EV.EFI_SPDM_DEVICE_POLICY,
  EV.EFI_SPDM_DEVICE_AUTHORITY,
])

/** What the digest is of where it is not of the data. */
const ELSEWHERE: ReadonlyMap<number, string> = new Map([
  [EV.EFI_BOOT_SERVICES_APPLICATION, 'the digest is of the PE image, the data only says where it came from'],
  [EV.EFI_BOOT_SERVICES_DRIVER, 'the digest is of the PE image, the data only says where it came from'],
  [EV.EFI_RUNTIME_SERVICES_DRIVER, 'the digest is of the PE image, the data only says where it came from'],
  [EV.EFI_PLATFORM_FIRMWARE_BLOB, 'the digest is of the firmware, the data only says where it lies'],
  [EV.EFI_PLATFORM_FIRMWARE_BLOB2, 'the digest is of the firmware, the data only says where it lies'],
  [EV.EFI_HANDOFF_TABLES, 'the digest is of the tables, the data only says where they lie'],
  [EV.EFI_HANDOFF_TABLES2, 'the digest is of the tables, the data only says where they lie'],
  [EV.EVENT_TAG, 'the digest is of content that the tag only names'],
])

/**
 * What an event's digests say of its data, by the rule of its type. Every bank that the event has must fulfil the same
 * rule, as a bank left out could be forged. An event of any type whose digests are the hash of its data covers it;
 * types whose rule that is not stay `digest` otherwise.
 *
 * Source: PC Client Platform Firmware Profile r1.06 §10.4, and what is seen of shim, GRUB, systemd and Windows.
 */
export function firmwareEventCoverage(event: FirmwareEvent, _log: FirmwareLog): FirmwareEventCoverage {
  if (event.type === EV.NO_ACTION) return notExtended(event)
  if (BANK_ORDER.every((bank) => event.digests[bank] === undefined)) {
    return { coverage: 'digest', why: 'no digest of an algorithm that is known here' }
  }
  switch (event.type) {
    case EV.EFI_VARIABLE_BOOT:
    case EV.EFI_VARIABLE_BOOT2:
      return byForms(event, [
        ...valueForm(event.data),
        { bytes: event.data, form: 'the whole variable structure, name and value' },
      ])
    case EV.EFI_VARIABLE_AUTHORITY:
      return byForms(event, [
        { bytes: event.data, form: 'the data' },
        { bytes: event.data.subarray(0, -1), form: 'the data without its last byte, as some shims measure' },
      ])
    case EV.IPL:
      return iplCoverage(event)
    case EV.SEPARATOR:
      return separatorCoverage(event)
    default:
  }
  if (isHashOf(event, event.data)) return { coverage: 'data', why: 'the digest is the hash of the data' }
  if (HASH_OF_DATA.has(event.type) || (event.type === EV.EVENT_TAG && isWindowsEvent(event.data))) {
    return {
      coverage: 'mismatch',
      why: `the digest of ${eventTypeName(event.type)} must be the hash of its data, and is not`,
    }
  }
  return { coverage: 'digest', why: ELSEWHERE.get(event.type) ?? 'the digest is of something that is not in the log' }
}

function byForms(event: FirmwareEvent, forms: readonly MeasuredForm[]): FirmwareEventCoverage {
  for (const { bytes, form } of forms) {
    if (isHashOf(event, bytes)) return { coverage: 'data', why: `the digest is the hash of ${form}` }
  }
  return { coverage: 'mismatch', why: `the digest is the hash of no form that ${eventTypeName(event.type)} can have` }
}

/** The profile wants the value alone in EV_EFI_VARIABLE_BOOT; some makers measure the structure. */
function valueForm(data: Uint8Array): MeasuredForm[] {
  if (data.length < 32) return []
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const length = view.getBigUint64(24, true)
  if (length > BigInt(data.length - 32)) return []
  return [{ bytes: data.subarray(data.length - Number(length)), form: "the variable's value; its name is not covered" }]
}

function iplCoverage(event: FirmwareEvent): FirmwareEventCoverage {
  const ipl = decodeIpl(event.data)
  for (const { bytes, form } of measuredForms(ipl, event.data)) {
    if (isHashOf(event, bytes)) return { coverage: 'data', why: `the digest is the hash of ${form}` }
  }
  if (isHashOf(event, event.data)) return { coverage: 'data', why: 'the digest is the hash of the data' }
  switch (ipl.what) {
    case 'command':
    case 'kernel-command-line':
    case 'module-command-line':
      return { coverage: 'mismatch', why: 'the digest is not the hash of the text, which GRUB always measures here' }
    case 'file':
      return { coverage: 'digest', why: 'the digest is of the content, the data is its name' }
    case 'variable':
      return { coverage: 'digest', why: "the digest is of the variable's content, the data is its name" }
    case 'section':
      return { coverage: 'digest', why: "the digest is of the section's content, the data is its name" }
    default:
      return { coverage: 'digest', why: 'what this boot loader measures is not known' }
  }
}

function separatorCoverage(event: FirmwareEvent): FirmwareEventCoverage {
  if (isHashOf(event, event.data)) return { coverage: 'data', why: 'the digest is the hash of the data' }
  // r1.06 §10.4: for an error the digest is that of 00000001, while the data may tell more of it.
  if (separatorOf(event) === 'error' && separatorValue(event.data) === 'other') {
    return { coverage: 'digest', why: "the digest is the error separator's, the data tells of the error" }
  }
  return { coverage: 'mismatch', why: 'the digest is not of the separator that the data is' }
}

function notExtended(event: FirmwareEvent): FirmwareEventCoverage {
  const marked = BANK_ORDER.some((bank) => event.digests[bank]?.some((b) => b !== 0))
  return {
    coverage: 'not-extended',
    why: marked
      ? 'EV_NO_ACTION is not extended, yet this one has a digest that is not zero: it may have been another event'
      : 'EV_NO_ACTION is not extended',
  }
}

function isHashOf(event: FirmwareEvent, bytes: Uint8Array): boolean {
  for (const bank of BANK_ORDER) {
    const want = event.digests[bank]
    if (want !== undefined && digestText(bank, bytes) !== bytesText(want)) return false
  }
  return true
}

import { printable, toHex } from '../../base/index.ts'
import { decodeFirmwareEventData } from './decode-event-data.ts'
import { describeSpdm } from './describe-spdm.ts'
import { counted, listed, sizeText } from './describe-text.ts'
import { describeVariable } from './describe-variable.ts'
import type {
  FirmwareEventData,
  GceNonHostInfoData,
  GptData,
  ImageLoadData,
  IplData,
  ReferenceManifestData,
  SeparatorValue,
  TaggedEvent,
  WindowsEvent,
} from './event-data.ts'
import { EV, eventTypeName } from './event-types.ts'
import type { FirmwareEvent, FirmwareLog } from './firmware-log.ts'
import { guidName } from './guids.ts'
import { flatWindowsEvents } from './windows-events.ts'

/** Longest line: a terminal's three lines. */
const MAX_CHARACTERS = 320

/**
 * One line for people: what the event says. It is only worth as much as its proof. Text of the log is escaped where it
 * is not printable, and the line is bounded.
 *
 * @param log that the event is of
 */
export function describeFirmwareEvent(event: FirmwareEvent, log: FirmwareLog): string {
  return printable(describeData(event, decodeFirmwareEventData(event, log), log), MAX_CHARACTERS)
}

function describeData(event: FirmwareEvent, data: FirmwareEventData, log: FirmwareLog): string {
  switch (data.kind) {
    case 'malformed':
      return `${eventTypeName(event.type)}, malformed: ${data.why}`
    case 'opaque':
      return `${eventTypeName(event.type)}: ${sizeAndHex(data.bytes)}`
    case 'text':
      return `${TEXT_TITLES.get(event.type) ?? `${eventTypeName(event.type)}: `}${data.text}`
    case 'spec-id': {
      const { major, minor, errata } = data.version
      const algorithms = log.algorithms.map((a) => a.bank ?? `algorithm 0x${a.id.toString(16).padStart(4, '0')}`)
      return `log format ${major}.${minor} errata ${errata}, ${data.uintnBits}-bit firmware, digests ${algorithms.join(', ')}`
    }
    case 'startup-locality':
      return `TPM started at locality ${data.locality}`
    case 'reference-manifest':
      return describeManifest(data)
    case 'crtm-version':
      return data.version === '' ? 'firmware version: none given' : `firmware version ${data.version}`
    case 'separator':
      return SEPARATOR_TEXTS[data.value] + (data.value === 'other' ? `: ${sizeAndHex(event.data)}` : '')
    case 'variable':
      return describeVariable(data, event.type)
    case 'image-load':
      return `${IMAGE_TITLES.get(event.type) ?? 'image'} ${describeImage(data)}`
    case 'gpt':
      return describeGpt(data)
    case 'firmware-blob':
      return `firmware${data.description === undefined ? '' : ` ${data.description}`} at 0x${data.base.toString(16)}, ${sizeText(data.length)}`
    case 'handoff-tables': {
      const tables = data.tables.map((t) => `${guidName(t.guid) ?? t.guid} at 0x${t.address.toString(16)}`)
      return `tables${data.description === undefined ? '' : ` ${data.description}`}: ${listed(tables, 6)}`
    }
    case 'tagged':
      return listed(data.events.map(describeTag), 4)
    case 'windows':
      return describeWindows(data.events)
    case 'ipl':
      return describeIpl(data)
    case 'spdm':
      return describeSpdm(data)
    case 'gce-non-host-info':
      return `Google Compute Engine: memory protection ${GCE_TEXTS[data.memoryProtection]}`
    default:
      return data satisfies never
  }
}

/** In front of text whose type would tell people little. Actions speak for themselves. */
const TEXT_TITLES: ReadonlyMap<number, string> = new Map([
  [EV.ACTION, ''],
  [EV.EFI_ACTION, ''],
  [EV.POST_CODE, 'power-on code: '],
  [EV.S_CRTM_CONTENTS, 'start of the firmware: '],
  [EV.EFI_HCRTM_EVENT, 'measured by hardware before the firmware: '],
  [EV.PLATFORM_CONFIG_FLAGS, 'platform configuration: '],
  [EV.NO_ACTION, 'not measured: '],
])

const IMAGE_TITLES: ReadonlyMap<number, string> = new Map([
  [EV.EFI_BOOT_SERVICES_APPLICATION, 'EFI application'],
  [EV.EFI_BOOT_SERVICES_DRIVER, 'EFI driver'],
  [EV.EFI_RUNTIME_SERVICES_DRIVER, 'EFI runtime driver'],
])

const SEPARATOR_TEXTS: Readonly<Record<SeparatorValue, string>> = {
  boot: 'separator: the firmware has measured, what boots comes now',
  error: 'separator: the firmware met an error while measuring',
  windows: 'separator: Windows has measured its boot',
  other: 'separator of no known value',
}

const GCE_TEXTS: Readonly<Record<GceNonHostInfoData['memoryProtection'], string>> = {
  none: 'none',
  'amd-sev': 'AMD SEV',
  'amd-sev-es': 'AMD SEV-ES',
  'intel-tdx': 'Intel TDX',
  'amd-sev-snp': 'AMD SEV-SNP',
  unknown: 'unknown',
}

function sizeAndHex(bytes: Uint8Array): string {
  const shown = toHex(bytes.subarray(0, 24))
  return `${counted(bytes.length, 'byte')}${bytes.length > 0 ? ` ${shown}` : ''}${bytes.length > 24 ? '…' : ''}`
}

function describeManifest(data: ReferenceManifestData): string {
  const platform = [data.platformManufacturer, data.platformModel, data.platformVersion].filter(Boolean).join(' ')
  const firmware =
    data.firmwareVersion === undefined ? '' : `, firmware ${data.firmwareManufacturer} ${data.firmwareVersion}`
  return `reference manifest ${data.manifestGuid} of vendor ${data.vendorId}${platform === '' ? '' : `: ${platform}`}${firmware}`
}

/** `\EFI\debian\shimx64.efi from HD(1,GPT,…)`, as people look for the file first. */
function describeImage({ path, length }: ImageLoadData): string {
  if (path.text === '') return `of ${sizeText(length)}, from memory`
  if (path.file === undefined) return path.text
  const device = path.nodes.filter((n) => !(n.type === 4 && n.subType === 4)).map((n) => n.text)
  return `${path.file}${device.length > 0 ? ` from ${device.join('/')}` : ''}`
}

function describeGpt({ header, partitions }: GptData): string {
  const entries = partitions.map((p, i) => {
    const name = p.name === '' ? '' : ` "${p.name}"`
    return `${i + 1}${name} ${guidName(p.typeGuid) ?? p.typeGuid}`
  })
  const list = entries.length > 0 ? `: ${listed(entries, 8)}` : ''
  return `partition table of disk ${header.diskGuid}, ${counted(partitions.length, 'partition')}${list}`
}

function describeTag(tag: TaggedEvent): string {
  const id = `tag 0x${tag.id.toString(16).padStart(8, '0')}`
  return `${tag.name ?? id}: ${tag.text ?? sizeAndHex(tag.data)}`
}

/** High half of the identifiers of what is inside a loaded module. */
const MODULE_GROUP = 0x0007

/** Modules by their paths, then what is said of the boot itself. */
function describeWindows(events: readonly WindowsEvent[]): string {
  let modules = 0
  const paths: string[] = []
  const facts: string[] = []
  for (const { id, name, value } of flatWindowsEvents(events)) {
    if (name === 'LOADEDMODULE_AGGREGATION') modules++
    else if (name === 'FILEPATH' && value.form === 'text') paths.push(value.text)
    else if (id >>> 16 === MODULE_GROUP || value.form === 'container') continue
    else if (value.form === 'switch') facts.push(`${name} ${value.on ? 'on' : 'off'}`)
    else if (value.form === 'number') facts.push(`${name} ${value.number}`)
    else if (value.form === 'text') facts.push(`${name} ${value.text}`)
    else facts.push(name ?? `0x${id.toString(16).padStart(8, '0')}`)
  }
  const parts: string[] = []
  if (modules > 0) parts.push(`${counted(modules, 'module')}${paths.length > 0 ? `: ${listed(paths, 3)}` : ''}`)
  if (facts.length > 0) parts.push(listed([...new Set(facts)], 8))
  return `Windows: ${parts.join('; ')}`
}

const IPL_TITLES: Readonly<Record<IplData['what'], string>> = {
  command: 'GRUB command: ',
  'kernel-command-line': 'kernel command line: ',
  'module-command-line': 'module command line: ',
  file: 'file read by the boot loader: ',
  'command-line': 'command line: ',
  variable: 'shim variable ',
  section: 'unified kernel image section ',
  text: 'boot loader: ',
  bytes: 'boot loader, no text: ',
}

function describeIpl({ what, text }: IplData): string {
  return what === 'bytes' ? `${IPL_TITLES[what]}${counted(text.length, 'byte')}` : IPL_TITLES[what] + text
}

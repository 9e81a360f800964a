import { DataReader } from './data-reader.ts'
import type { TaggedEvent, TaggedEventData } from './event-data.ts'
import { asciiText, isPrintableAscii, looksLikeUtf16, utf16Text, withoutNuls } from './text.ts'

/**
 * Tags whose event is only a name: the digest is of the content. Linux: drivers/firmware/efi/libstub of 6.9; systemd:
 * its documentation "TPM2 PCR Measurements Made by systemd", version 257.
 */
const CONTENT_TAGS: ReadonlyMap<number, string> = new Map([
  [0x8f3b22ec, 'initrd, measured by Linux'],
  [0x8f3b22ed, 'kernel command line, measured by Linux'],
  [0xf5bc582a, 'loader.conf, measured by systemd-boot'],
  [0x6c46f751, 'device tree, measured by systemd-stub'],
  [0x49dffe0f, 'initrd add-on, measured by systemd-stub'],
  [0xdac08e1a, 'microcode add-on, measured by systemd-stub'],
  [0x13aed6db, 'profile of the unified kernel image, measured by systemd-stub'],
  [0xd5cb7cbc, 'SMBIOS type 1, measured by systemd'],
  [0xe0d47bc8, 'SMBIOS type 2, measured by systemd'],
  [0xc0b3bd23, 'SMBIOS type 11, measured by systemd'],
])

/**
 * TCG_PCClientTaggedEvent, one or more, little-endian: tag u32, size u32, data. Source: PC Client Platform Firmware
 * Profile r1.06 §10.4.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeTaggedEvents(bytes: Uint8Array): TaggedEventData {
  const r = new DataReader(bytes, 'TCG_PCClientTaggedEvent')
  const events: TaggedEvent[] = []
  do {
    const id = r.u32('taggedEventID')
    const data = r.bytesOf('taggedEventData', r.u32('taggedEventDataSize'))
    const name = CONTENT_TAGS.get(id)
    const text = textOf(data)
    events.push({ id, ...(name !== undefined && { name }), data, ...(text !== undefined && { text }) })
  } while (r.remaining > 0)
  return { kind: 'tagged', events }
}

function textOf(data: Uint8Array): string | undefined {
  const text = withoutNuls(looksLikeUtf16(data) ? utf16Text(data) : asciiText(data))
  return text !== '' && isPrintableAscii(text) ? text : undefined
}

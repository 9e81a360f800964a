import { concatBytes, utf8 } from '../../base/index.ts'
import type { IplData } from './event-data.ts'
import { asciiText, isPrintableAscii, looksLikeUtf16, utf16Text, withoutNuls } from './text.ts'

/** In front of what GRUB measures as text (grub-core/commands/tpm.c); without a colon in the GRUB of RHEL 8. */
const GRUB_PREFIXES: readonly { readonly prefix: string; readonly what: IplData['what'] }[] = [
  { prefix: 'grub_cmd: ', what: 'command' },
  { prefix: 'kernel_cmdline: ', what: 'kernel-command-line' },
  { prefix: 'module_cmdline: ', what: 'module-command-line' },
  { prefix: 'grub_cmd ', what: 'command' },
  { prefix: 'grub_kernel_cmdline ', what: 'kernel-command-line' },
  { prefix: 'grub_module_cmdline ', what: 'module-command-line' },
]
/** A path of GRUB's, with or without a device, and the names that its Red Hat form has for kernel and initrd. */
const GRUB_FILE = /^(\(|\/|grub_linuxefi )/
const SHIM_VARIABLES = new Set([
  ...['MokList', 'MokListX', 'MokListTrusted', 'MokSBState', 'MokDBState', 'MokIgnoreDB', 'MokPolicy', 'HSIStatus'],
  ...['SbatLevel', 'Shim'],
])
/** Sections of UAPI.5 Unified Kernel Image, in the order in which systemd-stub measures them (version 257). */
export const UKI_SECTIONS: readonly string[] = [
  ...['.linux', '.osrel', '.cmdline', '.initrd', '.ucode', '.splash', '.dtb', '.uname', '.sbat', '.pcrsig', '.pcrpkey'],
  ...['.profile', '.dtbauto', '.hwids', '.efifw'],
]
/** Names, in UTF-16, of archives that systemd-stub makes and measures. */
const SYSTEMD_ARCHIVE = /^(Global credentials|Credentials|System extension|Configuration extension) initrd$/

/** EV_IPL: told by the form of its text, as boot loaders have no type of their own. */
export function decodeIpl(bytes: Uint8Array): IplData {
  if (looksLikeUtf16(bytes)) {
    const text = withoutNuls(utf16Text(bytes))
    if (UKI_SECTIONS.includes(text)) return ipl('systemd', 'section', text)
    return ipl('systemd', SYSTEMD_ARCHIVE.test(text) ? 'file' : 'command-line', text)
  }
  const whole = asciiText(bytes)
  const text = withoutNuls(whole)
  for (const { prefix, what } of GRUB_PREFIXES) {
    if (text.startsWith(prefix)) return ipl('grub', what, text.slice(prefix.length))
  }
  if (GRUB_FILE.test(text)) return ipl('grub', 'file', text)
  const name = whole.split('\0', 1)[0] ?? '' // some shims log a byte behind the NUL
  if (SHIM_VARIABLES.has(name)) return ipl('shim', 'variable', name)
  return ipl('unknown', isPrintableAscii(text) ? 'text' : 'bytes', text)
}

function ipl(writer: IplData['writer'], what: IplData['what'], text: string): IplData {
  return { kind: 'ipl', writer, what, text }
}

/** Bytes that a boot loader may have measured for this event, and which form of its text they are. */
export interface MeasuredForm {
  readonly bytes: Uint8Array
  readonly form: string
}

/**
 * What the digest of an EV_IPL event is of if its writer measured the text. Seen in logs: GRUB measures it without its
 * prefix and NUL, with the NUL where the prefix has no colon; systemd-boot in UTF-16LE with its NUL, older ones with
 * the last byte left out of the log only; its documentation says without NUL. systemd-stub measures a section's name in
 * ASCII with NUL, then in a second event of the same text the section.
 *
 * @returns none for a writer or an event whose digest is of something else
 */
export function measuredForms(data: IplData, bytes: Uint8Array): readonly MeasuredForm[] {
  if (data.what === 'section') {
    return [{ bytes: utf8(`${data.text}\0`), form: 'the section name in ASCII with its NUL' }]
  }
  if (data.what === 'command-line') {
    return [
      { bytes, form: 'the text with its NUL' },
      { bytes: bytes.subarray(0, 2 * data.text.length), form: 'the text without NUL' },
      { bytes: concatBytes(bytes, new Uint8Array(1)), form: 'the text with its NUL, whose last byte the log lacks' },
    ]
  }
  if (data.writer !== 'grub' || data.what === 'file') return []
  const from = bytes.indexOf(0x20) + 1 // every prefix ends with its only space
  return [
    { bytes: bytes.subarray(from, from + data.text.length), form: 'the text without prefix and NUL' },
    { bytes: bytes.subarray(from), form: 'the text without prefix' },
  ]
}

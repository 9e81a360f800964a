import { concatBytes, utf8 } from '../../attestation/base/index.ts'
import { EV } from '../../attestation/event-log/index.ts'
import { application, CALLING, config, dbx, EXIT, event, GLOBAL, SECURITY, separator } from './boot.ts'
import { tagged, utf16, type WrittenEvent } from './firmware-log.ts'
import { peImage } from './pe-image.ts'

/** What Linux's EFI stub tags its load options with. */
const LOAD_OPTIONS_TAG = 0x8f3b22ed

/** A kernel that firmware can start by itself. */
export const LINUX = peImage({ sections: [{ name: '.text', data: utf8('the kernel in the image') }] })

export interface UkiParts {
  readonly cmdline: string
  readonly linux?: Uint8Array
}

/** A unified kernel image of three sections. */
export function ukiImage({ cmdline, linux = LINUX }: UkiParts): Uint8Array {
  return peImage({
    sections: [
      { name: '.osrel', data: utf8('ID=example\n') },
      { name: '.cmdline', data: utf8(cmdline) },
      { name: '.linux', data: linux },
    ],
  })
}

/** What stands in a PE image's stead when it is hashed: all but the checksum and the certificate table's entry. */
function authenticodeBytes(file: Uint8Array): Uint8Array {
  const optional = 0x40 + 24
  const [checksum, entry] = [optional + 64, optional + 112 + 32]
  return concatBytes(file.subarray(0, checksum), file.subarray(checksum + 4, entry), file.subarray(entry + 8))
}

/** A boot in which firmware starts the image, its stub measures it, and firmware starts the kernel in it. */
export function ukiBoot({ cmdline, linux = LINUX }: UkiParts): WrittenEvent[] {
  const section = (name: string, content: Uint8Array): WrittenEvent[] => [
    event(11, EV.IPL, utf16(`${name}\0`), utf8(`${name}\0`)),
    event(11, EV.IPL, utf16(`${name}\0`), content),
  ]
  return [
    event(0, EV.S_CRTM_VERSION, utf16('Example 1.2\0')),
    config(GLOBAL, 'SecureBoot', Uint8Array.of(0)),
    config(GLOBAL, 'PK', new Uint8Array(0)),
    config(GLOBAL, 'KEK', new Uint8Array(0)),
    config(SECURITY, 'db', new Uint8Array(0)),
    config(SECURITY, 'dbx', dbx(1)),
    separator(7),
    CALLING,
    ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => separator(pcr)),
    application('\\EFI\\Linux\\example.efi', authenticodeBytes(ukiImage({ cmdline, linux }))),
    ...section('.linux', linux),
    ...section('.osrel', utf8('ID=example\n')),
    ...section('.cmdline', utf8(cmdline)),
    application('', authenticodeBytes(linux)),
    event(9, EV.EVENT_TAG, tagged(LOAD_OPTIONS_TAG, utf8('LOADED_IMAGE::LoadOptions\0')), utf16(`${cmdline}\0`)),
    ...EXIT,
  ]
}

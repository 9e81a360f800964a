import { concatBytes, utf8 } from '../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../attestation/crypto/index.ts'
import { EV } from '../../attestation/event-log/index.ts'
import { type PcrValue, pcrIndex } from '../../attestation/tpm2/index.ts'
import {
  filePath,
  guid,
  imageLoad,
  loadOption,
  signatureList,
  u16,
  u32,
  utf16,
  variableData,
  type WrittenEvent,
} from './firmware-log.ts'

export const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
export const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
export const OWNER = '77fa9abd-0359-4d32-bd60-28f4e78f784b'
const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328'

/**
 * What stands for a certificate of db: a SEQUENCE of the length that it says, which is all that a log's reader asks
 * for.
 */
export const CERTIFICATE = concatBytes(Uint8Array.of(0x30, 0x82, 0x01, 0x00), new Uint8Array(256).fill(7))
export const KERNEL = utf8('the kernel, as a PE image')
export const LOADER = utf8('the boot loader, as a PE image')

export function event(register: number, type: number, data: Uint8Array, measured?: Uint8Array): WrittenEvent {
  return { register, type, data, ...(measured !== undefined && { measured }) }
}

export function separator(register: number, value = 0): WrittenEvent {
  return event(register, EV.SEPARATOR, u32(value))
}

export function action(register: number, text: string): WrittenEvent {
  return event(register, EV.EFI_ACTION, utf8(text))
}

export function config(namespace: string, name: string, content: Uint8Array): WrittenEvent {
  return event(7, EV.EFI_VARIABLE_DRIVER_CONFIG, variableData(namespace, name, content))
}

export function authority(name = 'db', entry = concatBytes(guid(OWNER), CERTIFICATE)): WrittenEvent {
  return event(7, EV.EFI_VARIABLE_AUTHORITY, variableData(SECURITY, name, entry))
}

export function application(file: string, image: Uint8Array, register = 4): WrittenEvent {
  return event(register, EV.EFI_BOOT_SERVICES_APPLICATION, imageLoad(filePath(file)), image)
}

export function grubCommand(text: string): WrittenEvent {
  return event(8, EV.IPL, utf8(`grub_cmd: ${text}\0`), utf8(text))
}

export function localityEvent(locality: number, register = 0): WrittenEvent {
  return event(register, EV.NO_ACTION, concatBytes(utf8('StartupLocality\0'), Uint8Array.of(locality)))
}

export function dbx(hashes: number): Uint8Array {
  const entries = Array.from({ length: hashes }, (_, i) => ({ owner: OWNER, data: digest('sha256', u32(i)) }))
  return signatureList(SHA256, entries)
}

export const CALLING = action(4, 'Calling EFI Application from Boot Option')
export const RETURNING = action(4, 'Returning from EFI Application from Boot Option')
export const EXIT = [action(5, 'Exit Boot Services Invocation'), action(5, 'Exit Boot Services Returned with Success')]

export interface HonestBoot {
  readonly secureBoot?: boolean
  readonly dbxEntries?: number
  readonly grubCommands?: number
}

/** A boot as EDK II, shim's successor in spirit and GRUB measure it, in which no rule finds a fault. */
export function honestBoot({ secureBoot = true, dbxEntries = 3, grubCommands = 3 }: HonestBoot = {}): WrittenEvent[] {
  const key = signatureList(X509, [{ owner: OWNER, data: CERTIFICATE }])
  return [
    event(0, EV.S_CRTM_VERSION, utf16('Example 1.2\0')),
    event(
      0,
      EV.EFI_PLATFORM_FIRMWARE_BLOB,
      concatBytes(new Uint8Array(8).fill(1), new Uint8Array(8).fill(2)),
      utf8('firmware volume'),
    ),
    config(GLOBAL, 'SecureBoot', Uint8Array.of(secureBoot ? 1 : 0)),
    config(GLOBAL, 'PK', key),
    config(GLOBAL, 'KEK', key),
    config(SECURITY, 'db', key),
    config(SECURITY, 'dbx', dbx(dbxEntries)),
    separator(7),
    event(1, EV.EFI_VARIABLE_BOOT, variableData(GLOBAL, 'BootOrder', u16(1)), u16(1)),
    event(1, EV.EFI_VARIABLE_BOOT, variableData(GLOBAL, 'Boot0001', BOOT_OPTION), BOOT_OPTION),
    CALLING,
    ...[0, 1, 2, 3, 4, 5, 6].map((pcr) => separator(pcr)),
    ...(secureBoot ? [authority()] : []),
    application('\\EFI\\example\\grubx64.efi', LOADER),
    ...Array.from({ length: grubCommands }, (_, i) => grubCommand(`set number=${i}`)),
    event(9, EV.IPL, utf8('/boot/vmlinuz\0'), KERNEL),
    event(
      8,
      EV.IPL,
      utf8('kernel_cmdline: /boot/vmlinuz root=/dev/sda1 ro\0'),
      utf8('/boot/vmlinuz root=/dev/sda1 ro'),
    ),
    event(9, EV.IPL, utf8('/boot/initrd.img\0'), utf8('the initrd')),
    ...EXIT,
  ]
}

const BOOT_OPTION = loadOption('Example', filePath('\\EFI\\example\\grubx64.efi'))

export interface QuoteOptions {
  readonly banks?: readonly HashAlgorithm[]
  /** Locality of TPM2_Startup. Default 0. */
  readonly locality?: number
  /** Registers to quote. Default all. */
  readonly pcrs?: readonly number[]
}

/**
 * The registers of a TPM that these events were extended into: TPM2_PCR_Extend spelt out, so that it shares nothing
 * with what it tests.
 */
export function quoteOf(events: readonly WrittenEvent[], options: QuoteOptions = {}): PcrValue[] {
  const { banks = ['sha256'], locality = 0, pcrs = Array.from({ length: 24 }, (_, i) => i) } = options
  const out: PcrValue[] = []
  for (const bank of banks) {
    for (const pcr of pcrs) {
      let value: Uint8Array = new Uint8Array(hashSize(bank)).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0)
      if (pcr === 0) value[value.length - 1] = locality
      for (const e of events) {
        if (e.register !== pcr || e.type === EV.NO_ACTION) continue
        value = digest(bank, concatBytes(value, digest(bank, e.measured ?? e.data)))
      }
      out.push({ bank, pcr: pcrIndex(pcr), value })
    }
  }
  return out
}

import { EV } from '../firmware/event-types.ts'

const EVENT_NUMBERS: ReadonlyMap<string, number> = new Map([
  ...Object.entries(EV).map(([name, type]): [string, number] => [`EV_${name}`, type]),
  ['EV_EFI_PLATFORM_FIRMWATE_BLOB2', EV.EFI_PLATFORM_FIRMWARE_BLOB2], // libcel 1.0 writes it so
])

/** @param name of a firmware event type in either case, as writers differ */
export function eventTypeNumber(name: string): number | undefined {
  return EVENT_NUMBERS.get(name.toUpperCase())
}

/** Types of systemd's measurements, in the order of its own enumeration, whose numbers libcel writes. */
export const SYSTEMD_TYPES: readonly string[] = [
  'phase',
  'filesystem',
  'volume-key',
  'machine-id',
  'product-id',
  'keyslot',
  'nvpcr-init',
  'nvpcr-separator',
  'dm-verity',
  'imds-userdata',
  'os-separator',
  'login',
]

/** Events of Google's Confidential Space launcher, by type. */
export const COS_TYPES: readonly string[] = [
  'ImageRef',
  'ImageDigest',
  'RestartPolicy',
  'ImageID',
  'Arg',
  'EnvVar',
  'OverrideArg',
  'OverrideEnv',
  'LaunchSeparator',
  'MemoryMonitor',
  'GpuCCMode',
  'GPUDeviceAttestationBinding',
]

export const STATE_TRANSITIONS: readonly string[] = ['suspend', 'hibernate', 'kexec']

/** Fields of ima_tlv content. Source: TCG Canonical Event Log Format 1.0 r0.41, IMA-TLV content. */
export const IMA_TLV_FIELDS: readonly string[] = [
  'path',
  'datahash',
  'datasig',
  'owner',
  'group',
  'mode',
  'timestamp',
  'label',
]

/** Digest algorithms that CEL-JSON names, by the low byte of TPM_ALG_ID, with the digest's size in bytes. */
export const DIGEST_ALGORITHMS: ReadonlyMap<number, { readonly name: string; readonly size: number }> = new Map([
  [0x04, { name: 'sha1', size: 20 }],
  [0x0b, { name: 'sha256', size: 32 }],
  [0x0c, { name: 'sha384', size: 48 }],
  [0x0d, { name: 'sha512', size: 64 }],
  [0x12, { name: 'sm3_256', size: 32 }],
  [0x27, { name: 'sha3_256', size: 32 }],
  [0x28, { name: 'sha3_384', size: 48 }],
  [0x29, { name: 'sha3_512', size: 64 }],
])

import { concatBytes, fromHex, utf8 } from '../../attestation/base/index.ts'
import { digest, type HashAlgorithm } from '../../attestation/crypto/index.ts'
import { EV } from '../../attestation/event-log/index.ts'

/** An event to write. Its digests are the hash of `measured`, which is the data where nothing else is said. */
export interface WrittenEvent {
  readonly register: number
  readonly type: number
  readonly data: Uint8Array
  readonly measured?: Uint8Array
  /** Digests as they are to stand there, whatever they are of. */
  readonly digests?: readonly (readonly [id: number, bytes: Uint8Array])[]
}

export interface WrittenLog {
  /** Default sha256. */
  readonly banks?: readonly HashAlgorithm[]
  /** Further algorithms of the Spec ID event, with their digests' sizes; events get digests of these sizes. */
  readonly unknown?: readonly (readonly [id: number, size: number])[]
  readonly vendorInfo?: Uint8Array
  readonly uintnSize?: number
  /** Behind the last event. */
  readonly padding?: Uint8Array
}

const IDS: Readonly<Record<HashAlgorithm, number>> = { sha1: 0x04, sha256: 0x0b, sha384: 0x0c, sha512: 0x0d }
const SIZES: Readonly<Record<HashAlgorithm, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value)
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >>> 8)
}

export function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value, true)
  return out
}

export function u64(value: number | bigint): Uint8Array {
  const out = new Uint8Array(8)
  new DataView(out.buffer).setBigUint64(0, BigInt(value), true)
  return out
}

export function utf16(text: string): Uint8Array {
  return concatBytes(...[...text].map((c) => u16(c.charCodeAt(0))))
}

/** EFI_GUID of its text. */
export function guid(text: string): Uint8Array {
  const bytes = fromHex(text.replaceAll('-', ''))
  return concatBytes(
    bytes.slice(0, 4).reverse(),
    bytes.slice(4, 6).reverse(),
    bytes.slice(6, 8).reverse(),
    bytes.slice(8),
  )
}

/** A crypto-agile log, Spec ID event included. */
export function cryptoAgileLog(events: readonly WrittenEvent[], log: WrittenLog = {}): Uint8Array {
  const { banks = ['sha256'], unknown = [], padding = new Uint8Array(0) } = log
  const specId: WrittenEvent = { register: 0, type: EV.NO_ACTION, data: specIdData(log) }
  return concatBytes(
    sha1Event({ ...specId, digests: [[IDS.sha1, new Uint8Array(20)]] }),
    ...events.map((event) => agileEvent(event, banks, unknown)),
    padding,
  )
}

/** A log of the TPM 1.2 form. */
export function sha1Log(events: readonly WrittenEvent[]): Uint8Array {
  return concatBytes(...events.map(sha1Event))
}

/** Data of the Spec ID event. */
export function specIdData(log: WrittenLog = {}): Uint8Array {
  const { banks = ['sha256'], unknown = [], vendorInfo = new Uint8Array(0), uintnSize = 2 } = log
  const algorithms = [...banks.map((bank) => [IDS[bank], SIZES[bank]] as const), ...unknown]
  return concatBytes(
    utf8('Spec ID Event03\0'),
    u32(0),
    Uint8Array.of(0, 2, 0, uintnSize),
    u32(algorithms.length),
    ...algorithms.map(([id, size]) => concatBytes(u16(id), u16(size))),
    u8(vendorInfo.length),
    vendorInfo,
  )
}

function sha1Event(event: WrittenEvent): Uint8Array {
  const { register, type, data } = event
  const value = event.digests?.[0]?.[1] ?? digest('sha1', event.measured ?? data)
  return concatBytes(u32(register), u32(type), value, u32(data.length), data)
}

function agileEvent(
  event: WrittenEvent,
  banks: readonly HashAlgorithm[],
  unknown: readonly (readonly [id: number, size: number])[],
): Uint8Array {
  const { register, type, data } = event
  const zero = type === EV.NO_ACTION
  const digests = event.digests ?? [
    ...banks.map((bank) => {
      return [IDS[bank], zero ? new Uint8Array(SIZES[bank]) : digest(bank, event.measured ?? data)] as const
    }),
    ...unknown.map(([id, size]) => [id, new Uint8Array(size).fill(zero ? 0 : 0x5a)] as const),
  ]
  const written = digests.map(([id, bytes]) => concatBytes(u16(id), bytes))
  return concatBytes(u32(register), u32(type), u32(digests.length), ...written, u32(data.length), data)
}

/** UEFI_VARIABLE_DATA */
export function variableData(namespace: string, name: string, content: Uint8Array): Uint8Array {
  return concatBytes(guid(namespace), u64(name.length), u64(content.length), utf16(name), content)
}

/** EFI_SIGNATURE_LIST */
export function signatureList(type: string, entries: readonly { owner: string; data: Uint8Array }[]): Uint8Array {
  const size = 16 + (entries[0]?.data.length ?? 1)
  const written = entries.map(({ owner, data }) => concatBytes(guid(owner), data))
  return concatBytes(guid(type), u32(28 + size * entries.length), u32(0), u32(size), ...written)
}

/** A device path node. */
export function pathNode(type: number, subType: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concatBytes(Uint8Array.of(type, subType), u16(data.length + 4), data)
}

export const PATH_END = pathNode(0x7f, 0xff)

/** `HD(1,GPT,…)/FILE` with its end. */
export function filePath(file: string): Uint8Array {
  const partition = concatBytes(u32(1), u64(0x800), u64(0x100000), guid(PARTITION), Uint8Array.of(2, 2))
  return concatBytes(pathNode(4, 1, partition), pathNode(4, 4, utf16(`${file}\0`)), PATH_END)
}

export const PARTITION = '3cb9643c-6c08-4fe5-852d-17e1ae701158'

/** UEFI_IMAGE_LOAD_EVENT */
export function imageLoad(path: Uint8Array): Uint8Array {
  return concatBytes(u64(0x1000), u64(0x2000), u64(0), u64(path.length), path)
}

/** EFI_LOAD_OPTION */
export function loadOption(description: string, path: Uint8Array, attributes = 1): Uint8Array {
  return concatBytes(u32(attributes), u16(path.length), utf16(`${description}\0`), path)
}

/** TCG_PCClientTaggedEvent, and a SIPA event of Windows alike. */
export function tagged(id: number, data: Uint8Array): Uint8Array {
  return concatBytes(u32(id), u32(data.length), data)
}

import { type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import type { SpecIdData } from './event-data.ts'
import type { FirmwareLogAlgorithm } from './firmware-log.ts'
import { asciiText } from './text.ts'

/** TCG_EfiSpecIDEvent's signature of crypto-agile logs; Event00 and Event02 head logs of the TPM 1.2 form. */
const SPEC_ID_SIGNATURE = 'Spec ID Event03\0'

/** More algorithms than any TPM has banks. */
const MAX_ALGORITHMS = 16
/** SHA-512's, the longest of TPM 2.0 Part 2 r1.59 table 9. */
const MAX_DIGEST_BYTES = 64
const HEAD_BYTES = 28

const BANKS: ReadonlyMap<number, HashAlgorithm> = new Map([
  [0x0004, 'sha1'],
  [0x000b, 'sha256'],
  [0x000c, 'sha384'],
  [0x000d, 'sha512'],
])

export interface SpecId {
  readonly data: SpecIdData
  readonly algorithms: readonly FirmwareLogAlgorithm[]
  /** Vendor bytes that the event says it has and its size leaves out: they stand behind it. */
  readonly missingVendorBytes: number
}

/** True for the data of a first event that heads a crypto-agile log. */
export function isSpecId(data: Uint8Array): boolean {
  return data.length >= SPEC_ID_SIGNATURE.length && asciiText(data, 0, SPEC_ID_SIGNATURE.length) === SPEC_ID_SIGNATURE
}

/**
 * TCG_EfiSpecIDEvent, little-endian: signature[16], platformClass u32, minor u8, major u8, errata u8, uintnSize u8,
 * numberOfAlgorithms u32, as many of (id u16, digestSize u16), vendorInfoSize u8, vendorInfo. Source: PC Client
 * Platform Firmware Profile r1.06 §10.4.
 *
 * @throws EventLogError EVENT_LOG_UNKNOWN_FORMAT, EVENT_LOG_TOO_LONG, EVENT_LOG_BAD_DIGEST, EVENT_LOG_DUPLICATE_DIGEST
 */
export function decodeSpecId(data: Uint8Array): SpecId {
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  if (data.length < HEAD_BYTES + 1) throw badSpecId(`has ${data.length} bytes, at least ${HEAD_BYTES + 1} are needed`)
  const count = view.getUint32(24, true)
  if (count > MAX_ALGORITHMS) {
    throw new EventLogError(
      'EVENT_LOG_TOO_LONG',
      `Spec ID event: ${count} algorithms, at most ${MAX_ALGORITHMS} are read`,
    )
  }
  const vendorAt = HEAD_BYTES + 4 * count
  if (data.length < vendorAt + 1) throw badSpecId(`ends inside its ${count} algorithms`)
  const vendorSize = view.getUint8(vendorAt)
  const left = data.length - vendorAt - 1
  if (left !== 0 && left !== vendorSize) throw badSpecId(`says ${vendorSize} vendor bytes and has ${left}`)
  return {
    data: fieldsOf(view, data.subarray(vendorAt + 1)),
    algorithms: algorithmsOf(view, count),
    missingVendorBytes: vendorSize - left,
  }
}

function fieldsOf(view: DataView, vendorInfo: Uint8Array): SpecIdData {
  const uintnSize = view.getUint8(23)
  if (uintnSize !== 1 && uintnSize !== 2) throw badSpecId(`uintnSize is ${uintnSize}, known are 1 and 2`)
  return {
    kind: 'spec-id',
    platformClass: view.getUint32(16, true),
    version: { minor: view.getUint8(20), major: view.getUint8(21), errata: view.getUint8(22) },
    uintnBits: uintnSize === 1 ? 32 : 64,
    vendorInfo,
  }
}

function algorithmsOf(view: DataView, count: number): FirmwareLogAlgorithm[] {
  if (count === 0) throw badSpecId('lists no digest algorithm')
  const algorithms: FirmwareLogAlgorithm[] = []
  for (let i = 0; i < count; i++) {
    const id = view.getUint16(HEAD_BYTES + 4 * i, true)
    const size = view.getUint16(HEAD_BYTES + 4 * i + 2, true)
    const bank = BANKS.get(id)
    const name = `algorithm 0x${id.toString(16).padStart(4, '0')}`
    if (algorithms.some((a) => a.id === id)) {
      throw new EventLogError('EVENT_LOG_DUPLICATE_DIGEST', `Spec ID event: ${name} is listed twice`)
    }
    if (size === 0 || size > MAX_DIGEST_BYTES || (bank !== undefined && size !== hashSize(bank))) {
      throw new EventLogError('EVENT_LOG_BAD_DIGEST', `Spec ID event: ${name} has digests of ${size} bytes`)
    }
    algorithms.push(bank === undefined ? { id, size } : { id, size, bank })
  }
  return algorithms
}

function badSpecId(why: string): EventLogError {
  return new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', `Spec ID event: ${why}`)
}

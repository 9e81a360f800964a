import type { DataReader } from './data-reader.ts'
import {
  type PciContext,
  SPDM_MEASUREMENT_TYPES,
  type SpdmContent,
  type SpdmMeasurement,
  type UsbContext,
} from './spdm-data.ts'

const SPEC_DMTF = 1
const RAW_BIT_STREAM = 0x80
/** Names by bit of MeasurementHashAlgo; bit 0 is set where a device has nothing but raw values. */
const MEASUREMENT_HASHES = ['none', 'sha256', 'sha384', 'sha512', 'sha3-256', 'sha3-384', 'sha3-512', 'sm3']
/** Sizes by bit of BaseHashAlgo, which has no bit for raw values. */
const BASE_HASH_BYTES = [32, 48, 64, 32, 48, 64, 32]
/** A chain of a device has three or four. */
const MAX_CERTIFICATES = 32
const CHAIN_HEAD_BYTES = 4

/** The name of the one algorithm whose bit is set; the number itself for another. */
export function measurementHashName(bits: number): string {
  const bit = Math.log2(bits)
  return MEASUREMENT_HASHES[bit] ?? `0x${bits.toString(16).padStart(8, '0')}`
}

/**
 * SPDM measurement block, little-endian: index u8, specification u8, size u16, then of the DMTF's form type u8, size
 * u16, value. Source: DSP0274 1.3, Measurement block format.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function readMeasurementBlock(r: DataReader): SpdmMeasurement {
  const index = r.u8('Index')
  const specification = r.u8('MeasurementSpecification')
  const size = r.u16('MeasurementSize')
  if (specification !== SPEC_DMTF) {
    return { index, of: 'unknown', form: 'raw', value: r.bytesOf('Measurement', size) }
  }
  const type = r.u8('DMTFSpecMeasurementValueType')
  const valueSize = r.u16('DMTFSpecMeasurementValueSize')
  if (valueSize + 3 !== size) throw r.error('MeasurementSize', `is ${size}, and its value has ${valueSize} bytes`)
  const form = (type & RAW_BIT_STREAM) === 0 ? 'digest' : 'raw'
  const of = SPDM_MEASUREMENT_TYPES[type & ~RAW_BIT_STREAM] ?? 'unknown'
  return { index, of, form, value: r.bytesOf('DMTFSpecMeasurementValue', valueSize) }
}

/** Sub header of measurements: SPDM version u16, count u8, reserved u8, hash u32, blocks. @throws EventLogError EVENT_LOG_BAD_CONTENT */
export function readMeasurements(r: DataReader): SpdmContent {
  r.u16('SpdmVersion')
  const count = r.u8('SpdmMeasurementBlockCount')
  r.u8('Reserved')
  const hash = measurementHashName(r.u32('SpdmMeasurementHashAlgo'))
  const measurements = Array.from({ length: count }, () => readMeasurementBlock(r))
  return { form: 'measurements', hash, measurements }
}

/**
 * Sub header of a certificate chain: SPDM version u16, slot u8, reserved u8, hash u32; then the chain: length u16,
 * reserved u16, hash of the root, certificates in DER one behind the other, the leaf last. Nobody checks here that one
 * signs the next.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function readCertificateChain(r: DataReader): SpdmContent {
  r.u16('SpdmVersion')
  const slot = r.u8('SpdmSlotId')
  r.u8('Reserved')
  const rootBytes = BASE_HASH_BYTES[Math.log2(r.u32('SpdmHashAlgo'))]
  if (rootBytes === undefined) throw r.error('SpdmHashAlgo', 'is no one algorithm that is known')
  const size = r.u16('SpdmCertChain.Length')
  r.u16('SpdmCertChain.Reserved')
  if (size !== CHAIN_HEAD_BYTES + r.remaining) {
    throw r.error('SpdmCertChain.Length', `is ${size}, and the chain has ${CHAIN_HEAD_BYTES + r.remaining} bytes`)
  }
  r.bytesOf('RootHash', rootBytes)
  const certificates: Uint8Array[] = []
  while (r.remaining > 0) {
    if (certificates.length === MAX_CERTIFICATES) throw r.error('Certificates', `more than ${MAX_CERTIFICATES}`)
    certificates.push(readCertificate(r))
  }
  return { form: 'certificate-chain', slot, certificates }
}

/** SEQUENCE whose length is written in two bytes, as that of every certificate of 256 to 65535 bytes is. */
function readCertificate(r: DataReader): Uint8Array {
  const rest = r.bytes.subarray(r.bytes.length - r.remaining)
  if (rest[0] !== 0x30 || rest[1] !== 0x82 || rest.length < 4) throw r.error('Certificates', 'no certificate in DER')
  return r.bytesOf('Certificates', 4 + 256 * (rest[2] ?? 0) + (rest[3] ?? 0))
}

/** PCI device context: version u16, length u16, then fields of the configuration space. r1.06 §10.2. */
export function readPciContext(r: DataReader): PciContext {
  r.u16('PciContext.Version')
  r.u16('PciContext.Length')
  const [vendorId, deviceId] = [r.u16('VendorId'), r.u16('DeviceId')]
  const revision = r.u8('RevisionID')
  const [low, middle, high] = [r.u8('ClassCode'), r.u8('ClassCode'), r.u8('ClassCode')]
  const classCode = (high << 16) | (middle << 8) | low
  return {
    ...{ bus: 'pci', vendorId, deviceId, revision, classCode },
    ...{ subsystemVendorId: r.u16('SubsystemVendorID'), subsystemId: r.u16('SubsystemID') },
  }
}

const USB_IDS_AT = 8

/** USB device context: version u16, length u16, then descriptors, the device's first. r1.06 §10.2, USB 2.0 §9.6.1. */
export function readUsbContext(r: DataReader): UsbContext {
  r.u16('UsbContext.Version')
  r.u16('UsbContext.Length')
  r.bytesOf('DeviceDescriptor', USB_IDS_AT)
  const ids = { vendorId: r.u16('idVendor'), productId: r.u16('idProduct') }
  r.rest()
  return { bus: 'usb', ...ids }
}

import { DataReader } from './data-reader.ts'
import { decodeDevicePath } from './device-path.ts'
import {
  measurementHashName,
  readCertificateChain,
  readMeasurementBlock,
  readMeasurements,
  readPciContext,
  readUsbContext,
} from './spdm-content.ts'
import type { SpdmAuthState, SpdmContent, SpdmData } from './spdm-data.ts'
import { asciiText } from './text.ts'

const STRUCTURE = 'TCG_DEVICE_SECURITY_EVENT_DATA'
const VERSION_1 = 'SPDM Device Sec\0'
const VERSION_2 = 'SPDM Device Sec2'
const DEVICES: readonly SpdmData['device'][] = ['none', 'pci', 'usb']
const AUTH_STATES: readonly SpdmAuthState[] = ['success', 'no-auth', 'no-binding', 'no-signature', 'invalid']
const NO_SPDM = 0xff
const SUB_HEADER = { measurements: 0, certificateChain: 1 } as const

/** True for data that begins with the signature of either version. */
export function isDeviceSecurityEvent(bytes: Uint8Array): boolean {
  const signature = asciiText(bytes, 0, Math.min(bytes.length, VERSION_1.length))
  return signature === VERSION_1 || signature === VERSION_2
}

/**
 * TCG_DEVICE_SECURITY_EVENT_DATA, little-endian. What the SPDM messages in it prove, the firmware checked and says in
 * `authState`; no signature of the device is in the event.
 *
 * Version 1: signature[16], version u16, length u16, hash u32, device type u32, measurement block, device context.
 * Version 2: signature[16], version u16, auth state u8, reserved u8, length u32, device type u32, sub header type u32,
 * its length u32, its UID u64, path length u64, device path, sub header, device context. Makers do not agree on what
 * `length` is of, so nothing is compared with it. Source: PC Client Platform Firmware Profile r1.06 §10.2.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeDeviceSecurityEvent(bytes: Uint8Array): SpdmData {
  const r = new DataReader(bytes, STRUCTURE)
  const signature = asciiText(r.bytesOf('Signature', VERSION_1.length))
  const version = r.u16('Version')
  return signature === VERSION_1 ? version1(r, version) : version2(r, version)
}

function version1(r: DataReader, version: number): SpdmData {
  r.u16('Length')
  const hash = measurementHashName(r.u32('SpdmHashAlgo'))
  const device = DEVICES[r.u32('DeviceType')] ?? 'unknown'
  const content: SpdmContent = { form: 'measurements', hash, measurements: [readMeasurementBlock(r)] }
  return { kind: 'spdm', version, device, content, ...readContext(r, device) }
}

function version2(r: DataReader, version: number): SpdmData {
  const auth = r.u8('AuthState')
  r.u8('Reserved')
  r.u32('Length')
  const device = DEVICES[r.u32('DeviceType')] ?? 'unknown'
  const type = r.u32('SubHeaderType')
  const subHeaderLength = r.u32('SubHeaderLength')
  const uid = r.u64('SubHeaderUID')
  const path = decodeDevicePath(r.bytesOfLength('DevicePath', r.u64('DevicePathLength')))
  const content = readSubHeader(type, r.bytesOf('SubHeader', subHeaderLength))
  const authState = auth === NO_SPDM ? 'no-spdm' : (AUTH_STATES[auth] ?? 'unknown')
  return { kind: 'spdm', version, device, authState, uid, path, content, ...readContext(r, device) }
}

function readSubHeader(type: number, bytes: Uint8Array): SpdmContent {
  if (type !== SUB_HEADER.measurements && type !== SUB_HEADER.certificateChain) return { form: 'unknown', type, bytes }
  const r = new DataReader(bytes, `${STRUCTURE} sub header`)
  const content = type === SUB_HEADER.measurements ? readMeasurements(r) : readCertificateChain(r)
  r.end()
  return content
}

function readContext(r: DataReader, device: SpdmData['device']): Pick<SpdmData, 'context'> {
  if (r.remaining === 0) return {}
  if (device === 'pci' || device === 'usb') {
    const context = device === 'pci' ? readPciContext(r) : readUsbContext(r)
    r.end()
    return { context }
  }
  return {} // nothing says what form the bytes have
}

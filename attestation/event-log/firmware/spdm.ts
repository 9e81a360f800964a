import { DataReader } from './data-reader.ts'
import { decodeDevicePath } from './device-path.ts'
import type { SpdmAuthState, SpdmData } from './event-data.ts'
import { asciiText } from './text.ts'

const VERSION_1 = 'SPDM Device Sec\0'
const VERSION_2 = 'SPDM Device Sec2'
const DEVICES: readonly SpdmData['device'][] = ['none', 'pci', 'usb']
const AUTH_STATES: readonly SpdmAuthState[] = ['success', 'no-auth', 'no-binding', 'no-signature', 'invalid']
const NO_SPDM = 0xff
const CONTENTS: readonly SpdmData['content'][] = ['measurements', 'certificate-chain']

/** True for data that begins with the signature of either version. */
export function isDeviceSecurityEvent(bytes: Uint8Array): boolean {
  const signature = asciiText(bytes, 0, Math.min(bytes.length, VERSION_1.length))
  return signature === VERSION_1 || signature === VERSION_2
}

/**
 * TCG_DEVICE_SECURITY_EVENT_DATA, little-endian. The SPDM messages in it are not read: what they prove, the firmware
 * checked and says in `authState`, and its digest is of their content.
 *
 * Version 1: signature[16], version u16, length u16, hash u32, device type u32, measurement block, device context.
 * Version 2: signature[16], version u16, auth state u8, reserved u8, length u32, device type u32, sub header type u32,
 * its length u32, its UID u64, path length u64, device path, sub header, device context. Source: PC Client Platform
 * Firmware Profile r1.06 §10.2.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeDeviceSecurityEvent(bytes: Uint8Array): SpdmData {
  const r = new DataReader(bytes, 'TCG_DEVICE_SECURITY_EVENT_DATA')
  const signature = asciiText(r.bytesOf('Signature', VERSION_1.length))
  const version = r.u16('Version')
  if (signature === VERSION_1) {
    r.u16('Length')
    r.u32('SpdmHashAlgo')
    return { kind: 'spdm', version, device: DEVICES[r.u32('DeviceType')] ?? 'unknown', content: 'measurements' }
  }
  const auth = r.u8('AuthState')
  r.u8('Reserved')
  r.u32('Length')
  const device = DEVICES[r.u32('DeviceType')] ?? 'unknown'
  const content = CONTENTS[r.u32('SubHeaderType')] ?? 'unknown'
  r.u32('SubHeaderLength')
  r.u64('SubHeaderUID')
  const path = decodeDevicePath(r.bytesOfLength('DevicePath', r.u64('DevicePathLength')))
  const authState = auth === NO_SPDM ? 'no-spdm' : (AUTH_STATES[auth] ?? 'unknown')
  return { kind: 'spdm', version, device, authState, content, path }
}

import type { DevicePath } from './device-path.ts'

/**
 * TCG_DEVICE_SECURITY_EVENT_DATA, versions 1 and 2: what a device said of itself when the firmware asked it over SPDM.
 * r1.06 §10.2.
 */
export interface SpdmData {
  readonly kind: 'spdm'
  readonly version: number
  readonly device: 'none' | 'pci' | 'usb' | 'unknown'
  /** How far the firmware could authenticate the device; version 2 has it. */
  readonly authState?: SpdmAuthState
  /** Number that binds a device's measurements to its certificates; version 2 has it. */
  readonly uid?: bigint
  readonly path?: DevicePath
  readonly content: SpdmContent
  /** Who the device is on its bus; absent where the firmware left it out, or has no form for this kind of device. */
  readonly context?: PciContext | UsbContext
}

export type SpdmAuthState = 'success' | 'no-auth' | 'no-binding' | 'no-signature' | 'invalid' | 'no-spdm' | 'unknown'

export type SpdmContent =
  | { readonly form: 'measurements'; readonly hash: string; readonly measurements: readonly SpdmMeasurement[] }
  | { readonly form: 'certificate-chain'; readonly slot: number; readonly certificates: readonly Uint8Array[] }
  /** A sub header of a type that is not known here. */
  | { readonly form: 'unknown'; readonly type: number; readonly bytes: Uint8Array }

/** One measurement block: of the DMTF's form what it is of, else its bytes. Source: DSP0274 1.3, Measurements. */
export interface SpdmMeasurement {
  /** 1 to 254, as the device counts. */
  readonly index: number
  readonly of: SpdmMeasurementType
  /** `raw`: the measured thing itself, such as a version, in place of its digest. */
  readonly form: 'digest' | 'raw'
  readonly value: Uint8Array
}

/** In the order of their numbers from 0. Source: DSP0274 1.3, DMTFSpecMeasurementValueType. */
export const SPDM_MEASUREMENT_TYPES = [
  'immutable ROM',
  'mutable firmware',
  'hardware configuration',
  'firmware configuration',
  'measurement manifest',
  'device mode',
  'firmware version',
  'firmware security version',
  'hash-extended measurement',
  'informational',
  'structured measurement manifest',
] as const
export type SpdmMeasurementType = (typeof SPDM_MEASUREMENT_TYPES)[number] | 'unknown'

export interface PciContext {
  readonly bus: 'pci'
  readonly vendorId: number
  readonly deviceId: number
  readonly revision: number
  /** Base class, sub class and interface, 24 bits. */
  readonly classCode: number
  readonly subsystemVendorId: number
  readonly subsystemId: number
}

export interface UsbContext {
  readonly bus: 'usb'
  readonly vendorId: number
  readonly productId: number
}

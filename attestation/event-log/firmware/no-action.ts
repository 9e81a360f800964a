import { DataReader } from './data-reader.ts'
import type { FirmwareEventData, ReferenceManifestData } from './event-data.ts'
import { decodeSpecId, isSpecId } from './spec-id.ts'
import { asciiText, isPrintableAscii, withoutNuls } from './text.ts'
import { decodeWindowsEvents, isWindowsEvent } from './windows-events.ts'

const SIGNATURE_BYTES = 16
const STARTUP_LOCALITY = 'StartupLocality\0'
const REFERENCE_MANIFEST = /^SP800-155 Event[23\0]$/

/**
 * EV_NO_ACTION: which of the informative events it is, told by its signature of 16 bytes.
 * Source: PC Client Platform Firmware Profile r1.06 §10.4.
 *
 * @throws EventLogError of the structure
 */
export function decodeNoAction(bytes: Uint8Array): FirmwareEventData {
  const signature = asciiText(bytes, 0, Math.min(SIGNATURE_BYTES, bytes.length))
  if (isSpecId(bytes)) return decodeSpecId(bytes).data
  if (signature === STARTUP_LOCALITY) {
    const r = new DataReader(bytes.subarray(SIGNATURE_BYTES), 'TCG_EfiStartupLocalityEvent')
    const locality = r.u8('StartupLocality')
    r.end()
    return { kind: 'startup-locality', locality }
  }
  if (REFERENCE_MANIFEST.test(signature)) return decodeReferenceManifest(bytes)
  if (isWindowsEvent(bytes)) return decodeWindowsEvents(bytes)
  const text = withoutNuls(signature)
  if (text !== '' && isPrintableAscii(text)) return { kind: 'text', text, encoding: 'ascii' }
  return { kind: 'opaque', bytes }
}

/** Sizes of one byte stand before each text. Event3 has locators of the manifest behind, which nothing here follows. */
function decodeReferenceManifest(bytes: Uint8Array): ReferenceManifestData {
  const r = new DataReader(bytes, 'TCG_Sp800_155_PlatformId_Event')
  const signature = withoutNuls(asciiText(r.bytesOf('Signature', SIGNATURE_BYTES)))
  const head = {
    kind: 'reference-manifest' as const,
    signature,
    vendorId: r.u32('VendorId'),
    manifestGuid: r.guid('ReferenceManifestGuid'),
  }
  if (r.remaining === 0) return head
  const text = (field: string) => withoutNuls(asciiText(r.bytesOf(field, r.u8(`${field}Size`))))
  const platform = {
    platformManufacturer: text('PlatformManufacturerStr'),
    platformModel: text('PlatformModel'),
    platformVersion: text('PlatformVersion'),
    firmwareManufacturer: text('FirmwareManufacturerStr'),
  }
  r.u32('FirmwareManufacturerId')
  return { ...head, ...platform, firmwareVersion: text('FirmwareVersion') }
}

import { toHex } from '../../base/index.ts'
import { certificateName } from './certificate-name.ts'
import { counted, listed } from './describe-text.ts'
import type { SpdmAuthState, SpdmContent, SpdmData, SpdmMeasurement } from './spdm-data.ts'

const AUTH_TEXTS: Readonly<Record<SpdmAuthState, string>> = {
  success: 'authenticated',
  'no-auth': 'not authenticated: no trust anchor for it',
  'no-binding': 'authenticated, but its measurements are not bound to its key',
  'no-signature': 'not authenticated: it does not sign',
  invalid: 'not authenticated: its signature or certificate is invalid',
  'no-spdm': 'it does not speak SPDM',
  unknown: 'authentication of an unknown state',
}
const SHOWN_BYTES = 16

/** One line: which device, how far the firmware authenticated it, what it said. */
export function describeSpdm({ device, authState, path, content, context }: SpdmData): string {
  const who =
    context === undefined
      ? `device (${device})`
      : context.bus === 'pci'
        ? `PCI device ${hex(context.vendorId)}:${hex(context.deviceId)} revision ${context.revision}, class ${hex(context.classCode, 6)}`
        : `USB device ${hex(context.vendorId)}:${hex(context.productId)}`
  const at = path === undefined || path.text === '' ? '' : ` at ${path.text}`
  const auth = authState === undefined ? '' : `, ${AUTH_TEXTS[authState]}`
  return `SPDM, ${who}${at}${auth}: ${describeContent(content)}`
}

function describeContent(content: SpdmContent): string {
  switch (content.form) {
    case 'measurements':
      return content.measurements.length === 0
        ? 'no measurement'
        : listed(
            content.measurements.map((m) => describeMeasurement(m, content.hash)),
            4,
          )
    case 'certificate-chain': {
      const leaf = content.certificates.at(-1)
      const name = leaf && (certificateName(leaf) ?? 'a leaf without a name')
      return `${counted(content.certificates.length, 'certificate')} of slot ${content.slot}${name === undefined ? '' : `, ${name}`}`
    }
    case 'unknown':
      return `${counted(content.bytes.length, 'byte')} of type ${content.type}`
  }
}

function describeMeasurement({ index, of, form, value }: SpdmMeasurement, hash: string): string {
  const shown = `${toHex(value.subarray(0, SHOWN_BYTES))}${value.length > SHOWN_BYTES ? '…' : ''}`
  return `${of} (${index}) ${form === 'digest' ? `${hash} ` : ''}${shown}`
}

function hex(value: number, digits = 4): string {
  return value.toString(16).padStart(digits, '0')
}

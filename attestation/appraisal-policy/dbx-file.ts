import { fromUtf8, toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { decodeSignatureLists, EventLogError, type SignatureList } from '../event-log/index.ts'

/** EFI_TIME, then WIN_CERTIFICATE's own length. UEFI 2.10 §8.2.2, EFI_VARIABLE_AUTHENTICATION_2. */
const TIME_BYTES = 16
/** wRevision 0x0200, wCertificateType WIN_CERT_TYPE_EFI_GUID. */
const CERTIFICATE_HEAD = [0x00, 0x02, 0xf1, 0x0e] as const

/**
 * Ids of what a dbx must hold: from an update as the UEFI Forum publishes it (EFI_VARIABLE_AUTHENTICATION_2 and
 * signature lists), bare signature lists, or text with one SHA-256 a line (what is behind it on the line, and lines
 * from #, are for people).
 *
 * @returns lowercase hex: hashes themselves, the SHA-256 of certificates; undefined for anything else
 */
export function readDbxFile(bytes: Uint8Array): ReadonlySet<string> | undefined {
  const text = textLines(bytes)
  if (text !== undefined) return text
  try {
    return new Set(decodeSignatureLists(withoutAuthentication(bytes)).flatMap(idsOf))
  } catch (err) {
    if (err instanceof EventLogError) return undefined
    throw err
  }
}

/** As KeyEntry.id of a boot's facts. */
function idsOf({ typeName, entries }: SignatureList): string[] {
  return entries.map(({ data }) => toHex(typeName?.startsWith('sha') ? data : digest('sha256', data)))
}

function withoutAuthentication(bytes: Uint8Array): Uint8Array {
  const head = bytes.subarray(TIME_BYTES + 4, TIME_BYTES + 8)
  if (head.length < 4 || CERTIFICATE_HEAD.some((byte, i) => head[i] !== byte)) return bytes
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(TIME_BYTES, true)
  return bytes.subarray(Math.min(TIME_BYTES + length, bytes.length))
}

function textLines(bytes: Uint8Array): ReadonlySet<string> | undefined {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch {
    return undefined // not text, so perhaps an update
  }
  const hashes = new Set<string>()
  for (const line of text.split(/\r?\n/)) {
    const word = line.trim().split(/\s/, 1)[0] ?? ''
    if (word === '' || word.startsWith('#')) continue
    if (!/^[0-9a-fA-F]{64}$/.test(word)) return undefined
    hashes.add(word.toLowerCase())
  }
  return hashes.size === 0 ? undefined : hashes
}

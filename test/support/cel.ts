import assert from 'node:assert/strict'
import { concatBytes, fromHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import {
  CEL_ALG,
  type CelContent,
  type CelRecord,
  decodeCelAny,
  encodeCelContent,
} from '../../attestation/event-log/index.ts'

/** Records of a log, or of a piece of one whose first record has this number. */
export function decodeCel(bytes: Uint8Array, firstRecnum?: number): readonly CelRecord[] {
  const { records } = decodeCelAny(bytes)
  if (firstRecnum !== undefined) assert.equal(records[0]?.recnum ?? firstRecnum, firstRecnum)
  return records
}

/** A record with its content's own digests, as its type's rule has it. */
export function measured(recnum: number, content: CelContent, over: Partial<CelRecord> = {}): CelRecord {
  const encoded = encodeCelContent(content)
  const bytes = digestedOf(content, encoded)
  const digests = (['sha1', 'sha256'] as const).map((bank) => ({
    alg: CEL_ALG[bank],
    bank,
    bytes: digest(bank, bytes),
  }))
  return { recnum, index: { kind: 'pcr', value: 11 }, digests, ...encoded, ...over }
}
function digestedOf(
  content: CelContent,
  { contentType, content: bytes }: ReturnType<typeof encodeCelContent>,
): Uint8Array {
  switch (content.kind) {
    case 'mgmt':
    case 'cos': {
      const head = new Uint8Array(5)
      head[0] = contentType
      new DataView(head.buffer).setUint32(1, bytes.length)
      return concatBytes(head, bytes)
    }
    case 'pcclient_std':
      return content.eventData
    case 'ima_template':
      return content.data
    case 'systemd':
      return utf8(content.event.string ?? '')
    default:
      return bytes
  }
}

export const BOOT_ID = fromHex('fa'.repeat(16))
/** Content of every type that is written. */
export const CONTENTS: readonly CelContent[] = [
  { kind: 'mgmt', events: [{ type: 'cel_version', major: 1, minor: 0 }] },
  { kind: 'mgmt', events: [{ type: 'firmware_end' }, { type: 'cel_timestamp', value: 1n << 60n }] },
  { kind: 'mgmt', events: [{ type: 'state_trans', value: 2 }] },
  { kind: 'mgmt', events: [{ type: 'unknown', number: 9, value: fromHex('0102') }] },
  { kind: 'pcclient_std', claimedEventType: 0x80000007, eventData: utf8('Calling EFI Application from Boot Option') },
  { kind: 'ima_template', name: 'ima-ng', data: fromHex('0102') },
  {
    kind: 'ima_tlv',
    fields: [
      { type: 0, value: utf8('/usr/bin/df') },
      { type: 1, value: fromHex('0b') },
    ],
  },
  { kind: 'systemd', event: { eventType: 0, timestamp: 4000n, bootId: BOOT_ID, string: 'enter-initrd' } },
  { kind: 'systemd', event: { eventType: 2, timestamp: 0n, bootId: BOOT_ID } },
  { kind: 'systemd_string', bytes: utf8('leave-initrd') },
  { kind: 'cos', type: 5, value: utf8('A=B') },
  { kind: 'unknown', contentType: 200, bytes: fromHex('ff') },
]
/** One record of each. */
export const LOG = CONTENTS.map((content, i) => measured(i, content))

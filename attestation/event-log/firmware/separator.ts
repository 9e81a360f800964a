import { equalBytes } from '../../base/index.ts'
import { digest, type HashAlgorithm } from '../../crypto/index.ts'
import { BANK_ORDER } from '../registers.ts'
import type { SeparatorValue } from './event-data.ts'
import type { FirmwareEvent } from './firmware-log.ts'

type NamedSeparator = Exclude<SeparatorValue, 'other'>

/** Data of every separator that has a meaning. r1.06 §10.4 knows the first three, the last one is of Windows. */
const VALUES: readonly { readonly value: NamedSeparator; readonly data: Uint8Array }[] = [
  { value: 'boot', data: new Uint8Array([0, 0, 0, 0]) },
  { value: 'boot', data: new Uint8Array([0xff, 0xff, 0xff, 0xff]) },
  { value: 'error', data: new Uint8Array([1, 0, 0, 0]) },
  { value: 'windows', data: new Uint8Array([0x57, 0x42, 0x43, 0x4c]) },
]

const DIGESTS: ReadonlyMap<HashAlgorithm, readonly { value: NamedSeparator; digest: Uint8Array }[]> = new Map(
  BANK_ORDER.map((bank) => [bank, VALUES.map(({ value, data }) => ({ value, digest: digest(bank, data) }))]),
)

/** @returns what separator the bytes of an EV_SEPARATOR event are */
export function separatorValue(data: Uint8Array): SeparatorValue {
  return VALUES.find((known) => equalBytes(known.data, data))?.value ?? 'other'
}

/**
 * Tells a separator by its digests: the type is not measured, so an attacker can give a separator any other.
 *
 * @returns undefined for an event that is none. Banks that disagree give `other`: no honest event does that
 */
export function separatorOf(event: FirmwareEvent): SeparatorValue | undefined {
  let found: SeparatorValue | undefined
  let banks = 0
  let agreeing = 0
  for (const bank of BANK_ORDER) {
    const value = event.digests[bank]
    if (value === undefined) continue
    banks++
    const known = DIGESTS.get(bank)?.find((k) => k.digest[0] === value[0] && equalBytes(k.digest, value))
    if (known === undefined) continue
    if (found === undefined || found === known.value) agreeing++
    found = known.value
  }
  if (found === undefined) return undefined
  return agreeing === banks ? found : 'other'
}

import { utf8 } from '../../base/index.ts'
import { bytesText, digest, digestText, type HashAlgorithm } from '../../crypto/index.ts'
import { BANK_ORDER, type EventDigests } from '../../event-log/index.ts'

/** Actions of platform firmware that rules look for. */
export type BootAction =
  | 'calling-application'
  | 'returning-application'
  | 'exit-boot-services'
  | 'exit-boot-services-failed'
  | 'exit-boot-services-succeeded'
  | 'debug-mode'
  | 'dma-protection-disabled'

/** Texts of EV_EFI_ACTION that mean something to a rule. Source: PC Client Platform Firmware Profile r1.06 §10.4.3. */
const ACTION_TEXT: Readonly<Record<BootAction, string>> = {
  'calling-application': 'Calling EFI Application from Boot Option',
  'returning-application': 'Returning from EFI Application from Boot Option',
  'exit-boot-services': 'Exit Boot Services Invocation',
  'exit-boot-services-failed': 'Exit Boot Services Returned with Failure',
  'exit-boot-services-succeeded': 'Exit Boot Services Returned with Success',
  'debug-mode': 'UEFI Debug Mode',
  'dma-protection-disabled': 'DMA Protection Disabled',
}

const BY_DIGEST: ReadonlyMap<HashAlgorithm, ReadonlyMap<string, BootAction>> = new Map(
  BANK_ORDER.map((bank) => [
    bank,
    // Object.entries() forgets the keys' type
    new Map(
      (Object.entries(ACTION_TEXT) as [BootAction, string][]).map(([a, text]) => [digestText(bank, utf8(text)), a]),
    ),
  ]),
)

/** Digests of an action in these banks, as firmware extends them. */
export function actionDigests(action: BootAction, banks: readonly HashAlgorithm[]): EventDigests {
  const text = utf8(ACTION_TEXT[action])
  return Object.fromEntries(banks.map((bank) => [bank, digest(bank, text)]))
}

/**
 * Tells an action by its digests: the type is not measured, so an attacker could hide an action under any other.
 *
 * @returns undefined for an event that is none in its strongest bank; that its banks agree is for the rule of data and
 * digests
 */
export function actionOf(digests: EventDigests): BootAction | undefined {
  for (const bank of STRONGEST_FIRST) {
    const value = digests[bank]
    if (value !== undefined) return BY_DIGEST.get(bank)?.get(bytesText(value))
  }
  return undefined
}

const STRONGEST_FIRST = [...BANK_ORDER].reverse()

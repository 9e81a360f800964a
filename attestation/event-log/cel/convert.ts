import { digest, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { BANK_ORDER } from '../registers.ts'
import { CEL_ALG, type CelDigest, type CelRecord } from './cel.ts'
import { imaDigested } from './content.ts'
import { encodeCelContent } from './typed-content.ts'

/** An event of a firmware log, by the fields of TCG_PCR_EVENT2. */
export interface FirmwareEventFields {
  readonly pcr: number
  readonly eventType: number
  readonly eventData: Uint8Array
  readonly digests: { readonly [bank in HashAlgorithm]?: Uint8Array }
}

/** An entry of IMA's binary list. For template `ima`, `templateData` is all of it: hash, length of the name, name. */
export interface ImaEntryFields {
  readonly pcr: number
  /** As the list has it: SHA-1, and all zero for a violation. */
  readonly templateDigest: Uint8Array
  readonly templateName: string
  readonly templateData: Uint8Array
}

/** A firmware event as a record of type `pcclient_std`; its digests stay as they were measured. */
export function pcClientCelRecord(recnum: number, event: FirmwareEventFields): CelRecord {
  const digests = BANK_ORDER.flatMap((bank): CelDigest[] => {
    const bytes = event.digests[bank]
    return bytes === undefined ? [] : [{ alg: CEL_ALG[bank], bank, bytes }]
  })
  const content = encodeCelContent({
    kind: 'pcclient_std',
    claimedEventType: event.eventType,
    eventData: event.eventData,
  })
  return { recnum, index: { kind: 'pcr', value: event.pcr }, digests, ...content }
}

/**
 * An entry of IMA's list as a record of type `ima_template`, with what the kernel extended in each bank: the template
 * digest in SHA-1, the hash of the same data in the others (Linux 5.8 and later), and all ones for a violation.
 */
export function imaCelRecord(recnum: number, entry: ImaEntryFields, banks: readonly HashAlgorithm[]): CelRecord {
  const { templateDigest, templateName, templateData } = entry
  const violation = templateDigest.every((b) => b === 0)
  const digests = banks.map((bank): CelDigest => {
    const bytes = violation
      ? new Uint8Array(hashSize(bank)).fill(0xff)
      : bank === 'sha1'
        ? templateDigest
        : digest(bank, imaDigested(templateName, templateData))
    return { alg: CEL_ALG[bank], bank, bytes }
  })
  const content = encodeCelContent({ kind: 'ima_template', name: templateName, data: templateData })
  return { recnum, index: { kind: 'pcr', value: entry.pcr }, digests, ...content }
}

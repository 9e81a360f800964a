import { fromHex } from '../../attestation/base/index.ts'
import { hashSize } from '../../attestation/crypto/index.ts'
import type { EvidenceFile } from '../../attestation/evidence-file/index.ts'
import { decodeQuoteAttest } from '../../attestation/tpm2/index.ts'
import { copiedVectors } from './vectors.ts'

/** TPM2B_PUBLIC without its size. */
const area = (sized: Uint8Array): Uint8Array => sized.slice(2)

/**
 * The evidence of a guest of test/vectors/vm, as if an agent had collected it; its quote is over the nonce itself, as
 * tpm2_quote makes it. Its IMA list is two entries ahead of the quote.
 */
export function vmEvidence(name: string): EvidenceFile {
  const set = copiedVectors(`vm/${name}`)
  const attest = set.read('quote.msg')
  const values = set.read('quote.pcrs')
  let at = 0
  const pcrs = decodeQuoteAttest(attest).pcrSelections.flatMap(({ bank, pcrs }) =>
    pcrs.map((pcr) => {
      const value = values.slice(at, at + hashSize(bank))
      at += hashSize(bank)
      return { bank, pcr: Number(pcr), value }
    }),
  )
  return {
    t: 'holdfast-evidence',
    v: 1,
    collectedAt: '2026-11-23T12:00:00.000Z',
    hostname: `${name}.example`,
    collector: 'tpm2-tools 5.4',
    ekPublic: area(set.read('ek.pub.tss')),
    ekCertificate: set.read('ek-rsa2048.cert.der'),
    ekChain: [],
    akPublic: area(set.read('ak.pub.tss')),
    attest,
    signature: set.read('quote.sig.tss'),
    nonce: fromHex(set.text('nonce.hex').trim()),
    pcrs,
    logs: { firmware: set.read('binary_bios_measurements'), ima: set.read('ima_binary_later') },
  }
}

/** Names of the guests. */
export function vmNames(): readonly string[] {
  return copiedVectors('vm').list()
}

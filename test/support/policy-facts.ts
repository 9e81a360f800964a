import { appraiseBoot } from '../../attestation/appraisal/boot/index.ts'
import type { PolicyFacts } from '../../attestation/appraisal-policy/index.ts'
import { encodeEvidenceFile } from '../../attestation/evidence-file/index.ts'
import { collectionBinding, encodeMessage, pcrValuesToWire } from '../../attestation/protocol/index.ts'
import type { EvidenceItem } from '../../attestation/store/index.ts'
import { type PcrValue, pcrIndex } from '../../attestation/tpm2/index.ts'
import { evidenceItem } from '../../attestation/verifier/evidence.ts'
import type { SoftTpm } from './soft-tpm.ts'
import { copiedVectors } from './vectors.ts'

export const NODE_ID = 'ab'.repeat(32)

/** Sets of test/vectors/vm: real boots, each with a quote. */
export type VmSet =
  | 'ovmf-direct-kernel'
  | 'ovmf-after-reboot'
  | 'ovmf-sdboot'
  | 'seabios-direct'
  | 'ovmf-sb-direct-kernel'

/** Registers that the set's quote proves; that it does is tested where quotes are. */
export function quotedPcrs(set: VmSet): PcrValue[] {
  const vectors = copiedVectors(`vm/${set}`)
  const { quote } = JSON.parse(vectors.text('expected.json')) as { quote: { sel: [['sha256', number[]]] } } // as INDEX.md says
  const values = vectors.read('quote.pcrs')
  return quote.sel[0][1].map((pcr, i) => ({
    bank: 'sha256',
    pcr: pcrIndex(pcr),
    value: values.subarray(32 * i, 32 * i + 32),
  }))
}

/** What a verifier knows of a machine of the set, with the registers that it asked for. */
export function vmFacts(
  set: VmSet,
  over: Partial<PolicyFacts> = {},
  pcrs = (_pcr: number): boolean => true,
): PolicyFacts {
  const registers = quotedPcrs(set).filter((r) => pcrs(r.pcr))
  const boot = appraiseBoot({
    firmware: copiedVectors(`vm/${set}`).read('binary_bios_measurements'),
    quoted: registers,
    elsewhere: new Set([10]),
  })
  if (boot.facts === undefined) throw new TypeError('the vector has a log')
  return {
    node: { id: NODE_ID, labels: { role: 'worker' } },
    findings: boot.findings,
    registers,
    boot: { state: 'read', facts: boot.facts, events: boot.timeline },
    ima: { state: 'absent' },
    launchLog: undefined,
    tpm: { manufacturer: 'IFX', firmwareVersion: 0x0007_0055_0000_0000n },
    clock: { safe: true },
    ...over,
  }
}

/** An evidence file of a machine like the set's: its registers and logs, quoted by a TPM of this test. */
export function vmEvidenceFile(set: VmSet, tpm: SoftTpm, ima?: Uint8Array): Uint8Array {
  const pcrs = quotedPcrs(set)
  const nonce = new Uint8Array(32).fill(7)
  const { attest, signature } = tpm.quote(
    collectionBinding(nonce),
    [{ bank: 'sha256', pcrs: pcrs.map((p) => p.pcr) }],
    pcrs,
  )
  return encodeEvidenceFile({
    t: 'holdfast-evidence',
    v: 1,
    collectedAt: '2026-11-23T12:00:00Z',
    hostname: 'node.example',
    collector: 'holdfast/0.1.0',
    ekPublic: tpm.ekPublic,
    ekCertificate: copiedVectors(`vm/${set}`).read('ek-rsa2048.cert.der'),
    ekChain: [],
    akPublic: tpm.ak.public,
    attest,
    signature,
    nonce,
    pcrs: pcrValuesToWire(pcrs),
    logs: { firmware: copiedVectors(`vm/${set}`).read('binary_bios_measurements'), ...(ima !== undefined && { ima }) },
  })
}

/** Evidence of a machine like the set's, as a verifier keeps it; a later quote of one boot comes without the logs. */
export function vmStoredEvidence(set: VmSet, tpm: SoftTpm, withLogs: boolean): EvidenceItem {
  const pcrs = quotedPcrs(set)
  const { resetCount, restartCount } = tpm.clock
  const body = encodeMessage({
    t: 'evidence',
    purpose: 'periodic',
    nonce: new Uint8Array(32).fill(9),
    pcrs: pcrValuesToWire(pcrs),
    log: { resetCount, restartCount, offset: 0, bytes: new Uint8Array(0), more: false },
  })
  const quote = tpm.quote(new Uint8Array(32).fill(1), [{ bank: 'sha256', pcrs: pcrs.map((p) => p.pcr) }], pcrs)
  const firmware = copiedVectors(`vm/${set}`).read('binary_bios_measurements')
  const machineLogs = withLogs ? [{ source: 'firmware' as const, offset: 0, bytes: firmware, more: false }] : []
  return evidenceItem(encodeMessage({ t: 'quoted', body, ...quote, machineLogs }), new Uint8Array(32))
}

import { concatBytes, toHex, utf8 } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import type { EvidenceFile } from '../../attestation/evidence-file/index.ts'
import { collectionBinding, pcrValuesToWire } from '../../attestation/protocol/index.ts'
import { pcrIndex } from '../../attestation/tpm2/index.ts'
import { honestBoot } from './boot.ts'
import { cryptoAgileLog, type WrittenEvent } from './firmware-log.ts'
import { encodeList, fileEntry, type ImaEntrySpec, templateData } from './ima-log.ts'
import { LogBuilder, PCR } from './launch-log.ts'
import { SoftTpm } from './soft-tpm.ts'

/** The machine that evidence is made of. Everything is extended before it is quoted. */
export interface MadeMachine {
  readonly boot?: readonly WrittenEvent[]
  /** What systemd measures, by register. */
  readonly systemd?: readonly { readonly pcr: number; readonly type: string; readonly text: string }[]
  readonly ima?: readonly ImaEntrySpec[]
  /** Entries of IMA that come after the quote. */
  readonly imaLater?: readonly ImaEntrySpec[]
  readonly launches?: (log: LogBuilder) => void
  readonly nonce?: Uint8Array
}

export const NONCE = new Uint8Array(32).fill(7)
const BANKS: readonly HashAlgorithm[] = ['sha256']
const STATIC = Array.from({ length: 16 }, (_, i) => pcrIndex(i))

/** boot_aggregate is the first entry of every list. */
export const FILES: readonly ImaEntrySpec[] = [fileEntry('/usr/bin/true', 'true'), fileEntry('/usr/bin/false', 'false')]

/** A record of tpm2-measure.log as systemd writes it. */
export function systemdRecord(pcr: number, type: string, text: string): Uint8Array {
  const record = {
    pcr,
    digests: [{ hashAlg: 'sha256', digest: toHex(digest('sha256', utf8(text))) }],
    content_type: 'systemd',
    content: { string: text, bootId: 'fa'.repeat(16), timestamp: 1000, eventType: type },
  }
  return concatBytes(Uint8Array.of(0x1e), utf8(JSON.stringify(record)), Uint8Array.of(0x0a))
}

/** Evidence of a machine without a fault, quoted by a TPM in memory: for changing one thing in. */
export function madeEvidence(
  machine: MadeMachine = {},
  tpm: SoftTpm = quietTpm(),
): { file: EvidenceFile; tpm: SoftTpm } {
  const { boot = honestBoot(), systemd = [], ima = FILES, imaLater = [], nonce = NONCE } = machine
  for (const event of boot) tpm.extend(event.register, event.measured ?? event.data)
  for (const { pcr, text } of systemd) tpm.extend(pcr, utf8(text))
  const registers = Array.from({ length: 10 }, (_, i) => tpm.register('sha256', i))
  const aggregate: ImaEntrySpec = {
    fields: [concatBytes(utf8('sha256:\0'), digest('sha256', ...registers)), utf8('boot_aggregate\0')],
  }
  for (const entry of [aggregate, ...ima]) tpm.extend(10, templateData(entry))
  const log = new LogBuilder({ sha256: tpm.register('sha256', PCR) }, BANKS)
  ;(machine.launches ?? ((l) => l.agent()))(log)
  const values = tpm
    .values([{ bank: 'sha256', pcrs: STATIC }])
    .map((v) => (v.pcr === PCR ? { ...v, value: log.registers.sha256 ?? v.value } : v))
  const { attest, signature } = tpm.quote(collectionBinding(nonce), [{ bank: 'sha256', pcrs: STATIC }], values)
  const { resetCount, restartCount } = tpm.clock
  const file: EvidenceFile = {
    t: 'holdfast-evidence',
    v: 1,
    collectedAt: '2026-03-01T12:00:00.000Z',
    hostname: 'node.example',
    collector: 'holdfast/1',
    ekPublic: tpm.ekPublic,
    ekChain: [],
    akPublic: tpm.ak.public,
    attest,
    signature,
    nonce,
    pcrs: pcrValuesToWire(values),
    logs: {
      firmware: cryptoAgileLog(boot),
      ...(systemd.length > 0 && {
        systemd: concatBytes(...systemd.map(({ pcr, type, text }) => systemdRecord(pcr, type, text))),
      }),
      ima: encodeList([aggregate, ...ima, ...imaLater]),
      launch: { pcr: PCR, resetCount, restartCount, bytes: log.bytes },
    },
  }
  return { file, tpm }
}

/** A TPM into which nothing was measured yet. */
function quietTpm(): SoftTpm {
  const tpm = new SoftTpm(BANKS)
  tpm.firmware = () => {}
  tpm.start()
  return tpm
}

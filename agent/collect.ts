import { hostname } from 'node:os'
import { concatBytes } from '../attestation/base/index.ts'
import type { HashAlgorithm } from '../attestation/crypto/index.ts'
import { type EvidenceFile, encodeEvidenceFile, MAX_EVIDENCE_FILE_BYTES } from '../attestation/evidence-file/index.ts'
import { MACHINE_LOGS, type MachineLogSource, pcrValuesToWire } from '../attestation/protocol/index.ts'
import { pcrIndex } from '../attestation/tpm2/index.ts'
import type { Attester } from './attester.ts'
import type { NodeIdentity } from './identity.ts'
import type { LaunchLog } from './launch-log/index.ts'
import type { MachineLogReader } from './machine-logs/index.ts'

/** Every register that only a TPM start can set back. */
const STATIC_PCRS = Array.from({ length: 16 }, (_, i) => pcrIndex(i))

export interface CollectPorts {
  readonly attester: Attester
  readonly launchLog: LaunchLog
  readonly machineLogs: MachineLogReader
  readonly identity: NodeIdentity
  readonly banks: readonly HashAlgorithm[]
  readonly pcr: number
  readonly collector: string
  readonly now: () => Date
}

/**
 * All evidence of this machine in one file: a fresh quote of all static registers in every bank, and every log whole.
 *
 * @param nonce what makes the quote fresh for whoever chose it
 * @returns the bytes of the file
 * @throws AttestError, the TPM's own errors, LaunchLogError
 */
export async function collectEvidence(nonce: Uint8Array, ports: CollectPorts): Promise<Uint8Array> {
  const { attester, launchLog, identity, banks, pcr } = ports
  const selection = banks.map((bank) => ({ bank, pcrs: STATIC_PCRS }))
  const { quote, launch } = await launchLog.exclusive(async (log) => {
    const quote = await attester.collected(log, nonce, selection)
    const { resetCount, restartCount } = log.start
    return { quote, launch: { pcr, resetCount, restartCount, bytes: await log.read(0, log.size) } }
  })
  const logs: { [source in MachineLogSource]?: Uint8Array } = {}
  for (const source of MACHINE_LOGS) {
    const whole = await wholeLog(source, ports.machineLogs)
    if (whole !== undefined) logs[source] = whole
  }
  const { ekPublic, ekCertificate, ekChain, akPublic } = identity.tpm
  const file: EvidenceFile = {
    t: 'holdfast-evidence',
    v: 1,
    collectedAt: ports.now().toISOString(),
    hostname: hostname().slice(0, 253),
    collector: ports.collector,
    ekPublic,
    ...(ekCertificate === undefined ? {} : { ekCertificate }),
    ekChain: [...ekChain],
    akPublic,
    attest: quote.attest,
    signature: quote.signature,
    nonce,
    pcrs: pcrValuesToWire(quote.pcrs),
    logs: { ...logs, launch: { ...launch, bytes: new Uint8Array(launch.bytes) } },
  }
  return encodeEvidenceFile(file)
}

async function wholeLog(source: MachineLogSource, read: MachineLogReader): Promise<Uint8Array | undefined> {
  const pieces: Uint8Array[] = []
  let size = 0
  for (let more = true; more && size < MAX_EVIDENCE_FILE_BYTES; ) {
    const [piece] = await read([{ source, offset: size }])
    if (piece === undefined) return undefined
    if (piece.offset !== size) {
      pieces.length = 0 // it was begun anew meanwhile
      size = 0
    }
    pieces.push(piece.bytes)
    size += piece.bytes.length
    more = piece.more
  }
  return concatBytes(...pieces)
}

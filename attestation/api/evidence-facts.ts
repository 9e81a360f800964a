import { appraiseBoot } from '../appraisal/boot/index.ts'
import { codeOf, toHex } from '../base/index.ts'
import { IMA_PCR, registerName } from '../event-log/index.ts'
import { type BootSummary, bootSummary } from '../machine/index.ts'
import { decodeAgentMessage, decodeCbor, decodeQuotedBody, pcrValuesFromWire } from '../protocol/index.ts'
import { decodeQuoteAttest } from '../tpm2/index.ts'

/** What one piece of kept evidence says, for people. The verifier verified the quote before it kept it. */
export interface EvidenceFacts {
  readonly purpose: string
  readonly clock: { readonly clockMs: string; readonly resetCount: number; readonly restartCount: number }
  readonly tpmFirmware: string
  readonly pcrs: readonly { readonly bank: string; readonly pcr: number; readonly value: string }[]
  /** Sizes of the logs that came with it; a log is sent once in each boot. */
  readonly logs: readonly { readonly source: string; readonly offset: number; readonly bytes: number }[]
  /** Of evidence with the whole log of the firmware. */
  readonly boot: BootSummary | null
  readonly events: readonly BootEventText[]
  readonly moreEvents: number
}

/** An event of the firmware's or systemd's log, in words. */
export interface BootEventText {
  readonly source: string
  readonly index: number
  readonly register: string
  readonly type: string
  readonly text: string
  readonly proof: string
}

/** A page that shows more is not read; the evidence itself has them all. */
const MAX_EVENTS = 400
const MAX_TEXT = 300

/** @returns undefined for bytes that are no evidence of this version */
export function evidenceFacts(bytes: Uint8Array): EvidenceFacts | undefined {
  try {
    return readFacts(bytes)
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    return undefined
  }
}

function readFacts(bytes: Uint8Array): EvidenceFacts | undefined {
  const kept = decodeCbor(bytes)
  const message = typeof kept === 'object' && kept !== null && 'message' in kept ? kept.message : undefined
  if (!(message instanceof Uint8Array)) return undefined
  const quoted = decodeAgentMessage(message)
  if (quoted.t !== 'quoted') return undefined
  const body = decodeQuotedBody(quoted.body)
  const { clockInfo, firmwareVersion } = decodeQuoteAttest(quoted.attest)
  const values = pcrValuesFromWire(body.pcrs)
  const whole = (source: string): Uint8Array | undefined =>
    quoted.machineLogs.find((piece) => piece.source === source && piece.offset === 0 && !piece.more)?.bytes
  const firmware = whole('firmware')
  const systemd = whole('systemd')
  const boot = appraiseBoot({
    ...(firmware !== undefined && { firmware }),
    ...(systemd !== undefined && { systemd: { offset: 0, bytes: systemd } }),
    quoted: values,
    elsewhere: new Set([IMA_PCR]),
  })
  const events: BootEventText[] = []
  let moreEvents = 0
  for (const { event, proof } of boot.timeline()) {
    if (events.length >= MAX_EVENTS) {
      moreEvents++
      continue
    }
    const { source, index, register, type, text } = event
    events.push({ source, index, register: registerName(register), type, text: text.slice(0, MAX_TEXT), proof })
  }
  return {
    purpose: body.t === 'launch' ? 'launch' : body.purpose,
    clock: {
      clockMs: clockInfo.clockMs.toString(),
      resetCount: clockInfo.resetCount,
      restartCount: clockInfo.restartCount,
    },
    tpmFirmware: `0x${firmwareVersion.toString(16).padStart(16, '0')}`,
    pcrs: values.map(({ bank, pcr, value }) => ({ bank, pcr, value: toHex(value) })),
    logs: [
      { source: 'launch', offset: body.log.offset, bytes: body.log.bytes.length },
      ...quoted.machineLogs.map(({ source, offset, bytes }) => ({ source, offset, bytes: bytes.length })),
    ],
    boot: firmware === undefined || boot.facts === undefined ? null : bootSummary(boot.facts),
    events,
    moreEvents,
  }
}

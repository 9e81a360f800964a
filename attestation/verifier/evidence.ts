import { encode } from 'cborg'
import {
  type AppraisalResult,
  appraisalResult,
  appraiseEvidence,
  type Evidence,
  type EvidenceAppraisal,
  type Finding,
  finding,
} from '../appraisal/index.ts'
import { type AppraisalPolicy, noPolicyFinding } from '../appraisal-policy/index.ts'
import { toHex } from '../base/index.ts'
import { digest, type HashAlgorithm } from '../crypto/index.ts'
import { BANK_ORDER, type BankRegisters, fromBankValues } from '../event-log/index.ts'
import { appraiseMachine, explainedStartValues, type MachineState, wantedRegisters } from '../machine/index.ts'
import {
  type AgentMessage,
  type MachineLogPiece,
  pcrValuesFromWire,
  type QuotedBody,
  quoteBinding,
  quotePurpose,
} from '../protocol/index.ts'
import type { EvidenceItem } from '../store/index.ts'
import {
  type PcrIndex,
  type PcrSelection,
  pcrIndex,
  provenPcr,
  type VerifiedQuote,
  verifyQuoteInPool,
} from '../tpm2/index.ts'
import type { VerifierConfig } from './config/index.ts'
import { endorsementFindings } from './endorsement-findings.ts'
import type { NodeContext } from './node-context.ts'

export type Quoted = Extract<AgentMessage, { t: 'quoted' }>

/** Whose rules a node is judged by. */
export interface PolicyChoice {
  readonly policy: AppraisalPolicy | undefined
  /** There are policies, and none of them is for this node. */
  readonly unmeant: boolean
}

/** What one challenge asks to quote, and by which policy the answer is judged. */
export interface RegisterChoice extends PolicyChoice {
  readonly pcr: number
  readonly banks: readonly HashAlgorithm[]
  readonly selection: readonly PcrSelection[]
}

/**
 * The log's register in each bank, the boot registers in SHA-256, and what the policy needs of the banks that the TPM has.
 * @param banks as the agent reports them; SHA-256 is among them
 */
export function registerChoice(
  pcr: number,
  banks: readonly HashAlgorithm[],
  bootPcrs: readonly number[],
  choice: PolicyChoice,
): RegisterChoice {
  const ordered = BANK_ORDER.filter((bank) => banks.includes(bank))
  const needed = wantedRegisters(choice.policy)
  const registers = (bank: HashAlgorithm): PcrIndex[] => {
    const wanted = [pcr, ...(bank === 'sha256' ? bootPcrs : []), ...(needed[bank] ?? []), ...(needed.everyBank ?? [])]
    return [...new Set(wanted)].sort((a, b) => a - b).map(pcrIndex)
  }
  return { ...choice, pcr, banks: ordered, selection: ordered.map((bank) => ({ bank, pcrs: registers(bank) })) }
}

/** A connection's part of what a quote is bound to. */
export interface ConnectionBinding {
  readonly verifierId: Uint8Array
  readonly exporter: Uint8Array
}

/**
 * Verifies a quote over the registers asked for, bound to this connection and message. Nothing of the body is believed before.
 *
 * @param body decoded from `quoted.body`; its nonce has been redeemed
 * @throws AttestError, ProtocolError
 */
export async function verifyEvidence(
  quoted: Quoted,
  body: QuotedBody,
  context: NodeContext,
  choice: RegisterChoice,
  binding: ConnectionBinding,
): Promise<{ readonly quote: VerifiedQuote; readonly evidence: Evidence }> {
  const quote = await verifyQuoteInPool({
    attest: quoted.attest,
    signature: quoted.signature,
    ak: context.ak,
    // counters of an AK in another hierarchy would be obfuscated, and continuity could not be seen
    akParent: context.akParent,
    expectedExtraData: quoteBinding(quotePurpose(body), binding.verifierId, body.nonce, binding.exporter, quoted.body),
    selection: choice.selection,
    required: choice.selection.filter((s) => s.bank !== 'sha1'),
    claimedValues: pcrValuesFromWire(body.pcrs),
  })
  return {
    quote,
    evidence: { clock: quote.clockInfo, pcr: choice.pcr, registers: logRegisters(quote, choice), log: body.log },
  }
}

function logRegisters(quote: VerifiedQuote, { pcr, banks }: RegisterChoice): BankRegisters {
  const registers: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banks) {
    const value = provenPcr(quote, bank, pcrIndex(pcr))
    if (value === undefined) throw new TypeError(`${bank}:${pcr} is in the selection, so it is in a verified quote`)
    registers[bank] = value
  }
  return registers
}

/** Everything that one verified quote says of its node. */
export interface NodeAppraisal extends EvidenceAppraisal {
  readonly result: AppraisalResult
  /** To be stored in place of the previous one. */
  readonly machine: MachineState | undefined
  /** Whether a log comes in pieces, so that the next one is to be asked for at once. */
  readonly more: boolean
}

/** What a node is judged by, and when. */
export interface AppraisalTerms {
  readonly config: VerifierConfig
  readonly verifierId: string
  readonly choice: RegisterChoice
  /** Of a pod, what is told of its host. */
  readonly host: readonly Finding[]
  readonly now: Date
}

/** Appraises verified evidence with what the verifier knows of node and quote besides. Changes nothing. */
export function appraiseNode(
  context: NodeContext,
  quote: VerifiedQuote,
  evidence: Evidence,
  pieces: readonly MachineLogPiece[],
  { config, verifierId, choice, host, now }: AppraisalTerms,
): NodeAppraisal {
  const before = context.state
  const explained = explainedStartValues(context.machine, pieces, quote.clockInfo, evidence)
  const launchLog = {
    startValues: [...config.attestation.startValues, ...explained.map(fromBankValues)],
    verifierKeys: new Set([verifierId]),
  }
  const appraisal = appraiseEvidence(before, evidence, launchLog, now)
  const findings = [...endorsementFindings(context), ...host, ...quoteFindings(quote), ...appraisal.findings]
  if (appraisal.state.quarantine !== undefined) {
    return { ...appraisal, result: appraisalResult(findings), machine: context.machine, more: false }
  }
  const sameBoot = appraisal.continuity === 'same-boot' && before !== undefined
  const machine = appraiseMachine({
    previous: context.machine,
    start: quote.clockInfo,
    continuity: appraisal.continuity,
    quoted: quote.pcrs,
    pieces,
    launchPcr: evidence.pcr,
    explained,
    findings: choice.unmeant ? [...findings, noPolicyFinding()] : findings,
    node: { id: context.nodeId, labels: context.labels },
    launchLog: appraisal.proof?.log ?? appraisal.state.boot?.log,
    tpm: {
      ...(context.manufacturer !== undefined && { manufacturer: context.manufacturer }),
      firmwareVersion: quote.firmwareVersion,
    },
    clock: {
      safe: quote.clockInfo.safe,
      ...(sameBoot && {
        sinceLast: {
          tpmMs: Number(quote.clockInfo.clockMs - before.clock.clockMs),
          wallMs: now.getTime() - context.lastEvidenceAt,
        },
      }),
    },
    policy: choice.policy,
    now,
  })
  const more = machine.more || appraisal.state.ahead !== undefined
  return { ...appraisal, result: machine.result, machine: machine.state, more }
}

function quoteFindings(quote: VerifiedQuote): Finding[] {
  return quote.findings.flatMap((f) => {
    switch (f.code) {
      case 'QUOTE_BANK_UNUSED':
        return [
          finding(
            'quote.bank-unused',
            'warning',
            'executables',
            `firmware measured nothing into bank ${f.bank}, so anybody may have`,
          ),
        ]
      case 'QUOTE_BANK_SHA1':
        return [
          finding(
            'quote.bank-sha1',
            'affirming',
            'executables',
            'a SHA-1 bank is allocated; it is extended too and not relied on',
          ),
        ]
      case 'QUOTE_CLOCK_UNSAFE':
        return [] // continuity.clock speaks of it
      default:
        return f satisfies never
    }
  })
}

/** What is kept so that anybody can verify the quote again: the message, and the one input that is not in it. */
export function evidenceItem(frame: Uint8Array, exporter: Uint8Array): EvidenceItem {
  const bytes = encode({ v: 1, exporter, message: frame })
  return { sha256: toHex(digest('sha256', bytes)), kind: 'evidence', bytes }
}

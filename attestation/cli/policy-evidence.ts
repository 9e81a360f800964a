import { basename } from 'node:path'
import { codeOf, fromHex, messageOf } from '../base/index.ts'
import { checkEkCertificate, decodeCertificate } from '../endorsement/index.ts'
import { decodeEvidenceFile } from '../evidence-file/index.ts'
import { judgeQuote } from '../evidence-report/index.ts'
import {
  decodeAgentMessage,
  decodeCbor,
  decodeQuotedBody,
  MACHINE_LOGS,
  type MachineLogPiece,
  pcrValuesFromWire,
  type QuotedBody,
} from '../protocol/index.ts'
import type { NodeRecord, Store } from '../store/index.ts'
import {
  decodeQuoteAttest,
  nodeIdOf,
  objectName,
  type QualifiedParent,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  type VerifiedQuote,
  verifyAkPublic,
  verifyQuote,
} from '../tpm2/index.ts'
import { readEvidenceBytes } from './evidence-io.ts'

/** One quote of one machine, checked, with the logs beside it: what a policy can be tried on. */
export interface TriedQuote {
  /** For people: the file, or the node and when. */
  readonly from: string
  readonly node: { readonly id: string; readonly labels: Readonly<Record<string, string>> }
  readonly quote: VerifiedQuote
  readonly pieces: readonly MachineLogPiece[]
  readonly launch?: { readonly pcr: number; readonly log: QuotedBody['log'] }
  /** As an EK certificate says it. */
  readonly manufacturer?: string
}

/** What could not be tried, and why. */
export interface Untried {
  readonly from: string
  readonly why: string
}

/**
 * @throws UsageError for a file that cannot be read; EvidenceFileError, AkError, AttestError for one that proves
 * nothing
 */
export function readEvidence(path: string): TriedQuote {
  const file = decodeEvidenceFile(readEvidenceBytes(path))
  const { quote, refusal } = judgeQuote(file)
  if (quote === undefined) throw refusal ?? new TypeError('a quote that is refused comes with why')
  const { launch } = file.logs
  const manufacturer = manufacturerOf(file.ekCertificate)
  return {
    from: basename(path),
    node: { id: nodeIdOf(file.ekPublic), labels: {} },
    quote,
    pieces: MACHINE_LOGS.flatMap((source) => {
      const log = file.logs[source]
      return log === undefined ? [] : [{ source, offset: 0, bytes: log, more: false }]
    }),
    ...(launch !== undefined && {
      launch: { pcr: launch.pcr, log: { ...launch, offset: 0, more: false } },
    }),
    ...(manufacturer !== undefined && { manufacturer }),
  }
}

/** Only for trying a policy: who signed the certificate is not asked here. */
function manufacturerOf(certificate: Uint8Array | undefined): string | undefined {
  if (certificate === undefined) return undefined
  try {
    return checkEkCertificate(decodeCertificate(certificate)).identity.manufacturer
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    return undefined
  }
}

/** The AK is a child of the EK, so the counters in its quotes are true. */
function endorsementParent(ekPublic: Uint8Array): QualifiedParent {
  return { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(ekPublic)) }
}

/** Most pieces of evidence of one node that are looked at, newest first. */
const MAX_STORED = 500

/**
 * What the store has of a node: evidence of changes of verdict and of launches, oldest first. A log is in the store
 * only as far as it came with one of these.
 */
export async function storedEvidence(store: Store, node: NodeRecord): Promise<(TriedQuote | Untried)[]> {
  const verdicts = await store.verdicts(node.nodeId, MAX_STORED)
  const decisions = await store.decisions(node.nodeId, MAX_STORED)
  const kept = [...verdicts, ...decisions].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  const seen = new Set<string>()
  const found: (TriedQuote | Untried)[] = []
  for (const { at, evidenceSha256 } of kept) {
    if (evidenceSha256 === undefined || seen.has(evidenceSha256)) continue
    seen.add(evidenceSha256)
    const from = `${node.nodeId.slice(0, 12)} ${at}`
    const bytes = await store.evidence(evidenceSha256)
    if (bytes === undefined) found.push({ from, why: 'the evidence is no longer in the store' })
    else found.push(storedQuote(from, node, bytes))
  }
  return found
}

/** The quote is proved again by the node's AK; that it was fresh was proved when it came. */
function storedQuote(from: string, node: NodeRecord, bytes: Uint8Array): TriedQuote | Untried {
  try {
    const item = decodeCbor(bytes)
    const frame = typeof item === 'object' && item !== null && 'message' in item ? item.message : undefined
    if (!(frame instanceof Uint8Array)) return { from, why: 'this is evidence of another form' }
    const message = decodeAgentMessage(frame)
    if (message.t !== 'quoted') return { from, why: 'this is no quote' }
    if (node.ak === undefined) return { from, why: 'the node has no attestation key any more' }
    const body = decodeQuotedBody(message.body)
    const claimed = decodeQuoteAttest(message.attest)
    const quote = verifyQuote({
      attest: message.attest,
      signature: message.signature,
      ak: verifyAkPublic(node.ak.public, { name: fromHex(node.ak.name) }),
      akParent: endorsementParent(node.ekPublic),
      expectedExtraData: claimed.extraData,
      selection: claimed.pcrSelections,
      required: [],
      claimedValues: pcrValuesFromWire(body.pcrs),
    })
    const manufacturer = node.endorsement?.tpm?.manufacturer
    return {
      from,
      node: { id: node.nodeId, labels: node.labels },
      quote,
      pieces: message.machineLogs,
      ...(manufacturer !== undefined && { manufacturer }),
    }
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    return { from, why: messageOf(err) }
  }
}

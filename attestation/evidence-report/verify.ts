import { type AppraisalResult, appraisalResult, type Finding, finding } from '../appraisal/index.ts'
import { type AppraisalPolicy, type Labels, noPolicyFinding } from '../appraisal-policy/index.ts'
import { equalBytes, toHex } from '../base/index.ts'
import { type EndorsementResult, type RootStore, verifyEndorsement } from '../endorsement/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import { appraiseMachine } from '../machine/index.ts'
import { MACHINE_LOGS } from '../protocol/index.ts'
import { nodeIdOf, objectName, type VerifiedQuote, WireError } from '../tpm2/index.ts'
import { type Examined, examineEvidence } from './examine.ts'
import { looksLikeCcel } from './open.ts'
import { judgeQuote } from './quote-rules.ts'

/** What somebody who verifies a file brings along; what is left out is said to be unproved. */
export interface VerifyTerms {
  /** The nonce that was asked for. */
  readonly nonce?: Uint8Array
  /** Name of the attestation key, from enrolment. */
  readonly akName?: Uint8Array
  /** Whose EK certificates are believed. */
  readonly roots?: RootStore
  /** `unmeant`: there are policies, and none is for these labels. Without any, every rule counts as it stands. */
  readonly policy?: AppraisalPolicy | 'unmeant'
  readonly labels: Labels
  /** For what expires. */
  readonly now: Date
}

/** What a file proves, rule by rule, and what no file can. */
export interface Verification {
  /** Node ID, of the EK in the file; undefined where the quote is refused. */
  readonly node: string | undefined
  readonly policy: AppraisalPolicy | undefined
  /** `affirming`: trusted. `none`: nothing speaks against it, and something that is needed does not speak for it. */
  readonly result: AppraisalResult
  readonly unproved: readonly Unproved[]
}

/** Something that this verification does not show. */
export interface Unproved {
  readonly what: string
  readonly why: string
}

const DEFAULT_LAUNCH_PCR = 15

/**
 * Judges an evidence file as a verifier would a node, as far as that can be done without one. Pure, and total for whatever is in the file.
 *
 * Without the Name of an enrolled attestation key the result is `none` at best: anybody can make a key outside a TPM, and sign with it what looks like
 * a quote.
 */
export function verifyEvidenceFile(file: EvidenceFile, terms: VerifyTerms): Verification {
  const judged = judgeQuote(file, terms.nonce)
  const policy = terms.policy === 'unmeant' ? undefined : terms.policy
  const { quote } = judged
  const ak = akFinding(file, terms)
  if (quote === undefined) {
    const message = 'the quote proves nothing, so there is nothing that logs could be replayed to'
    const found = [...judged.findings, ak, finding('logs.replay', 'none', 'executables', message)]
    return { node: undefined, policy, result: appraisalResult(found), unproved: [] }
  }
  const endorsement = terms.roots && endorse(file, terms.roots, terms.now)
  const examined = examineEvidence(file.logs, quote, terms.now)
  const findings = [
    ...judged.oddities,
    ...(endorsement === undefined ? enrolledFinding(ak) : endorsementFindings(endorsement)),
    ...(examined.launch?.findings ?? []),
    ...(terms.policy === 'unmeant' ? [noPolicyFinding()] : []),
    ...ccelFinding(examined),
  ]
  const logs =
    policy === undefined
      ? [...findings, ...examined.boot.findings, ...(examined.ima?.findings ?? [])]
      : byPolicy(policy, { file, quote, examined, endorsement, findings, terms }).findings
  return {
    node: nodeIdOf(file.ekPublic),
    policy,
    result: appraisalResult([...judged.findings, ak, ...logs]), // no policy weighs whether a quote is one
    unproved: unproved(terms, quote, examined),
  }
}

/** No policy weighs it: whatever else is said of such a log, its registers are not in this quote. */
function ccelFinding({ firmware }: Examined): Finding[] {
  if (firmware === undefined || !looksLikeCcel(firmware.log)) return []
  const message =
    "the firmware's log looks like a TDX guest's CCEL: its registers are RTMRs, of which a TPM's quote proves nothing; evidence show reads it, nothing appraises it"
  return [finding('logs.ccel', 'none', 'executables', message)]
}

function akFinding({ akPublic }: EvidenceFile, { akName }: VerifyTerms): Finding {
  const rule = 'enrolment.ak'
  if (akName === undefined) {
    const message = 'nobody says that this key is in a TPM: give its Name from enrolment (--ak)'
    return finding(rule, 'none', 'instance-identity', message)
  }
  const name = nameOf(akPublic)
  if (name !== undefined && equalBytes(name, akName)) {
    const message = 'the key is the one that you named: what it proves rests on where you have the Name from'
    return finding(rule, 'affirming', 'instance-identity', message)
  }
  return finding(rule, 'contraindicated', 'instance-identity', 'this is another key than the one that you named', {
    expected: toHex(akName),
    seen: name === undefined ? 'no key' : toHex(name),
  })
}

/** Enrolment asks whose TPM it is: somebody who names an enrolled key relies on that. */
function enrolledFinding({ tier }: Finding): Finding[] {
  if (tier !== 'affirming') return []
  const message = 'whose TPM it is was asked when that key was enrolled, and is not asked again (--roots)'
  return [finding('enrolment.ek', 'affirming', 'hardware', message)]
}

function nameOf(area: Uint8Array): Uint8Array | undefined {
  try {
    return objectName(area)
  } catch (err) {
    if (err instanceof WireError) return undefined
    throw err
  }
}

function endorse(file: EvidenceFile, roots: RootStore, now: Date): EndorsementResult {
  const { ekPublic, ekCertificate, ekChain, platformCertificate } = file
  const claim = {
    ...{ ekPublic, ekChain },
    ...(ekCertificate !== undefined && { ekCertificate }),
    ...(platformCertificate !== undefined && { platformCertificate }),
  }
  const policy = { validity: 'ignore-expiry', sha1: 'warn' } as const
  return verifyEndorsement(claim, { roots, listed: new Set(), policy, now })
}

function endorsementFindings(endorsement: EndorsementResult): Finding[] {
  const notes = endorsement.findings.map(({ rule, message }) => `; ${rule}: ${message}`).join('')
  if (endorsement.kind === 'refused') {
    const message = `${endorsement.message} (${endorsement.code})${notes}`
    return [finding('enrolment.ek', 'contraindicated', 'hardware', message)]
  }
  const root =
    endorsement.kind === 'chain' ? `${endorsement.root.subject} (${endorsement.root.fingerprint.slice(0, 16)})` : ''
  return [finding('enrolment.ek', 'affirming', 'hardware', `the EK certificate leads to ${root}${notes}`)]
}

interface Judged {
  readonly file: EvidenceFile
  readonly quote: VerifiedQuote
  readonly examined: Examined
  readonly endorsement: EndorsementResult | undefined
  readonly findings: readonly Finding[]
  readonly terms: VerifyTerms
}

/** As a verifier's first look at a node, with every log whole. */
function byPolicy(policy: AppraisalPolicy, judged: Judged): AppraisalResult {
  const { file, quote, examined, endorsement, findings, terms } = judged
  const manufacturer = endorsement?.kind === 'chain' ? endorsement.identity.manufacturer : undefined
  const ownIma = policy.ima === undefined ? (examined.ima?.findings ?? []) : [] // else the policy's list is judged with it
  return appraiseMachine({
    previous: undefined,
    start: quote.clockInfo,
    continuity: 'first',
    quoted: quote.pcrs,
    pieces: MACHINE_LOGS.flatMap((source) => {
      const bytes = file.logs[source]
      return bytes === undefined ? [] : [{ source, offset: 0, bytes, more: false }]
    }),
    launchPcr: file.logs.launch?.pcr ?? DEFAULT_LAUNCH_PCR,
    explained: [],
    findings: [...findings, ...ownIma],
    node: { id: nodeIdOf(file.ekPublic), labels: terms.labels },
    launchLog: examined.launch?.state,
    tpm: { ...(manufacturer !== undefined && { manufacturer }), firmwareVersion: quote.firmwareVersion },
    clock: { safe: quote.clockInfo.safe },
    policy,
    now: terms.now,
  }).result
}

function unproved(terms: VerifyTerms, quote: VerifiedQuote, examined: Examined): Unproved[] {
  const { resetCount, restartCount, safe } = quote.clockInfo
  const keys = examined.launch?.state?.agent.verifierKeys ?? []
  const all: (Unproved | false)[] = [
    terms.nonce === undefined && {
      what: 'freshness',
      why: 'the quote may be of any age: only whoever chose the nonce can say more (--nonce)',
    },
    {
      what: 'activation',
      why:
        terms.akName === undefined
          ? 'that the AK is in the TPM of this EK is said by its Name alone, which anybody can compute; a TPM proves it to a verifier at enrolment, and a file cannot repeat that'
          : 'that the AK is in the TPM of this EK was proved at enrolment or not at all: a file cannot repeat it',
    },
    terms.roots === undefined && {
      what: 'endorsement',
      why: 'whose TPM it is was not asked: name the roots that you believe (--roots)',
    },
    {
      what: 'continuity',
      why: `whether the TPM was rolled back, cleared or replaced shows only beside earlier quotes; this one is of TPM start ${resetCount}-${restartCount}${safe ? '' : ', and its clock may have shown such a time before'}`,
    },
    { what: 'admission', why: 'whether an operator let this node in is in the verifier’s store: holdfast nodes list' },
    terms.policy === undefined && {
      what: 'policy',
      why: 'what this machine should run was not asked: every rule counts as it stands, and no value was compared (--policy)',
    },
    examined.launch === undefined
      ? { what: 'launches', why: 'there is no launch log in the file' }
      : {
          what: 'tickets',
          why: `whether a verifier of yours signed each launch's ticket; the agent obeys ${keys.map((key) => key.slice(0, 16)).join(', ') || 'none'}: compare with trust.json`,
        },
    examined.ima === undefined && {
      what: 'files',
      why: 'there is no list of IMA in the file: what else ran is not known',
    },
  ]
  return all.filter((entry) => entry !== false)
}

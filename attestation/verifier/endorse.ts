import {
  type EndorsementClaim,
  type EndorsementResult,
  type EndorsementTrust,
  type PlatformResult,
  type TpmIdentity,
  type VouchedResult,
  verifyEndorsement,
  verifyVouchedEk,
} from '../endorsement/index.ts'
import type { AgentMessage } from '../protocol/index.ts'
import type { EvidenceItem, Labels, NodeEndorsement, NodePlatform, NodeRecord, PodTpm, Store } from '../store/index.ts'
import type { VerifierConfig } from './config/index.ts'
import { SessionError } from './errors.ts'
import { hostFinding, type PodOf } from './pod-host.ts'

type Hello = Extract<AgentMessage, { t: 'hello' }>
export type Endorsement =
  | Exclude<EndorsementResult, { kind: 'refused' }>
  /** Of the TPM of a pod. */
  | (Extract<VouchedResult, { kind: 'host' }> & { readonly host: PodOf; readonly labels: Labels })

/**
 * Is the EK of this hello endorsed, by the operator's roots and list as they are now?
 * @throws SessionError EK_NOT_TRUSTED
 */
export function endorse(hello: Hello, nodeId: string, trust: EndorsementTrust): Endorsement {
  return trusted(claimOf(hello), nodeId, trust)
}

/**
 * Is this the TPM of a pod that was allowed with it, whose host is as good as it was then? Its host has measured the EK
 * certificate into the launch log that its own TPM has quoted, before the pod was started.
 *
 * @throws SessionError EK_NOT_TRUSTED
 */
export async function endorseByHost(
  hello: Hello,
  tpm: PodTpm,
  store: Store,
  pods: VerifierConfig['enrolment']['pods'],
): Promise<Endorsement> {
  const whose = `node ${tpm.node} is the TPM of pod ${tpm.podUuid} on ${tpm.host.slice(0, 12)}`
  if (pods === 'refuse') {
    throw new SessionError('EK_NOT_TRUSTED', `${whose}; this verifier takes no pods as nodes (enrolment.pods: admit)`)
  }
  const host = { node: tpm.host, pod: tpm.podUuid }
  const found = await hostFinding(host, store)
  if (found.tier !== 'affirming')
    throw new SessionError('EK_NOT_TRUSTED', `${whose}: ${found.message}`, { retry: true })
  const result = verifyVouchedEk(claimOf(hello), tpm.certificate)
  if (result.kind === 'refused') throw new SessionError('EK_NOT_TRUSTED', `${whose}: ${result.code}: ${result.message}`)
  return { ...result, host, labels: (await store.node(tpm.host))?.labels ?? {} }
}

function claimOf({ ekPublic, ekChain, ekCertificate, platformCertificate }: Hello): EndorsementClaim {
  return {
    ekPublic,
    ekChain,
    ...(ekCertificate !== undefined && { ekCertificate }),
    ...(platformCertificate !== undefined && { platformCertificate }),
  }
}

/**
 * A node that is known stays only as long as what endorsed it does: a CRL that lists its EK certificate, a root that was removed, and
 * a validity policy that was made stricter end it. Looked at are the certificates kept at enrolment; the hello of a known
 * node is nobody's word yet. One that was bound before they were kept is not looked at again.
 *
 * @throws SessionError EK_NOT_TRUSTED
 */
export async function endorseAgain(node: NodeRecord, store: Store, trust: EndorsementTrust): Promise<void> {
  const [leaf, ...issuers] = node.endorsement?.path ?? []
  // of a pod, its host is asked about with each quote
  if (leaf === undefined || node.endorsement?.kind === 'host' || trust.listed.has(node.nodeId)) return
  const ekCertificate = await store.evidence(leaf.fingerprint)
  const ekChain: Uint8Array[] = []
  for (const { fingerprint } of issuers) ekChain.push((await store.evidence(fingerprint)) ?? new Uint8Array())
  const claim = { ekPublic: node.ekPublic, ekChain, ...(ekCertificate !== undefined && { ekCertificate }) }
  trusted(claim, node.nodeId, trust)
}

function trusted(claim: EndorsementClaim, nodeId: string, trust: EndorsementTrust): Endorsement {
  const result = verifyEndorsement(claim, trust)
  if (result.kind !== 'refused') return result
  const advice =
    result.code === 'EK_CERT_REVOKED'
      ? 'Its maker takes it back; to vouch for this machine all the same'
      : 'To trust the maker: holdfast roots import FILE; to vouch for this machine'
  throw new SessionError('EK_NOT_TRUSTED', `${result.code}: ${result.message}. ${advice}: list node ${nodeId}`)
}

/** For the store: what was proved, and the certificates that it was proved by. */
export function endorsementRecord(
  endorsement: Endorsement,
  validity: string,
  now: Date,
): { readonly record: NodeEndorsement; readonly certificates: readonly EvidenceItem[] } {
  const path = endorsement.kind === 'listed' ? [] : endorsement.path
  const platform = endorsement.kind === 'host' ? undefined : endorsement.platform
  return {
    record: {
      at: now.toISOString(),
      kind: endorsement.kind,
      validity,
      path: path.map(({ subject, fingerprint }) => ({ subject, fingerprint })),
      ...(endorsement.kind !== 'listed' && { tpm: tpmNames(endorsement.identity) }),
      ...(endorsement.kind === 'host' && { host: endorsement.host }),
      findings: endorsement.findings.map(({ rule, message }) => ({ rule, message })),
      ...(platform !== undefined && { platform: platformRecord(platform) }),
    },
    certificates: path.map(({ fingerprint, bytes }) => ({ sha256: fingerprint, kind: 'certificate', bytes })),
  }
}

function tpmNames({ vendor, manufacturer, model, version }: TpmIdentity) {
  return known({ vendor, manufacturer, model: text(model), version: text(version) })
}

function platformRecord(result: PlatformResult): NodePlatform {
  if (result.kind === 'refused') return { state: 'refused', code: result.code, message: result.message }
  return { state: 'bound', ...known({ ...result.platform }), root: result.root }
}

/** Names of a TPM go onto terminals. */
const text = (value: string | undefined): string | undefined => value?.slice(0, 128).replace(/\p{C}/gu, '?')

function known<T extends Readonly<Record<string, string | undefined>>>(names: T): { [K in keyof T]?: string } {
  const entries = Object.entries(names).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: string } // what is left of T's own members
}

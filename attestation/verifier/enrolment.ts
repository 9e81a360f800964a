import { createHash } from 'node:crypto'
import { equalBytes, toHex } from '../base/index.ts'
import { issueAkCertificate } from '../ca/index.ts'
import { exportSpki, KeyError } from '../crypto/index.ts'
import type { EndorsementTrust, RootStore, TpmIdentity } from '../endorsement/index.ts'
import { ACTIVATION_SECRET_BYTES, type AgentMessage, activationProof, type VerifierMessage } from '../protocol/index.ts'
import { type BoundAk, type Enrolment, kindOf, type NodeRecord, type Store, StoreError } from '../store/index.ts'
import {
  AkError,
  CredentialError,
  makeCredential,
  nodeIdOf,
  type VerifiedAk,
  verifyAkPublic,
  WireError,
} from '../tpm2/index.ts'
import type { VerifierConfig } from './config/index.ts'
import { type Endorsement, endorse, endorseAgain, endorseByHost, endorsementRecord } from './endorse.ts'
import { SessionError } from './errors.ts'
import type { VerifierIdentity } from './identity.ts'

export type Hello = Extract<AgentMessage, { t: 'hello' }>
type Activate = Extract<VerifierMessage, { t: 'activate' }>

/** As long as the binding itself, which only an operator ends; the certificate says no more than the node's record. */
const AK_CERTIFICATE_LIFETIME_MS = 3652 * 86_400_000

/** What enrolment needs of the verifier. */
export interface EnrolmentPorts {
  readonly config: VerifierConfig
  readonly identity: VerifierIdentity
  readonly store: Store
  readonly roots: () => RootStore
  readonly random: (size: number) => Uint8Array
  readonly now: () => Date
}

/** A node whose AK is bound to its EK. */
export interface KnownNode {
  readonly node: NodeRecord
  readonly ak: VerifiedAk
}

/** A challenge to prove that the AK lives beside the EK; good for one answer on one connection. */
export interface ActivationChallenge {
  readonly message: Activate
  readonly expectedProof: Uint8Array
  readonly hello: Hello
  readonly nodeId: string
  readonly ak: VerifiedAk
  readonly endorsement: Endorsement
  readonly known?: NodeRecord
}

/**
 * First step: who is it? A node that is known with this very AK needs no activation again (its quote is its login); any
 * other has to prove EK and AK.
 *
 * @param exporter of the connection: the proof is good on it alone
 * @throws SessionError, AkError, StoreError
 */
export async function beginEnrolment(
  hello: Hello,
  exporter: Uint8Array,
  ports: EnrolmentPorts,
): Promise<KnownNode | ActivationChallenge> {
  const { store, config } = ports
  checkRegister(hello, config)
  const ak = parsed(() => verifyAkPublic(hello.akPublic, {}))
  const nodeId = parsed(() => nodeIdOf(hello.ekPublic))
  const akName = toHex(ak.name)
  const known = await store.node(nodeId)
  if (known?.admission === 'refused') {
    throw new SessionError(
      'NODE_REFUSED',
      `node ${nodeId} was refused by an operator; holdfast nodes admit ${nodeId.slice(0, 12)} takes it back`,
    )
  }
  if (known !== undefined && kindOf(known) === 'pod' && config.enrolment.pods === 'refuse') {
    throw new SessionError('EK_NOT_TRUSTED', 'this verifier takes no pods as nodes (enrolment.pods: admit)')
  }
  const owner = await store.nodeOfAk(akName)
  if (owner !== undefined && owner !== nodeId) {
    throw new SessionError(
      'AK_OF_ANOTHER_NODE',
      `attestation key ${akName} belongs to node ${owner}; one key is one node's`,
    )
  }
  const replaced = known?.ak !== undefined && known.ak.name !== akName ? known.ak.name : undefined
  if (replaced !== undefined && config.enrolment.akReplacement === 'operator') {
    throw new SessionError(
      'AK_NOT_BOUND',
      `node ${nodeId} is bound to another attestation key; if its TPM lost that one: holdfast nodes rebind ${nodeId.slice(0, 12)}`,
    )
  }
  const redeems = known?.admission === 'pending' && hello.token !== undefined && config.enrolment.admission === 'token'
  const trust = endorsementTrust(ports)
  if (known?.ak !== undefined && replaced === undefined && !redeems) {
    await endorseAgain(known, store, trust)
    return { node: known, ak }
  }

  // a host may claim a TPM that nobody has seen yet; the operator's list speaks louder
  const podTpm = trust.listed.has(nodeId) ? undefined : await store.podTpm(nodeId)
  const endorsement =
    podTpm === undefined
      ? endorse(hello, nodeId, trust)
      : await endorseByHost(hello, podTpm, store, config.enrolment.pods)
  const secret = ports.random(ACTIVATION_SECRET_BYTES)
  const credential = parsed(() => makeCredential(hello.ekPublic, ak.name, secret, ports.random))
  return {
    message: { t: 'activate', ...credential },
    expectedProof: activationProof(secret, exporter, ak.name),
    hello,
    nodeId,
    ak,
    endorsement,
    ...(known !== undefined && { known }),
  }
}

/**
 * Second step: the proof. A right one binds the AK to the node and admits it as the configuration says.
 *
 * @throws SessionError ACTIVATION_FAILED, TOKEN_REFUSED; StoreError
 */
export async function completeEnrolment(
  challenge: ActivationChallenge,
  proof: Uint8Array,
  ports: EnrolmentPorts,
): Promise<KnownNode> {
  const { nodeId, ak, hello, known } = challenge
  if (!equalBytes(proof, challenge.expectedProof)) {
    throw new SessionError(
      'ACTIVATION_FAILED',
      'the proof does not show that this attestation key lives beside this endorsement key',
    )
  }
  const token = admissionToken(hello, ports.config)
  try {
    if (known?.ak !== undefined && known.ak.name !== toHex(ak.name)) {
      const endorsed = endorsementRecord(
        challenge.endorsement,
        ports.config.enrolment.ekCertificateValidity,
        ports.now(),
      )
      return { node: await ports.store.replaceAk(nodeId, bind(challenge, ports), known.ak.name, endorsed), ak }
    }
    if (known?.ak !== undefined) {
      if (token === undefined) throw new TypeError('a bound node is activated again only to redeem a token')
      return { node: await ports.store.admitByToken(nodeId, token), ak }
    }
    const bound = bind(challenge, ports)
    const endorsed = endorsementRecord(challenge.endorsement, ports.config.enrolment.ekCertificateValidity, ports.now())
    if (known !== undefined) return { node: await ports.store.bindAk(nodeId, bound, endorsed), ak }
    return {
      node: await ports.store.enrol({ ...enrolmentOf(challenge, bound, token, ports.config), endorsement: endorsed }),
      ak,
    }
  } catch (err) {
    if (token !== undefined && err instanceof StoreError && err.code === 'STORE_CONFLICT') {
      throw new SessionError('TOKEN_REFUSED', err.message, { cause: err })
    }
    throw err
  }
}

function enrolmentOf(
  challenge: ActivationChallenge,
  ak: BoundAk,
  tokenSha256: string | undefined,
  config: VerifierConfig,
): Enrolment {
  const { nodeId, hello, endorsement } = challenge
  const ekCertificateSha256 = endorsement.kind === 'listed' ? undefined : endorsement.path[0]?.fingerprint
  const listed = config.enrolment.admission === 'listed' && config.enrolment.listed.has(nodeId)
  return {
    nodeId,
    ekPublic: hello.ekPublic,
    ...(ekCertificateSha256 !== undefined && { ekCertificateSha256 }),
    ak,
    attributes: { hostname: hello.hostname, agent: hello.agent },
    admission: admissionOf(endorsement, tokenSha256, listed),
  }
}

/** A pod is admitted with its host: it was the host's launch that was allowed. */
function admissionOf(
  endorsement: Endorsement,
  tokenSha256: string | undefined,
  listed: boolean,
): Enrolment['admission'] {
  if (endorsement.kind === 'host') return { kind: 'host', labels: endorsement.labels }
  if (tokenSha256 !== undefined) return { kind: 'token', tokenSha256 }
  return { kind: listed ? 'listed' : 'pending' }
}

function bind({ hello, nodeId, ak, endorsement }: ActivationChallenge, ports: EnrolmentPorts): BoundAk {
  const certificate = issueAkCertificate(ports.identity.ca, {
    publicKeyInfo: exportSpki(ak.key),
    nodeId,
    ...tpmNames(endorsement.kind === 'listed' ? undefined : endorsement.identity),
    now: ports.now(),
    lifetimeMs: AK_CERTIFICATE_LIFETIME_MS,
  })
  return { public: hello.akPublic, name: toHex(ak.name), certificate: certificate.der }
}

/** The names that a certificate carries are all three or none. */
function tpmNames(tpm: TpmIdentity | undefined) {
  if (tpm?.manufacturer === undefined || tpm.model === undefined || tpm.version === undefined) return {}
  return { tpm: { manufacturer: tpm.manufacturer, model: tpm.model, version: tpm.version } }
}

/** By what EKs are judged now. */
export function endorsementTrust({ config, roots, now }: EnrolmentPorts): EndorsementTrust {
  const { listed, ekCertificateValidity: validity, ekSha1Signatures: sha1 } = config.enrolment
  return { roots: roots(), listed, policy: { validity, sha1 }, now: now() }
}

function admissionToken(hello: Hello, config: VerifierConfig): string | undefined {
  if (config.enrolment.admission !== 'token' || hello.token === undefined) return undefined
  return createHash('sha256').update(hello.token).digest('hex')
}

function checkRegister(hello: Hello, config: VerifierConfig): void {
  if (!config.attestation.registers.includes(hello.pcr)) {
    throw new SessionError(
      'REGISTER_NOT_ALLOWED',
      `the agent keeps its launch log in PCR ${hello.pcr}; this verifier accepts ${config.attestation.registers.join(', ')} (attestation.registers)`,
    )
  }
  if (!hello.banks.includes('sha256')) {
    // the boot registers are asked for in this bank
    throw new SessionError(
      'REGISTER_NOT_ALLOWED',
      `banks ${hello.banks.join(', ')}: the TPM needs its SHA-256 bank allocated`,
    )
  }
}

/** Errors of material that the peer sent become refusals of the connection; anything else is our own. */
function parsed<T>(read: () => T): T {
  try {
    return read()
  } catch (err) {
    if (
      err instanceof WireError ||
      err instanceof AkError ||
      err instanceof CredentialError ||
      err instanceof KeyError
    ) {
      throw SessionError.from(err)
    }
    throw err
  }
}

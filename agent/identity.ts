import { toHex } from '../attestation/base/index.ts'
import { nodeIdOf, objectName } from '../attestation/tpm2/index.ts'
import type { Tpm, TpmIdentity } from './ports.ts'

/** Who this node is, as its TPM shows it. */
export interface NodeIdentity {
  readonly tpm: TpmIdentity
  /** SHA-256 name of the EK, 64 lowercase hex digits. */
  readonly nodeId: string
  /** TPM name of the AK. */
  readonly akName: Uint8Array
  readonly akNameHex: string
}

/**
 * Finds or makes EK and AK.
 * @throws the TPM's own errors; WireError when the TPM gives no public areas
 */
export async function readIdentity(tpm: Pick<Tpm, 'provisionIdentity'>): Promise<NodeIdentity> {
  const identity = await tpm.provisionIdentity()
  const akName = objectName(identity.akPublic)
  return { tpm: identity, nodeId: nodeIdOf(identity.ekPublic), akName, akNameHex: toHex(akName) }
}

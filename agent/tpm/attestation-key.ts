import { equalBytes } from '../../attestation/base/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  decodePublic,
  encodePublic,
  objectName,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  type TpmPublic,
} from '../../attestation/tpm2/index.ts'
import {
  type CreatedObject,
  create,
  ESYS_TR_RH_ENDORSEMENT,
  type EsysTr,
  HANDLE_RANGES,
  type Lease,
  listHandles,
  load,
  persist,
  policySecret,
  readPublic,
  type SessionUse,
  type TpmConnection,
  TssError,
} from '../../native/tss/index.ts'
import { type EndorsementKey, loadEndorsementKey, needsPolicy } from './endorsement-key.ts'
import { TpmError } from './tpm-error.ts'

/** Where AKs are persisted: owner range, behind the handles that the TCG's provisioning guidance gives to EKs. */
const AK_HANDLES = Array.from({ length: 16 }, (_, i) => 0x81010020 + i)

/** The attestation key, at its persistent handle. */
export interface AttestationKey {
  readonly handle: number
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
}

/**
 * Finds the AK of this EK, or makes and persists one. The AK is a child of the EK, not a primary key: its qualified Name, which
 * every quote carries as qualifiedSigner, is then H(QN(EK) || Name(AK)), so that each quote names the EK it belongs to. A
 * primary key's would only say "some key of the endorsement hierarchy".
 *
 * A key at one of the handles is ours only if its public area is our template (all but the key itself) and its qualified
 * Name says that it is below this EK. Whatever else is there is left alone.
 *
 * @throws TpmError TPM_NO_AK
 */
export async function provisionAttestationKey(c: TpmConnection, ek: EndorsementKey): Promise<AttestationKey> {
  const taken = await listHandles(c, HANDLE_RANGES.persistent)
  for (const handle of AK_HANDLES) {
    if (!taken.includes(handle)) continue
    const found = await readIfOurs(c, handle, ek)
    if (found !== undefined) return found
  }
  const free = AK_HANDLES.find((h) => !taken.includes(h))
  if (free === undefined) {
    const message =
      'the handles 0x81010020 to 0x8101002f are all taken by other keys; remove one with tpm2_evictcontrol'
    throw new TpmError('TPM_NO_AK', message)
  }
  return createAt(c, free, ek)
}

/**
 * Runs `use` with the EK loaded and a session that authorizes it: a policy session for a low-range EK, else the protected session.
 */
export async function withEndorsementKey<T>(
  c: TpmConnection,
  ek: EndorsementKey,
  use: (tr: EsysTr, auth: SessionUse) => Promise<T>,
): Promise<T> {
  const protectedSession = await c.session() // before the EK: starting it may load the EK itself, and slots are few
  const lease: Lease = await loadEndorsementKey(c, ek)
  try {
    if (!needsPolicy(ek)) return await use(lease.tr, protectedSession)
    return await c.withPolicySession('sha256', async (policy) => {
      await policySecret(c, policy, ESYS_TR_RH_ENDORSEMENT, protectedSession)
      return await use(lease.tr, policy)
    })
  } finally {
    await lease.release()
  }
}

async function readIfOurs(c: TpmConnection, handle: number, ek: EndorsementKey): Promise<AttestationKey | undefined> {
  const lease = await c.handles.lease(handle)
  try {
    const got = await readPublic(c, lease.tr)
    const expected = qualifiedName({ qualifiedName: qualifiedNameOf(ek) }, objectName(got.public))
    if (!equalBytes(got.qualifiedName, expected) || !isOurTemplate(got.public)) return undefined
    return { handle, public: got.public }
  } finally {
    await lease.release()
  }
}

function qualifiedNameOf(ek: EndorsementKey): Uint8Array {
  return qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(ek.public))
}

function isOurTemplate(publicArea: Uint8Array): boolean {
  const got: TpmPublic = decodePublic(publicArea)
  if (got.type === 'ecc') {
    return equalBytes(encodePublic({ ...got, unique: AK_TEMPLATE_P256.unique }), encodePublic(AK_TEMPLATE_P256))
  }
  if (got.type === 'rsa') {
    return equalBytes(encodePublic({ ...got, unique: AK_TEMPLATE_RSA2048.unique }), encodePublic(AK_TEMPLATE_RSA2048))
  }
  return false
}

async function createAt(c: TpmConnection, handle: number, ek: EndorsementKey): Promise<AttestationKey> {
  const created = await createFromTemplates(c, ek)
  const loaded = await withEndorsementKey(c, ek, (tr, auth) => load(c, tr, created, [auth]))
  try {
    await persist(c, loaded.tr, handle, await c.session())
  } catch (cause) {
    if (!(cause instanceof TssError) || cause.code !== 'TSS_AUTH_FAILED') throw cause
    const message =
      'the AK cannot be persisted: the owner hierarchy has an authorization value; persist it needs an empty one'
    throw new TpmError('TPM_NO_AK', message, { cause, rc: cause.rc })
  } finally {
    await loaded.release()
  }
  return { handle, public: loaded.public }
}

async function createFromTemplates(c: TpmConnection, ek: EndorsementKey): Promise<CreatedObject> {
  try {
    return await createFrom(c, ek, AK_TEMPLATE_P256)
  } catch (err) {
    if (!(err instanceof TssError) || err.code !== 'TSS_BAD_VALUE') throw err // this code: no such curve here
    return await createFrom(c, ek, AK_TEMPLATE_RSA2048)
  }
}

function createFrom(c: TpmConnection, ek: EndorsementKey, template: TpmPublic): Promise<CreatedObject> {
  return withEndorsementKey(c, ek, async (tr, auth) => {
    const protecting = await c.session()
    return await create(c, tr, template, auth.tr === protecting.tr ? [auth] : [auth, protecting])
  })
}

import { encodePublic, type TpmPublic, WireWriter } from '../../../attestation/tpm2/index.ts'
import type { Lease, TpmConnection } from '../connection.ts'
import { ESYS_TR_PASSWORD, ESYS_TR_RH_NULL, ESYS_TR_RH_OWNER, type EsysTr, type SessionUse } from '../esys-call.ts'
import { EMPTY_2B, EMPTY_LIST, sized, unsized } from './wire.ts'

type Auth = SessionUse | EsysTr

/** A loaded key with its TPMT_PUBLIC as the TPM gave it. */
export interface LoadedKey extends Lease {
  readonly public: Uint8Array
}

/** A new object, wrapped by its parent. */
export interface CreatedObject {
  /** TPM2B_PRIVATE content. */
  readonly private: Uint8Array
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
  /** TPMS_CREATION_DATA. */
  readonly creationData: Uint8Array
  readonly creationHash: Uint8Array
  /** TPMT_TK_CREATION. */
  readonly creationTicket: Uint8Array
}

/** What is put into a new object: its authorization value and, for a sealed object, the data. */
export interface Sensitive {
  readonly userAuth?: Uint8Array
  readonly data?: Uint8Array
}

function encodeSensitive({ userAuth = new Uint8Array(0), data = new Uint8Array(0) }: Sensitive): Uint8Array {
  return new WireWriter().sized((w) => w.tpm2b(userAuth).tpm2b(data)).finish()
}

/**
 * TPM2_CreatePrimary. The same template in the same hierarchy gives the same key until the hierarchy's seed changes.
 */
export async function createPrimary(
  c: TpmConnection,
  hierarchy: EsysTr,
  template: TpmPublic,
  auth: Auth = ESYS_TR_PASSWORD,
): Promise<LoadedKey> {
  const got = await c.call(
    'Esys_CreatePrimary',
    {
      primaryHandle: hierarchy,
      inSensitive: encodeSensitive({}),
      inPublic: sized(encodePublic(template)),
      outsideInfo: EMPTY_2B,
      creationPCR: EMPTY_LIST,
    },
    [auth],
  )
  return { ...c.transient(got.integer('objectHandle')), public: unsized(got.bytes('outPublic'), 'TPM2B_PUBLIC') }
}

/** TPM2_Create below a loaded parent. */
export async function create(
  c: TpmConnection,
  parent: EsysTr,
  template: TpmPublic,
  auth: readonly Auth[],
  sensitive: Sensitive = {},
): Promise<CreatedObject> {
  const got = await c.call(
    'Esys_Create',
    {
      parentHandle: parent,
      inSensitive: encodeSensitive(sensitive),
      inPublic: sized(encodePublic(template)),
      outsideInfo: EMPTY_2B,
      creationPCR: EMPTY_LIST,
    },
    auth,
  )
  return {
    private: unsized(got.bytes('outPrivate'), 'TPM2B_PRIVATE'),
    public: unsized(got.bytes('outPublic'), 'TPM2B_PUBLIC'),
    creationData: unsized(got.bytes('creationData'), 'TPM2B_CREATION_DATA'),
    creationHash: unsized(got.bytes('creationHash'), 'TPM2B_DIGEST'),
    creationTicket: got.bytes('creationTicket'),
  }
}

/** TPM2_Load of a created object below the same parent. */
export async function load(
  c: TpmConnection,
  parent: EsysTr,
  object: { readonly private: Uint8Array; readonly public: Uint8Array },
  auth: readonly Auth[],
): Promise<LoadedKey> {
  const args = { parentHandle: parent, inPrivate: sized(object.private), inPublic: sized(object.public) }
  const got = await c.call('Esys_Load', args, auth)
  return { ...c.transient(got.integer('objectHandle')), public: object.public }
}

/** TPM2_LoadExternal of a public key, e.g. to check a signature in the TPM. */
export async function loadExternal(
  c: TpmConnection,
  publicArea: Uint8Array,
  hierarchy: EsysTr = ESYS_TR_RH_NULL,
): Promise<LoadedKey> {
  const got = await c.call('Esys_LoadExternal', { inPrivate: null, inPublic: sized(publicArea), hierarchy })
  return { ...c.transient(got.integer('objectHandle')), public: publicArea }
}

/** TPM2_ReadPublic. `qualifiedName` says under which keys and hierarchy the object is. */
export async function readPublic(
  c: TpmConnection,
  object: EsysTr,
): Promise<{ readonly public: Uint8Array; readonly name: Uint8Array; readonly qualifiedName: Uint8Array }> {
  const got = await c.call('Esys_ReadPublic', { objectHandle: object })
  return {
    public: unsized(got.bytes('outPublic'), 'TPM2B_PUBLIC'),
    name: unsized(got.bytes('name'), 'TPM2B_NAME'),
    qualifiedName: unsized(got.bytes('qualifiedName'), 'TPM2B_NAME'),
  }
}

/** Name of a loaded object, as ESYS keeps it. */
export async function readName(c: TpmConnection, object: EsysTr): Promise<Uint8Array> {
  return unsized((await c.call('Esys_TR_GetName', { handle: object })).bytes('name'), 'TPM2B_NAME')
}

/** TPM2_EvictControl that keeps a loaded object at a persistent handle (0x81000000 to 0x817fffff for the owner). */
export async function persist(
  c: TpmConnection,
  object: EsysTr,
  persistentHandle: number,
  auth: Auth = ESYS_TR_PASSWORD,
): Promise<void> {
  const args = { auth: ESYS_TR_RH_OWNER, objectHandle: object, persistentHandle }
  const got = await c.call('Esys_EvictControl', args, [auth])
  await c.call('Esys_TR_Close', { rsrc_handle: got.integer('newObjectHandle') }) // users come through the registry
}

/** TPM2_EvictControl that removes a persistent object. */
export async function evict(c: TpmConnection, persistentHandle: number, auth: Auth = ESYS_TR_PASSWORD): Promise<void> {
  const lease = await c.handles.lease(persistentHandle)
  try {
    await c.call('Esys_EvictControl', { auth: ESYS_TR_RH_OWNER, objectHandle: lease.tr, persistentHandle }, [auth])
    c.handles.forget(persistentHandle) // ESYS closed it
  } finally {
    await lease.release()
  }
}

/** TPM2_ContextSave. @returns TPMS_CONTEXT */
export async function contextSave(c: TpmConnection, object: EsysTr): Promise<Uint8Array> {
  return (await c.call('Esys_ContextSave', { saveHandle: object })).bytes('context')
}

/** TPM2_ContextLoad. */
export async function contextLoad(c: TpmConnection, context: Uint8Array): Promise<Lease> {
  return c.transient((await c.call('Esys_ContextLoad', { context })).integer('loadedHandle'))
}

/** TPM2_MakeCredential. @returns TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET in wire form */
export async function makeCredential(
  c: TpmConnection,
  key: EsysTr,
  credential: Uint8Array,
  objectName: Uint8Array,
): Promise<{ readonly idObject: Uint8Array; readonly encryptedSecret: Uint8Array }> {
  const args = { handle: key, credential: sized(credential), objectName: sized(objectName) }
  const got = await c.call('Esys_MakeCredential', args)
  return { idObject: got.bytes('credentialBlob'), encryptedSecret: got.bytes('secret') }
}

/**
 * TPM2_ActivateCredential: proves that the object and the key are in one TPM.
 *
 * @param object whose Name the credential is for, with its ADMIN authorization
 * @param key that the credential is encrypted to, with its USER authorization
 * @param idObject TPM2B_ID_OBJECT; `encryptedSecret` is a TPM2B_ENCRYPTED_SECRET, both in wire form
 */
export async function activateCredential(
  c: TpmConnection,
  object: { readonly tr: EsysTr; readonly auth: Auth },
  key: { readonly tr: EsysTr; readonly auth: Auth },
  idObject: Uint8Array,
  encryptedSecret: Uint8Array,
): Promise<Uint8Array> {
  const got = await c.call(
    'Esys_ActivateCredential',
    { activateHandle: object.tr, keyHandle: key.tr, credentialBlob: idObject, secret: encryptedSecret },
    // The same session may authorize only once in a command.
    typeof object.auth !== 'number' && typeof key.auth !== 'number' && object.auth.tr === key.auth.tr
      ? [object.auth, ESYS_TR_PASSWORD]
      : [object.auth, key.auth],
  )
  return unsized(got.bytes('certInfo'), 'TPM2B_DIGEST')
}

/** TPM2_Unseal. */
export async function unseal(c: TpmConnection, object: EsysTr, sessions: readonly Auth[]): Promise<Uint8Array> {
  return unsized(
    (await c.call('Esys_Unseal', { itemHandle: object }, sessions)).bytes('outData'),
    'TPM2B_SENSITIVE_DATA',
  )
}

import { X509Certificate } from 'node:crypto'
import { concatBytes, equalBytes } from '../../attestation/base/index.ts'
import {
  decodePublic,
  type EccPublic,
  EK_CHAIN_INDICES,
  EK_TEMPLATES,
  type EkTemplate,
  hasAttribute,
  type TpmPublic,
} from '../../attestation/tpm2/index.ts'
import {
  createPrimary,
  ESYS_TR_RH_ENDORSEMENT,
  HANDLE_RANGES,
  listHandles,
  nvRead,
  readPublic,
  type SaltKey,
  type TpmConnection,
  TssError,
} from '../../native/tss/index.ts'
import { TpmError } from './tpm-error.ts'

/** The endorsement key that this node is known by, and how to load it. */
export interface EndorsementKey {
  /** TPMT_PUBLIC. */
  readonly public: Uint8Array
  /** DER, cut to its own length. */
  readonly certificate?: Uint8Array
  readonly chain: readonly Uint8Array[]
  /** Platform certificate, DER or as long as NV has it; absent where there is none. */
  readonly platformCertificate?: Uint8Array
  /** Persistent handle, where the key is there already; else it is made anew from its template. */
  readonly persistentHandle?: number
  readonly template: EkTemplate
}

/** An EC key first, for its speed: P-256, then P-384, P-521, then RSA. */
const PREFERENCE = ['L-2', 'H-2', 'H-3', 'H-4', 'L-1', 'H-1', 'H-6', 'H-7'] as const

/**
 * Finds the EK: the first by preference that has a certificate in NV whose key this TPM really has, at a persistent handle or
 * made from the TCG template. Without any certificate, the first that this TPM can make.
 * Source: TCG EK Credential Profile 2.5 §2.2.1.
 *
 * @throws TpmError TPM_EK_MISMATCH when there are certificates and none fits; TPM_NO_EK
 */
export async function findEndorsementKey(c: TpmConnection): Promise<EndorsementKey> {
  const indices = await listHandles(c, HANDLE_RANGES.nv)
  const persistent = await readPersistent(c)
  const templates = PREFERENCE.flatMap((id) => EK_TEMPLATES.filter((t) => t.id === id))
  const mismatches: string[] = []
  for (const template of templates) {
    if (!indices.includes(template.certificateIndex)) continue
    const certificate = derCertificate(await nvRead(c, template.certificateIndex))
    if (certificate === undefined) {
      mismatches.push(`0x${template.certificateIndex.toString(16)} holds no X.509 certificate`)
      continue
    }
    const found = await findKeyOf(c, template, certificate, persistent)
    if (found === undefined) {
      mismatches.push(
        `0x${template.certificateIndex.toString(16)} is for another key than template ${template.id} gives`,
      )
      continue
    }
    return { ...found, certificate, ...(await readCompany(c, indices)), template }
  }
  if (mismatches.length > 0) {
    const message = `no EK matches its certificate: ${mismatches.join('; ')}. The vendor may use its own template, or the endorsement seed was changed`
    throw new TpmError('TPM_EK_MISMATCH', message)
  }
  return { ...(await findUncertified(c, templates, persistent)), ...(await readCompany(c, indices)) }
}

/** Loads the EK; release() flushes it unless it is persistent. `public` is that of `ek`, whatever the handle says of itself. */
export async function loadEndorsementKey(c: TpmConnection, ek: EndorsementKey): Promise<SaltKey> {
  if (ek.persistentHandle !== undefined) {
    return { ...(await c.handles.lease(ek.persistentHandle)), public: ek.public }
  }
  const made = await createPrimary(c, ESYS_TR_RH_ENDORSEMENT, ek.template.public)
  if (equalBytes(made.public, ek.public)) return made
  await made.release()
  throw new TpmError(
    'TPM_EK_MISMATCH',
    `template ${ek.template.id} gives another key than before: was the TPM cleared?`,
  )
}

/** Low-range EKs are used by policy only (PolicySecret of the endorsement hierarchy), high-range ones by an empty password too. */
export function needsPolicy(ek: EndorsementKey): boolean {
  return !hasAttribute(ek.template.public.attributes, 'userWithAuth')
}

interface PersistentKey {
  readonly handle: number
  readonly public: Uint8Array
}

async function readPersistent(c: TpmConnection): Promise<readonly PersistentKey[]> {
  const found: PersistentKey[] = []
  for (const handle of await listHandles(c, HANDLE_RANGES.persistent)) {
    const lease = await c.handles.lease(handle)
    try {
      found.push({ handle, public: (await readPublic(c, lease.tr)).public })
    } finally {
      await lease.release()
    }
  }
  return found
}

type FoundKey = Pick<EndorsementKey, 'public' | 'persistentHandle'>

async function findKeyOf(
  c: TpmConnection,
  template: EkTemplate,
  certificate: Uint8Array,
  persistent: readonly PersistentKey[],
): Promise<FoundKey | undefined> {
  for (const key of persistent) {
    if (fitsTemplate(key.public, template) && isKeyOf(certificate, key.public)) {
      return { public: key.public, persistentHandle: key.handle }
    }
  }
  const made = await tryCreate(c, template)
  return made !== undefined && isKeyOf(certificate, made) ? { public: made } : undefined
}

async function findUncertified(
  c: TpmConnection,
  templates: readonly EkTemplate[],
  persistent: readonly PersistentKey[],
): Promise<EndorsementKey> {
  for (const template of templates) {
    const made = await tryCreate(c, template)
    if (made === undefined) continue
    const handle = persistent.find((key) => equalBytes(key.public, made))?.handle
    const found = { public: made, chain: [], template }
    return handle === undefined ? found : { ...found, persistentHandle: handle }
  }
  throw new TpmError(
    'TPM_NO_EK',
    'this TPM makes no EK from any of the TCG templates L-1, L-2 and H-1 to H-7 (without H-5)',
  )
}

/** @returns the TPMT_PUBLIC; undefined when this TPM does not know the algorithm, curve or size */
async function tryCreate(c: TpmConnection, template: EkTemplate): Promise<Uint8Array | undefined> {
  try {
    const made = await createPrimary(c, ESYS_TR_RH_ENDORSEMENT, template.public)
    await made.release()
    return made.public
  } catch (err) {
    if (err instanceof TssError && err.code === 'TSS_BAD_VALUE') return undefined
    throw err
  }
}

/** Everything but `unique` is as in the template: a key of the same certificate with other attributes is not the EK. */
function fitsTemplate(publicArea: Uint8Array, template: EkTemplate): boolean {
  const got = decodeOrUndefined(publicArea)
  const want = template.public
  if (got === undefined || got.type !== want.type || got.nameAlg !== want.nameAlg) return false
  if (got.attributes !== want.attributes || !equalBytes(got.authPolicy, want.authPolicy)) return false
  if (got.type === 'ecc' && want.type === 'ecc') return got.curve === want.curve
  return got.type === 'rsa' && want.type === 'rsa' && got.keyBits === want.keyBits
}

/** Other programs' persistent objects may be of any kind, also of kinds that the codec refuses. */
function decodeOrUndefined(publicArea: Uint8Array): TpmPublic | undefined {
  try {
    return decodePublic(publicArea)
  } catch {
    return undefined
  }
}

/**
 * Whether the certificate is for this key: the key's own numbers stand in the certificate's SubjectPublicKeyInfo. The node
 * only picks a key by this; the verifier is the one to check certificates. Some vendors mark RSA keys as id-RSAES-OAEP,
 * which OpenSSL does not load: hence the numbers, not a parsed key.
 */
function isKeyOf(certificate: Uint8Array, publicArea: Uint8Array): boolean {
  const key = decodePublic(publicArea)
  const numbers = Buffer.from(certificate)
  if (key.type === 'rsa') return numbers.includes(Buffer.from(key.unique))
  if (key.type !== 'ecc') return false
  const size = COORDINATE_BYTES[key.curve]
  const point = Buffer.concat([Buffer.of(4), leftPad(key.unique.x, size), leftPad(key.unique.y, size)])
  return numbers.includes(point)
}

const COORDINATE_BYTES: Readonly<Record<EccPublic['curve'], number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }

function leftPad(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  out.set(bytes, size - bytes.length)
  return out
}

/** What accompanies an EK: the chain, and the platform certificate. */
async function readCompany(
  c: TpmConnection,
  indices: readonly number[],
): Promise<Pick<EndorsementKey, 'chain' | 'platformCertificate'>> {
  const platformCertificate = await readPlatformCertificate(c, indices)
  const chain = await readChain(c, indices)
  return platformCertificate === undefined ? { chain } : { chain, platformCertificate }
}

/** TCG PC Client Platform TPM Profile: where a platform certificate is, an X.509 or an attribute certificate. */
const PLATFORM_CERTIFICATE_INDEX = 0x01c08000
/** What a hello carries. */
const MAX_PLATFORM_CERTIFICATE_BYTES = 8192

async function readPlatformCertificate(c: TpmConnection, indices: readonly number[]): Promise<Uint8Array | undefined> {
  if (!indices.includes(PLATFORM_CERTIFICATE_INDEX)) return undefined
  const bytes = await nvReadIfReadable(c, PLATFORM_CERTIFICATE_INDEX)
  const size = derLength(bytes)
  const fits = size !== undefined && size <= bytes.length && size <= MAX_PLATFORM_CERTIFICATE_BYTES
  return fits ? bytes.slice(0, size) : undefined
}

/** Neither chain nor platform certificate is needed to be let in: an index that is empty or locked counts as none. */
async function nvReadIfReadable(c: TpmConnection, index: number): Promise<Uint8Array> {
  try {
    return await nvRead(c, index)
  } catch (err) {
    const unreadable = err instanceof TssError && (err.code === 'TSS_AUTH_FAILED' || err.code === 'TSS_COMMAND_FAILED')
    if (unreadable) return new Uint8Array()
    throw err
  }
}

/** Certificates follow one another through the indices of the range; one may go on in the next index, and an index may be padded. */
async function readChain(c: TpmConnection, indices: readonly number[]): Promise<readonly Uint8Array[]> {
  const parts: Uint8Array[] = []
  for (const index of indices) {
    if (index >= EK_CHAIN_INDICES.first && index <= EK_CHAIN_INDICES.last) {
      parts.push(await nvReadIfReadable(c, index))
    }
  }
  const chain: Uint8Array[] = []
  let rest: Uint8Array = concatBytes(...parts)
  while (rest.length > 0) {
    const der = derCertificate(rest)
    if (der !== undefined) chain.push(der)
    else if (rest[0] !== 0x00 && rest[0] !== 0xff) break // neither certificate nor padding
    rest = rest.subarray(der?.length ?? 1)
  }
  return chain
}

/** The DER certificate at the start of NV bytes, without the padding that follows. @returns undefined when there is none */
function derCertificate(bytes: Uint8Array): Uint8Array | undefined {
  const size = derLength(bytes)
  if (size === undefined || size > bytes.length) return undefined
  const der = bytes.slice(0, size)
  try {
    new X509Certificate(der)
    return der
  } catch {
    return undefined // not a certificate; the caller says where it was
  }
}

/** Whole length of a DER SEQUENCE of 128 bytes to 64 KiB, as a certificate is. */
function derLength(bytes: Uint8Array): number | undefined {
  if (bytes[0] !== 0x30) return undefined
  const [, form, high = 0, low = 0] = bytes
  if (form === 0x81) return 3 + high
  if (form === 0x82) return 4 + 256 * high + low
  return undefined
}

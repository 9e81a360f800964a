import { decodeNvPublic, encodeNvPublic, type NvPublic, TPMA_NV } from '../../../attestation/tpm2/index.ts'
import type { TpmConnection } from '../connection.ts'
import { ESYS_TR_PASSWORD, ESYS_TR_RH_OWNER, type EsysTr, type SessionUse } from '../esys-call.ts'
import { TssError } from '../tss-error.ts'
import { getTpmProperty, TPM_PT } from './system.ts'
import { sized, unsized } from './wire.ts'

type Auth = SessionUse | EsysTr
const FALLBACK_CHUNK_BYTES = 512

/** TPM2_NV_DefineSpace by the owner. `auth` is the index's own authorization value. */
export async function nvDefine(
  c: TpmConnection,
  nvPublic: NvPublic,
  auth: Uint8Array = new Uint8Array(0),
  ownerAuth: Auth = ESYS_TR_PASSWORD,
): Promise<void> {
  const args = { authHandle: ESYS_TR_RH_OWNER, auth: sized(auth), publicInfo: sized(encodeNvPublic(nvPublic)) }
  const got = await c.call('Esys_NV_DefineSpace', args, [ownerAuth])
  await c.call('Esys_TR_Close', { rsrc_handle: got.integer('nvHandle') }) // users come through the registry
}

/** TPM2_NV_UndefineSpace by the owner. */
export async function nvUndefine(c: TpmConnection, index: number, ownerAuth: Auth = ESYS_TR_PASSWORD): Promise<void> {
  await withIndex(c, index, async (nvIndex) => {
    await c.call('Esys_NV_UndefineSpace', { authHandle: ESYS_TR_RH_OWNER, nvIndex }, [ownerAuth])
    c.handles.forget(index) // ESYS closed it
  })
}

/** TPM2_NV_ReadPublic. */
export function nvReadPublic(c: TpmConnection, index: number): Promise<NvPublic> {
  return withIndex(c, index, (tr) => readPublicOf(c, tr))
}

/**
 * TPM2_NV_Read of the whole index, in chunks of what this TPM gives at once, by the index's own authorization where it
 * allows that, else by the owner's.
 */
export function nvRead(c: TpmConnection, index: number, auth: Auth = ESYS_TR_PASSWORD): Promise<Uint8Array> {
  return withIndex(c, index, async (nvIndex) => {
    const { dataSizeBytes, attributes } = await readPublicOf(c, nvIndex)
    const authHandle = (attributes & TPMA_NV.AUTHREAD) !== 0 ? nvIndex : ESYS_TR_RH_OWNER
    const chunk = Math.max(32, (await getTpmProperty(c, TPM_PT.NV_BUFFER_MAX)) ?? FALLBACK_CHUNK_BYTES)
    const out = new Uint8Array(dataSizeBytes)
    for (let offset = 0; offset < out.length; ) {
      const size = Math.min(chunk, out.length - offset)
      const got = await c.call('Esys_NV_Read', { authHandle, nvIndex, size, offset }, [auth])
      const data = unsized(got.bytes('data'), 'TPM2B_MAX_NV_BUFFER')
      if (data.length !== size) {
        throw new TssError(
          'TSS_BAD_RESPONSE',
          `NV_Read of 0x${index.toString(16)} gave ${data.length} bytes of ${size}`,
        )
      }
      out.set(data, offset)
      offset += size
    }
    return out
  })
}

/** TPM2_NV_Write of all bytes from offset 0, by the index's own authorization. */
export function nvWrite(
  c: TpmConnection,
  index: number,
  data: Uint8Array,
  auth: Auth = ESYS_TR_PASSWORD,
): Promise<void> {
  return withIndex(c, index, async (nvIndex) => {
    const chunk = Math.max(32, (await getTpmProperty(c, TPM_PT.NV_BUFFER_MAX)) ?? FALLBACK_CHUNK_BYTES)
    for (let offset = 0; offset < data.length; offset += chunk) {
      const part = data.subarray(offset, offset + chunk)
      await c.call('Esys_NV_Write', { authHandle: nvIndex, nvIndex, data: sized(part), offset }, [auth])
    }
  })
}

/** TPM2_NV_Increment of a counter index, by its own authorization. */
export function nvIncrement(c: TpmConnection, index: number, auth: Auth = ESYS_TR_PASSWORD): Promise<void> {
  return withIndex(c, index, async (nvIndex) => {
    await c.call('Esys_NV_Increment', { authHandle: nvIndex, nvIndex }, [auth])
  })
}

/** TPM2_NV_Extend of an extend index, by its own authorization. */
export function nvExtend(
  c: TpmConnection,
  index: number,
  data: Uint8Array,
  auth: Auth = ESYS_TR_PASSWORD,
): Promise<void> {
  return withIndex(c, index, async (nvIndex) => {
    await c.call('Esys_NV_Extend', { authHandle: nvIndex, nvIndex, data: sized(data) }, [auth])
  })
}

async function readPublicOf(c: TpmConnection, nvIndex: EsysTr): Promise<NvPublic> {
  return decodeNvPublic(unsized((await c.call('Esys_NV_ReadPublic', { nvIndex })).bytes('nvPublic'), 'TPM2B_NV_PUBLIC'))
}

async function withIndex<T>(c: TpmConnection, index: number, use: (tr: EsysTr) => Promise<T>): Promise<T> {
  const lease = await c.handles.lease(index)
  try {
    return await use(lease.tr)
  } finally {
    await lease.release()
  }
}

import {
  decodePcrAllocation,
  decodeTimeInfo,
  type PcrAllocation,
  TPM_CC_GetCapability,
  TPM_CC_ReadClock,
  TPMA_SESSION,
  WireReader,
  WireWriter,
} from '../../../attestation/tpm2/index.ts'
import type { TpmConnection } from '../connection.ts'
import type { SessionUse } from '../esys-call.ts'
import { ESYS_TR_PASSWORD, ESYS_TR_RH_LOCKOUT } from '../esys-call.ts'
import { isSoleUser } from '../handles.ts'
import { TssError } from '../tss-error.ts'
import { unsized } from './wire.ts'

const TPM_SU_CLEAR = 0x0000
const TPM_CAP_HANDLES = 1
const TPM_CAP_PCRS = 5
const TPM_CAP_TPM_PROPERTIES = 6
const MAX_CAPABILITY_ITEMS = 254 // TPML_HANDLE, the longest list of TPMS_CAPABILITY_DATA
const MAX_ROUNDS = 64

/** First handle of each kind (TPM 2.0 Part 2 r1.59 §7.2); what GetCapability counts from. */
export const HANDLE_RANGES = {
  nv: 0x01000000,
  loadedSession: 0x02000000,
  savedSession: 0x03000000,
  transient: 0x80000000,
  persistent: 0x81000000,
} as const

/** TPM_PT values of the fixed group (TPM 2.0 Part 2 r1.59 §6.13). */
export const TPM_PT = {
  MANUFACTURER: 0x105,
  FIRMWARE_VERSION_1: 0x10b,
  FIRMWARE_VERSION_2: 0x10c,
  NV_BUFFER_MAX: 0x12c,
}

/** TPM2_Startup(CLEAR); a TPM already started is success. */
export async function startup(c: TpmConnection): Promise<void> {
  await c.call('Esys_Startup', { startupType: TPM_SU_CLEAR })
}

/** TPM2_Shutdown(CLEAR): tells the TPM that power may go. It goes on working. */
export async function shutdown(c: TpmConnection): Promise<void> {
  await c.call('Esys_Shutdown', { shutdownType: TPM_SU_CLEAR })
}

/** TPM2_SelfTest of everything. */
export async function selfTest(c: TpmConnection): Promise<void> {
  await c.call('Esys_SelfTest', { fullTest: 1 })
}

/** TPM2_GetRandom. @returns as many bytes as asked for; large requests take several commands */
export async function getRandom(c: TpmConnection, sizeBytes: number, session?: SessionUse): Promise<Uint8Array> {
  if (!Number.isInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > 4096) {
    throw new RangeError(`${sizeBytes} random bytes, wanted 0..4096`)
  }
  const out = new Uint8Array(sizeBytes)
  const sessions = session === undefined ? [] : [session]
  for (let at = 0; at < sizeBytes; ) {
    const given = await c.call('Esys_GetRandom', { bytesRequested: Math.min(32, sizeBytes - at) }, sessions)
    const bytes = unsized(given.bytes('randomBytes'), 'randomBytes')
    if (bytes.length === 0 || bytes.length > sizeBytes - at) {
      throw new TssError(
        'TSS_BAD_RESPONSE',
        `GetRandom gave ${bytes.length} bytes, at most ${sizeBytes - at} were wanted`,
      )
    }
    out.set(bytes, at)
    at += bytes.length
  }
  return out
}

/** TPM2_ReadClock. Not signed: for bookkeeping, not for proof to others. */
export async function readClock(c: TpmConnection): Promise<ReturnType<typeof decodeTimeInfo>> {
  const attributes = TPMA_SESSION.audit
  const command = { name: 'TPM2_ReadClock', code: TPM_CC_ReadClock, handles: [], parameters: new Uint8Array(0) }
  return decodeTimeInfo(await c.send({ ...command, attributes }))
}

/** Whether somebody has sent TPM2_Startup: before that there are no sessions. */
export async function isStarted(c: TpmConnection): Promise<boolean> {
  try {
    await c.call('Esys_ReadClock', {})
    return true
  } catch (err) {
    if (!(err instanceof TssError) || err.code !== 'TSS_NOT_STARTED') throw err
    return false
  }
}

/**
 * TPM2_GetCapability, one round.
 *
 * @returns the TPMU_CAPABILITIES bytes (after the capability number), and whether there is more
 */
export async function getCapability(
  c: TpmConnection,
  capability: number,
  property: number,
  count: number,
): Promise<{ readonly data: Uint8Array; readonly more: boolean }> {
  const got = await c.call('Esys_GetCapability', { capability, property, propertyCount: count })
  const data = got.bytes('capabilityData')
  const r = new WireReader(data, 'TPMS_CAPABILITY_DATA')
  r.expectU32('capability', capability)
  return { data: data.subarray(4), more: got.integer('moreData') !== 0 }
}

/** Handles of one kind, ascending. `first` is one of HANDLE_RANGES or a handle in it. */
export async function listHandles(c: TpmConnection, first: number): Promise<readonly number[]> {
  const range = first >>> 24
  const handles: number[] = []
  let next = first
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { data, more } = await getCapability(c, TPM_CAP_HANDLES, next, MAX_CAPABILITY_ITEMS)
    const r = new WireReader(data, 'TPML_HANDLE')
    const count = r.count('count', MAX_CAPABILITY_ITEMS)
    for (let i = 0; i < count; i++) {
      const handle = r.u32(`handle[${i}]`)
      // Saved sessions are asked for in their own range but answered with the handles they have when loaded.
      if (handle >>> 24 === range || range === 0x03) handles.push(handle)
    }
    r.end()
    const last = handles.at(-1)
    if (!more || count === 0 || last === undefined || last < next) return handles
    next = last + 1
  }
  throw new TssError('TSS_BAD_RESPONSE', `the TPM lists handles from 0x${first.toString(16)} without end`)
}

/** One TPM property (TPM_PT). @returns undefined when this TPM does not have it */
export async function getTpmProperty(c: TpmConnection, property: number): Promise<number | undefined> {
  const { data } = await getCapability(c, TPM_CAP_TPM_PROPERTIES, property, 1)
  const r = new WireReader(data, 'TPML_TAGGED_TPM_PROPERTY')
  if (r.count('count', 1) === 0) return undefined
  const found = r.u32('property')
  const value = r.u32('value')
  return found === property ? value : undefined
}

/** The PCR banks of this TPM and the registers each has; in the session, for a bank that is hidden could be forged. */
export async function getPcrAllocation(c: TpmConnection): Promise<PcrAllocation> {
  const parameters = new WireWriter().u32(TPM_CAP_PCRS).u32(0).u32(1).finish()
  const attributes = TPMA_SESSION.audit
  const got = await c.send({
    name: 'TPM2_GetCapability',
    code: TPM_CC_GetCapability,
    handles: [],
    parameters,
    attributes,
  })
  const r = new WireReader(got, 'TPM2_GetCapability')
  r.yesNo('moreData') // TPM_CAP_PCRS always gives all banks
  r.expectU32('capability', TPM_CAP_PCRS)
  return decodePcrAllocation(r.rest('assignedPCR', got.length))
}

/**
 * Flushes transient objects and sessions that an earlier process left behind: a context that ends flushes nothing, and
 * a TPM has three slots of each. Does nothing unless this program is the TPM's only user, since a resource manager
 * keeps programs apart by itself. On the raw device saved sessions are left alone: they may be the kernel's.
 *
 * @returns how many were flushed
 */
export async function sweepLeakedHandles(c: TpmConnection): Promise<number> {
  const { tcti } = c.esys
  if (!isSoleUser(tcti)) return 0
  const ranges: number[] = [HANDLE_RANGES.transient, HANDLE_RANGES.loadedSession]
  if (!tcti.startsWith('device')) ranges.push(HANDLE_RANGES.savedSession)
  let flushed = 0
  for (const range of ranges) {
    for (const handle of await listHandles(c, range)) {
      const lease = await c.handles.lease(handle)
      await c.flush(lease.tr)
      c.handles.forget(handle) // flushing closed it
      flushed++
    }
  }
  return flushed
}

/** TPM2_Clear by the lockout authorization (empty unless set): all objects of owner and endorsement are lost. */
export async function clear(c: TpmConnection, auth: SessionUse | number = ESYS_TR_PASSWORD): Promise<void> {
  await c.call('Esys_Clear', { authHandle: ESYS_TR_RH_LOCKOUT }, [auth])
}

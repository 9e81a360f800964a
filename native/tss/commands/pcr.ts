import { hashSize } from '../../../attestation/crypto/index.ts'
import {
  type Digest,
  decodeDigestList,
  encodePcrSelections,
  handleName,
  hashFromId,
  hashId,
  type PcrIndex,
  type PcrSelection,
  type PcrValue,
  readPcrSelections,
  TPM_CC_PCR_Extend,
  TPM_CC_PCR_Read,
  TPMA_SESSION,
  WireReader,
  WireWriter,
} from '../../../attestation/tpm2/index.ts'
import type { TpmConnection } from '../connection.ts'
import type { EsysTr, SessionUse } from '../esys-call.ts'
import { TssError } from '../tss-error.ts'
import { sized } from './wire.ts'

const NOT_AUTHORIZED = TPMA_SESSION.audit // a session that authorizes nothing and encrypts nothing must audit

const MAX_SNAPSHOTS = 16

/**
 * TPM2_PCR_Read until all registers are had: one command gives eight at most. A change in between (pcrUpdateCounter)
 * starts it again, so that the values belong together.
 *
 * @returns in the order of the selection: its banks, their registers ascending
 * @throws TssError TSS_BAD_VALUE for a register that is not allocated, TSS_BUSY when the registers never stay still
 */
export async function readPcrs(c: TpmConnection, selection: readonly PcrSelection[]): Promise<readonly PcrValue[]> {
  for (let attempt = 0; attempt < MAX_SNAPSHOTS; attempt++) {
    const values = await readSnapshot(c, selection)
    if (values !== undefined) return values
  }
  throw new TssError('TSS_BUSY', `PCRs changed during each of ${MAX_SNAPSHOTS} attempts to read them`)
}

async function readSnapshot(
  c: TpmConnection,
  selection: readonly PcrSelection[],
): Promise<readonly PcrValue[] | undefined> {
  const values = new Map<string, PcrValue>()
  let counter: number | undefined
  let rest = selection.filter((s) => s.pcrs.length > 0)
  while (rest.length > 0) {
    const got = await c.send({
      name: 'TPM2_PCR_Read',
      code: TPM_CC_PCR_Read,
      handles: [],
      parameters: encodePcrSelections(rest),
      attributes: NOT_AUTHORIZED,
    })
    const r = new WireReader(got, 'TPM2_PCR_Read')
    const updates = r.u32('pcrUpdateCounter')
    if (counter !== undefined && updates !== counter) return undefined
    counter = updates
    const read = readPcrSelections(r)
    const digests = decodeDigestList(r.rest('pcrValues', got.length))
    let at = 0
    for (const { bank, pcrs } of read) {
      for (const pcr of pcrs) {
        const value = digests[at++]
        if (value?.length !== hashSize(bank)) {
          throw new TssError('TSS_BAD_RESPONSE', `PCR_Read gave no ${bank} digest for PCR ${pcr}`)
        }
        values.set(`${bank}:${pcr}`, { bank, pcr, value })
      }
    }
    if (at === 0) {
      const text = rest.map((s) => `${s.bank}:${s.pcrs.join(',')}`).join('+')
      throw new TssError('TSS_BAD_VALUE', `PCRs ${text} are not allocated in this TPM; choose another bank or register`)
    }
    rest = rest
      .map((s) => ({ bank: s.bank, pcrs: s.pcrs.filter((pcr) => !values.has(`${s.bank}:${pcr}`)) }))
      .filter((s) => s.pcrs.length > 0)
  }
  return selection.flatMap((s) => s.pcrs.map((pcr) => values.get(`${s.bank}:${pcr}`)).filter((v) => v !== undefined))
}

/** TPM2_PCR_Extend with one digest for each bank given. Other banks are not touched. */
export async function extendPcr(c: TpmConnection, pcr: PcrIndex, digests: readonly Digest[]): Promise<void> {
  const w = new WireWriter().u32(digests.length)
  for (const { alg, bytes } of digests) {
    if (bytes.length !== hashSize(alg)) {
      throw new RangeError(`a ${alg} digest has ${hashSize(alg)} bytes, got ${bytes.length}`)
    }
    w.u16(hashId(alg)).bytes(bytes)
  }
  await c.send({
    name: 'TPM2_PCR_Extend',
    code: TPM_CC_PCR_Extend,
    handles: [{ handle: pcr, name: handleName(pcr) }],
    parameters: w.finish(),
    attributes: 0,
  })
}

/**
 * TPM2_PCR_Event: the TPM hashes the data. @returns digests of every implemented hash known here, allocated bank or not
 */
export async function eventPcr(
  c: TpmConnection,
  pcr: PcrIndex,
  data: Uint8Array,
  auth: SessionUse | EsysTr,
): Promise<readonly Digest[]> {
  const got = await c.call('Esys_PCR_Event', { pcrHandle: pcr, eventData: sized(data) }, [auth])
  const r = new WireReader(got.bytes('digests'), 'TPML_DIGEST_VALUES')
  const count = r.count('count', 16)
  const digests: Digest[] = []
  for (let i = 0; i < count; i++) {
    const alg = hashFromId(r.u16('hashAlg'))
    if (alg === undefined) break // a digest of unknown length: what follows cannot be found
    digests.push({ alg, bytes: r.bytes('digest', hashSize(alg)) })
  }
  return digests
}

/** TPM2_PCR_Reset, for the registers that allow it from this locality (16 and 23). */
export async function resetPcr(c: TpmConnection, pcr: PcrIndex, auth: SessionUse | EsysTr): Promise<void> {
  await c.call('Esys_PCR_Reset', { pcrHandle: pcr }, [auth])
}

import type { Corim, ReferenceValue } from './corim.ts'
import { CorimError } from './errors.ts'

/** Parsec's TPM profile: every measurement is a PCR, and its key the PCR's index. */
export const PROFILE_PARSEC_TPM = 'tag:github.com/parallaxsecond,2023-03-03:tpm'

/** PCRs of a PC Client TPM. */
const LAST_PCR = 23

/**
 * What profiles that are known here ask for beyond CoRIM itself.
 * @throws CorimError CORIM_BAD_PROFILE
 */
export function checkProfile(corim: Corim): void {
  if (!corim.profiles.some((profile) => profile.value === PROFILE_PARSEC_TPM)) return
  for (const comid of corim.comids) {
    for (const value of comid.referenceValues) {
      if (pcrOf(value) === undefined) {
        const problem = `a measurement of CoMID ${comid.id.value} has no PCR as its key, so nobody can tell what it is of`
        throw new CorimError('CORIM_BAD_PROFILE', problem)
      }
    }
  }
}

function pcrOf({ measurement: { key } }: ReferenceValue): number | undefined {
  const pcr = key?.kind === 'integer' ? Number(key.value) : undefined
  return pcr !== undefined && pcr >= 0 && pcr <= LAST_PCR ? pcr : undefined
}

/** Values that one PCR should have: any one of `digests` that is of a bank that was quoted. */
export interface ReferencePcr {
  readonly environment: ReferenceValue['environment']
  readonly pcr: number
  readonly digests: ReferenceValue['measurement']['digests']
  /** All that the digests stand beside. */
  readonly measurement: ReferenceValue['measurement']
}

/**
 * Reference values that are about PCRs: integrity registers, and measurements whose key is the index where the profile
 * says so. Others of the same manifest are left to whoever knows what they are about.
 */
export function referencePcrs(corim: Corim): readonly ReferencePcr[] {
  const keysArePcrs = corim.profiles.some((profile) => profile.value === PROFILE_PARSEC_TPM)
  return corim.comids.flatMap((comid) =>
    comid.referenceValues.flatMap((value): ReferencePcr[] => {
      const { environment, measurement } = value
      const pcrs: ReferencePcr[] = []
      const key = keysArePcrs ? pcrOf(value) : undefined
      if (key !== undefined) pcrs.push({ environment, pcr: key, digests: measurement.digests, measurement })
      for (const [index, digests] of measurement.registers) {
        if (typeof index === 'number' && index >= 0 && index <= LAST_PCR)
          pcrs.push({ environment, pcr: index, digests, measurement })
      }
      return pcrs
    }),
  )
}

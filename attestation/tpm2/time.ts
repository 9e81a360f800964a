import type { Brand } from '../base/index.ts'
import { decodeTimeAttest } from './attest.ts'
import type { ClockInfo, TimeInfo } from './clock.ts'
import { type ProvenHeader, provenHeader, type SignedAttest, verifyAttest } from './signed-attest.ts'

/**
 * What a TPM adds to the counters in the header of structures signed by one key, so that keys of its owner cannot be
 * linked. Constant for that key as long as the TPM is not cleared; zero for keys in the endorsement and platform
 * hierarchies.
 * Source: TPM 2.0 Part 1 r1.59 §36.7 (obfuscation); Part 2 §10.12.12.
 */
export interface CounterAddend {
  /** Modulo 2^32. */
  readonly resetCount: number
  /** Modulo 2^32. */
  readonly restartCount: number
  /** Modulo 2^64. */
  readonly firmwareVersion: bigint
}

/** What the TPM says of its time, in clear, and the addend of this key. Only verifyTime() makes one. */
export type VerifiedTime = Brand<
  Pick<ProvenHeader, 'akName' | 'qualifiedSigner' | 'extraData'> & {
    readonly time: TimeInfo
    readonly firmwareVersion: bigint
    readonly addend: CounterAddend
  },
  'VerifiedTime'
>

/**
 * Checks TPM2_GetTime by the AK. Its body is in clear even where the header is obfuscated, so the difference calibrates
 * every later structure of the same AK: see clearCounters().
 *
 * @throws AttestError
 */
export function verifyTime(input: SignedAttest): VerifiedTime {
  const claimed = verifyAttest(input, decodeTimeAttest)
  const { time, attestedFirmwareVersion } = claimed
  const { akName, qualifiedSigner, extraData } = provenHeader(claimed, input.ak)
  const addend: CounterAddend = {
    resetCount: (claimed.clockInfo.resetCount - time.clockInfo.resetCount) >>> 0,
    restartCount: (claimed.clockInfo.restartCount - time.clockInfo.restartCount) >>> 0,
    firmwareVersion: BigInt.asUintN(64, claimed.firmwareVersion - attestedFirmwareVersion),
  }
  const value = { akName, qualifiedSigner, extraData, time, firmwareVersion: attestedFirmwareVersion, addend }
  return value as VerifiedTime // the check of the signature is the constructor
}

/**
 * True counters and firmware version of a structure signed by the key the addend is of. An addend of another key gives
 * nonsense: keep it with the AK's Name.
 */
export function clearCounters(
  header: Pick<ProvenHeader, 'clockInfo' | 'firmwareVersion'>,
  addend: CounterAddend,
): { readonly clockInfo: ClockInfo; readonly firmwareVersion: bigint } {
  return {
    clockInfo: {
      ...header.clockInfo,
      resetCount: (header.clockInfo.resetCount - addend.resetCount) >>> 0,
      restartCount: (header.clockInfo.restartCount - addend.restartCount) >>> 0,
    },
    firmwareVersion: BigInt.asUintN(64, header.firmwareVersion - addend.firmwareVersion),
  }
}

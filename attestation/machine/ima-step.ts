import {
  appraiseIma,
  type CompiledImaPolicy,
  checkBootAggregate,
  type ImaAppraisal,
  type ImaState,
  imaStateStart,
} from '../appraisal/ima/index.ts'
import { type Finding, finding } from '../appraisal/index.ts'
import type { PolicyIma } from '../appraisal-policy/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import { type BankRegisters, banksOf, IMA_PCR, imaReplayRestart, wholeImaEntries } from '../event-log/index.ts'
import type { MachineLogPiece } from '../protocol/index.ts'

export interface ImaStepInput {
  /** Proved before, of the same TPM start and policy. */
  readonly previous: ImaState | undefined
  readonly ahead: ImaState | undefined
  /** Whether the list was asked for from its beginning before, and did not replay then either. */
  readonly refuted: boolean
  /** Undefined where the machine sent no list. */
  readonly piece: MachineLogPiece | undefined
  /** PCR 10 in every bank of the quote; undefined where it is not quoted. */
  readonly quoted: BankRegisters | undefined
  /** Of the quote, for boot_aggregate. */
  readonly pcr: (bank: HashAlgorithm, index: number) => Uint8Array | undefined
  readonly policy: CompiledImaPolicy
}

export interface ImaStep {
  readonly ima?: ImaState
  readonly ahead?: ImaState
  /** As in the input, for the next time. */
  readonly refuted: boolean
  readonly seen: PolicyIma
  readonly findings: readonly Finding[]
  /** Whether the list has to be asked for at once: it comes in pieces. */
  readonly more: boolean
}

/** A list of two million entries; nobody needs to send more than this before a quote matches. */
const MAX_AHEAD_BYTES = 256 << 20

const LOST =
  `no prefix of the list gives PCR ${IMA_PCR}: an entry was left out or changed, or kexec took the list of the kernel before; ` +
  'after a reboot it begins anew'

/** One piece of IMA's list against one quote. */
export function imaStep(input: ImaStepInput): ImaStep {
  const { quoted, previous, piece } = input
  if (quoted === undefined)
    return absent(input, previous, `PCR ${IMA_PCR} is not in the quote, so nothing that IMA measured is proved`)
  const known = input.ahead ?? previous
  const same = known !== undefined && banksOf(quoted).every((bank) => known.replay.banks[bank] !== undefined)
  const from = same ? known : imaStateStart(banksOf(quoted))
  if (piece === undefined && from.replay.entries === 0) {
    return absent(input, undefined, 'there is no list of IMA: the kernel has none, or it was not sent')
  }
  const bytes =
    piece === undefined
      ? new Uint8Array(0)
      : piece.more
        ? wholeImaEntries(piece.bytes, from.replay.templateHash)
        : piece.bytes
  const offset = piece?.offset ?? from.replay.offset
  const appraised = appraiseAt(from, previous, offset, bytes, quoted, input.policy)
  switch (appraised.outcome) {
    case 'proved':
      return proved(appraised.state, input)
    case 'open':
      if (piece === undefined) return refuted(input, `PCR ${IMA_PCR} has changed, and no list of IMA was sent`)
      if (!piece.more) return notProved(input, offset, LOST)
      // otherwise it would be asked for without end
      if (bytes.length === 0)
        return notProved(input, offset, `no entry ends within ${piece.bytes.length} bytes of the list`)
      if (appraised.state.replay.offset - (previous?.replay.offset ?? 0) > MAX_AHEAD_BYTES)
        return refuted(input, `${appraised.state.replay.offset} bytes of list, and no quote proves any of them`)
      return inPieces(input, appraised.state)
    case 'refuted':
      return notProved(input, offset, `${appraised.code}: ${appraised.why}`)
  }
}

/** A list that begins again while the TPM was not started is one of a kernel that was started by kexec: the register goes on. */
function appraiseAt(
  from: ImaState,
  previous: ImaState | undefined,
  offset: number,
  bytes: Uint8Array,
  quoted: BankRegisters,
  policy: CompiledImaPolicy,
): ImaAppraisal {
  if (offset === from.replay.offset) return appraiseIma(from, bytes, quoted, policy)
  if (offset !== 0) {
    return {
      outcome: 'refuted',
      code: 'IMA_OFFSET',
      why: `sent from byte ${offset}, wanted from ${from.replay.offset}`,
    }
  }
  const whole = appraiseIma(imaStateStart(banksOf(quoted)), bytes, quoted, policy)
  if (whole.outcome === 'proved' || previous === undefined) return whole
  return appraiseIma(restarted(previous), bytes, quoted, policy)
}

/** What was allowed before kexec stays as it is; the list of the next kernel has a boot_aggregate of its own. */
function restarted({ bootAggregate: _, ...previous }: ImaState): ImaState {
  return { ...previous, replay: imaReplayRestart(previous.replay) }
}

function proved(ima: ImaState, input: ImaStepInput): ImaStep {
  const { pcr } = input
  const foreign = foreignAggregate(ima, input)
  if (foreign !== undefined) return refuted(input, foreign)
  const { entries, violations } = ima.replay
  const said = violations === 0 ? '' : `, ${violations} of them violations`
  return {
    ima,
    seen: { state: 'proved', list: ima },
    findings: [
      finding('ima.replay', 'affirming', 'executables', `${entries} entries replay to PCR ${IMA_PCR}${said}`),
      aggregateFinding(ima, pcr),
    ],
    refuted: false,
    more: false,
  }
}

/**
 * Every kernel begins its list with the hash of PCR 0 to 9, or 0 to 7 before Linux 5.8. As long as that of the kernel before kexec is the hash of the
 * registers as quoted now, nobody has extended them since it started, and the list of the next one must begin with it too: another was not begun by a
 * kernel of this boot. Where somebody did extend them (systemd does, PCR 9), what they were at kexec is not known, and aggregateFinding() warns.
 *
 * @returns why the list is refuted
 */
function foreignAggregate({ bootAggregate }: ImaState, { previous, pcr }: ImaStepInput): string | undefined {
  const before = checkBootAggregate(previous?.bootAggregate, pcr)
  if (before.result !== 'match' || before.last !== 9) return undefined
  const now = checkBootAggregate(bootAggregate, pcr)
  if (now.result === 'match' || (now.result === 'unknown' && bootAggregate !== undefined)) return undefined
  const seen = bootAggregate === undefined ? 'none' : `${bootAggregate.algorithm}:${bootAggregate.digest}`
  return `the list begins anew with another boot_aggregate (${seen}) than PCR 0 to 9 have, and they have not changed since this machine booted`
}

function aggregateFinding(ima: ImaState, pcr: ImaStepInput['pcr']): Finding {
  const rule = 'ima.boot-aggregate'
  const check = checkBootAggregate(ima.bootAggregate, pcr)
  switch (check.result) {
    case 'match':
      return finding(rule, 'affirming', 'executables', `boot_aggregate is the hash of PCR 0 to ${check.last}`)
    case 'mismatch':
      return finding(
        rule,
        'warning',
        'executables',
        check.expected.length === 1 && ima.bootAggregate?.algorithm !== 'sha1'
          ? 'boot_aggregate is not of PCR 0 to 7; Linux from 5.8 on has PCR 8 and 9 in it, which are not quoted: name them in evidence.pcrs'
          : 'boot_aggregate is not of these registers: one was extended later, or the list is of another boot',
        {
          expected: check.expected.join(' or '),
          seen: ima.bootAggregate?.digest ?? '',
        },
      )
    case 'no-tpm':
      return finding(rule, 'warning', 'executables', 'boot_aggregate is zero: the kernel found no TPM when IMA started')
    case 'unknown':
      return finding(rule, 'none', 'executables', `boot_aggregate cannot be compared: ${check.why}`)
  }
}

function inPieces({ previous, refuted }: ImaStepInput, ahead: ImaState): ImaStep {
  const message = `${ahead.replay.entries} entries received, more to come before a quote can prove them`
  return {
    ...(previous !== undefined && { ima: previous }),
    ...{ ahead, refuted, more: true },
    ...untold(message),
  }
}

/**
 * A list that does not go on where it did may be that of a kernel that was started by kexec and is longer already than the old one was: before it is
 * refuted it is asked for once from its beginning, from where the register stood. So is one that goes on from what is not known any more, as evidence
 * does that was asked for by another policy and came late.
 */
function notProved(input: ImaStepInput, offset: number, why: string): ImaStep {
  const { previous } = input
  if (input.refuted || offset === 0) return refuted(input, why)
  return {
    ...(previous !== undefined && { ima: previous, ahead: restarted(previous) }),
    ...{ refuted: true, more: true },
    ...untold(`the list does not go on from byte ${offset}: it is asked for from its beginning`),
  }
}

function refuted({ previous, refuted: before, piece }: ImaStepInput, why: string): ImaStep {
  return {
    ...(previous !== undefined && { ima: previous }),
    refuted: before || piece !== undefined,
    seen: { state: 'refuted', why },
    findings: [finding('ima.replay', 'contraindicated', 'executables', why)],
    more: false,
  }
}

function absent({ refuted }: ImaStepInput, previous: ImaState | undefined, why: string): ImaStep {
  return { ...(previous !== undefined && { ima: previous }), ...{ refuted, more: false }, ...untold(why) }
}

function untold(why: string): Pick<ImaStep, 'seen' | 'findings'> {
  return { seen: { state: 'absent' }, findings: [finding('ima.replay', 'none', 'executables', why)] }
}

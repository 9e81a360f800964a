import type { Tpm } from '../ports.ts'
import type { TpmErrorCode } from './tpm-error.ts'

/** Calls that go to the TPM process as they are. */
export type TpmOperation = Exclude<keyof Tpm, 'close'>

/** What TpmClient asks of the TPM process. `open` comes first and once; answers come in the order of the requests. */
export type TpmRequest =
  | { readonly op: 'open'; readonly tcti: string }
  | { readonly [Op in TpmOperation]: { readonly op: Op; readonly args: Parameters<Tpm[Op]> } }[TpmOperation]
  | { readonly op: 'close' }

export type TpmAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: TpmErrorCode; readonly message: string; readonly rc?: number }

/** After these the process ends by itself, without looking at requests that are already on their way. */
export const FATAL_CODES: ReadonlySet<TpmErrorCode> = new Set([
  'TPM_GONE',
  'TPM_RESTARTED',
  'TPM_BAD_RESPONSE',
  'TPM_PROCESS_FAILED',
])

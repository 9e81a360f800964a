import { fileURLToPath } from 'node:url'
import { TpmClient, type TpmClientOptions, type TpmProcessCommand } from '../../agent/tpm/index.ts'

/** Starts the TPM process from source, as the built program would start itself. */
export const TPM_PROCESS: TpmProcessCommand = {
  file: process.execPath,
  args: ['--import=tsx', fileURLToPath(new URL('tpm-process-entry.ts', import.meta.url))],
}

/** A TpmClient whose process runs from source. The caller closes it. */
export function tpmClient(tcti: string, options: Partial<TpmClientOptions> = {}): TpmClient {
  return new TpmClient({ tcti, command: TPM_PROCESS, ...options })
}

export type { TpmProcessCommand } from './tpm-channel.ts'
export { TpmClient, type TpmClientOptions, type TpmDeadlines } from './tpm-client.ts'
export { TPM_ERRORS, TpmError, type TpmErrorCode } from './tpm-error.ts'

/** Main of the TPM process. It is loaded only there: nothing else of the agent loads tpm2-tss. */
export async function runTpmProcess(): Promise<void> {
  const { runTpmProcess: run } = await import('./tpm-process.ts')
  await run()
}

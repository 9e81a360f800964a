/** File descriptor of the channel in the TPM process. */
export const CHANNEL_FD = 3

/**
 * An error a caller can branch on: `code` is stable and closed per subject, `message` is for the operator and may
 * improve, `cause` keeps the original.
 *
 * Three things stay apart: misuse by our own code (TypeError, RangeError), bad input from a peer (a CodedError), and an
 * untrustworthy node, which is not an error but an attestation result.
 */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code
  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

/** @returns the `code` of an error that has one, ours or Node's; undefined for any other value. Total, never throws. */
export function codeOf(err: unknown): string | undefined {
  if (typeof err !== 'object' || err === null || !('code' in err)) return undefined
  return typeof err.code === 'string' ? err.code : undefined
}

/** @returns the message of anything that was thrown, for a line of log or text. Total, never throws. */
export function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err)
}

import { CodedError } from '../../attestation/base/index.ts'

/**
 * Pods on disk:
 * - POD_NOT_FOUND: no pod has this UUID or prefix.
 * - POD_AMBIGUOUS: several pods have this prefix.
 * - POD_UUID_BAD: the text is no UUID and no prefix of one.
 * - POD_BUSY: the pod runs, or another command works on it.
 * - POD_NOT_RUNNING: the command is for pods that run.
 * - POD_NOT_STARTED: a detached pod ended before all its apps had been executed.
 * - POD_NOT_STOPPED: it was killed, or has ended, and processes of it are there still.
 * - POD_EXPORT_FAILED: an app's root could not be written as an image.
 * - POD_TIMEOUT: what was waited for did not happen in time.
 * - POD_APP_UNKNOWN: the pod has no such app, or several and none was named.
 * - POD_DIRECTORY_FAILED: reading or writing the data directory failed; the message has the system's words.
 * - POD_FILE_BAD: a file of a pod's directory is not what stage0 writes.
 *
 * Plans:
 * - POD_NAME_TAKEN: two apps of a pod have one name.
 * - POD_UNSUPPORTED: the manifest asks for something this version does not carry out; it is refused, not left out.
 * - POD_ISOLATOR_BAD: an isolator's value has the wrong form.
 * - POD_VOLUME_MISSING: a mount point needs a volume that nobody gave.
 * - POD_VOLUME_BAD: a volume or its place cannot be used.
 * - POD_STAGE1_UNSUPPORTED: the stage1 image is none, or of another interface version or flavour.
 * - POD_USERS_EXHAUSTED: no range of users is free for a pod that is to have its own.
 * - POD_PROGRAM_MISSING: a program of the host that the stage1 needs is not installed.
 * - POD_TPM_FAILED: the TPM of a pod could not be made; the message has the last words of the program that makes it.
 *
 * Launches:
 * - AGENT_MISSING: nobody listens on the agent's socket.
 * - AGENT_NOT_TRUSTED: another user than root or the agent's own listens there.
 * - AGENT_TIMEOUT: it did not answer in time.
 * - AGENT_ANSWER_BAD: its answer is not what agent/README.md says.
 * - AGENT_FAILED: it answered with an error of its own.
 * - LAUNCH_DENIED: the verifier, or the agent, refused this launch.
 * - LAUNCH_TICKET_BAD: the ticket does not authorise exactly this launch, now.
 * - LAUNCH_MODE_UNKNOWN: the agent does not enforce, and the file that has to say so cannot be believed.
 * - LAUNCH_CHANGED: what was measured is no longer what would be started.
 */
export type PodErrorCode =
  | 'POD_NOT_FOUND'
  | 'POD_AMBIGUOUS'
  | 'POD_UUID_BAD'
  | 'POD_BUSY'
  | 'POD_NOT_RUNNING'
  | 'POD_NOT_STARTED'
  | 'POD_NOT_STOPPED'
  | 'POD_EXPORT_FAILED'
  | 'POD_TIMEOUT'
  | 'POD_APP_UNKNOWN'
  | 'POD_DIRECTORY_FAILED'
  | 'POD_FILE_BAD'
  | 'POD_NAME_TAKEN'
  | 'POD_UNSUPPORTED'
  | 'POD_ISOLATOR_BAD'
  | 'POD_VOLUME_MISSING'
  | 'POD_VOLUME_BAD'
  | 'POD_STAGE1_UNSUPPORTED'
  | 'POD_USERS_EXHAUSTED'
  | 'POD_PROGRAM_MISSING'
  | 'POD_TPM_FAILED'
  | 'AGENT_MISSING'
  | 'AGENT_NOT_TRUSTED'
  | 'AGENT_TIMEOUT'
  | 'AGENT_ANSWER_BAD'
  | 'AGENT_FAILED'
  | 'LAUNCH_DENIED'
  | 'LAUNCH_TICKET_BAD'
  | 'LAUNCH_MODE_UNKNOWN'
  | 'LAUNCH_CHANGED'

/** A pod that cannot be found, planned, launched or removed. `hint` says what to do about it. */
export class PodError extends CodedError<PodErrorCode> {
  readonly hint: string | undefined
  constructor(code: PodErrorCode, message: string, options?: { cause?: unknown; hint?: string }) {
    super(code, message, options)
    this.hint = options?.hint
  }
}

/** An isolator whose value has the wrong form. */
export function badIsolator(name: string, message: string): PodError {
  return new PodError('POD_ISOLATOR_BAD', `isolator ${name}: ${message}`)
}

import { CodedError } from '../../attestation/base/index.ts'

/**
 * What was asked for:
 * - NETWORK_NOT_FOUND: no configuration has this name.
 * - NETWORK_PORTS_IMPOSSIBLE: ports are asked for, and no network of the pod can forward any.
 * - NETWORK_PORT_TAKEN: a pod that runs has this port of the host.
 *
 * Configurations (the message names the file and every bad member):
 * - NETWORK_CONFIG_BAD: a file is no CNI configuration of a version that is spoken here.
 * - NETWORK_CONFIG_UNSAFE: others than root could have written it.
 * - NETWORK_CONFIG_TWICE: two files of one directory have the same name of a network.
 * - NETWORK_CONFIG_UNREADABLE: the system refuses to read it.
 *
 * Plugins:
 * - NETWORK_PLUGIN_MISSING: the program is in none of the directories.
 * - NETWORK_PLUGIN_FAILED: it said that it failed; its code and words are in the message.
 * - NETWORK_PLUGIN_TIMEOUT: it took too long and was killed.
 * - NETWORK_RESULT_BAD: it ended well with a result that is none.
 * - NETWORK_PROGRAM_CHANGED: a plugin is not the program that was measured.
 *
 * The machine:
 * - NETWORK_NAMESPACE_FAILED: the namespace cannot be made, or its directory not be written.
 * - NETWORK_UNDO_FAILED: something that was set up for a pod that ended is still there.
 */
export type NetworkErrorCode =
  | 'NETWORK_NOT_FOUND'
  | 'NETWORK_PORTS_IMPOSSIBLE'
  | 'NETWORK_PORT_TAKEN'
  | 'NETWORK_CONFIG_BAD'
  | 'NETWORK_CONFIG_UNSAFE'
  | 'NETWORK_CONFIG_TWICE'
  | 'NETWORK_CONFIG_UNREADABLE'
  | 'NETWORK_PLUGIN_MISSING'
  | 'NETWORK_PLUGIN_FAILED'
  | 'NETWORK_PLUGIN_TIMEOUT'
  | 'NETWORK_RESULT_BAD'
  | 'NETWORK_PROGRAM_CHANGED'
  | 'NETWORK_NAMESPACE_FAILED'
  | 'NETWORK_UNDO_FAILED'

/** A pod's network that cannot be had, or not be undone. `hint` says what to do about it. */
export class NetworkError extends CodedError<NetworkErrorCode> {
  readonly hint: string | undefined
  constructor(code: NetworkErrorCode, message: string, options?: { cause?: unknown; hint?: string }) {
    super(code, message, options)
    this.hint = options?.hint
  }
}

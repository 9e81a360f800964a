import { CodedError } from '../base/index.ts'

/**
 * STORE_FULL: the file system has no room; nothing was written, nothing was authorised.
 * STORE_LOCKED: another program holds the write lock for longer than we wait.
 * STORE_CORRUPT: the file is damaged or is no store.
 * STORE_IN_USE: another verifier is running on this file.
 * STORE_UNAVAILABLE: the file cannot be opened, read or written.
 * STORE_VERSION: the file was made by a later release.
 * STORE_CONFLICT: the change would break the binding of EK, node and AK, or use a token twice.
 * STORE_NODE_UNKNOWN: no node, or more than one, answers to the name given.
 */
export type StoreErrorCode =
  | 'STORE_FULL'
  | 'STORE_LOCKED'
  | 'STORE_CORRUPT'
  | 'STORE_IN_USE'
  | 'STORE_UNAVAILABLE'
  | 'STORE_VERSION'
  | 'STORE_CONFLICT'
  | 'STORE_NODE_UNKNOWN'
export class StoreError extends CodedError<StoreErrorCode> {}

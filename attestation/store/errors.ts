import { CodedError, codeOf, messageOf } from '../base/index.ts'

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

/**
 * Names what SQLite or the file system said, and what to do about it.
 *
 * @param err anything thrown while the store was used; a StoreError comes back as it is
 * @param file the store's path, for the message
 */
export function asStoreError(err: unknown, file: string): unknown {
  if (err instanceof StoreError) return err
  const code = codeOf(err) ?? ''
  const make = (kind: StoreErrorCode, what: string): StoreError =>
    new StoreError(kind, `${file}: ${what} (${messageOf(err)})`, { cause: err })
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') {
    return make('STORE_FULL', 'no room left; free space on this file system, the verifier goes on by itself')
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return make('STORE_LOCKED', 'another program holds the write lock; end it or try again')
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return make('STORE_CORRUPT', 'damaged, or not a store; put back a copy, or move the file away and enrol again')
  }
  if (code.startsWith('SQLITE_CONSTRAINT')) return make('STORE_CONFLICT', 'refused by a rule of the store')
  if (code.startsWith('SQLITE_') || code.startsWith('E')) {
    return make('STORE_UNAVAILABLE', 'cannot be used; check path, owner and file system')
  }
  return err
}

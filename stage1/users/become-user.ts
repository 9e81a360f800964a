import { CodedError } from '../../attestation/base/index.ts'
import type { User } from './accounts.ts'

/**
 * USER_FAILED: this process did not become the user that it was to become.
 */
export class UserError extends CodedError<'USER_FAILED'> {}

/**
 * Becomes a user for good: supplementary groups, group, user, in this order, for the last takes away what the others
 * need. With the user go all capabilities (capabilities(7), "Effect of user ID changes"). What is open stays open.
 *
 * @throws UserError; then this process is to end, as it may be half of each
 */
export function becomeUser({ name, uid, gid }: User): void {
  const { setgid, setuid, getuid, geteuid, getgid, getegid, getgroups } = process
  // the types of Node 20 have forgotten it
  const { initgroups } = process as { initgroups?: (user: string, extraGroup: number) => void }
  if (!initgroups || !setgid || !setuid || !getuid || !geteuid || !getgid || !getegid || !getgroups) {
    throw new UserError('USER_FAILED', 'this system has no users')
  }
  try {
    initgroups(name, gid)
    setgid(gid)
    setuid(uid)
  } catch (cause) {
    throw new UserError('USER_FAILED', `this process cannot become ${name}: ${String(cause)}`, { cause })
  }
  const is = [getuid(), geteuid(), getgid(), getegid()].join()
  if (uid === 0 || gid === 0 || is !== [uid, uid, gid, gid].join() || getgroups().includes(0)) {
    throw new UserError('USER_FAILED', `this process did not become ${name}: it is ${is}, groups ${getgroups().join()}`)
  }
}

import { setFdInheritable } from './descriptors.ts'
import { ProcessError } from './errors.ts'
import { errnoName, libc } from './libc.ts'

/**
 * Replaces this process, its pid kept. Standard streams and `keepFds` stay open; everything else that Node opened is
 * closed by the kernel. Nothing of Node runs afterwards: flush first what must be written.
 *
 * Node's own process.execve (22.15 and later) is not used: passing descriptors needs fcntl, so libc is loaded anyway,
 * and one way that all versions take is tested on all.
 *
 * @param path what to execute; also `/proc/self/fd/N`
 * @param argv with argv[0]
 * @throws ProcessError PROCESS_EXEC_FAILED; descriptors may have lost FD_CLOEXEC by then
 * @throws RangeError for a NUL inside a string
 */
export function execve(
  path: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  keepFds: readonly number[] = [],
): never {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  for (const text of [path, ...argv, ...variables]) {
    if (text.includes('\0')) throw new RangeError('a string for execve contains a NUL')
  }
  for (const fd of [0, 1, 2, ...keepFds]) setFdInheritable(fd, true)
  const { errno } = libc().execve(path, argv, variables)
  throw new ProcessError('PROCESS_EXEC_FAILED', `executing ${path}: ${errnoName(errno)}`)
}

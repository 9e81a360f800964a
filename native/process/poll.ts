import { libc } from './libc.ts'

const POLLIN = 0x001

/**
 * Looks whether a descriptor has something to read, or has been closed by the other end, again and again for a short time.
 * For what is expected at once: to sleep and to be woken up takes longer than many looks.
 *
 * @param milliseconds after which it gives up; to give up is no error
 */
export function lookForInput(fd: number, milliseconds: number): void {
  const { poll } = libc()
  const descriptor = Buffer.alloc(8) // struct pollfd
  descriptor.writeInt32LE(fd, 0)
  descriptor.writeInt16LE(POLLIN, 4)
  const until = performance.now() + milliseconds
  while (poll(descriptor, 0).value === 0 && performance.now() < until);
}

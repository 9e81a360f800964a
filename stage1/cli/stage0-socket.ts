import { lstatSync, mkdirSync, rmSync, statSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname } from 'node:path'
import { isServed } from '../../agent/local-api/index.ts'
import { messageOf } from '../../attestation/base/index.ts'
import { Stage0Error } from './stage0-protocol.ts'

const STICKY = 0o1000

/**
 * Listens where root alone can connect: 0600, in a directory where nobody else can move it. The socket of a server that
 * is gone is replaced, that of a living one is left alone.
 *
 * @throws Stage0Error STAGE0_SOCKET_IN_USE, STAGE0_SOCKET_FAILED
 */
export async function listenForRoot(server: Server, socketPath: string): Promise<void> {
  try {
    const directory = dirname(socketPath)
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    const { uid, mode } = statSync(directory)
    // in a sticky one others may put something, as the agent its socket, but move or remove nothing of the caller's
    if (uid !== process.geteuid?.() || ((mode & 0o022) !== 0 && (mode & STICKY) === 0)) {
      throw new Stage0Error(
        'STAGE0_SOCKET_FAILED',
        `${directory} must be the caller's own, and writable by nobody else unless it is sticky`,
      )
    }
    if (await isServed(socketPath)) {
      throw new Stage0Error('STAGE0_SOCKET_IN_USE', `a stage0 server listens on ${socketPath} already`)
    }
    removeStale(socketPath)
    await listen(server, socketPath)
  } catch (cause) {
    if (cause instanceof Stage0Error) throw cause
    throw new Stage0Error('STAGE0_SOCKET_FAILED', `${socketPath}: ${messageOf(cause)}`, { cause })
  }
}

/** Made with 0600 from the first moment on: listen() binds before it returns. */
function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const mask = process.umask(0o177)
    try {
      server.listen(socketPath, () => {
        server.removeListener('error', reject)
        resolve()
      })
    } finally {
      process.umask(mask)
    }
  })
}

function removeStale(socketPath: string): void {
  const found = lstatSync(socketPath, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isSocket()) throw new Stage0Error('STAGE0_SOCKET_FAILED', `${socketPath} exists and is no socket`)
  rmSync(socketPath)
}

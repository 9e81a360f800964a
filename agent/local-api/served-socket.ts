import { connect } from 'node:net'
import { codeOf } from '../../attestation/base/index.ts'

/** Whether a process accepts connections on this socket. Rejects where that cannot be found out. */
export function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (err) => {
      const code = codeOf(err)
      if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(false)
      else reject(err)
    })
  })
}

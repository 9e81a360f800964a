import { request as httpRequest } from 'node:http'
import { CodedError, codeOf, messageOf } from '../../attestation/base/index.ts'

/**
 * API_UNREACHABLE: nobody serves the socket, or this user may not use it.
 * API_ANSWER: what came back is not an answer of an agent.
 */
export class LocalClientError extends CodedError<'API_UNREACHABLE' | 'API_ANSWER'> {}

const TIMEOUT_MS = 30_000
const MAX_BYTES = 512 << 20

/**
 * GET over the agent's unix socket; POST where there is a body.
 * @param onPiece given the answer's body as it arrives
 * @param body sent as JSON
 * @throws LocalClientError
 */
export async function getLocal(
  socketPath: string,
  path: string,
  onPiece: (piece: Buffer) => void,
  body?: unknown,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const request = httpRequest({ socketPath, path, method, timeout: TIMEOUT_MS }, (response) => {
      const failed = response.statusCode !== 200
      const parts: Buffer[] = []
      let size = 0
      response.on('data', (piece: Buffer) => {
        size += piece.length
        if (size > MAX_BYTES) request.destroy(new LocalClientError('API_ANSWER', `more than ${MAX_BYTES} bytes`))
        else if (failed) parts.push(piece)
        else onPiece(piece)
      })
      response.on('error', reject)
      response.on('end', () => {
        if (!failed) resolve()
        else
          reject(
            new LocalClientError(
              'API_ANSWER',
              `status ${response.statusCode}: ${Buffer.concat(parts).toString('utf8').slice(0, 1000)}`,
            ),
          )
      })
    })
    request.on('timeout', () =>
      request.destroy(new LocalClientError('API_UNREACHABLE', `${socketPath} does not answer`)),
    )
    request.on('error', (cause) => {
      const why = codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ECONNREFUSED' ? 'no agent listens' : messageOf(cause)
      reject(
        cause instanceof LocalClientError
          ? cause
          : new LocalClientError('API_UNREACHABLE', `${socketPath}: ${why}`, { cause }),
      )
    })
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** As getLocal, for JSON. */
export async function getLocalJson(socketPath: string, path: string): Promise<unknown> {
  const parts: Buffer[] = []
  await getLocal(socketPath, path, (piece) => parts.push(piece))
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (cause) {
    throw new LocalClientError('API_ANSWER', `${socketPath}${path} gave no JSON`, { cause })
  }
}

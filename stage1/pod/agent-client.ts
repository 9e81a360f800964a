import { type RequestOptions, request } from 'node:http'
import type { Socket } from 'node:net'
import { codeOf, messageOf, utf8 } from '../../attestation/base/index.ts'
import type { AppEnter, PodLaunch } from '../../attestation/protocol/index.ts'
import { descriptorOf, peerCredentials } from '../../native/process/index.ts'
import { ShapeReader } from '../manifest/index.ts'
import { AGENT_USER, findUser } from '../users/index.ts'
import { PodError } from './errors.ts'

/** The agent's decision as it came; nothing of it is trusted until checkAnswer has seen it. */
export type AgentAnswer =
  | {
      readonly decision: 'allowed'
      /** RFC 8785 text of the launch request: its UTF-8 bytes are what was hashed and signed. */
      readonly request: string
      readonly mode: string
      /** Absent where the agent does not enforce. */
      readonly ticket?: string
    }
  | { readonly decision: 'denied'; readonly code: string; readonly reasons: readonly string[] }

export const DEFAULT_AGENT_SOCKET = '/run/holdfast/agent.sock'
/** The agent gives the verifier up to a minute; after this it is not coming. */
const ANSWER_TIMEOUT_MS = 75_000
const MAX_ANSWER_BYTES = 8 << 20

/**
 * Asks the agent for a launch: POST /v1/launches (agent/README.md).
 *
 * @param podDirectory absolute; the agent watches its lock to record the end of the pod
 * @param signal ends the wait; the agent sees the connection end
 * @param timeoutMs for the whole exchange
 * @throws PodError AGENT_MISSING, AGENT_NOT_TRUSTED, AGENT_TIMEOUT, AGENT_FAILED, AGENT_ANSWER_BAD
 */
export async function requestLaunch(
  socketPath: string,
  launch: PodLaunch,
  podDirectory: string,
  signal?: AbortSignal,
  timeoutMs: number = ANSWER_TIMEOUT_MS,
): Promise<AgentAnswer> {
  return ask(socketPath, '/v1/launches', { ...launch, podDirectory }, signal, timeoutMs)
}

/** Asks the agent for a program to be run inside an app: POST /v1/enters. @throws PodError as requestLaunch */
export function requestEnter(socketPath: string, enter: AppEnter): Promise<AgentAnswer> {
  return ask(socketPath, '/v1/enters', enter, undefined, ANSWER_TIMEOUT_MS)
}

async function ask(
  socketPath: string,
  path: string,
  asked: unknown,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<AgentAnswer> {
  const { status, body } = await post(socketPath, path, asked, signal, timeoutMs)
  const value = parseBody(body, status)
  return status === 200 ? readAllowed(value) : status === 403 ? readDenied(value) : failed(status, value)
}

function post(
  socketPath: string,
  path: string,
  body: unknown,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const bytes = utf8(JSON.stringify(body))
    const timer = setTimeout(() => call.destroy(timedOut(socketPath, timeoutMs)), timeoutMs)
    const end = (err: Error): void => {
      clearTimeout(timer)
      reject(connectionError(socketPath, err))
    }
    const options: RequestOptions & { readonly servername: string } = {
      socketPath,
      path,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': bytes.length },
      servername: '', // else Node compiles its IPv6 pattern to find a name for TLS: several milliseconds of each launch
      ...(signal === undefined ? {} : { signal }),
    }
    const call = request(options, (answer) => {
      const parts: Buffer[] = []
      let size = 0
      answer.on('data', (part: Buffer) => {
        size += part.length
        if (size > MAX_ANSWER_BYTES) call.destroy(badAnswer(`more than ${MAX_ANSWER_BYTES} bytes`))
        else parts.push(part)
      })
      answer.on('error', end)
      answer.on('end', () => {
        clearTimeout(timer)
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') })
      })
    })
    call.on('error', end)
    call.on('socket', (socket) => {
      const check = (): void => {
        const stranger = strangerBehind(socket, socketPath)
        if (stranger !== undefined) call.destroy(stranger)
      }
      if (socket.connecting) socket.once('connect', check)
      else check()
    })
    call.end(bytes)
  })
}

/**
 * Whoever listens where the agent should could answer as it does, and where it does not enforce there is no ticket that
 * gives it away: it has to be root, the agent's own user, or who asks.
 */
function strangerBehind(socket: Socket, socketPath: string): PodError | undefined {
  const { uid } = peerCredentials(descriptorOf(socket))
  if (uid === 0 || uid === process.geteuid?.() || uid === findUser(AGENT_USER)?.uid) return undefined
  return new PodError('AGENT_NOT_TRUSTED', `${socketPath} is served by user ${uid}, not by root or ${AGENT_USER}`, {
    hint: 'Find out what runs there; agent and run directory belong to root or holdfast-agent.',
  })
}

function parseBody(body: string, status: number): unknown {
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw badAnswer(`status ${status} with a body that is not JSON`, cause)
  }
}

function readAllowed(value: unknown): AgentAnswer {
  return reading((r) => {
    const o = r.object(value, '$')
    if (o['decision'] !== 'allowed') r.complain('$.decision', "must be 'allowed' in an answer with status 200")
    const mode = r.string(o['mode'], '$.mode')
    const request = r.string(o['request'], '$.request')
    const ticket = o['ticket'] === null ? undefined : r.optionalString(o['ticket'], '$.ticket')
    return { decision: 'allowed', mode, request, ...(ticket === undefined ? {} : { ticket }) }
  })
}

function readDenied(value: unknown): AgentAnswer {
  return reading((r) => {
    const o = r.object(value, '$')
    return {
      decision: 'denied',
      code: r.string(o['code'], '$.code'),
      reasons: r.strings(o['reasons'], '$.reasons', 1000).map((text) => text.slice(0, 2000)),
    }
  })
}

function failed(status: number, value: unknown): never {
  const { code, message, hint } = reading((r) => {
    const o = r.object(value, '$')
    return {
      code: r.string(o['code'], '$.code'),
      message: r.string(o['message'], '$.message'),
      hint: r.optionalString(o['hint'], '$.hint'),
    }
  })
  throw new PodError('AGENT_FAILED', `the agent cannot have this authorised: ${message} (${code}, ${status})`, {
    hint: hint ?? 'Its log says more: journalctl -u holdfast-agent.',
  })
}

function reading<T>(read: (r: ShapeReader) => T): T {
  const r = new ShapeReader("the agent's answer")
  try {
    const result = read(r)
    r.finish()
    return result
  } catch (cause) {
    throw badAnswer(messageOf(cause), cause)
  }
}

function badAnswer(what: string, cause?: unknown): PodError {
  return new PodError('AGENT_ANSWER_BAD', `the agent's answer cannot be used: ${what}`, {
    cause,
    hint: 'Agent and holdfast must be of the same version: holdfast version.',
  })
}

function timedOut(socketPath: string, timeoutMs: number): PodError {
  return new PodError('AGENT_TIMEOUT', `the agent at ${socketPath} did not answer within ${timeoutMs / 1000} s`, {
    hint: 'See what it waits for: curl --unix-socket SOCKET http://localhost/v1/status.',
  })
}

function connectionError(socketPath: string, err: Error): Error {
  if (err instanceof PodError) return err
  const code = codeOf(err)
  if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') {
    return new PodError('AGENT_MISSING', `no agent listens on ${socketPath}`, {
      cause: err,
      hint: 'Start it: systemctl start holdfast-agent, or: holdfast agent --config /etc/holdfast/agent.yaml.',
    })
  }
  if (code === 'EACCES') {
    return new PodError('AGENT_MISSING', `${socketPath} may not be used by this user`, {
      cause: err,
      hint: "Run as root or as a member of the agent's group.",
    })
  }
  return new PodError('AGENT_ANSWER_BAD', `the agent ended the connection: ${err.message}`, {
    cause: err,
    hint: 'Its log says why; try again.',
  })
}

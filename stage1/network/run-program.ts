import { codeOf, messageOf, utf8 } from '../../attestation/base/index.ts'

/** How a program ended. */
export interface ProgramEnd {
  /** Undefined where a signal ended it. */
  readonly status?: number
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
  /** It took too long, or was given up, and was killed. */
  readonly killed: boolean
}

export interface ProgramRun {
  readonly args?: readonly string[]
  /** `NAME=VALUE`, and nothing else. */
  readonly environment: readonly string[]
  readonly input?: string
  /** A descriptor that it is to hold open as its number 3. */
  readonly holds?: number
  readonly deadlineMs: number
  readonly signal?: AbortSignal
}

const MAX_OUTPUT_BYTES = 1 << 20

/**
 * Runs a program to its end, in a session of its own: what a terminal sends to the caller does not reach it. Output
 * beyond 1 MiB is dropped.
 *
 * @throws Error ENOENT, EACCES, ... where it cannot be started
 */
export async function runProgram(program: string, run: ProgramRun): Promise<ProgramEnd> {
  const { spawn } = await import('node:child_process') // most launches run none, and pay for what is loaded
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...(run.args ?? [])], {
      env: Object.fromEntries(run.environment.map((v) => [v.slice(0, v.indexOf('=')), v.slice(v.indexOf('=') + 1)])),
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', ...(run.holds === undefined ? [] : [run.holds])],
    })
    const output = { stdout: bounded(), stderr: bounded() }
    let killed = false
    const kill = (): void => {
      killed = true
      killGroup(child.pid)
    }
    const timer = setTimeout(kill, run.deadlineMs)
    if (run.signal?.aborted) kill()
    run.signal?.addEventListener('abort', kill)
    const end = (): void => {
      clearTimeout(timer)
      run.signal?.removeEventListener('abort', kill)
    }
    child.stdout?.on('data', output.stdout.take)
    child.stderr?.on('data', output.stderr.take)
    child.on('error', (err) => {
      end()
      reject(err)
    })
    child.on('close', (status) => {
      end()
      const [stdout, stderr] = [output.stdout.bytes(), output.stderr.bytes()]
      resolve({ ...(status === null ? {} : { status }), stdout, stderr, killed })
    })
    child.stdin?.on('error', () => {}) // it need not read its input; its status says how that went
    child.stdin?.end(utf8(run.input ?? ''))
  })
}

/** Why a program could not be started, for a person. */
export function startFailure(program: string, err: unknown): string {
  return codeOf(err) === 'EACCES' ? `${program} is not executable` : `${program}: ${messageOf(err)}`
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (err) {
    if (codeOf(err) !== 'ESRCH') throw err
  }
}

function bounded(): { readonly take: (part: Buffer) => void; readonly bytes: () => Uint8Array } {
  const parts: Buffer[] = []
  let size = 0
  return {
    take: (part) => {
      if (size < MAX_OUTPUT_BYTES) parts.push(part.subarray(0, MAX_OUTPUT_BYTES - size))
      size += part.length
    },
    bytes: () => new Uint8Array(Buffer.concat(parts)),
  }
}

import { spawn } from 'node:child_process'

/**
 * Milliseconds from the start of a command to the first byte on its standard output, which is what a pod's app writes
 * with its first instructions. The command is waited for.
 *
 * @throws Error with its standard error when the command ends with another status than 0 or writes nothing
 */
export function firstByteMs(
  argv: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> {
  const [program = '', ...args] = argv
  return new Promise((resolve, reject) => {
    let first: bigint | undefined
    let errors = ''
    const start = process.hrtime.bigint()
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.on('data', () => {
      first ??= process.hrtime.bigint()
    })
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    child.on('error', reject)
    child.on('close', (status) => {
      if (status !== 0 || first === undefined) reject(new Error(`${program} ended with ${status}: ${errors}`))
      else resolve(Number(first - start) / 1e6)
    })
  })
}

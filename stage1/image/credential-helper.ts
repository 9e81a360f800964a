import { spawn } from 'node:child_process'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { ImageError } from './errors.ts'

const MAX_ANSWER_BYTES = 64 * 1024
const TIMEOUT_MS = 30_000

/**
 * Asks `docker-credential-NAME get`, the helper protocol of docker: the server's name on standard input, JSON with
 * `Username` and `Secret` on standard output.
 *
 * @param server as the configuration file names it
 * @returns base64 of `user:password`; undefined when the helper has nothing for this server
 * @throws ImageError IMAGE_SOURCE_DENIED
 */
export async function askCredentialHelper(
  name: string,
  server: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  const program = `docker-credential-${name}`
  const failed = (why: string, cause?: unknown): ImageError =>
    new ImageError('IMAGE_SOURCE_DENIED', `${program} gives no credentials for ${server}: ${why}`, { cause })
  // a name, not a path: the configuration file must not start anything that is not installed
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) throw failed('this is no name of a helper')
  const { status, output } = await ask(program, server, environment).catch((cause: unknown) => {
    throw failed(codeOf(cause) === 'ENOENT' ? 'it is not installed' : messageOf(cause), cause)
  })
  const text = output.toString('utf8')
  if (status !== 0) {
    if (/credentials not found/i.test(text)) return undefined
    throw failed(`it ended with ${status}: ${text.trim().slice(0, 200)}`)
  }
  return readAnswer(output, failed)
}

function readAnswer(output: Buffer, failed: (why: string, cause?: unknown) => ImageError): string | undefined {
  try {
    const r = new ShapeReader('answer')
    const o = r.object(parseJson(output, 'answer'), '$')
    const [user, secret] = [r.string(o['Username'], '$.Username'), r.string(o['Secret'], '$.Secret')]
    if (user === '<token>') r.complain('$.Username', 'is an identity token, which is not supported')
    if (user.includes(':')) r.complain('$.Username', 'has a colon in it')
    r.finish()
    return user === '' && secret === '' ? undefined : Buffer.from(`${user}:${secret}`, 'utf8').toString('base64')
  } catch (cause) {
    throw failed(messageOf(cause), cause)
  }
}

function ask(
  program: string,
  server: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<{ status: number | null; output: Buffer }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], env: { ...environment } })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`no answer in ${TIMEOUT_MS / 1000} s`))
    }, TIMEOUT_MS)
    const pieces: Buffer[] = []
    let bytes = 0
    child.stdout.on('data', (piece: Buffer) => {
      bytes += piece.length
      if (bytes <= MAX_ANSWER_BYTES) pieces.push(piece)
      else {
        child.kill('SIGKILL')
        reject(new Error(`more than ${MAX_ANSWER_BYTES} bytes came`))
      }
    })
    child.stdin.on('error', () => {}) // it did not read: its status says why
    child.on('error', (err) => {
      clearTimeout(timer)
      reject(err)
    })
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, output: Buffer.concat(pieces) })
    })
    child.stdin.end(server)
  })
}

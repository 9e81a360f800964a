import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** How a simulated TPM is manufactured. */
export interface SwtpmOptions {
  /** Allocated PCR banks; default sha1,sha256,sha384,sha512 is what swtpm_setup can do, sha256 is what it does. */
  readonly banks?: readonly string[]
  /** EK certificates in NV: both RSA-2048 (L-1) and P-384 (H-3), one of them, or none. Default both. */
  readonly ekCertificates?: 'both' | 'rsa' | 'ecc' | 'none'
  /** Leave out the persistent EKs at 0x81010001 and 0x81010016. Default false. */
  readonly withoutPersistentEk?: boolean
}

/** Why simulator tests cannot run on this machine, or undefined. For `this.skip()` with the reason printed. */
export function swtpmMissing(): string | undefined {
  const missing = ['swtpm', 'swtpm_setup', 'swtpm_localca'].filter((p) => !existsSync(`/usr/bin/${p}`))
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')} (Debian packages swtpm, swtpm-tools)`
}

/** A manufactured TPM at rest: copy it as often as wanted with startSwtpm(). */
export interface SwtpmState {
  readonly directory: string
  /** PEM of the local CA that issued the EK and platform certificates, root first. */
  readonly caCertificates: readonly string[]
  remove(): Promise<void>
}

/**
 * Manufactures a TPM with swtpm_setup and a CA of its own in a temporary directory; takes about a second.
 *
 * @throws Error with the tool's output
 */
export async function manufactureSwtpm(options: SwtpmOptions = {}): Promise<SwtpmState> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-swtpm-'))
  try {
    const [state, ca] = [join(directory, 'state'), join(directory, 'ca')]
    await mkdir(state)
    await mkdir(ca)
    const caCertificates = [join(ca, 'swtpm-localca-rootca-cert.pem'), join(ca, 'issuercert.pem')]
    await writeFile(
      join(ca, 'localca.conf'),
      `statedir = ${ca}\nsigningkey = ${ca}/signkey.pem\nissuercert = ${ca}/issuercert.pem\ncertserial = ${ca}/certserial\n`,
    )
    await writeFile(
      join(ca, 'localca.options'),
      '--platform-manufacturer Holdfast\n--platform-version 1\n--platform-model Test\n',
    )
    await writeFile(
      join(ca, 'setup.conf'),
      `create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config=${ca}/localca.conf\ncreate_certs_tool_options=${ca}/localca.options\n`,
    )
    const certificates = options.ekCertificates === 'none' ? [] : ['--create-ek-cert', '--create-platform-cert']
    const banks = (options.banks ?? ['sha256']).join(',')
    const { stdout } = await run('swtpm_setup', [
      ...['--tpm2', '--tpmstate', state, '--config', join(ca, 'setup.conf'), '--createek', '--overwrite'],
      ...['--pcr-banks', banks, '--vmid', `holdfast-${randomUUID()}`, ...certificates],
    ]).catch((err: unknown) => {
      const text = typeof err === 'object' && err !== null && 'stdout' in err ? String(err.stdout) : ''
      throw new Error(`swtpm_setup failed: ${text}`, { cause: err })
    })
    if (!existsSync(join(state, 'tpm2-00.permall'))) throw new Error(`swtpm_setup left no state: ${stdout}`)
    const made = { directory: state, caCertificates, remove: () => rm(directory, { recursive: true, force: true }) }
    await removeUnwanted(made, options)
    return made
  } catch (err) {
    await rm(directory, { recursive: true, force: true })
    throw err
  }
}

async function removeUnwanted(state: SwtpmState, options: SwtpmOptions): Promise<void> {
  const { ekCertificates: keep = 'both', withoutPersistentEk = false } = options
  const commands: string[][] = []
  if (keep === 'ecc') commands.push(['tpm2_nvundefine', '-C', 'p', '0x01c00002'])
  if (keep === 'rsa') commands.push(['tpm2_nvundefine', '-C', 'p', '0x01c00016'])
  if (withoutPersistentEk) {
    for (const h of ['0x81010001', '0x81010016']) commands.push(['tpm2_evictcontrol', '-C', 'o', '-c', h])
  }
  if (commands.length === 0) return
  const tpm = await Swtpm.start(state.directory, async () => {})
  try {
    for (const [tool = '', ...args] of commands) await tpm.tool(tool, ...args)
  } finally {
    await tpm.stop()
  }
}

/**
 * Starts a simulator on free loopback ports. The caller stops it, in an `after` or a `finally`.
 *
 * @param from how to manufacture the TPM, or a manufactured one of which a copy is used
 */
export async function startSwtpm(from: SwtpmOptions | SwtpmState = {}): Promise<Swtpm> {
  const copy = await mkdtemp(join(tmpdir(), 'holdfast-swtpm-run-'))
  try {
    if ('directory' in from) await cp(from.directory, copy, { recursive: true })
    else {
      const made = await manufactureSwtpm(from)
      await cp(made.directory, copy, { recursive: true })
      await made.remove()
    }
    await rm(join(copy, '.lock'), { force: true })
    return await Swtpm.start(copy, () => rm(copy, { recursive: true, force: true }))
  } catch (err) {
    await rm(copy, { recursive: true, force: true })
    throw err
  }
}

/** A running TPM simulator. Started with TPM2_Startup(CLEAR) done, as firmware would have. */
export class Swtpm {
  readonly port: number
  readonly #directory: string
  readonly #cleanUp: () => Promise<void>
  #process: ChildProcess | undefined

  private constructor(directory: string, port: number, cleanUp: () => Promise<void>) {
    this.#directory = directory
    this.port = port
    this.#cleanUp = cleanUp
  }

  static async start(directory: string, cleanUp: () => Promise<void>): Promise<Swtpm> {
    for (let attempt = 1; ; attempt++) {
      const tpm = new Swtpm(directory, await twoFreePorts(), cleanUp)
      try {
        await tpm.powerOn()
        return tpm
      } catch (err) {
        await tpm.kill()
        if (attempt === 5) throw err // otherwise somebody took a port in between
      }
    }
  }

  /** What tpm2-tss wants: the command port here, the control port is the next. */
  get tcti(): string {
    return `swtpm:host=127.0.0.1,port=${this.port}`
  }

  /** Where its state is; whole while it does not run. */
  get directory(): string {
    return this.#directory
  }

  /** Process id of the running simulator. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /**
   * Starts the simulator on its state and ports.
   *
   * @param startup 'clear' as firmware does, or 'none' to leave TPM2_Startup to the program under test
   */
  async powerOn(startup: 'clear' | 'none' = 'clear'): Promise<void> {
    const flags = startup === 'clear' ? 'not-need-init,startup-clear' : 'not-need-init'
    const child = spawn(
      'swtpm',
      [
        ...['socket', '--tpm2', '--tpmstate', `dir=${this.#directory}`, '--flags', flags],
        ...['--server', `type=tcp,bindaddr=127.0.0.1,port=${this.port}`],
        ...['--ctrl', `type=tcp,bindaddr=127.0.0.1,port=${this.port + 1}`],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    let said = ''
    child.stdout.on('data', (d: Buffer) => (said += d.toString()))
    child.stderr.on('data', (d: Buffer) => (said += d.toString()))
    this.#process = child
    const failed = new Promise<never>((_, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`swtpm ended with ${code}: ${said}`)))
    })
    failed.catch(() => {}) // after the start, an exit is for kill() and powerOff() to wait for
    await Promise.race([failed, listening(this.port), listening(this.port + 1)])
    await Promise.race([failed, listening(this.port)])
  }

  /**
   * Cuts the power: no TPM2_Shutdown, volatile state is lost. The ports stay reserved to this object by convention
   * only.
   */
  async kill(): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  /** An unclean power cycle: resetCount grows, PCRs start anew, transient objects and sessions are gone. */
  async powerCycle(): Promise<void> {
    await this.kill()
    await this.powerOn()
  }

  /** Orderly TPM2_Shutdown(CLEAR), then a power cycle: what a reboot does. */
  async reboot(): Promise<void> {
    await this.tool('tpm2_shutdown', '-c')
    await this.powerCycle()
  }

  /** Stops the process from running (SIGSTOP): the TPM hangs, its sockets stay open. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  /** Ends a freeze. */
  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** Runs one of tpm2-tools against this TPM and gives its standard output. */
  async tool(name: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await run(name, args, {
      env: { ...process.env, TPM2TOOLS_TCTI: this.tcti, TSS2_LOG: 'all+NONE' },
    })
    return stdout
  }

  /** Ends the simulator and removes its state. */
  async stop(): Promise<void> {
    await this.kill()
    await this.#cleanUp()
  }
}

/**
 * @returns a port such that it and the next one are free at this moment. Below the range that the kernel takes for
 * outgoing connections: tpm2-tss makes one for each command, and thousands of them linger for a minute after a busy
 * test.
 */
export async function twoFreePorts(): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = 12_000 + 2 * randomInt(10_000)
    const first = await listen(port).catch(() => undefined)
    if (first === undefined) continue
    const second = await listen(port + 1).catch(() => undefined)
    await closed(first)
    if (second === undefined) continue
    await closed(second)
    return port
  }
  throw new Error('no two neighbouring free ports on 127.0.0.1')
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

/** Settles when something accepts connections there; swtpm says nothing when it is ready. */
async function listening(port: number): Promise<void> {
  const until = Date.now() + 10_000
  for (;;) {
    const accepted = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.end()
        socket.once('close', () => resolve(true))
        socket.resume()
      })
      socket.once('error', () => resolve(false))
    })
    if (accepted) return
    if (Date.now() > until) throw new Error(`nothing listens on 127.0.0.1:${port}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { codeOf, messageOf } from '../base/index.ts'
import { type CertificateAuthority, createCa, loadCa } from '../ca/index.ts'
import { SimulatorError } from './errors.ts'
import { type AkKind, importPrivateKey, newPrivateKey, type SoftKeys, softAk, softEk } from './soft-keys.ts'

/** What the boots of one run are numbered in: no machine of it boots more often. */
const BOOTS_PER_RUN = 1000
const CA_NAME = 'Holdfast simulator EK CA'
/** Keys are written this many at a time, so that a run that is ended early keeps most of them. */
const WRITTEN_AT_ONCE = 64

/**
 * A directory that keeps the keys of simulated machines between runs. It has `nodes-p256.keys` or `nodes-rsa.keys` (a
 * line for each machine: EK and AK, PKCS #8 in base64), `boots` (how often it was used) and, if wanted, `ca.pem` and
 * `ca-key.pem`. These keys are worth nothing, but whoever has them can be these machines.
 */
export class KeyDirectory {
  readonly #path: string

  /** @throws SimulatorError SIMULATE_KEYS_INVALID */
  constructor(path: string) {
    this.#path = path
    this.#do('cannot be made', () => mkdirSync(path, { recursive: true, mode: 0o700 }))
  }

  /**
   * The keys of the first `count` machines; those that are missing are made.
   *
   * @param made told how many there are now, while they are made
   * @throws SimulatorError SIMULATE_KEYS_INVALID
   */
  async keys(kind: AkKind, count: number, made: (have: number) => void): Promise<SoftKeys[]> {
    const name = `nodes-${kind}.keys`
    const lines = (this.#read(name) ?? '').split('\n').filter((line) => line !== '')
    const keys = lines.slice(0, count).map((line, i) => this.#parse(name, i + 1, kind, line))
    let unwritten: string[] = []
    const write = (): void => {
      const text = unwritten.join('')
      unwritten = []
      this.#do('cannot be written to', () => appendFileSync(join(this.#path, name), text, { mode: 0o600 }))
    }
    while (keys.length < count) {
      const [ek, ak] = [newPrivateKey('p256'), newPrivateKey(kind)]
      keys.push({ ek: softEk(ek), ak: softAk(ak) })
      const texts = [ek, ak].map((key) => key.export({ format: 'der', type: 'pkcs8' }).toString('base64'))
      unwritten.push(`${texts.join(' ')}\n`)
      if (unwritten.length < WRITTEN_AT_ONCE) continue
      write()
      made(keys.length)
      await setImmediate() // making RSA keys takes long: whoever ends the run is heard meanwhile
    }
    if (unwritten.length > 0) write()
    return keys
  }

  /** @returns resetCount of every machine's first boot in this run: more than in any run before */
  nextBoot(): number {
    const runs = Number(this.#read('boots') ?? '0') + 1
    if (!Number.isSafeInteger(runs) || runs < 1) throw this.#invalid('boots', 'is no number')
    const file = join(this.#path, 'boots')
    this.#do('cannot be written to', () => {
      writeFileSync(`${file}.new`, `${runs}\n`, { mode: 0o600 })
      renameSync(`${file}.new`, file)
    })
    return (runs % 4_000_000) * BOOTS_PER_RUN
  }

  /** The CA of these machines' EKs, made at first use; `ca.pem` is for the verifier's root store. */
  ca(): CertificateAuthority {
    let certPem = this.#read('ca.pem')
    let keyPem = this.#read('ca-key.pem')
    if (certPem === undefined || keyPem === undefined) {
      const made = createCa(CA_NAME, new Date())
      certPem = made.certPem
      keyPem = made.keyPem
      this.#do('cannot be written to', () => {
        writeFileSync(join(this.#path, 'ca-key.pem'), made.keyPem, { mode: 0o600 })
        writeFileSync(join(this.#path, 'ca.pem'), made.certPem)
      })
    }
    try {
      return loadCa(certPem, keyPem)
    } catch (cause) {
      throw this.#invalid('ca.pem', `is no CA with its key: ${messageOf(cause)}`, cause)
    }
  }

  /** Writes a file beside the keys, for people: which machines there are. */
  writeNodeIds(kind: AkKind, ids: readonly string[]): void {
    this.#do('cannot be written to', () => writeFileSync(this.nodeIdsFile(kind), ids.map((id) => `${id}\n`).join('')))
  }

  nodeIdsFile(kind: AkKind): string {
    return join(this.#path, `nodes-${kind}.ids`)
  }

  get caFile(): string {
    return join(this.#path, 'ca.pem')
  }

  #parse(name: string, line: number, kind: AkKind, text: string): SoftKeys {
    try {
      const [ek, ak] = text.split(' ').map((word) => importPrivateKey(Buffer.from(word, 'base64')))
      if (ek === undefined || ak === undefined) throw new TypeError('two keys were expected')
      if ((ak.asymmetricKeyType === 'rsa') !== (kind === 'rsa')) throw new TypeError('a key of another kind')
      return { ek: softEk(ek), ak: softAk(ak) }
    } catch (cause) {
      throw this.#invalid(name, `line ${line} has not the keys of a machine: ${messageOf(cause)}`, cause)
    }
  }

  #read(name: string): string | undefined {
    try {
      return readFileSync(join(this.#path, name), 'utf8')
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return undefined
      throw this.#invalid(name, `cannot be read: ${messageOf(cause)}`, cause)
    }
  }

  #do(what: string, work: () => void): void {
    try {
      work()
    } catch (cause) {
      throw this.#invalid('', `${what}: ${messageOf(cause)}`, cause)
    }
  }

  #invalid(name: string, why: string, cause?: unknown): SimulatorError {
    return new SimulatorError('SIMULATE_KEYS_INVALID', `--keys ${join(this.#path, name)} ${why}`, { cause })
  }
}

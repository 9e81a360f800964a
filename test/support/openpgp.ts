import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Why OpenPGP keys cannot be made here; undefined where they can. */
export function openPgpMissing(): string | undefined {
  const missing = ['gpg', 'gpgv', 'gpg-agent'].find((p) => spawnSync(p, ['--version']).error !== undefined)
  return missing === undefined ? undefined : `no ${missing} (config/setup.sh installs it)`
}

/** Keys of GnuPG in a directory of their own; `stop` ends its agent. */
export class OpenPgpHome {
  readonly #home: string

  /** @param home is made; its path must be short enough for the agent's socket */
  constructor(home: string) {
    this.#home = home
    mkdirSync(home, { mode: 0o700, recursive: true })
  }

  /** Makes a key that signs. @returns its fingerprint, lower-case hex */
  makeKey(userId: string, algorithm = 'ed25519', expires = 'never'): string {
    this.#gpg('--quick-gen-key', userId, algorithm, 'sign', expires)
    const fields = this.#gpg('--list-keys', '--with-colons', `=${userId}`).toString('utf8').split('\n')
    const line = fields.find((l) => l.startsWith('fpr:'))
    return (line?.split(':')[9] ?? '').toLowerCase()
  }

  /** The public key, armored unless `binary`. */
  exportKey(fingerprint: string, options: { readonly binary?: boolean } = {}): Uint8Array {
    return this.#gpg(...(options.binary ? [] : ['--armor']), '--export', fingerprint)
  }

  /** An armored detached signature of a file. */
  sign(fingerprint: string, file: string, ...options: readonly string[]): Uint8Array {
    return this.#gpg(...options, '--local-user', fingerprint, '--armor', '--detach-sign', '--output', '-', file)
  }

  revoke(fingerprint: string): void {
    // GnuPG writes a revocation with every key; a colon keeps it from being imported by mistake
    const certificate = readFileSync(join(this.#home, 'openpgp-revocs.d', `${fingerprint.toUpperCase()}.rev`), 'utf8')
    this.#gpgWith(certificate.replace(/^:-----BEGIN/m, '-----BEGIN'), '--import')
  }

  stop(): void {
    spawnSync('gpgconf', ['--homedir', this.#home, '--kill', 'gpg-agent'])
  }

  #gpg(...args: readonly string[]): Buffer {
    return this.#gpgWith('', ...args)
  }

  #gpgWith(input: string, ...args: readonly string[]): Buffer {
    const common = [
      '--homedir',
      this.#home,
      '--batch',
      '--quiet',
      '--no-tty',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
    ]
    return execFileSync('gpg', [...common, ...args], { input, stdio: ['pipe', 'pipe', 'pipe'] })
  }
}

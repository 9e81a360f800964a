import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Why networks cannot be made here; undefined where they can. */
export function networksImpossible(): string | undefined {
  if (process.geteuid?.() !== 0) return 'network namespaces are made by root'
  const missing = ['/usr/lib/cni/ptp', '/usr/lib/cni/bridge', '/usr/lib/cni/host-local', '/usr/lib/cni/portmap'].find(
    (file) => !fs.existsSync(file),
  )
  if (missing !== undefined) return `no ${missing} (containernetworking-plugins)`
  const tools = ['ip', 'iptables-save', 'nsenter', 'unshare']
  const tool = tools.find(
    (name) => !['/usr/sbin', '/sbin', '/usr/bin', '/bin'].some((d) => fs.existsSync(`${d}/${name}`)),
  )
  return tool === undefined ? undefined : `no ${tool}`
}

/** A network namespace that plays the host's: whatever plugins and iptables do in it is gone with it. */
export class HostNetwork {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  static make(): HostNetwork {
    const host = new HostNetwork(fs.mkdtempSync(path.join(tmpdir(), 'holdfast-host-')))
    fs.writeFileSync(host.#namespace, '')
    execFileSync('unshare', [`--net=${host.#namespace}`, 'ip', 'link', 'set', 'lo', 'up'])
    return host
  }

  /** What is put before a command that is to run in it. */
  get command(): readonly string[] {
    return ['nsenter', `--net=${this.#namespace}`]
  }

  /** Standard output of a command that ends well. */
  run(...command: readonly string[]): string {
    const [program = '', ...args] = [...this.command, ...command]
    return execFileSync(program, args, { encoding: 'utf8' })
  }

  /** Interfaces and rules that are there now, but for what the kernel and portmap never take away. */
  traces(): string[] {
    const interfaces = this.run('ip', '-o', 'link').split('\n')
    const rules = this.run('iptables-save').split('\n')
    return [
      ...interfaces.map((line) => line.split(': ')[1] ?? '').filter((name) => name !== '' && name !== 'lo'),
      ...rules.filter(
        (line) =>
          line.startsWith('-A') &&
          !/^-A (PREROUTING|OUTPUT|POSTROUTING).*CNI-HOSTPORT|^-A CNI-HOSTPORT-(MASQ|SETMARK)/.test(line),
      ),
    ]
  }

  remove(): void {
    execFileSync('umount', [this.#namespace])
    fs.rmSync(this.#directory, { recursive: true })
  }

  get #namespace(): string {
    return path.join(this.#directory, 'net')
  }
}

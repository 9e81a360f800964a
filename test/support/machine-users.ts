import { type ChildProcess, spawn } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PROJECT_ROOT, type Ran, run } from './holdfast.ts'

/** User IDs that no machine has, and the groups of each; the first is the primary one. */
const GROUPS = { holdfast: 64_101, 'holdfast-admin': 64_102, 'holdfast-agent': 64_103, nobodys: 64_104 } as const
export const USERS = {
  holdfast: { uid: 64_101, groups: ['holdfast', 'holdfast-admin'] },
  'holdfast-agent': { uid: 64_103, groups: ['holdfast-agent', 'holdfast'] },
  /** Member of holdfast-admin. */
  admin: { uid: 64_105, groups: ['nobodys', 'holdfast', 'holdfast-admin'] },
  /** Member of holdfast alone. */
  looker: { uid: 64_106, groups: ['nobodys', 'holdfast'] },
  outsider: { uid: 64_107, groups: ['nobodys'] },
} as const
export type Who = keyof typeof USERS | 'root'

/** Why the users of a machine cannot be tried out here; undefined where they can. */
export function cannotHaveUsers(): string | undefined {
  if (process.geteuid?.() !== 0) return 'not root'
  for (let dir = join(PROJECT_ROOT, 'build'); dir !== '/'; dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o005) !== 0o005) return `other users cannot read ${dir}`
  }
  return undefined
}

/**
 * A machine that has Holdfast's users, without this one getting any: each command gets a mount namespace with an /etc
 * and a /run of its own, so that what finds them is what finds them on a node.
 */
export class MachineUsers {
  /** Passable for all; removed by remove(). */
  readonly directory: string

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
    chmodSync(this.directory, 0o755)
    cpSync('/etc', this.etc, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => !/^\/etc\/ssl\/private/.test(file),
    })
    const groups = Object.entries(GROUPS).map(([name, gid]) => {
      const members = Object.entries(USERS).filter(([, u]) => u.groups.slice(1).some((g) => g === name))
      return `${name}:x:${gid}:${members.map(([user]) => user).join(',')}\n`
    })
    appendFileSync(join(this.etc, 'group'), groups.join(''))
    const users = Object.entries(USERS).map(
      ([
        name,
        {
          uid,
          groups: [g],
        },
      ]) => `${name}:x:${uid}:${GROUPS[g]}::/:/bin/false\n`,
    )
    appendFileSync(join(this.etc, 'passwd'), users.join(''))
    mkdirSync(join(this.run, 'holdfast'), { recursive: true })
    chownSync(join(this.run, 'holdfast'), 0, GROUPS['holdfast-agent'])
    chmodSync(join(this.run, 'holdfast'), 0o1775)
  }

  get etc(): string {
    return join(this.directory, 'etc')
  }
  get run(): string {
    return join(this.directory, 'run')
  }

  /** What in front of a command makes it one of this user on this machine; the process stays the one that is started. */
  as(who: Who, capabilities: readonly string[] = []): readonly string[] {
    const mounts = `mount --bind ${this.etc} /etc && mount --bind ${this.run} /run && exec "$@"`
    const namespace = ['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-c', mounts, 'sh']
    if (who === 'root') return namespace
    const { uid, groups } = USERS[who]
    const [gid, ...others] = groups.map((g) => GROUPS[g])
    const keep = capabilities.flatMap((c) => ['--inh-caps', `+${c}`, '--ambient-caps', `+${c}`])
    const groupsOption = others.length === 0 ? '--clear-groups' : `--groups=${others.join()}`
    return [...namespace, 'setpriv', `--reuid=${uid}`, `--regid=${gid}`, groupsOption, ...keep]
  }

  exec(who: Who, ...command: readonly string[]): Promise<Ran> {
    const [program = '', ...args] = [...this.as(who), ...command]
    return run(program, args)
  }

  /** Started, and left to the caller to wait for. */
  start(who: Who, env: NodeJS.ProcessEnv, ...command: readonly string[]): ChildProcess {
    const [program = '', ...args] = [...this.as(who), ...command]
    return spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** What the kernel says of a process. */
export function rightsOf(pid: number): {
  readonly uid: number
  readonly gid: number
  readonly groups: number[]
  readonly capabilities: bigint
} {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): string[] =>
    (new RegExp(`^${name}:\\t(.*)$`, 'm').exec(status)?.[1] ?? '').trim().split(/\s+/)
  const same = (name: string): number => {
    const ids = new Set(field(name))
    return ids.size === 1 ? Number([...ids][0]) : Number.NaN // real, effective, saved, of the file system
  }
  const caps = ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((name) => BigInt(`0x${field(name)[0]}`))
  return {
    uid: same('Uid'),
    gid: same('Gid'),
    groups: field('Groups').map(Number),
    capabilities: caps.reduce((a, b) => a | b, 0n),
  }
}

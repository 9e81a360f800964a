import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readCgroupMounts } from '../../stage1/pod/cgroups.ts'
import { HOLDFAST_PROGRAM, type Ran, run } from './holdfast.ts'
import { KVM } from './measured-flavours.ts'
import { assertInStep, type WholeNode } from './whole-path.ts'

/** What `holdfast status --format=json` says. */
export interface PodStatusJson {
  readonly state: string
  readonly networks: readonly string[] | null
  readonly accelerator: string | null
  readonly vmEnd: { readonly end: string; readonly message: string } | null
  readonly apps: readonly {
    readonly name: string
    readonly exitStatus: number | null
    readonly reason: string | null
    readonly oomKills: number
  }[]
}

/** How long anything that a virtual machine does may take, for `--wait`. */
export const IN_TIME = '60s'

/** Virtual machines on one node, by the commands that its users have. */
export class KvmPods {
  readonly node: WholeNode
  readonly #prefix: readonly string[]

  /** @param prefix what is put before each command, such as `nsenter --net=FILE` */
  constructor(node: WholeNode, prefix: readonly string[] = []) {
    this.node = node
    this.#prefix = prefix
  }

  command(...words: readonly string[]): Promise<Ran> {
    const [program = '', ...args] = [...this.#prefix, HOLDFAST_PROGRAM, ...words]
    return run(program, args)
  }

  launch(...words: readonly string[]): Promise<Ran> {
    return this.command('run', ...this.node.d.nodeOptions, ...KVM.options, ...words)
  }

  /** Starts a pod that goes on by itself. @returns its UUID when its apps run */
  async detach(...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.launch('--detach', ...words)
    assert.equal(status, 0, stderr)
    const uuid = stdout.trim()
    await this.done('status', `--wait-ready=${IN_TIME}`, uuid)
    return uuid
  }

  /** Of a command about pods that must end well, standard output. */
  async done(command: string, ...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.command(command, '--dir', this.node.d.dataDirectory, ...words)
    assert.equal(status, 0, `${command} ${words.join(' ')}: ${stderr}`)
    return stdout
  }

  enter(uuid: string, app: string, command: readonly string[], input = ''): Ran {
    const { d } = this.node
    const own = ['--dir', d.dataDirectory, '--agent', d.agentSocket, '--trust', d.trustFile, '--app', app]
    const ran = spawnSync(HOLDFAST_PROGRAM, ['enter', ...own, uuid, ...command], { input, encoding: 'utf8' })
    return { status: ran.status ?? 255, stdout: ran.stdout, stderr: ran.stderr }
  }

  async status(uuid: string, ...options: readonly string[]): Promise<PodStatusJson> {
    return JSON.parse(await this.done('status', '--format=json', ...options, uuid))
  }

  /** Resolves when an app that runs detached has said this. */
  async hasSaid(uuid: string, app: string, text: string): Promise<string> {
    return this.node.d.agent.waitUntil(`${text} from ${app}`, async () => {
      const said = await this.done('logs', '--app', app, uuid)
      return said.includes(text) ? said : undefined
    })
  }

  /** Waits for the end; log and register agree behind it. @returns how it ended, and what the log has of that */
  async ended(uuid: string) {
    const status = await this.status(uuid, `--wait=${IN_TIME}`)
    assert.equal(status.state, 'exited')
    const records = await assertInStep(this.node.d)
    const exited = records.flatMap((r) => (r.record === 'exited' && r.uuid === uuid ? [r] : []))
    assert.equal(exited.length, 1)
    return { status, exited: { reason: exited[0]?.reason, statuses: exited[0]?.statuses } }
  }
}

/** Running processes of a pod, by their control group. */
export function processesOf(uuid: string): { readonly pid: number; readonly parent: number; readonly name: string }[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry) || !readOr(`/proc/${entry}/cgroup`).includes(`/holdfast/${uuid}`)) return []
    const status = readOr(`/proc/${entry}/status`)
    const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? ''
    if (['', 'Z', 'X'].includes(field('State'))) return []
    return [{ pid: Number(entry), parent: Number(field('PPid')), name: field('Name') }]
  })
}

/** The machine monitor of a pod, whose parent is the pod's keeper. */
export function machineOf(uuid: string): { readonly pid: number; readonly parent: number } {
  return processesOf(uuid).find((p) => p.name.startsWith('qemu-system')) ?? assert.fail('there is no QEMU')
}

/** What of a pod is left on the host besides its directory: processes, control groups, mounts, network namespace. */
export function leftOf(uuid: string): string[] {
  const { v1, named, v2 } = readCgroupMounts()
  const groups = [...Object.values(v1), named, v2].flatMap((root) => (root === undefined ? [] : [root]))
  return [
    ...processesOf(uuid).map(({ name }) => name),
    ...groups.map((root) => join(root, 'holdfast', uuid)).filter((group) => existsSync(group)),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(uuid)),
    ...[`/run/holdfast/netns/${uuid}`].filter((file) => existsSync(file)),
  ]
}

/** Empty for a process that is gone. */
function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

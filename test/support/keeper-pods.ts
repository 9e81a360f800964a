import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { tryFlock } from '../../native/process/index.ts'
import { newPodUuid } from '../../stage1/pod/index.ts'
import { FAKE_QEMU } from './keeper-fake-qemu.ts'
import { buildStage1Program, type Ended, ended, erofsOf, STAGE1_PROGRAM } from './pods.ts'
import { type StartedPod, whenFile } from './stage1-pods.ts'

/** Who QEMU is in these tests; nobody by this number has anything. */
export const QEMU_USER = 61_234

/** Why no keeper can be started here; undefined where one can. */
export function keeperImpossible(...programs: readonly string[]): string | undefined {
  if (process.geteuid?.() !== 0) return 'virtual machines are started by root'
  for (const program of ['mkfs.erofs', 'busybox', ...programs]) {
    if (!['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((d) => fs.existsSync(`${d}/${program}`)))
      return `no ${program}`
  }
  return undefined
}

/** Items as plan files hold them. */
export function list(...items: readonly string[]): string {
  return items.map((item) => `${item}\0`).join('')
}

export interface KeeperSettings {
  /** Names of the apps; `app` where it is not said. */
  readonly apps?: readonly string[]
  /** Plan files besides, or instead of, those of a pod without network and shares. */
  readonly plan?: Readonly<Record<string, string | Uint8Array>>
  /** What QEMU is: a script for the fake one (keeper-fake-qemu.ts), or a program and its arguments. */
  readonly qemu: string | { readonly program: string; readonly argv: readonly string[] }
  readonly virtiofsd?: string
  /** Files that are handed over as disks that are only read. */
  readonly disks?: readonly string[]
  readonly stdin?: 'pipe' | 'ignore'
  /** A program that is given the command line as one text, e.g. to give it a terminal. */
  readonly wrapper?: readonly string[]
  /** Put before the command, e.g. to lower a limit. */
  readonly prefix?: readonly string[]
}

/** Pod directories of virtual machines without stage0; everything is removed by `stop`. */
export class KeeperPods {
  readonly work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-keeper-'))
  readonly #image: string
  readonly #started: StartedPod[] = []

  /** @param stage1 fills the stage1 image; without it kernel and initramfs are a few bytes that no fake QEMU reads */
  constructor(stage1: (root: string) => void = emptyStage1) {
    buildStage1Program()
    const root = path.join(this.work, 'stage1')
    fs.mkdirSync(root)
    stage1(root)
    this.#image = erofsOf(root)
  }

  start(settings: KeeperSettings): StartedPod {
    const { apps = ['app'], qemu, disks = [], virtiofsd, wrapper = [], prefix = [] } = settings
    const uuid = newPodUuid()
    const podPath = path.join(this.work, uuid)
    for (const name of ['plan', 'stage1', 'status', 'log']) fs.mkdirSync(path.join(podPath, name), { recursive: true })
    const fake = typeof qemu === 'string'
    const argv = fake ? ['node', '-e', `${FAKE_QEMU}\n${qemu}`] : qemu.argv
    const plan: Record<string, string | Uint8Array> = {
      'apps.list': list(...apps),
      streams: list('pass'),
      'stop-timeout-ms': list('60000'),
      'boot-timeout-ms': list('60000'),
      network: list('none'),
      qemu: list(...argv),
      'qemu-env': '',
      'qemu-user': list(String(QEMU_USER), String(QEMU_USER)),
      'pod.cpio': 'pod',
      'addresses.cpio': 'addresses',
      virtiofsd: virtiofsd === undefined ? '' : list(virtiofsd),
      ...settings.plan,
    }
    for (const name of [
      ...['cgroups', 'cgroup-settings', 'cgroups.join', 'device-policy-cgroup', 'device-policy'],
      ...['taps', 'shares', 'qemu-devices', 'tpm', 'tpm-user'],
    ]) {
      plan[name] ??= ''
    }
    for (const [name, content] of Object.entries(plan)) fs.writeFileSync(path.join(podPath, 'plan', name), content)
    const program = fake ? process.execPath : qemu.program
    const files = [podPath, program, this.#image, ...(virtiofsd === undefined ? [] : [virtiofsd])]
    const fds = [...files.map((file) => fs.openSync(file, 'r')), ...disks.map((file) => fs.openSync(file, 'r'))]
    if (!tryFlock(fds[0] ?? -1, 'exclusive')) throw new Error(`${podPath} is locked`)
    const command = [
      ...prefix,
      STAGE1_PROGRAM,
      'launch-vm',
      path.join(podPath, 'plan'),
      ...fds.map((_, i) => String(3 + i)),
    ]
    const [first = '', ...args] = wrapper.length === 0 ? command : [...wrapper, command.join(' '), '/dev/null']
    const child = spawn(first, args, { stdio: [settings.stdin ?? 'ignore', 'pipe', 'pipe', ...fds] })
    for (const fd of fds) fs.closeSync(fd)
    const started = { child, uuid, path: podPath, plan: new Map(), end: ended(child) }
    this.#started.push(started)
    return started
  }

  run(settings: KeeperSettings): Promise<Ended & StartedPod> {
    const started = this.start(settings)
    return started.end.then((end) => ({ ...started, ...end }))
  }

  /** Starts `attach` to the first app of a pod. @param profile files that the guest is sent */
  attach(
    pod: StartedPod,
    options: {
      app?: string
      streams?: string
      stdin?: 'pipe' | 'ignore'
      profile?: Readonly<Record<string, string | Uint8Array>>
      user?: number
    } = {},
  ): { readonly child: ChildProcess; readonly end: Promise<Ended> } {
    const profile = fs.mkdtempSync(path.join(this.work, 'profile-'))
    fs.chmodSync(profile, 0o755)
    for (const [name, content] of Object.entries(options.profile ?? { argv: list('/bin/true') }))
      fs.writeFileSync(path.join(profile, name), content)
    const child = spawn(
      STAGE1_PROGRAM,
      ['attach', path.join(pod.path, 'enter.sock'), options.app ?? '0', profile, options.streams ?? 'pass'],
      {
        stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
        ...(options.user === undefined ? {} : { uid: options.user, gid: options.user }),
      },
    )
    return { child, end: ended(child) }
  }

  async stop(): Promise<void> {
    for (const { child, end } of this.#started) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL') // QEMU ends with it
      await end
    }
    fs.rmSync(this.work, { recursive: true, force: true })
  }
}

function emptyStage1(root: string): void {
  fs.writeFileSync(path.join(root, 'vmlinuz'), 'kernel')
  fs.writeFileSync(path.join(root, 'initramfs'), 'initramfs')
}

/** status/_vm.json. */
export function vmEnd(pod: StartedPod): { readonly end: string; readonly message: string } {
  return JSON.parse(fs.readFileSync(path.join(pod.path, 'status/_vm.json'), 'utf8'))
}

/** Resolves when a log of the pod has a text in it. */
export function whenLogged(pod: StartedPod, name: string, text: string): Promise<string> {
  return whenFile(pod, `log/${name}.log`, (content) => content.includes(text))
}

/** PIDs of the children of a keeper without shares: QEMU, and who holds the pod's lock until QEMU has ended. */
export function childrenOf(pid: number | undefined): number[] {
  return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

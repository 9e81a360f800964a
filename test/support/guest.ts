import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { utf8 } from '../../attestation/base/index.ts'
import { cpioArchive } from '../../stage1/flavours/kvm/cpio.ts'
import {
  initramfs,
  KERNEL_ARGUMENTS,
  kernelCommandLine,
  moduleLoadOrder,
  parseModuleList,
} from '../../stage1/flavours/kvm/index.ts'
import type { TarMember } from '../../stage1/flavours/tar.ts'
import { hashTreeLayout } from '../../stage1/image/hash-tree.ts'
import { treeDigestOf } from '../../stage1/image/index.ts'
import { type PodManifest, rootHashOf } from '../../stage1/manifest/index.ts'
import { planGuest } from '../../stage1/pod/guest-plan.ts'
import { newPodUuid, type Streams } from '../../stage1/pod/index.ts'
import { FRAME, type Frame, windowSize } from './guest-frames.ts'
import { GuestPort } from './guest-port.ts'
import { PROJECT_ROOT } from './holdfast.ts'
import { buildStage1Program, busyboxTree, STAGE1_PROGRAM } from './pods.ts'

const QEMU = '/usr/bin/qemu-system-x86_64'
const KERNEL = path.join(PROJECT_ROOT, 'build/kernel')
const BLOCK = 4096
const ENTER_PORTS = 4

/** Why no guest can be booted here; undefined where one can. */
export function guestsImpossible(): string | undefined {
  if (!fs.existsSync(QEMU)) return `no ${QEMU}`
  if (!fs.existsSync(path.join(KERNEL, 'vmlinuz'))) return 'no build/kernel; config/guest-kernel.sh gets it'
  if (!['/usr/bin', '/bin'].some((d) => fs.existsSync(`${d}/busybox`))) return 'no busybox'
  return undefined
}

/** A disk's content: the image, its hash tree and root hash. */
export interface GuestTree {
  readonly data: string
  readonly hashes: string
  readonly rootHash: string
  readonly blocks: number
}

export interface GuestSettings {
  readonly streams?: Streams
  readonly memoryMiB?: number
  /** Edits the plan's files, which are named as below /s1/plan. */
  readonly change?: (files: Map<string, Uint8Array>) => void
  readonly tree?: GuestTree
  /** More arguments of QEMU. */
  readonly more?: readonly string[]
  /** What the guest runs instead of `guest`. */
  readonly mode?: string
}

/** How QEMU ended, and what it said of the guest. */
export interface GuestEnd {
  readonly status: number | null
  readonly console: string
  /** By QMP: SHUTDOWN's reason and, where the kernel gave up, GUEST_PANICKED. */
  readonly events: readonly string[]
  readonly stderr: string
}

export interface Entered {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** A guest that was started as launch-vm would. Its keeper is the test. */
export class Guest {
  readonly child: ChildProcess
  readonly plan: ReadonlyMap<string, Uint8Array>
  readonly control: GuestPort
  readonly streams: GuestPort
  readonly enter: readonly GuestPort[]
  readonly end: Promise<GuestEnd>
  readonly qmp: Server

  constructor(parts: Pick<Guest, 'child' | 'plan' | 'control' | 'streams' | 'enter' | 'end' | 'qmp'>) {
    this.child = parts.child
    this.plan = parts.plan
    this.control = parts.control
    this.streams = parts.streams
    this.enter = parts.enter
    this.end = parts.end
    this.qmp = parts.qmp
  }

  /** Resolves with the first such frame of control; rejects where the guest ends before. */
  async told(is: (f: Frame) => boolean): Promise<Frame> {
    const ended = this.end.then((end) => {
      throw new Error(`the guest ended before it told: ${end.events.join()} ${end.console}${end.stderr}`)
    })
    ended.catch(() => {})
    return Promise.race([this.control.when(is), ended])
  }

  /** Resolves when an app has said `text`. */
  async said(text: string, channel = 0, kind: number = FRAME.OUT): Promise<void> {
    const has = (): boolean => this.streams.said(kind, channel).includes(text)
    const ended = this.end.then((end) => {
      if (!has()) throw new Error(`the guest ended before ${text}: ${end.events.join()} ${end.console}`)
    })
    ended.catch(() => {})
    await Promise.race([this.streams.when(has), ended])
  }

  /** What the control port has said of an app's phases. */
  phases(app = 0): number[] {
    return this.control.frames.flatMap((f) => (f.kind === FRAME.APP && f.channel === app ? [f.payload[0] ?? -1] : []))
  }

  /** Runs a program in an app, as the keeper does for `holdfast enter`. */
  async run(
    port: number,
    app: string,
    argv: readonly string[],
    terminal?: readonly [number, number],
  ): Promise<Entered> {
    const { at, exit } = await this.open(port, app, argv, terminal)
    const { payload } = await exit
    const io = this.enterPort(port)
    return { status: payload[0] ?? -1, stdout: io.said(FRAME.OUT, 0, at), stderr: io.said(FRAME.ERR, 0, at) }
  }

  /** Starts one. @returns the frames that came before, and the last one of the session */
  async open(
    port: number,
    app: string,
    argv: readonly string[],
    terminal?: readonly [number, number],
  ): Promise<{ readonly at: number; readonly exit: Promise<Frame> }> {
    const io = this.enterPort(port)
    const at = io.frames.length
    const exits = (): number => io.frames.filter((f) => f.kind === FRAME.EXIT).length
    const before = exits()
    const position = Buffer.from(this.plan.get('apps.list') ?? [])
      .toString()
      .split('\0')
      .indexOf(app)
    const flags = Buffer.from([position, terminal === undefined ? 0 : 1])
    await io.send(FRAME.OPEN, 0, Buffer.concat([flags, windowSize(...(terminal ?? [0, 0]))]))
    for (const [name, content] of this.#profile(app, argv)) {
      await io.send(FRAME.FILE, 0, Buffer.concat([utf8(`${name}\0`), content]))
    }
    await io.send(FRAME.START)
    return { at, exit: io.when((f) => f.kind === FRAME.EXIT && exits() > before) }
  }

  enterPort(port: number): GuestPort {
    const io = this.enter[port]
    if (io === undefined) throw new RangeError(`there is no port ${port}`)
    return io
  }

  #profile(app: string, argv: readonly string[]): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>()
    const own = `apps/${app}/`
    for (const [name, content] of this.plan) if (name.startsWith(own)) files.set(name.slice(own.length), content)
    files.set('argv', utf8(argv.map((a) => `${a}\0`).join('')))
    files.set('cgroups.join', files.get('enter.join') ?? new Uint8Array(0))
    files.set('cgroup-members', files.get('enter.members') ?? new Uint8Array(0))
    return files
  }
}

/** Boots guests; everything is ended and removed by `stop`. */
export class Guests {
  readonly work: string
  readonly tree: GuestTree
  readonly initramfs: Uint8Array
  readonly #started: Guest[] = []
  #count = 0

  /** @param extra adds to the busybox tree that all apps have */
  constructor(extra?: (root: string) => void) {
    buildStage1Program()
    this.work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-guest-'))
    this.tree = this.treeOf(busyboxTree(this.work, extra))
    const [release = ''] = fs.readdirSync(path.join(KERNEL, 'lib/modules'))
    const modules = path.join(KERNEL, 'lib/modules', release)
    const wanted = parseModuleList(fs.readFileSync(path.join(PROJECT_ROOT, 'config/guest-modules'), 'utf8'))
    const files = moduleLoadOrder(fs.readFileSync(path.join(modules, 'modules.dep'), 'utf8'), wanted)
    this.initramfs = initramfs({
      program: fs.readFileSync(STAGE1_PROGRAM),
      modules: files.map((f) => [path.basename(f), new Uint8Array(fs.readFileSync(path.join(modules, f)))] as const),
    })
  }

  /** Makes the hash tree of an EROFS file. */
  treeOf(data: string): GuestTree {
    const fd = fs.openSync(data, 'r')
    const hashes = `${data}.hashes`
    const out = fs.openSync(hashes, 'w')
    try {
      const { size } = fs.fstatSync(fd)
      const { sizeBytes, offsetOf } = hashTreeLayout(size / BLOCK)
      const digest = treeDigestOf(fd, size, (level, index, block) => {
        fs.writeSync(out, block, 0, block.length, offsetOf(level, index))
      })
      fs.ftruncateSync(out, Math.max(sizeBytes, BLOCK))
      return { data, hashes, rootHash: rootHashOf(digest), blocks: size / BLOCK }
    } finally {
      fs.closeSync(fd)
      fs.closeSync(out)
    }
  }

  async start(manifest: PodManifest, s: GuestSettings = {}): Promise<Guest> {
    const work = path.join(this.work, `g${this.#count++}`)
    fs.mkdirSync(work)
    const tree = s.tree ?? this.tree
    const files = this.#plan(manifest, s, tree)
    const initrd = path.join(work, 'initrd')
    fs.writeFileSync(initrd, Buffer.concat([this.initramfs, podCpio(files)]))
    const names = ['control', 'streams', ...Array.from({ length: ENTER_PORTS }, (_, i) => `enter.${i}`)]
    const ports = await Promise.all(names.map((name) => GuestPort.listen(path.join(work, name))))
    const [control, streams, ...enter] = ports
    if (control === undefined || streams === undefined) throw new Error('no ports')
    const events: string[] = []
    const qmp = qmpServer(path.join(work, 'qmp'), events)
    await once(qmp, 'listening')
    const child = spawn(
      QEMU,
      [
        ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(s.memoryMiB ?? 160), '-machine', 'q35'],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-kernel', path.join(KERNEL, 'vmlinuz'), '-initrd', initrd],
        ...['-append', kernelCommandLine(KERNEL_ARGUMENTS, 'tcg', ['/init', s.mode ?? 'guest'])],
        ...['-serial', `file:${path.join(work, 'console')}`, '-qmp', `unix:${path.join(work, 'qmp')}`],
        ...['-device', 'pvpanic-pci', '-device', 'virtio-serial-pci,max_ports=16'],
        ...names.flatMap((name, i) => [
          ...['-chardev', `socket,id=p${i},path=${path.join(work, name)}`],
          ...['-device', `virtserialport,chardev=p${i},name=holdfast.${name}`],
        ]),
        ...drive('d0', tree.data, true),
        ...drive('h0', tree.hashes, true),
        ...(s.more ?? []),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let stderr = ''
    child.stderr?.on('data', (bytes: Buffer) => {
      stderr += bytes.toString('utf8')
    })
    const end = once(child, 'close').then(([status]) => ({
      status,
      console: fs.readFileSync(path.join(work, 'console'), 'utf8'),
      events,
      stderr,
    }))
    const guest = new Guest({ child, plan: files, control, streams, enter, end, qmp })
    this.#started.push(guest)
    return guest
  }

  /** Runs a pod to its end: OFF is said when RESULT and the ends of all streams have come. */
  async run(
    manifest: PodManifest,
    s: GuestSettings = {},
  ): Promise<Guest & GuestEnd & { readonly result: number | undefined }> {
    const guest = await this.start(manifest, s)
    void this.conclude(guest, manifest.apps.length)
    const end = await guest.end
    const result = guest.control.frames.find((f) => f.kind === FRAME.RESULT)?.payload[0]
    return Object.assign(guest, end, { result })
  }

  /** What a keeper does at the end of a pod. */
  async conclude(guest: Guest, apps: number): Promise<void> {
    await guest.control.when((f) => f.kind === FRAME.RESULT)
    const kinds = [FRAME.OUT, FRAME.ERR]
    for (let app = 0; app < apps; app++) {
      for (const kind of kinds) {
        await guest.streams.when((f) => f.kind === kind && f.channel === app && f.payload.length === 0)
      }
    }
    await guest.control.send(FRAME.OFF)
  }

  #plan(manifest: PodManifest, s: GuestSettings, tree: GuestTree): Map<string, Uint8Array> {
    const list = (...items: string[]): Uint8Array => utf8(items.map((i) => `${i}\0`).join(''))
    const { files, hostname } = planGuest(manifest, {
      uuid: newPodUuid(),
      arch: process.arch,
      seccomp: true,
      ...(s.streams === undefined ? {} : { streams: s.streams }),
    })
    const plan = new Map(files)
    plan.set('hostname', list(hostname))
    plan.set('salt', new Uint8Array(randomBytes(32)))
    plan.set('trees', list(...manifest.apps.flatMap(() => ['d0', 'h0', String(tree.blocks), tree.rootHash])))
    plan.set('writable', list('memory'))
    plan.set('memory-layer-bytes', list(String(16 << 20)))
    plan.set('tpm', list('none'))
    for (const name of ['resolv.conf', 'hosts', 'interfaces']) plan.set(name, new Uint8Array(0))
    s.change?.(plan)
    return plan
  }

  async stop(): Promise<void> {
    for (const guest of this.#started) {
      if (guest.child.exitCode === null && guest.child.signalCode === null) guest.child.kill('SIGKILL')
      await guest.end
      guest.qmp.close()
      for (const port of [guest.control, guest.streams, ...guest.enter]) await port.close()
    }
    fs.rmSync(this.work, { recursive: true, force: true })
  }
}

/** Arguments for a disk with this serial. */
export function drive(serial: string, file: string, readOnly: boolean): string[] {
  const access = readOnly ? ',readonly=on' : ''
  return [
    ...['-drive', `if=none,id=${serial},format=raw,file=${file}${access}`],
    ...['-device', `virtio-blk-pci,drive=${serial},serial=${serial}`],
  ]
}

function podCpio(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const directories = new Set(['s1', 's1/plan'])
  for (const name of files.keys()) {
    const parts = name.split('/').slice(0, -1)
    parts.forEach((_, i) => {
      directories.add(`s1/plan/${parts.slice(0, i + 1).join('/')}`)
    })
  }
  const members: TarMember[] = [...directories].map((name) => ({ name, kind: 'directory', mode: 0o755 }))
  for (const [name, content] of files) members.push({ name: `s1/plan/${name}`, kind: 'file', mode: 0o644, content })
  return cpioArchive(members)
}

/** QEMU connects to it; what happens to the guest goes to `events`. */
function qmpServer(file: string, events: string[]): Server {
  return createServer((socket) => {
    let text = ''
    socket.on('error', () => {})
    socket.write('{"execute":"qmp_capabilities"}\n')
    socket.on('data', (bytes) => {
      text += bytes.toString('utf8')
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const { event, data } = JSON.parse(line)
        if (event === 'SHUTDOWN') events.push(`SHUTDOWN ${data.reason}`)
        if (event === 'GUEST_PANICKED') events.push(event)
      }
    })
  }).listen(file)
}

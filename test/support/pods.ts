import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { canonicalJson, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { type LaunchRequest, signTicket } from '../../attestation/protocol/index.ts'
import { nspawnStage1Image } from '../../stage1/flavours/nspawn/index.ts'
import { openImageStore, type StoredImage, treeDigestOf } from '../../stage1/image/index.ts'
import { manifestFromBlob, writeOrigin, writeRecord, written } from '../../stage1/image/records.ts'
import { imageId, rootHashOf } from '../../stage1/manifest/index.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Service } from './holdfast.ts'
import { writeImagePolicy } from './image-policy.ts'
import { stage0SocketIn, startStage0 } from './stage0.ts'

export const STAGE1_PROGRAM = path.join(PROJECT_ROOT, 'build/holdfast-stage1')

/** Why pods cannot be started here; undefined where they can. */
export function podsImpossible(): string | undefined {
  if (process.geteuid?.() !== 0) return 'pods are started by root'
  for (const program of ['systemd-nspawn', 'mkfs.erofs', 'busybox']) {
    if (!['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((d) => fs.existsSync(`${d}/${program}`)))
      return `no ${program}`
  }
  return undefined
}

/** Builds holdfast-stage1 where it is not up to date. */
export function buildStage1Program(): void {
  fs.mkdirSync(path.join(PROJECT_ROOT, 'build'), { recursive: true })
  execFileSync('make', ['-s', '-C', path.join(PROJECT_ROOT, 'native/stage1')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/** A root file system with busybox and what `extra` adds, as an EROFS file. */
export function busyboxTree(workDir: string, extra?: (root: string) => void): string {
  const root = fs.mkdtempSync(path.join(workDir, 'tree-'))
  for (const name of ['bin', 'etc', 'root', 'tmp']) fs.mkdirSync(path.join(root, name))
  fs.copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'))
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox') fs.symlinkSync('busybox', path.join(root, 'bin', applet))
  }
  fs.writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nweb:x:1001:1002::/:/bin/sh\n')
  fs.writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nweb:x:1002:\nlog:x:1003:web\nadm:x:1004:root\n')
  extra?.(root)
  return erofsOf(root)
}

/** The EROFS file of a directory. */
export function erofsOf(root: string): string {
  const file = `${root}.erofs`
  execFileSync('mkfs.erofs', ['--quiet', '-U', '00000000-0000-0000-0000-000000000000', file, root])
  return file
}

export interface ImageSettings {
  readonly name: string
  readonly entrypoint?: readonly string[]
  readonly cmd?: readonly string[]
  readonly env?: readonly string[]
  readonly user?: string
  readonly workingDir?: string
  readonly volumes?: readonly string[]
}

/** Puts an OCI image around a finished tree into a store, as a fetch would have. */
export function putOciImage(dir: string, tree: string, s: ImageSettings): StoredImage {
  const Volumes = s.volumes && Object.fromEntries(s.volumes.map((volume) => [volume, {}]))
  const config = utf8(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [] },
      config: { Entrypoint: s.entrypoint, Cmd: s.cmd, Env: s.env, User: s.user, WorkingDir: s.workingDir, Volumes },
    }),
  )
  return putImage(dir, tree, 'oci', `sha256-${toHex(digest('sha256', config))}`, config, s.name)
}

/** Puts the stage1 image of this installation into a store under the ID that its ACI has. */
export function putStage1(dir: string, workDir: string): StoredImage {
  const aci = nspawnStage1Image(new Uint8Array(fs.readFileSync(STAGE1_PROGRAM)), process.arch)
  fs.writeFileSync(path.join(PROJECT_ROOT, 'build/stage1-nspawn.aci.new'), aci)
  fs.renameSync(
    path.join(PROJECT_ROOT, 'build/stage1-nspawn.aci.new'),
    path.join(PROJECT_ROOT, 'build/stage1-nspawn.aci'),
  )
  const unpacked = fs.mkdtempSync(path.join(workDir, 'stage1-'))
  fs.writeFileSync(path.join(unpacked, 'aci'), aci)
  execFileSync('tar', ['xf', 'aci'], { cwd: unpacked })
  const id = `sha512-${createHash('sha512').update(aci).digest('hex').slice(0, 64)}`
  const manifest = new Uint8Array(fs.readFileSync(path.join(unpacked, 'manifest')))
  return putImage(
    dir,
    erofsOf(path.join(unpacked, 'rootfs')),
    'aci',
    id,
    manifest,
    path.join(PROJECT_ROOT, 'build/stage1-nspawn.aci'),
  )
}

function putImage(
  dir: string,
  tree: string,
  kind: 'oci' | 'aci',
  idText: string,
  config: Uint8Array,
  name: string,
): StoredImage {
  const store = openImageStore(dir)
  const id = imageId(idText)
  const configHex = toHex(digest('sha256', config))
  fs.writeFileSync(path.join(store.dir, 'cas/sha256', configHex), config)
  const fd = fs.openSync(tree, 'r')
  const size = fs.fstatSync(fd).size
  const treeDigest = treeDigestOf(fd, size)
  fs.closeSync(fd)
  fs.copyFileSync(tree, path.join(store.dir, 'trees', `${rootHashOf(treeDigest)}.erofs`))
  const record = {
    version: 1 as const,
    id,
    kind,
    configDigest: `sha256:${configHex}`,
    treeDigest,
    treeSizeBytes: size,
    manifest: manifestFromBlob(kind, id, config),
  }
  const origin = {
    name,
    imageId: id,
    manifestDigest: kind === 'aci' ? `sha256:${configHex}` : putManifest(store.dir, config),
    fetchedAt: new Date(0).toISOString(),
    relaxed: [],
    signers: [],
  }
  writeRecord(store, record)
  writeOrigin(store, origin)
  return { ...record, ...written(), origin: { ...origin, ...written() } }
}

/** A manifest that names a configuration and no layers. @returns its digest */
function putManifest(storeDir: string, config: Uint8Array): string {
  const configType = 'application/vnd.oci.image.config.v1+json'
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: configType, digest: `sha256:${toHex(digest('sha256', config))}`, size: config.length },
    layers: [],
  }
  const bytes = utf8(JSON.stringify(manifest))
  const hex = toHex(digest('sha256', bytes))
  fs.writeFileSync(path.join(storeDir, 'cas/sha256', hex), bytes)
  return `sha256:${hex}`
}

/** The file of an image's tree in a store. */
export function treeFile(dir: string, image: StoredImage): string {
  return path.join(dir, 'trees', `${rootHashOf(image.treeDigest)}.erofs`)
}

/** What a test changes in the answer of its agent. */
export interface AnswerChanges {
  /** Before anything is answered; the pod's directory is there by now. */
  readonly before?: (podDirectory: string) => void
  /** Status and body instead of the agent's. */
  readonly answer?: (good: { request: string; ticket: string }) => { status: number; body: string } | 'hang' | 'hang-up'
  readonly mode?: 'enforce' | 'audit' | 'off'
  readonly changeRequest?: (request: Record<string, unknown>) => void
  readonly changeClaims?: (claims: Record<string, unknown>) => void
}

/**
 * Stands for agent and verifier where only stage0 is tested: an HTTP server on a unix socket that signs a ticket for
 * whatever is asked, or answers as the test wants. The real ones are used in test/integration.
 */
export class FakeAgent {
  readonly socket: string
  readonly trust: string
  changes: AnswerChanges = {}
  readonly launches: Omit<LaunchRequest, 'node' | 'mode'>[] = []
  readonly enters: Record<string, unknown>[] = []
  readonly #server: Server
  readonly #key: KeyObject
  readonly #issuer: string

  private constructor(directory: string) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#key = privateKey
    this.#issuer = toHex(digest('sha256', new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))))
    this.socket = path.join(directory, 'agent.sock')
    this.trust = path.join(directory, 'trust.json')
    fs.writeFileSync(
      this.trust,
      JSON.stringify({
        v: 1,
        verifierId: this.#issuer,
        ticketKeys: [publicKey.export({ format: 'jwk' })],
        tlsSpkiSha256: [],
      }),
    )
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        const body = Buffer.concat(parts).toString('utf8')
        void (request.url === '/v1/enters' ? this.#answerEnter(body) : this.#answer(body)).then((a) => {
          if (a === 'hang') return
          if (a === 'hang-up') {
            request.socket.destroy()
            return
          }
          response.writeHead(a.status, { 'content-type': 'application/json' })
          response.end(a.body)
        })
      })
    })
  }

  static async start(directory: string): Promise<FakeAgent> {
    const agent = new FakeAgent(directory)
    agent.#server.listen(agent.socket)
    await once(agent.#server, 'listening')
    return agent
  }

  async stop(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #answer(body: string): Promise<{ status: number; body: string } | 'hang' | 'hang-up'> {
    const { podDirectory, ...launch } = JSON.parse(body)
    this.launches.push(launch)
    this.changes.before?.(podDirectory)
    const mode = this.changes.mode ?? 'enforce'
    const value: Record<string, unknown> = { ...launch, node: 'ab'.repeat(32), mode }
    this.changes.changeRequest?.(value)
    const request = canonicalJson(value)
    const ticket = await this.#ticket(launch.pod.uuid, request)
    if (this.changes.answer !== undefined) return this.changes.answer({ request, ticket })
    return { status: 200, body: JSON.stringify({ decision: 'allowed', mode, request, ticket, log: {} }) }
  }

  async #answerEnter(body: string): Promise<{ status: number; body: string } | 'hang' | 'hang-up'> {
    const enter = JSON.parse(body)
    this.enters.push(enter)
    const mode = this.changes.mode ?? 'enforce'
    const request = canonicalJson({ ...enter, node: 'ab'.repeat(32), mode, by: { uid: 0, gid: 0 } })
    const ticket = await this.#ticket(enter.pod, request)
    if (this.changes.answer !== undefined) return this.changes.answer({ request, ticket })
    return { status: 200, body: JSON.stringify({ decision: 'allowed', mode, request, ticket, log: {} }) }
  }

  async #ticket(pod: string, request: string): Promise<string> {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      v: 1 as const,
      iss: this.#issuer,
      sub: 'ab'.repeat(32),
      jti: randomBytes(16).toString('hex'),
      iat: now,
      nbf: now,
      exp: now + 60,
      cnf: { akName: `000b${'cd'.repeat(32)}` },
      pod,
      request: toHex(digest('sha256', utf8(request))),
      resetCount: 1,
      restartCount: 0,
      register: { pcr: 15, banks: { sha256: { before: '00'.repeat(32), after: '11'.repeat(32) } } },
      policy: { revision: '22'.repeat(32), allowedBy: ['test'] },
    }
    this.changes.changeClaims?.(claims)
    return signTicket(claims, this.#key)
  }
}

/** How a command ended. */
export interface Ended {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Data directory, store with stage1, and agent of one test file; everything is removed by `stop`. */
export class PodFixture {
  readonly work: string
  readonly dir: string
  readonly agent: FakeAgent
  readonly stage1: StoredImage
  /** They name an image policy that admits anything. */
  readonly configOptions: readonly string[]
  readonly stage0: Service | undefined
  readonly #children = new Set<ChildProcess>()
  /** Which network namespace plays the host's; what it is to be put before a command. */
  readonly #inNetwork: readonly string[]

  private constructor(work: string, agent: FakeAgent, stage0: Service | undefined, inNetwork: readonly string[]) {
    this.work = work
    this.stage0 = stage0
    this.#inNetwork = inNetwork
    this.dir = path.join(work, 'data')
    this.agent = agent
    this.stage1 = putStage1(this.dir, work)
    this.configOptions = writeImagePolicy(path.join(work, 'config'))
  }

  /**
   * @param options.stage0 launches are made with the help of a stage0 server
   * @param options.inNetwork what is put before every command, such as `nsenter --net=FILE`
   */
  static async start(
    options: { readonly stage0?: boolean; readonly inNetwork?: readonly string[] } = {},
  ): Promise<PodFixture> {
    buildStage1Program()
    const work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-pods-'))
    const { inNetwork = [] } = options
    const stage0 = options.stage0 === true ? await startStage0(work, inNetwork) : undefined
    return new PodFixture(work, await FakeAgent.start(work), stage0, inNetwork)
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGKILL') // the pod's PID 1 notices by its pipe
      await once(child, 'close')
    }
    await this.stage0?.stop()
    await this.agent.stop()
    const uuids = ['run', 'exited-garbage', 'garbage', 'prepare', 'embryo'].flatMap((state) => {
      const parent = path.join(this.dir, 'pods', state)
      return fs.existsSync(parent) ? fs.readdirSync(parent) : []
    })
    if (uuids.length > 0) await this.cli(['rm', ...uuids, ...this.dirOption])
    fs.rmSync(this.work, { recursive: true, force: true })
  }

  get dirOption(): string[] {
    return ['--dir', this.dir]
  }

  /** Starts `holdfast run` with this fixture's agent; the child is the pod once it is launched. */
  startRun(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
    const stage0 = this.stage0 === undefined ? 'none' : stage0SocketIn(this.work)
    const options = [...this.dirOption, '--agent', this.agent.socket, '--trust', this.agent.trust, '--stage0', stage0]
    return this.startCli(['run', ...options, ...this.configOptions, ...argv], env)
  }

  startCli(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
    const [program = '', ...args] = [...this.#inNetwork, HOLDFAST_PROGRAM, ...argv]
    const child = spawn(program, args, {
      cwd: PROJECT_ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.add(child)
    child.on('close', () => this.#children.delete(child))
    return child
  }

  /** With this fixture's data directory, agent and trust. */
  enter(...argv: readonly string[]): Promise<Ended> {
    return this.cli(['enter', ...this.dirOption, '--agent', this.agent.socket, '--trust', this.agent.trust, ...argv])
  }

  run(argv: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> {
    return ended(this.startRun(argv, env))
  }

  cli(argv: readonly string[]): Promise<Ended> {
    return ended(this.startCli(argv))
  }
}

/** Collects what a child says until it ends. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (part: Buffer) => {
    stdout += part.toString('utf8')
  })
  child.stderr?.on('data', (part: Buffer) => {
    stderr += part.toString('utf8')
  })
  const [status, signal] = await once(child, 'close')
  return { status, signal, stdout, stderr }
}

/** Waits until the child's standard output contains `text`. */
export async function said(child: ChildProcess, text: string): Promise<string> {
  let stdout = ''
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (part: Buffer) => {
      stdout += part.toString('utf8')
      if (stdout.includes(text)) resolve(stdout)
    })
    child.on('close', () => reject(new Error(`ended before it said ${text}; it said: ${stdout}`)))
  })
}

import fs from 'node:fs'
import path from 'node:path'
import { codeOf, fromUtf8, messageOf, utf8 } from '../../attestation/base/index.ts'
import type { PortMapping } from '../manifest/index.ts'
import { NetworkError } from './errors.ts'

/** Where namespaces of pods are kept as long as they have one; the name is the pod's UUID. */
export const NAMESPACE_DIR = '/run/holdfast/netns'

/** A network that a pod has joined. */
export interface JoinedNetwork {
  readonly name: string
  readonly interfaceName: string
  /** With prefix lengths. */
  readonly addresses: readonly string[]
}

/** Control groups of janitors: directories to be made, and files to write `0` to. */
export interface JanitorCgroups {
  readonly make: readonly string[]
  readonly join: readonly string[]
}

/**
 * `<pod>/network`: everything that is needed to undo what was set up (stage1/network/README.md). The file `namespace`
 * in it says that there is something to undo.
 */
export class PodNetworkDir {
  readonly path: string

  constructor(podPath: string) {
    this.path = path.join(podPath, 'network')
  }

  /**
   * Makes the directory and the file that the namespace will be mounted on; the mark comes before what it is about.
   *
   * @returns absolute path of the namespace
   * @throws NetworkError NETWORK_NAMESPACE_FAILED
   */
  create(uuid: string, cgroups: JanitorCgroups): string {
    return this.#writing(() => {
      const namespace = path.join(NAMESPACE_DIR, uuid)
      fs.mkdirSync(this.path, { recursive: true, mode: 0o711 })
      fs.mkdirSync(path.join(this.path, 'undo'), { recursive: true, mode: 0o700 })
      this.#write('cgroups', list(cgroups.make))
      this.#write('cgroups.join', list(cgroups.join))
      this.#write('namespace', list([namespace]))
      fs.mkdirSync(NAMESPACE_DIR, { recursive: true, mode: 0o755 })
      fs.writeFileSync(namespace, '', { flag: 'wx', mode: 0o600 })
      return namespace
    })
  }

  /**
   * Notes how a plugin is undone, before it does anything, and again when more is known: a step is replaced as a whole.
   *
   * @param obligation `may` for a plugin that refused: what it cannot set up it may be unable to undo as well
   */
  writeStep(
    position: number,
    obligation: 'must' | 'may',
    program: string,
    input: string,
    environment: readonly string[],
  ): void {
    this.#writing(() => this.#write(`undo/${position}`, list([obligation, program, input, ...environment])))
  }

  writeJoined(joined: readonly JoinedNetwork[]): void {
    this.#writing(() => this.#write('joined', utf8(JSON.stringify(joined)), 0o644)) // `status` shows it to who may look
  }

  /** Read by launches that look whether a port of the host is taken. */
  writePorts(ports: readonly PortMapping[]): void {
    this.#writing(() => this.#write('ports', utf8(JSON.stringify(ports))))
  }

  /** Networks that the pod has or had; none where it has no networks of its own. */
  joined(): readonly JoinedNetwork[] {
    return this.#readJson('joined') as readonly JoinedNetwork[] // written above, in a directory of root's
  }

  ports(): readonly PortMapping[] {
    return this.#readJson('ports') as readonly PortMapping[] // as above
  }

  /** Forgets a launch that was undone and may be made again: a janitor of then finds nothing of now. */
  remove(): void {
    fs.rmSync(this.path, { recursive: true, force: true })
  }

  /** Whether something is set up that nobody has undone. */
  needsUndo(): boolean {
    return fs.existsSync(path.join(this.path, 'namespace'))
  }

  #readJson(name: string): unknown {
    try {
      return JSON.parse(fromUtf8(new Uint8Array(fs.readFileSync(path.join(this.path, name)))))
    } catch (err) {
      if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ENOTDIR') return []
      throw err
    }
  }

  #write(name: string, bytes: Uint8Array, mode = 0o600): void {
    const file = path.join(this.path, name)
    fs.writeFileSync(`${file}.new`, bytes, { mode })
    fs.renameSync(`${file}.new`, file)
  }

  #writing<T>(work: () => T): T {
    try {
      return work()
    } catch (err) {
      throw new NetworkError('NETWORK_NAMESPACE_FAILED', messageOf(err), { cause: err })
    }
  }
}

/** Items each end with a NUL: what native/stage1/plan.c reads. */
function list(items: readonly string[]): Uint8Array {
  return utf8(items.map((item) => `${item}\0`).join(''))
}

import { constants, type FSWatcher, watch } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { codeOf } from '../attestation/base/index.ts'
import type { ExitedRecord, LaunchLogContent } from '../attestation/event-log/index.ts'
import { tryFlock } from '../native/process/index.ts'
import type { LaunchLog } from './launch-log/index.ts'

/** Between looks at all open pods. The lock is what counts; the status directory only makes the next look come sooner. */
const POLL_MS = 1000
/** init writes its last status shortly before the lock falls. */
const NUDGE_MS = 30
/** A pod is moved from one directory to another by rename: not found in any of them must be seen twice to mean gone. */
const LOOKS_UNTIL_GONE = 2
/** stage1/README.md: where a pod can be. */
const POD_STATES = ['run', 'prepare', 'prepared', 'embryo', 'exited-garbage', 'garbage'] as const
const MAX_STATUSES = 64

/** What a look at a pod found. */
export type PodSight =
  | { readonly kind: 'running' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'ended'; readonly started: boolean; readonly statuses: ExitedRecord['statuses'] }

/** The record of a pod's end. */
export function exitedRecord(uuid: string, sight: Exclude<PodSight, { kind: 'running' }>): ExitedRecord {
  if (sight.kind === 'gone') return { record: 'exited', uuid, statuses: {}, reason: 'killed' }
  // what lies in the directory of a pod that was not started is not its apps' doing
  if (!sight.started) return { record: 'exited', uuid, statuses: {}, reason: 'not-started' }
  const reason = Object.keys(sight.statuses).length > 0 ? 'exited' : 'killed'
  return { record: 'exited', uuid, statuses: sight.statuses, reason }
}

export interface PodWatchOptions {
  /** Where the agent notes pod directories that are not below dataDirectory. */
  readonly stateDirectory: string
  readonly dataDirectory: string
  readonly launchLog: LaunchLog
  readonly logger: Logger
  /** Told when exits were recorded. */
  readonly onRecorded: () => void
}

/**
 * Records the end of every pod whose launch is in the log, by watching the pod's lock, also of pods that were started before this agent.
 * What is open is read from the log each time, so nothing that the log knows is ever missed. It also has the log settled after an error,
 * and closes launches that an agent left undecided when it was killed.
 */
export class PodWatch {
  readonly #options: PodWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #unseen = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #again = false
  #stopped = false

  constructor(options: PodWatchOptions) {
    this.#options = options
  }

  /** Looks once, then again and again until stop(). */
  async start(): Promise<void> {
    await mkdir(this.#options.stateDirectory, { recursive: true, mode: 0o700 })
    await this.#lookNow()
  }

  /** Notes where a pod is going to be, before anything about it is in the log. */
  async expect(uuid: string, podDirectory: string): Promise<void> {
    if (podDirectory === this.#usualPlace(uuid)) return
    await writeFile(join(this.#options.stateDirectory, uuid), podDirectory, { mode: 0o600 })
  }

  /** Looks at all open pods soon. */
  look(): void {
    this.#schedule(NUDGE_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    await this.#looking
  }

  #schedule(ms: number): void {
    if (this.#stopped) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#lookNow(), ms)
  }

  async #lookNow(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true
      return
    }
    this.#looking = this.#recordEnds().catch((err: unknown) => {
      this.#options.logger.warn({ err, code: codeOf(err) }, 'ends of pods could not be recorded; it is tried again')
    })
    await this.#looking
    this.#looking = undefined
    this.#schedule(this.#again ? NUDGE_MS : POLL_MS)
    this.#again = false
  }

  async #recordEnds(): Promise<void> {
    const { launchLog, logger, onRecorded } = this.#options
    const { open: openPods, undecided } = launchLog.view.summary
    const ended = new Map<string, Exclude<PodSight, { kind: 'running' }>>()
    for (const uuid of openPods.keys()) {
      const sight = await this.#sight(uuid)
      if (sight.kind !== 'running') ended.set(uuid, sight)
    }
    if (ended.size === 0 && undecided.size === 0 && launchLog.settled) return
    const records = await launchLog.exclusive(async (log) => {
      // Whoever decides a launch holds the log until the decision is in it: undecided ones have been left by a killed agent.
      const records: LaunchLogContent[] = []
      for (const { uuid, request } of log.summary.undecided.values()) {
        records.push({ record: 'denied', uuid, request, code: 'LAUNCH_UNDECIDED' })
      }
      for (const [uuid, sight] of ended) {
        if (log.summary.open.has(uuid)) records.push(exitedRecord(uuid, sight))
      }
      if (records.length > 0) await log.append(records)
      return records
    })
    for (const record of records) {
      if (record.record !== 'exited') continue
      logger.info({ podUuid: record.uuid, reason: record.reason, statuses: record.statuses }, 'pod ended')
      await this.#forget(record.uuid)
    }
    if (records.length > 0) onRecorded()
  }

  async #sight(uuid: string): Promise<PodSight> {
    const place = await this.place(uuid)
    const parent = dirname(dirname(place))
    for (const candidate of [place, ...POD_STATES.map((state) => join(parent, state, uuid))]) {
      const directory = await openDirectory(candidate)
      if (directory === undefined) continue
      this.#unseen.delete(uuid)
      try {
        if (!tryFlock(directory.fd, 'shared')) {
          this.#watchStatus(uuid, candidate)
          return { kind: 'running' }
        }
        // The descriptor gives the lock back when it is closed; nobody is left who would mind it.
        return { kind: 'ended', ...(await readEnd(candidate)) }
      } finally {
        await directory.close()
      }
    }
    const looks = (this.#unseen.get(uuid) ?? 0) + 1
    this.#unseen.set(uuid, looks)
    return looks >= LOOKS_UNTIL_GONE ? { kind: 'gone' } : { kind: 'running' }
  }

  #usualPlace(uuid: string): string {
    return join(this.#options.dataDirectory, 'pods', 'run', uuid)
  }

  /** Where a pod whose launch is in the log was going to be. */
  async place(uuid: string): Promise<string> {
    try {
      return await readFile(join(this.#options.stateDirectory, uuid), 'utf8')
    } catch (err) {
      if (codeOf(err) === 'ENOENT') return this.#usualPlace(uuid)
      throw err
    }
  }

  async #forget(uuid: string): Promise<void> {
    this.#watchers.get(uuid)?.close()
    this.#watchers.delete(uuid)
    this.#unseen.delete(uuid)
    await rm(join(this.#options.stateDirectory, uuid), { force: true })
  }

  #watchStatus(uuid: string, directory: string): void {
    if (this.#watchers.has(uuid)) return
    try {
      const watcher = watch(join(directory, 'status'), { persistent: false }, () => this.look())
      watcher.on('error', () => watcher.close()) // the poll goes on without it
      this.#watchers.set(uuid, watcher)
    } catch (err) {
      this.#options.logger.debug({ err, podUuid: uuid }, 'the status of a pod cannot be watched; it is polled')
    }
  }
}

async function openDirectory(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (err) {
    // EACCES: in the making, and so not launched
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes(codeOf(err) ?? '')) return undefined
    throw err
  }
}

/** What the directory of a pod without a lock tells: launch.json is written when the pod is handed to its stage1. */
async function readEnd(directory: string): Promise<{ started: boolean; statuses: ExitedRecord['statuses'] }> {
  const statuses: { [app: string]: number } = {}
  const names = await namesIn(join(directory, 'status'))
  for (const name of names.sort().slice(0, MAX_STATUSES)) {
    const text = await readSmall(join(directory, 'status', name))
    if (text !== undefined && /^[0-9]{1,3}\n?$/.test(text) && Number(text) <= 255) statuses[name] = Number(text)
  }
  const started = (await readSmall(join(directory, 'launch.json'))) !== undefined
  return { started, statuses }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (err) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(err) ?? '')) return []
    throw err
  }
}

/** The first bytes of a regular file; the pod may have put anything else there. */
async function readSmall(file: string): Promise<string | undefined> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (err) {
    if (['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'].includes(codeOf(err) ?? '')) return undefined
    throw err
  }
  try {
    if (!(await handle.stat()).isFile()) return undefined
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(16), 0, 16, 0)
    return buffer.toString('latin1', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

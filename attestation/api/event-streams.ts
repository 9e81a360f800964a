import type { ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { eventsBetween, type NodeEvent, newestEvent, type Store } from '../store/index.ts'
import type { Principal } from './permissions.ts'
import { ApiError } from './problem.ts'

const TICK_MS = 1000
/** Proxies cut what says nothing for half a minute; a token that has ended is noticed no later than this. */
const HEARTBEAT_TICKS = 15
/** A reader that takes nothing for so long is cut off, and may come again where it was. */
const STALLED_TICKS = 15
/** Written at once, and so the most that waits for one reader. */
const EVENTS_AT_ONCE = 100
/** Looked at at once for one reader, where it is told of few of them only. */
const NUMBERS_AT_ONCE = 10_000
const STREAMS_PER_PRINCIPAL = 8
const RETRY_MS = 5000

export interface StreamClient {
  readonly principal: Principal
  /** Whether it may still read: asked from time to time as long as it does. */
  readonly stillMay: () => Promise<boolean>
  readonly response: Pick<ServerResponse, 'write' | 'end' | 'destroy' | 'writableNeedDrain' | 'destroyed'>
}

interface OpenStream extends StreamClient {
  /** The last event that was looked at for it. */
  cursor: number
  quietTicks: number
  stalledTicks: number
}

/**
 * Tells each reader of changes of standing as they come. All is read from the store, by number, so that nothing is held
 * for a reader that is away, and one that comes again misses nothing.
 */
export class EventStreams {
  readonly #store: Store
  readonly #log: Logger
  readonly #max: number
  readonly #open = new Set<OpenStream>()
  #timer: NodeJS.Timeout | undefined
  #ticking: Promise<void> | undefined
  #stopped = false

  constructor(store: Store, log: Logger, max: number) {
    this.#store = store
    this.#log = log
    this.#max = max
  }

  get size(): number {
    return this.#open.size
  }

  /** @throws ApiError TOO_MANY_REQUESTS when there are as many streams as there may be */
  checkRoom({ name }: Principal): void {
    const own = [...this.#open].filter(({ principal }) => principal.name === name).length
    if (!this.#stopped && this.#open.size < this.#max && own < STREAMS_PER_PRINCIPAL) return
    throw new ApiError('TOO_MANY_REQUESTS', 'as many streams are open as may be', [], { 'retry-after': '60' })
  }

  /** @param after the last event that the reader has; undefined for what comes from now on */
  async add(client: StreamClient, after: number | undefined): Promise<void> {
    // It is counted before anything is awaited; a look that is under way meanwhile has nothing to tell it yet.
    const stream: OpenStream = { ...client, cursor: Number.POSITIVE_INFINITY, quietTicks: 0, stalledTicks: 0 }
    this.#open.add(stream)
    try {
      const newest = await this.#store.query(newestEvent)
      stream.cursor = Math.min(after ?? newest, newest) // one of the future would never be told anything
      stream.response.write(`retry: ${RETRY_MS}\n\n`)
    } catch (err) {
      this.#end(stream)
      throw err
    }
    this.#timer ??= setInterval(() => void this.tick(), TICK_MS)
    void this.tick()
  }

  /** The reader has gone. */
  remove(response: StreamClient['response']): void {
    for (const stream of this.#open) if (stream.response === response) this.#open.delete(stream)
    if (this.#open.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  /** Looks once for what is new; the clock calls it. Never fails. */
  async tick(): Promise<void> {
    this.#ticking ??= this.#look().finally(() => {
      this.#ticking = undefined
    })
    await this.#ticking
  }

  /** Ends all streams; resolves when nothing here uses the store any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const stream of this.#open) this.#end(stream)
    await this.#ticking
  }

  async #look(): Promise<void> {
    let newest: number
    try {
      newest = await this.#store.query(newestEvent)
    } catch (err) {
      this.#log.warn({ err }, 'events cannot be read')
      return
    }
    for (const stream of [...this.#open]) {
      try {
        await this.#serve(stream, newest)
      } catch (err) {
        this.#log.warn({ err, principal: stream.principal.name }, 'a stream of events is cut off')
        this.#cut(stream)
      }
    }
  }

  async #serve(stream: OpenStream, newest: number): Promise<void> {
    const { response, principal } = stream
    if (response.destroyed) return this.remove(response)
    if (response.writableNeedDrain) {
      if (++stream.stalledTicks > STALLED_TICKS) this.#cut(stream)
      return
    }
    stream.stalledTicks = 0
    stream.quietTicks++
    if (stream.quietTicks % HEARTBEAT_TICKS === 0 || stream.cursor < newest) {
      if (!(await stream.stillMay())) return this.#end(stream)
    }
    if (stream.cursor < newest) {
      const upTo = Math.min(newest, stream.cursor + NUMBERS_AT_ONCE)
      const range = { after: stream.cursor, upTo, limit: EVENTS_AT_ONCE }
      const events = await this.#store.query((db) => eventsBetween(db, principal.labels, range))
      const last = events[events.length - 1]
      if (last !== undefined) {
        response.write(events.map(frame).join(''))
        stream.quietTicks = 0
      }
      stream.cursor = events.length === EVENTS_AT_ONCE && last !== undefined ? last.id : upTo
    }
    if (stream.quietTicks >= HEARTBEAT_TICKS) {
      response.write(': still here\n\n')
      stream.quietTicks = 0
    }
  }

  #cut(stream: OpenStream): void {
    stream.response.destroy()
    this.remove(stream.response)
  }

  #end(stream: OpenStream): void {
    stream.response.end()
    this.remove(stream.response)
  }
}

/** JSON has no line end in it, so that it is one line of data. */
function frame(event: NodeEvent): string {
  return `id: ${event.id}\nevent: standing\ndata: ${JSON.stringify(event)}\n\n`
}

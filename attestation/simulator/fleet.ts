import { once, setMaxListeners } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { RawData, WebSocket } from 'ws'
import { type Dialed, dial, type VerifierAddress } from './dial.ts'
import type { SimulatedNode } from './node.ts'
import type { Tally } from './tally.ts'

/** As an agent's: a verifier that answers nothing is gone. */
const HEARTBEAT_MS = 15_000
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 15_000
/** RFC 6455 §7.4.1: policy violation, with which a verifier says that the same will be refused again. */
const CLOSE_POLICY = 1008
const CLOSE_NORMAL = 1000
/** A verifier that does not answer the closing handshake is cut off after this. */
const CLOSE_TIMEOUT_MS = 2000

export interface FleetOptions {
  readonly verifier: VerifierAddress
  /** Connections that are being made at the same time, at most. */
  readonly dialsAtOnce: number
  readonly random: () => number
}

/** Keeps the nodes connected, each until it is done: agents of one process, with nothing in common but that. */
export class SimulatedFleet {
  readonly #nodes: readonly SimulatedNode[]
  readonly #options: FleetOptions
  readonly #tally: Tally
  readonly #stop = new AbortController()
  readonly #open = new Set<WebSocket>()
  readonly #slots: Slots
  #lives: Promise<void>[] = []

  constructor(nodes: readonly SimulatedNode[], options: FleetOptions, tally: Tally) {
    this.#nodes = nodes
    this.#options = options
    this.#tally = tally
    this.#slots = new Slots(options.dialsAtOnce)
    setMaxListeners(0, this.#stop.signal) // each node waits for it
  }

  /** Open connections. */
  get connections(): number {
    return this.#open.size
  }

  /** Begins with one node, so that a verifier that cannot be reached is told at once. @throws SimulatorError */
  async start(): Promise<void> {
    const [first, ...others] = this.#nodes
    if (first === undefined) return
    const dialed = await dial(this.#options.verifier, this.#stop.signal)
    this.#lives = [this.#live(first, dialed), ...others.map((node) => this.#live(node))]
  }

  /** Ends all connections; resolves when the last has gone. */
  async stop(): Promise<void> {
    this.#stop.abort()
    for (const ws of this.#open) {
      ws.close(CLOSE_NORMAL)
      setTimeout(() => ws.terminate(), CLOSE_TIMEOUT_MS).unref()
    }
    await Promise.all(this.#lives)
  }

  /** Cuts all connections without a word, as when a network fails; they are made anew. */
  cut(): void {
    for (const ws of this.#open) ws.terminate()
  }

  async #live(node: SimulatedNode, already?: Dialed): Promise<void> {
    let dialed = already
    let failures = 0
    while (!this.#stop.signal.aborted && !node.done) {
      try {
        dialed ??= await this.#slots.run(() => dial(this.#options.verifier, this.#stop.signal))
      } catch {
        this.#tally.dialsFailed++
      }
      if (dialed !== undefined && !this.#stop.signal.aborted) {
        const proved = await this.#serve(node, dialed)
        failures = proved ? 0 : failures + 1
        if (!this.#stop.signal.aborted && !node.done) this.#tally.connectionsLost++
      } else {
        dialed?.ws.terminate()
        failures++
      }
      dialed = undefined
      await this.#backOff(failures)
    }
  }

  /** One connection from its first message to its end. @returns whether the verifier said anything but an error */
  async #serve(node: SimulatedNode, { ws, exporter }: Dialed): Promise<boolean> {
    this.#open.add(ws)
    const timers = new Set<NodeJS.Timeout>()
    const heartbeat = setInterval(() => ws.ping(), HEARTBEAT_MS)
    const later = (delayMs: number, work: () => void): void => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        work()
      }, delayMs)
      timers.add(timer)
    }
    ws.on('error', () => {}) // a close follows
    ws.on('message', (data) => {
      try {
        node.received(bytesOf(data))
      } catch {
        ws.terminate() // no verifier speaks like that
      }
    })
    const closed = once(ws, 'close')
    node.connected({ exporter, later, send: (frame) => ws.send(frame, { binary: true }) })
    ws.resume()
    const [code] = (await closed) as [number] // ws's documented event
    clearInterval(heartbeat)
    for (const timer of timers) clearTimeout(timer)
    this.#open.delete(ws)
    node.ended(code === CLOSE_POLICY)
    return node.seen.by === 'result'
  }

  /** Twice as long after each failure, and anywhere within it, so that a fleet does not come again all at once. */
  async #backOff(failures: number): Promise<void> {
    const mostMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))
    await wait(this.#options.random() * mostMs, undefined, { signal: this.#stop.signal }).catch(() => {}) // stopped
  }
}

/** Lets so many at once do something, in the order they came. */
class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length)
}

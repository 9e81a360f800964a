/** One owner at a time, in the order of asking. */
export class Mutex {
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0

  /** How many wait or run. */
  get load(): number {
    return this.#waiting
  }

  /** Runs `work` when all earlier work has settled; its result or error is the caller's. */
  run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting++
    const result = this.#tail.then(work)
    this.#tail = result
      .catch(() => undefined) // the caller has the error; the next in line must still run
      .finally(() => {
        this.#waiting--
      })
    return result
  }
}

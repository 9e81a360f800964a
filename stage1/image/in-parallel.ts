/**
 * Runs something for each item, for at most `limit` of them at a time. When one fails the signal that all of them got
 * is aborted, and its error is thrown when the others have come to their end.
 *
 * @param signal aborts all of them as well
 */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  run: (item: T, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const stop = new AbortController()
  const both = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal])
  const todo = items.values()
  let failure: { readonly error: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (const item of todo) {
      if (failure !== undefined) return
      try {
        await run(item, both)
      } catch (error) {
        failure ??= { error } // the first one; those after it mostly say that they were aborted
        stop.abort()
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (failure !== undefined) throw failure.error
}

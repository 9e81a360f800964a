/** When something of a policy ends. `text` as written. */
export interface Expiry {
  readonly text: string
  /** First millisecond after it. */
  readonly endMs: number
}

const DAY_MS = 86_400_000

/**
 * @param text a date, which holds through its last second in UTC, or a time in UTC
 * @returns undefined for a day or a time that the calendar does not have
 */
export function expiryOf(text: string): Expiry | undefined {
  const dateOnly = text.length === 10
  const startMs = Date.parse(dateOnly ? `${text}T00:00:00Z` : text)
  if (Number.isNaN(startMs)) return undefined
  // 2027-02-30 would otherwise be read as a day in March
  const back = new Date(startMs).toISOString()
  if (!back.startsWith(dateOnly ? text : text.slice(0, 19))) return undefined
  return { text, endMs: dateOnly ? startMs + DAY_MS : startMs }
}

export function hasExpired(expiry: Expiry | undefined, now: Date): boolean {
  return expiry !== undefined && now.getTime() >= expiry.endMs
}

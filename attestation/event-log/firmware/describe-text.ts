/** At most `max` of them, then how many more. */
export function listed(items: readonly string[], max: number): string {
  const shown = items.slice(0, max).join(', ')
  return items.length > max ? `${shown} and ${items.length - max} more` : shown
}

/** `1 certificate`, `2 certificates`. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`
  return `${count} ${noun.endsWith('hash') ? `${noun}es` : noun.endsWith('y') ? `${noun.slice(0, -1)}ies` : `${noun}s`}`
}

/** Binary multiples with one digit behind the point. */
export function sizeText(bytes: bigint): string {
  if (bytes < 1024n) return `${bytes} bytes`
  if (bytes < 1n << 20n) return `${(Number(bytes) / 1024).toFixed(1)} KiB`
  return `${(Number(bytes) / (1 << 20)).toFixed(1)} MiB`
}

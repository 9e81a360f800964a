/** A line of a log in the CRI format that init writes: time, stream, tag (F: the line is whole, P: a part), text. */
export interface LogLine {
  /** RFC 3339 with nanoseconds. */
  readonly time: string
  readonly stream: 'stdout' | 'stderr'
  readonly whole: boolean
  readonly text: Uint8Array
}

const SPACE = 0x20
const LINE_FEED = 0x0a
/** A longer line was not written by init. */
const MAX_LINE = 1 << 20

/**
 * Takes lines of a log out of pieces of its file. What is no line in the CRI format is left out: a crash may have cut
 * one.
 */
export class LogLines {
  #rest: Uint8Array = new Uint8Array(0)

  /** @returns the lines that this piece completes */
  push(piece: Uint8Array): LogLine[] {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    const lines: LogLine[] = []
    let at = 0
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, at)) {
      const line = parseLine(bytes.subarray(at, end))
      if (line !== undefined) lines.push(line)
      at = end + 1
    }
    const rest = bytes.subarray(at)
    this.#rest = rest.length > MAX_LINE ? new Uint8Array(0) : rest.slice()
    return lines
  }
}

function parseLine(bytes: Uint8Array): LogLine | undefined {
  const first = bytes.indexOf(SPACE)
  const second = first < 0 ? -1 : bytes.indexOf(SPACE, first + 1)
  const third = second < 0 ? -1 : bytes.indexOf(SPACE, second + 1)
  if (third < 0) return undefined
  const [time = '', stream, tag = ''] = Buffer.from(bytes.subarray(0, third)).toString('latin1').split(' ')
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  if (!Number.isFinite(Date.parse(time))) return undefined
  return { time, stream, whole: tag.split(':')[0] === 'F', text: bytes.subarray(third + 1) }
}

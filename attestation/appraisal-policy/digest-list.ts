import { fromUtf8 } from '../base/index.ts'

/** A line that is no line of such a list. */
export interface BadLine {
  readonly line: number
  readonly why: string
}

const LINE = /^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}|verity:(?:[0-9a-f]{64}|[0-9a-f]{128})) [ *](\/.*)$/

/**
 * Digests of files as `sha256sum`, `sha384sum` and `sha512sum` print them, one file a line: `HEX /PATH`. A path may
 * stand there several times, with another digest each. `verity:HEX` is an fs-verity digest. Empty lines and lines from
 * # are for people.
 *
 * @param into where the digests of each path go
 * @returns the first line that is none of this; undefined where all are
 */
export function readDigestList(bytes: Uint8Array, into: Map<string, string[]>): BadLine | undefined {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch {
    return { line: 1, why: 'the file is not text in UTF-8' }
  }
  let line = 0
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at)
    const content = text.slice(at, end === -1 ? text.length : end).replace(/\r$/, '')
    at = end === -1 ? text.length : end + 1
    line += 1
    if (content === '' || content.startsWith('#')) continue
    const [, digest, path] = LINE.exec(content) ?? []
    if (digest === undefined || path === undefined) return { line, why: "not 'HEX  /PATH', as sha256sum prints it" }
    const known = into.get(path)
    if (known === undefined) into.set(path, [digest])
    else known.push(digest)
  }
  return undefined
}

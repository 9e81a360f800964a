import { createHash, type Hash } from 'node:crypto'
import fs from 'node:fs'
import { ImageError } from './errors.ts'
import { streamGiven, withGiven } from './given-files.ts'
import { LIMITS } from './limits.ts'
import { type TarEntry, type TarHandler, TarReader } from './tar.ts'
import { malformed } from './tar-numbers.ts'
import { pathComponents, shownPath } from './tree-path.ts'

/** One regular file in an archive. */
export interface TarMember {
  /** Where its bytes begin in the archive file. */
  readonly offset: number
  readonly sizeBytes: number
  /** `sha256:<hex>` of its bytes. */
  readonly digest: string
}

/** What is in an archive of images, by name without `./` in front. Texts hold one character for each byte. */
export interface TarIndex {
  /** Of the archive, for messages. */
  readonly shown: string
  /** Uncompressed; the index is good only as long as nobody writes to it. */
  readonly file: string
  readonly members: ReadonlyMap<string, TarMember>
}

const MAX_LINKS = 10

/**
 * Lists an uncompressed archive of images, e.g. of `docker save`, reading it once. Links among its members are
 * followed: old versions of docker wrote layers that way.
 *
 * @param shown the archive's name for messages
 * @throws ImageError IMAGE_LAYER_BAD for an archive that is malformed, says a name twice, or links out of itself;
 *   IMAGE_TOO_LARGE
 */
export async function indexTar(file: string, shown: string, signal?: AbortSignal): Promise<TarIndex> {
  const lister = new Lister()
  const reader = new TarReader(lister)
  for await (const chunk of streamGiven(file, { signal })) {
    const piece = chunk as Buffer // no encoding is set
    lister.at(piece)
    reader.push(piece)
    lister.passed(piece)
  }
  reader.end()
  return { shown, file, members: lister.finish() }
}

/** The bytes of a member from its start. */
export async function* streamMember(index: TarIndex, member: TarMember, signal?: AbortSignal): AsyncGenerator<Buffer> {
  if (member.sizeBytes === 0) return
  const range = { start: member.offset, end: member.offset + member.sizeBytes - 1 }
  for await (const chunk of streamGiven(index.file, { ...range, signal })) {
    yield chunk as Buffer // no encoding is set
  }
}

/**
 * The bytes of a small member.
 * @throws ImageError IMAGE_TOO_LARGE, IMAGE_SOURCE_BAD
 */
export function readMember(index: TarIndex, member: TarMember, maxBytes: number): Buffer {
  if (member.sizeBytes > maxBytes) {
    throw new ImageError(
      'IMAGE_TOO_LARGE',
      `a member of ${index.shown} has ${member.sizeBytes} bytes, ${maxBytes} are allowed`,
    )
  }
  return withGiven(index.file, (fd) => {
    const bytes = Buffer.alloc(member.sizeBytes)
    let got = 0
    while (got < bytes.length) {
      const n = fs.readSync(fd, bytes, got, bytes.length - got, member.offset + got)
      if (n === 0) throw new ImageError('IMAGE_SOURCE_BAD', `${index.shown} got shorter while it was read`)
      got += n
    }
    return bytes
  })
}

/** Notes where each file begins. The reader gives views of the piece it was pushed, so a place in it tells. */
class Lister implements TarHandler {
  readonly #files = new Map<string, TarMember>()
  readonly #links = new Map<string, string>()
  #piece: Buffer = Buffer.alloc(0)
  #pieceOffset = 0
  #current: { name: string; offset: number; sizeBytes: number; left: number; hash: Hash } | undefined

  at(piece: Buffer): void {
    this.#piece = piece
  }

  passed(piece: Buffer): void {
    this.#pieceOffset += piece.length
  }

  entry(entry: TarEntry): void {
    const name = pathComponents(entry.path, 'name').join('/')
    if (entry.type === 'directory') return
    if (this.#files.has(name) || this.#links.has(name)) throw malformed(`${shownPath(name)} is in it twice`)
    if (this.#files.size + this.#links.size >= LIMITS.archiveMembers) {
      throw new ImageError('IMAGE_TOO_LARGE', `more than ${LIMITS.archiveMembers} members in an archive of images`)
    }
    if (entry.type === 'symlink') this.#links.set(name, resolveLink(name, entry.linkPath))
    else if (entry.type === 'hardlink') this.#links.set(name, pathComponents(entry.linkPath, 'link').join('/'))
    else if (entry.type !== 'file') throw malformed(`${shownPath(name)} is a ${entry.type}`)
    else if (entry.size === 0) this.#files.set(name, { offset: 0, sizeBytes: 0, digest: EMPTY })
    else {
      this.#current = { name, offset: -1, sizeBytes: entry.size, left: entry.size, hash: createHash('sha256') }
    }
  }

  data(bytes: Buffer): void {
    const file = this.#current
    if (file === undefined) throw new TypeError('data belongs to a file')
    if (file.offset < 0) file.offset = this.#pieceOffset + (bytes.byteOffset - this.#piece.byteOffset)
    file.hash.update(bytes)
    file.left -= bytes.length
    if (file.left > 0) return
    const { name, offset, sizeBytes, hash } = file
    this.#files.set(name, { offset, sizeBytes, digest: `sha256:${hash.digest('hex')}` })
    this.#current = undefined
  }

  finish(): ReadonlyMap<string, TarMember> {
    const all = new Map(this.#files)
    for (const name of this.#links.keys()) {
      let target = name
      for (let links = 0; links < MAX_LINKS && this.#links.has(target); links++) target = this.#links.get(target) ?? ''
      const member = this.#files.get(target)
      if (member === undefined) throw malformed(`${shownPath(name)} is a link to nothing in the archive`)
      all.set(name, member)
    }
    return all
  }
}

const EMPTY = `sha256:${createHash('sha256').digest('hex')}`

/** A symlink's target as a name in the archive. */
function resolveLink(name: string, target: string): string {
  if (target.startsWith('/')) throw malformed(`${shownPath(name)} is a link out of the archive`)
  const parts = name.split('/').slice(0, -1)
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) throw malformed(`${shownPath(name)} is a link out of the archive`)
  }
  return parts.join('/')
}

import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import type { ExpectedBlob } from './blobs.ts'
import { ImageError } from './errors.ts'
import { blobPin, type FetchWork, hold, sha256 } from './fetch-work.ts'
import type { HttpClient } from './http-client.ts'
import { type HttpAnswer, rangeOf, shownUrl, streamBody } from './http-get.ts'
import { LIMITS } from './limits.ts'
import { PartFile } from './part-file.ts'
import { keepPart, partName, takePart } from './parts.ts'
import { Resumptions } from './resumptions.ts'
import { blobPath, moveIntoPlace, storing } from './store.ts'

/** An archive that came from a URL and is in the store, under the digest of whatever it is. */
export interface DownloadedArchive {
  readonly blob: ExpectedBlob
  /** Whether it was put together from several transfers: then nobody knows that these were of one file. */
  readonly mixed: boolean
}

/**
 * Brings the archive of a URL into the store. Its digest is known to nobody beforehand, so a transfer that breaks is
 * taken up where it broke only while the server states the same strong entity tag (RFC 9110, 13.1.5: If-Range), and
 * what came of one that fails is kept by URL and tag. A server without tags or ranges is asked for all of it again.
 *
 * @param resume false takes it in one piece
 * @throws ImageError IMAGE_NOT_FOUND, IMAGE_SOURCE_DENIED, IMAGE_SOURCE_BAD, IMAGE_SOURCE_UNREACHABLE, IMAGE_TOO_LARGE,
 *   IMAGE_SIZE_MISMATCH, IMAGE_NO_SPACE, IMAGE_STORE_FAILED
 */
export async function downloadArchive(
  work: FetchWork,
  client: HttpClient,
  url: URL,
  { resume = true } = {},
): Promise<DownloadedArchive> {
  const download = new ArchiveDownload(work, client, url, resume)
  try {
    return await download.run()
  } catch (err) {
    download.keep(err)
    throw err
  } finally {
    await download.close()
  }
}

/** What an answer says of the whole archive: what follows has to be of the same. */
interface Representation {
  readonly tag: string | undefined
  readonly totalBytes: number | undefined
}

class ArchiveDownload {
  readonly #work: FetchWork
  readonly #client: HttpClient
  readonly #url: URL
  readonly #resume: boolean
  #representation: Representation | undefined
  #file = ''
  #part: PartFile | undefined

  constructor(work: FetchWork, client: HttpClient, url: URL, resume: boolean) {
    this.#work = work
    this.#client = client
    this.#url = url
    this.#resume = resume
  }

  async run(): Promise<DownloadedArchive> {
    const { store, options } = this.#work
    const resumptions = new Resumptions(0)
    let part: PartFile | undefined
    while (part === undefined) {
      try {
        part = await this.#transfer()
      } catch (err) {
        if (options.signal?.aborted || codeOf(err) !== 'IMAGE_SOURCE_UNREACHABLE') throw err
        if (!(await resumptions.next(this.#part?.sizeBytes ?? 0, options.signal))) throw err
      }
    }
    await part.sync()
    const blob = { digest: part.digest(), sizeBytes: part.sizeBytes }
    await hold(this.#work, [blobPin(blob.digest)])
    moveIntoPlace(store, this.#file, blobPath(store, blob.digest))
    return { blob, mixed: part.mixed }
  }

  /** Leaves what came for the next fetch, which finds it by URL and tag. */
  keep(err: unknown): void {
    const tag = this.#representation?.tag
    if (tag === undefined || codeOf(err) === 'IMAGE_SIZE_MISMATCH') return
    keepPart(this.#work.store, this.#key(tag), this.#file)
  }

  async close(): Promise<void> {
    const part = this.#part
    this.#part = undefined
    await part?.close()
  }

  /** One transfer, from where the part ends if that can be. @returns the part, which is whole */
  async #transfer(): Promise<PartFile> {
    const part = (await this.#continue()) ?? (await this.#begin())
    const { totalBytes } = this.#representation ?? {}
    if (totalBytes !== undefined && part.sizeBytes < totalBytes) {
      throw new ImageError(
        'IMAGE_SOURCE_UNREACHABLE',
        `${shownUrl(this.#url)} ended after ${part.sizeBytes} of ${totalBytes} bytes`,
      )
    }
    return part
  }

  /** Goes on with what is there. @returns undefined where that cannot be, and all has to be fetched anew */
  async #continue(): Promise<PartFile | undefined> {
    const part = this.#part
    const { tag, totalBytes } = this.#representation ?? {}
    if (!this.#resume || part === undefined || tag === undefined || part.sizeBytes === 0) return undefined
    if (part.sizeBytes === totalBytes) return part // only its name was missing
    const answer = await this.#ask({ range: `bytes=${part.sizeBytes}-`, 'if-range': tag })
    const range = answer.status === 206 ? rangeOf(answer) : undefined
    const sameFile = (answer.headers.etag ?? tag) === tag && range?.totalBytes === (totalBytes ?? range?.totalBytes)
    if (range?.start === part.sizeBytes && sameFile) {
      this.#representation = { tag, totalBytes: range.totalBytes }
      part.cut(range.start)
      return this.#read(answer, part)
    }
    answer.body.destroy()
    if (answer.status === 200 || answer.status === 206 || answer.status === 416) return undefined
    throw answerError(answer)
  }

  /** From the first byte on; or, where an earlier fetch has left something of the same file, from there. */
  async #begin(): Promise<PartFile> {
    const isFirst = this.#representation === undefined
    const answer = await this.#ask({})
    const stated = Number(answer.headers['content-length'] ?? Number.NaN)
    if (answer.status !== 200 || stated > LIMITS.blobBytes) {
      answer.body.destroy()
      if (answer.status !== 200) throw answerError(answer)
      throw new ImageError('IMAGE_TOO_LARGE', `${shownUrl(this.#url)} has ${stated} bytes`)
    }
    this.#representation = { tag: strongTag(answer), totalBytes: Number.isSafeInteger(stated) ? stated : undefined }
    const part = await this.#open(this.#representation, isFirst && this.#resume)
    if (part.sizeBytes === 0) return this.#read(answer, part)
    answer.body.destroy()
    return this.#transfer()
  }

  /** A file for it, by the name under which what a killed command leaves is found. */
  async #open({ tag, totalBytes }: Representation, takeKept: boolean): Promise<PartFile> {
    const { store, directory } = this.#work
    await this.close()
    if (this.#file !== '') fs.rmSync(this.#file, { force: true })
    const file = path.join(directory, tag === undefined ? 'archive' : partName(this.#key(tag)))
    if (tag !== undefined && takeKept) storing(store, () => takePart(store, this.#key(tag), file))
    this.#file = file
    this.#part = PartFile.open(store, file, {
      name: shownUrl(this.#url),
      maxBytes: totalBytes ?? LIMITS.blobBytes,
    })
    return this.#part
  }

  async #read(answer: HttpAnswer, part: PartFile): Promise<PartFile> {
    const { onProgress } = this.#work.options
    const stated = this.#representation?.totalBytes ?? 0
    for await (const piece of streamBody(answer)) {
      part.add(piece)
      const doneBytes = part.sizeBytes
      onProgress?.({ step: 'blob', digest: this.#url.href, doneBytes, totalBytes: Math.max(stated, doneBytes) })
    }
    return part
  }

  #ask(headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    return this.#client.follow(this.#url, { accept: '*/*', ...headers })
  }

  /** In the form of a digest: parts of blobs are named by theirs, and a hash of anything else is none of them. */
  #key(tag: string): string {
    return sha256(Buffer.from(`${this.#url.href}\0${tag}`))
  }
}

/** A weak tag may be the same for other bytes (RFC 9110, 8.8.1). */
function strongTag(answer: HttpAnswer): string | undefined {
  const tag = answer.headers.etag
  return tag !== undefined && /^"[\x21\x23-\x7e]{0,512}"$/.test(tag) ? tag : undefined
}

/** What an answer of another status than was hoped for says. */
export function answerError({ url, status }: HttpAnswer): ImageError {
  const where = `${shownUrl(url)} answered ${status}`
  if (status === 404) return new ImageError('IMAGE_NOT_FOUND', where)
  if (status === 401 || status === 403) return new ImageError('IMAGE_SOURCE_DENIED', where)
  return new ImageError(status >= 500 ? 'IMAGE_SOURCE_UNREACHABLE' : 'IMAGE_SOURCE_BAD', where)
}

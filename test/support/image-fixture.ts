import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  type FetchOptions,
  fetchImage,
  type ImageStore,
  openImageStore,
  type StoredImage,
} from '../../stage1/image/index.ts'
import { type ImageAnswer, type ImageServer, serveImages } from './image-server.ts'
import { cannotRender } from './images.ts'
import { tempDir } from './temp-dir.ts'

const FETCH_CHILD = fileURLToPath(new URL('fetch-child.ts', import.meta.url))

/** What tests of images start from: for each test a directory, an empty store in it, and what ends with the test. */
export class ImageFixture {
  /** Absolute. */
  dir = ''
  #store: ImageStore | undefined
  readonly #endings: (() => Promise<unknown> | unknown)[] = []

  /**
   * Registers the hooks of the suite that calls it; the suite is skipped where images cannot be rendered.
   * @param missing why it cannot be for another reason
   */
  static forSuite(missing: () => string | undefined = () => undefined): ImageFixture {
    const fixture = new ImageFixture()
    before(function () {
      const reason = cannotRender() ?? missing()
      if (reason !== undefined) {
        console.log(`      skipped: ${reason}`)
        this.skip()
      }
    })
    beforeEach(() => {
      const dir = tempDir()
      fixture.dir = dir.path
      fixture.#store = openImageStore(`${dir.path}/store`)
      fixture.ending(dir.remove)
    })
    afterEach(async () => {
      for (const end of fixture.#endings.splice(0).reverse()) await end()
    })
    return fixture
  }

  get store(): ImageStore {
    if (this.#store === undefined) throw new TypeError('only a test has a store')
    return this.#store
  }

  /** Is done when the test has ended, last things first. */
  ending(end: () => Promise<unknown> | unknown): void {
    this.#endings.push(end)
  }

  /** A server that ends with the test. */
  async serve(answer: ImageAnswer): Promise<ImageServer> {
    const server = await serveImages(answer)
    this.ending(server.stop)
    return server
  }

  /** Relative paths are relative to the directory. */
  fetch(reference: string, more: Partial<FetchOptions> = {}): Promise<StoredImage> {
    return fetchImage(this.store, reference, { cwd: this.dir, environment: {}, ...more })
  }

  /** The same from a registry that speaks plain HTTP. */
  pull(host: string, more: Partial<FetchOptions> = {}, name = 'x:1'): Promise<StoredImage> {
    return this.fetch(`docker://${host}/${name}`, { relax: ['http'], ...more })
  }

  /** A fetch in a process of its own, which may be killed; it does not outlive the test. */
  fetchInChild(reference: string): { readonly child: ChildProcess; readonly ended: Promise<unknown> } {
    const child = spawn(process.execPath, ['--import=tsx', FETCH_CHILD, this.store.dir, reference, 'http'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = once(child, 'close')
    this.ending(() => child.kill('SIGKILL'))
    return { child, ended }
  }

  /** Names in a directory of the store. */
  inStore(part: string): string[] {
    return fs.readdirSync(`${this.store.dir}/${part}`)
  }
}

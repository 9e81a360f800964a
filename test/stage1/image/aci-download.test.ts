import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { CheckProvenance, FetchOptions } from '../../../stage1/image/index.ts'
import { SignatureError } from '../../../stage1/signatures/index.ts'
import { aci } from '../../support/aci.ts'
import { ImageFixture } from '../../support/image-fixture.ts'
import { type ImageAnswer, noise } from '../../support/image-server.ts'
import { sha256 } from '../../support/images.ts'

const MIB = 1024 * 1024
const TAG = '"first"'

describe('downloads of ACIs', () => {
  const images = ImageFixture.forSuite()
  const archive = aci({ name: 'app' }, [{ name: 'f', data: noise(3 * MIB, 1) }])
  const other = aci({ name: 'app' }, [{ name: 'f', data: noise(3 * MIB, 2) }])

  const fetch = (host: string, more: Partial<FetchOptions> = {}) =>
    images.fetch(`http://${host}/app.aci`, { relax: ['http'], ...more })
  const parts = (): string[] => images.inStore('tmp').filter((n) => n.startsWith('part-'))

  interface Asked {
    readonly range: string | undefined
    readonly condition: string | undefined
  }
  interface Sending {
    readonly tag?: string | undefined
    /** The connection breaks after so many bytes of an answer. */
    readonly breakAfter?: number
  }

  /** Sends bytes as RFC 9110 has it: a range only of the file that the condition names. */
  function send(bytes: Buffer, request: IncomingMessage, response: ServerResponse, { tag, breakAfter }: Sending): void {
    const range = /^bytes=([0-9]+)-$/.exec(request.headers.range ?? '')
    const from = range !== null && tag !== undefined && request.headers['if-range'] === tag ? Number(range[1]) : 0
    if (tag !== undefined) response.setHeader('etag', tag)
    if (from > 0) response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`)
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': bytes.length - from })
    if (breakAfter === undefined) response.end(bytes.subarray(from))
    else response.write(bytes.subarray(from, from + breakAfter), () => request.socket.destroy())
  }

  /** A server that answers each request as the next of `answers` says, and then as the last of them. */
  async function serve(answers: readonly ImageAnswer[]): Promise<{ readonly host: string; readonly asked: Asked[] }> {
    const asked: Asked[] = []
    const server = await images.serve((path, request, response) => {
      asked.push({ range: request.headers.range, condition: request.headers['if-range'] as string | undefined })
      answers[Math.min(asked.length, answers.length) - 1]?.(path, request, response)
    })
    return { host: server.host, asked }
  }
  const sending =
    (bytes: Buffer, how: Sending = {}): ImageAnswer =>
    (_, request, response) =>
      send(bytes, request, response, how)
  const status =
    (code: number): ImageAnswer =>
    (_, __, response) =>
      response.writeHead(code).end()

  /** Leaves what came of a transfer that broke after `bytes`, in a store that has no more of it. */
  async function leavePart(bytes: number, tag = TAG): Promise<{ readonly host: string; answer: ImageAnswer }> {
    const place = { host: '', answer: sending(archive, { tag, breakAfter: bytes }) }
    const server = await images.serve((path, request, response) => place.answer(path, request, response))
    place.host = server.host
    let first = true
    const breaking = place.answer
    place.answer = (path, request, response) => {
      if (!first) return void response.writeHead(503).end()
      first = false
      breaking(path, request, response)
    }
    await assert.rejects(fetch(place.host), { code: 'IMAGE_SOURCE_UNREACHABLE' })
    assert.equal(parts().length, 1)
    return place
  }
  function recording(place: { answer: ImageAnswer }, ...answers: readonly ImageAnswer[]): Asked[] {
    const asked: Asked[] = []
    place.answer = (path, request, response) => {
      asked.push({ range: request.headers.range, condition: request.headers['if-range'] as string | undefined })
      answers[Math.min(asked.length, answers.length) - 1]?.(path, request, response)
    }
    return asked
  }

  it('are taken up where they broke, on the condition that the file is the same', async () => {
    const broken = sending(archive, { tag: TAG, breakAfter: MIB })
    const { host, asked } = await serve([broken, broken, sending(archive, { tag: TAG })])
    const image = await fetch(host)
    assert.equal(image.origin.archiveDigest, sha256(archive))
    assert.deepEqual(
      asked.map((a) => a.condition),
      [undefined, TAG, TAG],
    )
    assert.ok(asked.slice(1).every((a) => /^bytes=[1-9][0-9]*-$/.test(a.range ?? '')))
    assert.deepEqual(images.inStore('tmp'), [])
  })

  it('are given up when they break again and again', async () => {
    const { host, asked } = await serve([sending(archive, { tag: TAG, breakAfter: 1000 })])
    await assert.rejects(fetch(host), { code: 'IMAGE_SOURCE_UNREACHABLE' })
    assert.ok(asked.length > 1 && asked.length <= 6, String(asked.length))
  })

  it('are given up when they get no further', async () => {
    const { host, asked } = await serve([sending(archive, { tag: TAG, breakAfter: 0 })])
    await assert.rejects(fetch(host), { code: 'IMAGE_SOURCE_UNREACHABLE' })
    assert.equal(asked.length, 1)
  })

  const anew: { name: string; answers: readonly ImageAnswer[]; ranges: number }[] = [
    {
      name: 'states no tag',
      answers: [sending(archive, { breakAfter: MIB }), sending(archive)],
      ranges: 0,
    },
    {
      name: 'states a weak tag',
      answers: [sending(archive, { tag: 'W/"x"', breakAfter: MIB }), sending(archive, { tag: 'W/"x"' })],
      ranges: 0,
    },
    {
      name: 'knows no ranges',
      answers: [
        sending(archive, { tag: TAG, breakAfter: MIB }),
        (_, __, response) => response.writeHead(200, { etag: TAG, 'content-length': archive.length }).end(archive),
      ],
      ranges: 1,
    },
    {
      name: 'has another file by now',
      answers: [sending(other, { tag: '"old"', breakAfter: MIB }), sending(archive, { tag: TAG })],
      ranges: 1,
    },
    {
      name: 'calls the rest of another size the same file',
      answers: [
        sending(other, { tag: TAG, breakAfter: MIB }),
        (_, request, response) => {
          const from = Number(/[0-9]+/.exec(request.headers.range ?? '')?.[0])
          const range = `bytes ${from}-${archive.length + 99}/${archive.length + 100}`
          response.writeHead(206, { etag: TAG, 'content-range': range }).end(Buffer.alloc(archive.length + 100 - from))
        },
        sending(archive, { tag: TAG }),
      ],
      ranges: 1,
    },
    {
      name: 'sends another range than was asked for',
      answers: [
        sending(archive, { tag: TAG, breakAfter: MIB }),
        (_, __, response) =>
          response
            .writeHead(206, { etag: TAG, 'content-range': `bytes 0-${archive.length - 1}/${archive.length}` })
            .end(archive),
        sending(archive, { tag: TAG }),
      ],
      ranges: 1,
    },
    {
      name: 'has no such range',
      answers: [sending(archive, { tag: TAG, breakAfter: MIB }), status(416), sending(archive, { tag: TAG })],
      ranges: 1,
    },
  ]
  for (const { name, answers, ranges } of anew) {
    it(`begin anew when the server ${name}`, async () => {
      const { host, asked } = await serve(answers)
      assert.equal((await fetch(host)).origin.archiveDigest, sha256(archive))
      assert.equal(asked.filter((a) => a.range !== undefined).length, ranges)
      assert.deepEqual(images.inStore('tmp'), [])
    })
  }

  it('go on with a rest that comes in several ranges', async () => {
    const piece: ImageAnswer = (_, request, response) => {
      const from = Number(/[0-9]+/.exec(request.headers.range ?? '')?.[0])
      const some = archive.subarray(from, from + MIB)
      const range = `bytes ${from}-${from + some.length - 1}/${archive.length}`
      response.writeHead(206, { etag: TAG, 'content-range': range, 'content-length': some.length }).end(some)
    }
    const { host } = await serve([sending(archive, { tag: TAG, breakAfter: MIB }), piece])
    assert.equal((await fetch(host)).origin.archiveDigest, sha256(archive))
  })

  it('leave what came for the next fetch of the same file', async () => {
    const place = await leavePart(2 * MIB)
    const asked = recording(place, sending(archive, { tag: TAG }))
    assert.equal((await fetch(place.host)).origin.archiveDigest, sha256(archive))
    assert.deepEqual(
      asked.map((a) => a.condition),
      [undefined, TAG],
    )
    assert.deepEqual(images.inStore('tmp'), [])
  })

  it('do not take what was left of another file, or of another URL', async () => {
    const place = await leavePart(2 * MIB, '"old"')
    const asked = recording(place, sending(archive, { tag: TAG }))
    await fetch(place.host)
    await images.fetch(`http://${place.host}/other.aci`, { relax: ['http'] })
    assert.ok(asked.every((a) => a.range === undefined))
    assert.equal(parts().length, 1, 'it is left for the collection of garbage')
  })

  it('survive a kill: the next command goes on with what the dead one had', async () => {
    let answer: ImageAnswer = (_, __, response) => {
      response.writeHead(200, { etag: TAG, 'content-length': archive.length })
      response.write(archive.subarray(0, 2 * MIB)) // and no more: it is killed once that much is on the disk
    }
    const server = await images.serve((...request) => answer(...request))
    const reference = `http://${server.host}/app.aci`
    const { child, ended } = images.fetchInChild(reference)
    const there = (): number =>
      Math.max(
        0,
        ...images.inStore('tmp').flatMap((work) => {
          const names = fs.readdirSync(join(images.store.dir, 'tmp', work)).filter((n) => n.startsWith('part-'))
          return names.map((n) => fs.statSync(join(images.store.dir, 'tmp', work, n)).size)
        }),
      )
    while (there() < 2 * MIB) await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill('SIGKILL')
    await ended
    const ranges: (string | undefined)[] = []
    answer = (_, request, response) => {
      ranges.push(request.headers.range)
      send(archive, request, response, { tag: TAG })
    }
    await fetch(server.host)
    assert.deepEqual(ranges, [undefined, `bytes=${2 * MIB}-`])
    assert.deepEqual(images.inStore('tmp'), [])
  })

  describe('that were put together of two files', () => {
    /** Nothing in the answers tells that the rest is of another file. */
    const lying = (first: Buffer, rest: Buffer): ImageAnswer[] => [
      sending(first, { tag: TAG, breakAfter: 2 * MIB }),
      sending(rest, { tag: TAG }),
      sending(rest, { tag: TAG }),
    ]
    const signedIs =
      (digest: string): CheckProvenance =>
      async ({ kind, ...image }) => {
        assert.ok(kind === 'aci' && 'archive' in image)
        const bytes: Uint8Array[] = []
        for await (const piece of image.archive()) bytes.push(piece)
        if (sha256(Buffer.concat(bytes)) !== digest) throw new SignatureError('IMAGE_SIGNATURE_BAD', 'another archive')
        return { signers: [], policy: { sha256: '0'.repeat(64), scope: 'test' } }
      }

    it('are not believed: what is signed is the whole, and that is fetched in one piece', async () => {
      const { host, asked } = await serve(lying(other, archive))
      const image = await fetch(host, { checkProvenance: signedIs(sha256(archive)) })
      assert.equal(image.origin.archiveDigest, sha256(archive))
      assert.equal(asked.length, 3)
      assert.equal(asked[2]?.range, undefined)
    })

    it('are noticed by their compression where nobody signs', async () => {
      const [first, rest] = [gzipSync(other, { level: 0 }), gzipSync(archive, { level: 0 })]
      assert.equal(first.length, rest.length, 'else the size would tell')
      const { host, asked } = await serve(lying(first, rest))
      assert.equal((await fetch(host)).origin.archiveDigest, sha256(rest))
      assert.equal(asked.length, 3)
    })

    it('are refused when the one piece is wrong as well', async () => {
      const { host, asked } = await serve(lying(other, archive))
      await assert.rejects(fetch(host, { checkProvenance: signedIs(sha256(other)) }), { code: 'IMAGE_SIGNATURE_BAD' })
      assert.equal(asked.length, 3)
      assert.deepEqual(images.inStore('refs'), [])
    })
  })

  for (const { code, status: answered } of [
    { code: 'IMAGE_NOT_FOUND', status: 404 },
    { code: 'IMAGE_SOURCE_DENIED', status: 403 },
    { code: 'IMAGE_SOURCE_BAD', status: 206 },
    { code: 'IMAGE_SOURCE_UNREACHABLE', status: 500 },
  ]) {
    it(`are refused with ${code} when the server answers ${answered}`, async () => {
      const { host } = await serve([status(answered)])
      await assert.rejects(fetch(host), { code })
      assert.deepEqual(images.inStore('tmp'), [])
    })
  }

  it('are refused before they come when they are too large', async () => {
    const { host } = await serve([
      (_, __, response) => void response.writeHead(200, { 'content-length': 2 ** 40 }).write('x'),
    ])
    await assert.rejects(fetch(host), { code: 'IMAGE_TOO_LARGE' })
  })
})

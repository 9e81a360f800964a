import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { ImageFixture } from '../../support/image-fixture.ts'
import { answering, type ImageAnswer, sendBlob, servedImage } from '../../support/image-server.ts'
import { sha256 } from '../../support/images.ts'

const MIB = 1024 * 1024

describe('downloads of images', () => {
  const images = ImageFixture.forSuite()

  const tmp = (): string[] => images.inStore('tmp')

  /** Breaks the connection after `bytes` of a layer, for the first `times` requests. */
  function breaking(image: ReturnType<typeof servedImage>, bytes: number, times: number): ImageAnswer {
    let left = times
    const good = answering(image)
    return (path, request, response) => {
      const layer = image.layers.find((l) => path.endsWith(sha256(l)))
      if (layer === undefined || left === 0) return good(path, request, response)
      left--
      const from = Number(/[0-9]+/.exec(request.headers.range ?? '')?.[0] ?? 0)
      response.writeHead(from === 0 ? 200 : 206, {
        'content-length': layer.length - from,
        'content-range': `bytes ${from}-${layer.length - 1}/${layer.length}`,
      })
      response.write(layer.subarray(from, from + bytes), () => request.socket.destroy())
    }
  }

  it('are taken up where they broke, and made whole', async () => {
    const image = servedImage([3 * MIB])
    const ranges: (string | undefined)[] = []
    const broken = breaking(image, MIB, 2)
    const server = await images.serve((path, request, response) => {
      if (path.endsWith(sha256(image.layers[0] ?? Buffer.alloc(0)))) ranges.push(request.headers.range)
      broken(path, request, response)
    })
    await images.pull(server.host)
    assert.equal(ranges.length, 3)
    assert.equal(ranges[0], undefined)
    assert.ok(
      ranges.slice(1).every((r) => /^bytes=[0-9]+-$/.test(r ?? '')),
      String(ranges),
    )
    assert.deepEqual(tmp(), [])
  })

  it('leave what came for the next fetch', async () => {
    const image = servedImage([3 * MIB])
    // the second try is refused, so that the fetch gives up
    const always = await images.serve((path, request, response) => {
      if (path.includes('/blobs/') && request.headers.range !== undefined) response.writeHead(500).end()
      else breaking(image, 2 * MIB, 1)(path, request, response)
    })
    await assert.rejects(images.pull(always.host), { code: 'IMAGE_SOURCE_UNREACHABLE' })
    assert.equal(tmp().filter((n) => n.startsWith('part-')).length, 1)
    const ranges: (string | undefined)[] = []
    const good = answering(image)
    const mended = await images.serve((path, request, response) => {
      if (path.includes('/blobs/')) ranges.push(request.headers.range)
      good(path, request, response)
    })
    await images.pull(mended.host)
    assert.ok(
      ranges.some((r) => r?.startsWith('bytes=')),
      'and gone on with',
    )
    assert.deepEqual(tmp(), [])
  })

  it('whose part was left wrong begin anew', async () => {
    const image = servedImage([2 * MIB])
    const [layer = Buffer.alloc(0)] = image.layers
    const server = await images.serve(answering(image))
    for (const bad of [Buffer.alloc(MIB), Buffer.alloc(layer.length), Buffer.alloc(layer.length + 10)]) {
      fs.writeFileSync(join(images.store.dir, 'tmp', `part-${sha256(layer).slice(7)}`), bad)
      await images.pull(server.host)
      fs.rmSync(join(images.store.dir, 'cas/sha256', sha256(layer).slice(7)))
    }
    assert.deepEqual(tmp(), [])
  })

  it('survive a kill: the next command goes on with what the dead one had', async () => {
    const image = servedImage([4 * MIB])
    const [layer = Buffer.alloc(0)] = image.layers
    const good = answering(image)
    const slow = await images.serve((path, request, response) => {
      if (!path.endsWith(sha256(layer))) return good(path, request, response)
      response.writeHead(200, { 'content-length': layer.length })
      response.write(layer.subarray(0, 3 * MIB)) // and no more: it is killed once that much is on the disk
    })
    const { child, ended } = images.fetchInChild(`docker://${slow.host}/x:1`)
    const part = (): number => {
      for (const work of tmp()) {
        const file = join(images.store.dir, 'tmp', work, `part-${sha256(layer).slice(7)}`)
        const size = fs.statSync(file, { throwIfNoEntry: false })?.size
        if (size !== undefined) return size
      }
      return 0
    }
    while (part() < 2 * MIB) await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill('SIGKILL')
    await ended
    const ranges: (string | undefined)[] = []
    const mended = await images.serve((path, request, response) => {
      if (path.endsWith(sha256(layer))) ranges.push(request.headers.range)
      good(path, request, response)
    })
    await images.pull(mended.host)
    assert.match(String(ranges[0]), /^bytes=[1-9]/)
    assert.deepEqual(tmp(), [])
  })

  it('run beside each other, at most three', async () => {
    const image = servedImage([10, 20, 30, 40, 50])
    let now = 0
    let most = 0
    const waiting: (() => void)[] = []
    const server = await images.serve((path, request, response) => {
      const layer = image.layers.find((l) => path.endsWith(sha256(l)))
      if (layer === undefined) return answering(image)(path, request, response)
      now++
      most = Math.max(most, now)
      const send = (): void => {
        now--
        sendBlob(layer, request, response)
      }
      waiting.push(send)
      // the first three are answered when all of them are there: one after another would never get that far
      if (most === 3) for (const go of waiting.splice(0)) go()
    })
    await images.pull(server.host)
    assert.equal(most, 3)
  })

  it('stop all when one is wrong, and leave nothing of it', async () => {
    const image = servedImage([MIB, 2 * MIB])
    const [bad = Buffer.alloc(0)] = image.layers
    const server = await images.serve((path, request, response) => {
      if (path.endsWith(sha256(bad))) sendBlob(Buffer.alloc(bad.length), request, response)
      else answering(image)(path, request, response)
    })
    await assert.rejects(images.pull(server.host), { code: 'IMAGE_DIGEST_MISMATCH' })
    assert.deepEqual(images.inStore('images'), [])
    assert.ok(!tmp().includes(`part-${sha256(bad).slice(7)}`))
  })

  const patience = { silenceMs: 300, windowMs: 200, windowBytes: 4096 }
  const trickle = (response: { write: (s: string) => unknown; on: (e: 'close', f: () => void) => unknown }): void => {
    const timer = setInterval(() => response.write('x'), 20)
    response.on('close', () => clearInterval(timer))
  }
  const slow: { name: string; answer: (image: ReturnType<typeof servedImage>) => ImageAnswer }[] = [
    { name: 'says nothing', answer: () => () => {} },
    {
      name: 'sends a manifest a byte at a time',
      answer: (image) => (_, __, response) => {
        response.setHeader('content-type', image.type)
        trickle(response)
      },
    },
    {
      name: 'sends its headers a byte at a time',
      answer: () => (_, request) => {
        request.socket.write('HTTP/1.1 200 OK\r\nx: ')
        const timer = setInterval(() => request.socket.write('x'), 20)
        request.socket.on('close', () => clearInterval(timer))
        request.socket.on('error', () => {})
      },
    },
    {
      name: 'sends a layer a byte at a time',
      answer: (image) => (path, request, response) => {
        if (image.layers.some((l) => path.endsWith(sha256(l)))) trickle(response)
        else answering(image)(path, request, response)
      },
    },
  ]
  for (const { name, answer } of slow) {
    it(`end in bounded time when the server ${name}`, async () => {
      const server = await images.serve(answer(servedImage([MIB])))
      await assert.rejects(images.pull(server.host, { patience }), { code: 'IMAGE_SOURCE_UNREACHABLE' })
      assert.deepEqual(tmp(), [])
    })
  }

  const lies: { name: string; code: string; send: ImageAnswer }[] = [
    {
      name: 'a content-length that is too long',
      code: 'IMAGE_SOURCE_UNREACHABLE',
      send: (_, request, response) => {
        response.writeHead(200, { 'content-length': 1000 })
        response.write('x', () => request.socket.end())
      },
    },
    {
      name: 'a content-length that is too short',
      code: 'IMAGE_SIZE_MISMATCH',
      send: (_, request) => void request.socket.end('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef'),
    },
    {
      name: 'chunks that break off',
      code: 'IMAGE_SOURCE_UNREACHABLE',
      send: (_, request) =>
        void request.socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n'),
    },
    {
      name: 'a chunk that is longer than it says',
      code: 'IMAGE_SOURCE_UNREACHABLE',
      send: (_, request) =>
        void request.socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcde\r\n0\r\n\r\n'),
    },
    {
      name: 'a compressed body that nobody asked for',
      code: 'IMAGE_SIZE_MISMATCH',
      send: (_, __, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end('abc'),
    },
    {
      name: 'a part where all was asked for',
      code: 'IMAGE_SOURCE_BAD',
      send: (_, __, response) => void response.writeHead(206, { 'content-range': 'bytes 0-2/3' }).end('abc'),
    },
  ]
  for (const { name, code, send } of lies) {
    it(`are refused with ${code} after ${name}`, async () => {
      const image = servedImage([100])
      const server = await images.serve((path, request, response) => {
        if (image.layers.some((l) => path.endsWith(sha256(l)))) send(path, request, response)
        else answering(image)(path, request, response)
      })
      await assert.rejects(images.pull(server.host), { code })
      assert.deepEqual(images.inStore('images'), [])
    })
  }
})

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Ran } from '../support/holdfast.ts'
import { assertUsable, expectRefusal, needsWholePath, startNode, type WholeNode } from '../support/whole-path.ts'

describe('what stage0 finds in place of the agent', () => {
  let node: WholeNode
  let socket: string

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    socket = join(node.d.directory, 'other.sock')
  })
  after(async () => {
    await node?.d.stop()
  })
  const launch = (): Promise<Ran> => node.d.launch('--agent', socket, node.image, '--', 'echo', 'started all the same')

  it('nothing: refused, and how to start it', async () => {
    await expectRefusal(node, ['AGENT_MISSING', 'systemctl start holdfast-agent'], launch)
  })

  it('a file, a directory: refused', async () => {
    writeFileSync(socket, '')
    await expectRefusal(node, ['AGENT_MISSING'], launch)
    rmSync(socket)
    await expectRefusal(node, ['AGENT_'], () => node.d.launch('--agent', '/', node.image, '--', 'echo', 'no'))
  })

  const head = (status: string, length: number): string =>
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
  const answer = (status: string, body: string): string => head(status, Buffer.byteLength(body)) + body
  const answers: readonly (readonly [string, string])[] = [
    ['nothing, and hangs up', ''],
    ['what is no HTTP', '\0\xff\0\xffnonsense\r\n\r\n'],
    ['a status line without end', `HTTP/1.1 200 ${'O'.repeat(100_000)}`],
    ['half an answer', `${head('200 OK', 1000)}{"decision":`],
    ['no JSON', answer('200 OK', 'decision: allowed')],
    ['null', answer('200 OK', 'null')],
    ['an empty object', answer('200 OK', '{}')],
    ['a decision of another kind', answer('200 OK', '{"decision":"allowed","mode":1,"request":[],"ticket":{}}')],
    ['permission without a request', answer('200 OK', '{"decision":"allowed","mode":"off","request":""}')],
    ['a denial without reasons', answer('403 Forbidden', '{"decision":"denied"}')],
    ['permission with the status of a denial', answer('403 Forbidden', '{"decision":"allowed","mode":"off"}')],
    ['a redirect', `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n`],
    ['nine megabytes', answer('200 OK', `"${'x'.repeat(9 << 20)}"`)],
    ['JSON a hundred thousand levels deep', answer('200 OK', '['.repeat(100_000))],
  ]
  for (const [what, bytes] of answers) {
    it(`somebody who answers ${what}: refused with a code`, async () => {
      const stop = await serve(socket, bytes)
      try {
        const ran = await expectRefusal(node, ['AGENT_'], launch)
        assert.ok(ran.stderr.length < 3000, 'no flood on the terminal')
        assert.doesNotMatch(ran.stderr, /\n {4}at /, 'no stack trace')
      } finally {
        await stop()
      }
    })
  }

  it('and the real agent works as before', async () => {
    await assertUsable(node)
  })
})

/** Listens, reads a request, and sends these bytes. @returns what ends it */
async function serve(path: string, bytes: string): Promise<() => Promise<void>> {
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server: Server = createServer((client) => {
    open.add(client)
    client.on('error', () => client.destroy()) // stage0 hangs up when it has seen enough
    client.once('data', () => client.end(bytes, 'latin1'))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return async () => {
    for (const client of open) client.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
}

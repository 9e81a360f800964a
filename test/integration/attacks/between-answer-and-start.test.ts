import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import {
  appendFileSync,
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { canonicalJson, toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { signTicket, type TicketClaims } from '../../../attestation/protocol/index.ts'
import { loadIdentity } from '../../../attestation/verifier/identity.ts'
import { readVerifierConfig } from '../../../attestation/verifier/index.ts'
import { type AgentAnswer, AgentProxy } from '../../support/agent-proxy.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run } from '../../support/holdfast.ts'
import {
  assertUsable,
  expectRefusal,
  inBothWays,
  needsWholePath,
  startNode,
  type WholeNode,
} from '../../support/whole-path.ts'

inBothWays("between the agent's answer and the start of the pod", (options) => {
  let node: WholeNode
  let proxy: AgentProxy

  before(async function () {
    needsWholePath(this)
    node = await startNode(options)
    proxy = await AgentProxy.start(join(node.d.directory, 'proxy.sock'), node.d.agentSocket)
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })
  afterEach(async () => {
    if (node === undefined) return
    proxy.hook = (_, answer) => answer
    await assertUsable(node)
  })

  const args = (): string[] => [...node.d.nodeOptions, '--agent', proxy.socket]
  const launch = (...options: string[]): Promise<Ran> =>
    node.d.holdfast('run', ...args(), ...options, node.image, '--', 'echo', 'started all the same')

  /** The launch was allowed, and then something happens to what was measured. */
  async function refusedAfter(
    words: readonly string[],
    happens: (podDirectory: string) => void,
    start = () => launch(),
  ) {
    let allowed = false
    proxy.hook = (asked, answer) => {
      allowed = answer.status === 200
      happens(podDirectoryOf(asked))
      return answer
    }
    await expectRefusal(node, words, start)
    assert.ok(allowed, 'the agent itself had allowed it')
  }

  it('a pod that nobody touches starts, also through the proxy', async () => {
    assert.equal((await launch()).stdout, 'started all the same\n')
  })

  it('a byte of the image changes: it is not started', async () => {
    const tree = await treeFile(node, 'busybox')
    try {
      await refusedAfter(['IMAGE_TREE_CHANGED'], () => flipByte(tree))
    } finally {
      flipByte(tree)
    }
  })

  it('a byte of the stage1 changes, with the times put back: it is not started', async () => {
    const tree = await treeFile(node, 'stage1')
    const { atime, mtime } = statSync(tree)
    try {
      await refusedAfter(['IMAGE_TREE_CHANGED'], () => {
        flipByte(tree)
        utimesSync(tree, atime, mtime)
      })
    } finally {
      flipByte(tree)
    }
  })

  it('another file is put in the place of the image: it is not started', async () => {
    const tree = await treeFile(node, 'busybox')
    const kept = `${tree}.kept`
    try {
      await refusedAfter(['IMAGE_TREE_CHANGED'], () => {
        renameSync(tree, kept)
        copyFileSync(kept, tree)
        flipByte(tree)
      })
    } finally {
      renameSync(kept, tree)
    }
  })

  it('the image disappears: it is not started', async () => {
    const tree = await treeFile(node, 'busybox')
    try {
      await refusedAfter(['IMAGE_'], () => renameSync(tree, `${tree}.kept`))
    } finally {
      renameSync(`${tree}.kept`, tree)
    }
  })

  it("the pod's manifest changes: it is not started", async () => {
    await refusedAfter(['LAUNCH_CHANGED', '/pod was changed'], (pod) => {
      const file = join(pod, 'pod')
      writeFileSync(file, readFileSync(file, 'utf8').replace('started all the same', 'something else entirely'))
    })
  })

  it('the key of the redacted values changes, or is gone: it is not started', async () => {
    await refusedAfter(['LAUNCH_CHANGED', 'redaction-key'], (pod) =>
      writeFileSync(join(pod, 'redaction-key'), '0'.repeat(32)),
    )
    await refusedAfter(['LAUNCH_CHANGED', 'redaction-key'], (pod) => rmSync(join(pod, 'redaction-key')))
  })

  for (const [name, place] of [
    ['systemd-nspawn', '/usr/bin/systemd-nspawn'],
    ['holdfast-stage1', join(PROJECT_ROOT, 'build/holdfast-stage1')],
  ] as const) {
    it(`a byte is added to ${name}: it is not executed`, async () => {
      const copy = join(node.d.directory, name)
      copyFileSync(place, copy)
      // the copy stands in the program's place for this one process, so that the machine's own stays as it is
      await refusedAfter(
        ['LAUNCH_CHANGED', name],
        () => appendFileSync(copy, '\0'),
        () =>
          run('unshare', [
            ...['--mount', 'sh', '-c', `mount --bind ${copy} ${place} && exec "$@"`, 'sh'],
            ...[HOLDFAST_PROGRAM, 'run', ...args(), node.image, '--', 'echo', 'started all the same'],
          ]),
      )
    })
  }

  it('the answer is that of another pod: it is not started', async () => {
    const first = await answerOf(() => launch())
    proxy.hook = () => first
    await expectRefusal(node, ['AGENT_ANSWER_BAD', 'another launch'], () => launch())
  })

  it('the ticket is that of another pod: it is not started', async () => {
    const first = await answerOf(() => launch())
    proxy.hook = (_, answer) => withTicket(answer, () => ticketIn(first))
    await expectRefusal(node, ['LAUNCH_TICKET_BAD', 'TICKET_WRONG_POD'], () => launch())
  })

  it('the ticket is gone, or the mode is another one than was measured: it is not started', async () => {
    proxy.hook = (_, answer) => changed(answer, (a) => ({ ...a, ticket: undefined }))
    await expectRefusal(node, ['LAUNCH_TICKET_BAD'], () => launch())
    proxy.hook = (_, answer) => changed(answer, (a) => ({ ...a, ticket: undefined, mode: 'off' }))
    await expectRefusal(node, ['AGENT_ANSWER_BAD'], () => launch())
  })

  it('the agent was taken over, and says all through that it does not enforce: it is not started', async () => {
    proxy.hook = (_, answer) =>
      changed(answer, (a) => ({
        ...a,
        ticket: undefined,
        mode: 'off',
        request: canonicalJson({ ...JSON.parse(String(a.request)), mode: 'off' }),
      }))
    await expectRefusal(node, ['AGENT_ANSWER_BAD', 'configured on this node is enforce'], () => launch())
  })

  it('the ticket is signed by another key, or by none: it is not started', async () => {
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const id = toHex(digest('sha256', new Uint8Array(other.publicKey.export({ type: 'spki', format: 'der' }))))
    await refusedTicket(['TICKET_UNKNOWN_KEY'], (claims) => signTicket({ ...claims, iss: id }, other.privateKey))
    // the verifier's name above another's signature
    await refusedTicket(['TICKET_'], (claims) => signTicket(claims, other.privateKey))
    await refusedTicket(['TICKET_'], async (_, ticket) => `${ticket.split('.').slice(0, 2).join('.')}.`)
    await refusedTicket(['TICKET_'], async (claims) => {
      const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
      return `${part({ alg: 'none', typ: 'holdfast-ticket+jwt', kid: claims.iss })}.${part(claims)}.`
    })
  })

  it('the ticket has expired, or is of the time to come: it is not started, and the clocks are named', async () => {
    const key = await ticketKeyOf(node)
    const moved = (s: number) => (c: TicketClaims) =>
      signTicket({ ...c, iat: c.iat + s, nbf: c.nbf + s, exp: c.exp + s }, key)
    await refusedTicket(['TICKET_EXPIRED', 'clock'], moved(-120))
    await refusedTicket(['TICKET_NOT_YET_VALID', 'clock'], moved(120))
  })

  it('the ticket is for another node, request or time to live: it is not started', async () => {
    const key = await ticketKeyOf(node)
    await refusedTicket(['TICKET_WRONG_NODE'], (c) => signTicket({ ...c, sub: 'a'.repeat(64) }, key))
    await refusedTicket(['TICKET_WRONG_REQUEST'], (c) => signTicket({ ...c, request: 'a'.repeat(64) }, key))
    await refusedTicket(['TICKET_'], (c) => signTicket({ ...c, exp: c.iat + 3600 }, key))
  })

  it("stage0 goes by its own trust file: a ticket of the agent's verifier is not enough", async () => {
    const trust = JSON.parse(readFileSync(node.d.trustFile, 'utf8'))
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const other = join(node.d.directory, 'other-trust.json')
    writeFileSync(other, JSON.stringify({ ...trust, ticketKeys: [publicKey.export({ format: 'jwk' })] }))
    await expectRefusal(node, ['LAUNCH_TICKET_BAD', 'TICKET_UNKNOWN_KEY'], () => launch('--trust', other))
    await expectRefusal(node, ['LAUNCH_TICKET_BAD', 'no-such-trust.json'], () =>
      launch('--trust', '/no-such-trust.json'),
    )
  })

  it('a launch that was asked for before is not allowed again', async () => {
    let asked = ''
    proxy.hook = (text, answer) => {
      asked = text
      return answer
    }
    assert.equal((await launch()).status, 0)
    const again = await post(node.d.agentSocket, asked)
    assert.equal(again.status, 409)
    assert.match(again.body, /LAUNCH_REPEATED/)
  })

  /** The answer is right but for its ticket, which this makes of the real one. */
  async function refusedTicket(
    words: readonly string[],
    make: (claims: TicketClaims, ticket: string) => Promise<string>,
  ): Promise<void> {
    proxy.hook = async (_, answer) => {
      const ticket = ticketIn(answer)
      const made = await make(JSON.parse(Buffer.from(ticket.split('.')[1] ?? '', 'base64url').toString()), ticket)
      return withTicket(answer, () => made)
    }
    await expectRefusal(node, ['LAUNCH_TICKET_BAD', ...words], () => launch())
  }

  /** Launches a pod through the proxy. @returns what the agent answered */
  async function answerOf(start: () => Promise<Ran>): Promise<AgentAnswer> {
    let seen: AgentAnswer | undefined
    proxy.hook = (_, answer) => {
      seen = answer
      return answer
    }
    assert.equal((await start()).status, 0)
    assert.ok(seen !== undefined)
    return seen
  }
})

async function ticketKeyOf({ d }: WholeNode): Promise<KeyObject> {
  return (await loadIdentity(readVerifierConfig(d.verifierConfig), new Date())).ticketKey.privateKey
}

function podDirectoryOf(asked: string): string {
  const { podDirectory }: { podDirectory: string } = JSON.parse(asked)
  return podDirectory
}

function changed(answer: AgentAnswer, change: (body: Record<string, unknown>) => unknown): AgentAnswer {
  return { ...answer, body: JSON.stringify(change(JSON.parse(answer.body))) }
}

function ticketIn(answer: AgentAnswer): string {
  const { ticket }: { ticket: string } = JSON.parse(answer.body)
  return ticket
}

function withTicket(answer: AgentAnswer, make: () => string): AgentAnswer {
  return changed(answer, (body) => ({ ...body, ticket: make() }))
}

/** The EROFS file of the image with this in its name. */
async function treeFile({ d }: WholeNode, name: string): Promise<string> {
  const images: { name: string; tree: string }[] = JSON.parse(
    await d.expect('image', 'list', '--format=json', '--dir', d.dataDirectory),
  )
  const tree = images.find((image) => image.name.includes(name))?.tree
  assert.ok(tree !== undefined, name)
  return join(d.dataDirectory, 'trees', `${tree.split(':').at(-1)}.erofs`)
}

/** In the middle of the file; twice is none. */
function flipByte(file: string): void {
  const bytes = readFileSync(file)
  const at = bytes.length >> 1
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
  writeFileSync(file, bytes)
}

function post(socketPath: string, body: string): Promise<AgentAnswer> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method: 'POST', path: '/v1/launches' }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }))
    })
    call.on('error', reject)
    call.end(body)
  })
}

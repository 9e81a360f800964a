import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, closeSync, openSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { utf8 } from '../../../attestation/base/index.ts'
import { descriptorOf, sendDescriptors } from '../../../native/process/index.ts'
import { installationIdentity } from '../../../stage1/cli/installation.ts'
import { decodeRunRequest, frame, type RunRequest, STAGE0_PROTOCOL } from '../../../stage1/cli/stage0-protocol.ts'
import { HOLDFAST_PROGRAM, type Ran, run } from '../../support/holdfast.ts'
import { podsImpossible } from '../../support/pods.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** What Node says when it is started for this command, which it can only refuse. */
const COLD: Ran = {
  status: 254,
  stdout: '',
  stderr: 'holdfast run: no image given\n  holdfast run --help shows the options.\n',
}
const HELLO = frame('hello', utf8(`${STAGE0_PROTOCOL} ${installationIdentity()}`))
const exit = (status: number): Uint8Array => frame('exit', Uint8Array.of(status))

describe('build/holdfast run, with a server that the test plays', () => {
  const directory = tempDir()
  const socketPath = join(directory.path, 'stage0.sock')
  let server: Server
  const sockets = new Set<Socket>()

  before(function () {
    const why = podsImpossible()
    if (why === undefined) return
    console.log(`      skipped: ${why}`)
    this.skip()
  })
  after(() => directory.remove())
  afterEach(async () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
    await new Promise((resolve) => server.close(resolve))
  })

  /** What the server says at first, and when it has the request. */
  async function serve(first: Uint8Array, answer?: (socket: Socket, request: RunRequest) => void) {
    const requests = listenAs(0, first, answer)
    await once(server, 'listening')
    return requests
  }

  /** The kernel tells a client who called listen(2), which Node does before `listen` returns. */
  function listenAs(uid: number, first: Uint8Array, answer: (socket: Socket, request: RunRequest) => void = () => {}) {
    const requests: RunRequest[] = []
    server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.write(first)
      socket.on('data', (bytes) => {
        if (requests.length > 0) return
        const request = decodeRunRequest(new Uint8Array(bytes.subarray(4)))
        requests.push(request)
        answer(socket, request)
      })
    })
    process.seteuid?.(uid)
    try {
      server.listen(socketPath)
    } finally {
      process.seteuid?.(0)
    }
    return requests
  }

  const client = (...args: readonly string[]): Promise<Ran> =>
    run(HOLDFAST_PROGRAM, ['run', '--stage0', socketPath, ...args])

  it('asks for what it was called with, from where, with which umask', async () => {
    const requests = await serve(HELLO, (socket) => socket.write(exit(0)))
    const command = `cd / && umask 027 && exec ${HOLDFAST_PROGRAM} run --stage0=${socketPath} '' é -- /dev/null '*'`
    assert.equal((await run('sh', ['-c', command])).status, 0)
    const args = [`--stage0=${socketPath}`, '', 'é', '--', '/dev/null', '*']
    assert.deepEqual(requests, [{ cwd: '/', umask: 0o027, args }])
  })

  it('prints and exits as the server says', async () => {
    await serve(HELLO, (socket) => {
      const long = new Uint8Array(32 << 10).fill(0x61)
      for (const part of [
        frame('output', utf8('out\n')),
        frame('error', utf8('err\n')),
        frame('output', long),
        exit(7),
      ])
        socket.write(part)
    })
    assert.deepEqual(await client(), { status: 7, stdout: `out\n${'a'.repeat(32 << 10)}`, stderr: 'err\n' })
  })

  const cold: readonly { name: string; first: Uint8Array; answer?: Uint8Array; warns?: RegExp }[] = [
    { name: 'is told to, at once', first: frame('cold') },
    { name: 'is told to, when its request was read', first: HELLO, answer: frame('cold') },
    {
      name: 'finds a server of another installation',
      first: frame('hello', utf8(`${STAGE0_PROTOCOL} 1 2 3 4`)),
      warns: /another installation; started without it/,
    },
    {
      name: 'finds a server of another protocol',
      first: frame('hello', utf8(`${STAGE0_PROTOCOL + 1} ${installationIdentity()}`)),
      warns: /another installation/,
    },
    {
      name: 'finds something else that talks',
      first: utf8('HTTP/1.1 400 Bad Request\r\n\r\n'),
      warns: /does not answer/,
    },
    { name: 'finds a server that says nothing', first: new Uint8Array(0), warns: /does not answer/ },
  ]
  for (const { name, first, answer, warns } of cold) {
    it(`starts Node when it ${name}`, async () => {
      const requests = await serve(first, (socket) => answer && socket.write(answer))
      const ran = await client()
      const warning = ran.stderr.slice(0, -COLD.stderr.length)
      assert.deepEqual({ ...ran, stderr: ran.stderr.slice(warning.length) }, COLD)
      if (warns === undefined) assert.equal(warning, '')
      else assert.match(warning, new RegExp(`^holdfast run: warning: .*${warns.source}.*\\n$`))
      assert.equal(requests.length, answer === undefined ? 0 : 1)
    })
  }

  it('starts Node when the connection is closed before anybody said anything', async () => {
    await serve(new Uint8Array(0))
    server.on('connection', (socket) => socket.destroy())
    const ran = await client()
    assert.ok(ran.stderr.endsWith(COLD.stderr))
    assert.equal(ran.status, 254)
  })

  it('starts Node for --stage0 none, and where nobody listens, without a word', async () => {
    const requests = await serve(HELLO)
    assert.deepEqual(await run(HOLDFAST_PROGRAM, ['run', '--stage0', 'none']), COLD)
    assert.deepEqual(await run(HOLDFAST_PROGRAM, ['run', '--stage0=none']), COLD)
    for (const path of [join(directory.path, 'absent.sock'), directory.path, `/${'x'.repeat(200)}`]) {
      assert.deepEqual(await run(HOLDFAST_PROGRAM, ['run', '--stage0', path]), COLD)
    }
    assert.equal(requests.length, 0)
  })

  it('starts Node for what would mean another file to the server, or is too long for a request', async () => {
    const requests = await serve(HELLO)
    for (const option of ['--trust=/dev/fd/0', '--uuid-file-save=/proc/self/fd/1', '--trust=../proc/self/x']) {
      assert.deepEqual(await client(option), COLD)
    }
    assert.deepEqual(await client(...Array(4).fill(`--set-env=A=${'x'.repeat(100_000)}`)), COLD)
    assert.equal(requests.length, 0)
  })

  it('believes root alone', async () => {
    chmodSync(directory.path, 0o777)
    const requests = listenAs(65534, HELLO)
    assert.deepEqual(await client(), COLD)
    assert.equal(requests.length, 0, 'the request was not sent')
  })

  describe('when its request was sent, tries nothing a second time', () => {
    const broken: readonly { name: string; answer: (socket: Socket) => void; says: RegExp }[] = [
      { name: 'the server ends', answer: (socket) => socket.destroy(), says: /ended or hangs; nothing was started/ },
      {
        name: 'the server ends within a frame',
        answer: (socket) => socket.end(frame('error', new Uint8Array(9)).subarray(0, 8)),
        says: /ended or hangs/,
      },
      {
        name: 'a frame is longer than any',
        answer: (socket) => socket.write(Uint8Array.of(0x65, 0xff, 0xff, 0xff, 0xff)),
        says: /ended or hangs/,
      },
      { name: 'a frame is of no known type', answer: (socket) => socket.write(utf8('?\0\0\0\0')), says: /understand/ },
      { name: 'a second hello comes', answer: (socket) => socket.write(HELLO), says: /understand/ },
    ]
    for (const { name, answer, says } of broken) {
      it(`${name}: 254`, async () => {
        await serve(HELLO, answer)
        const ran = await client()
        assert.deepEqual([ran.status, ran.stdout], [254, ''])
        assert.match(ran.stderr, says)
      })
    }

    /** The client is to become this, with what these files are; what it says to the server is given as well. */
    async function become(payload: string, files: readonly string[]): Promise<Ran & { heard: string }> {
      let heard = ''
      await serve(HELLO, (socket) => {
        socket.on('data', (bytes) => {
          heard += bytes.toString('latin1')
        })
        const fds = files.map((file) => openSync(file, 'r'))
        const whole = frame('become', utf8(payload))
        if (fds.length === 0) socket.write(whole)
        else sendDescriptors(descriptorOf(socket), whole, fds)
        for (const fd of fds) closeSync(fd)
      })
      return { ...(await client()), heard }
    }

    const impossible: readonly { name: string; payload: string; files: readonly string[] }[] = [
      { name: 'a pod without descriptors', payload: 'x\0', files: [] },
      { name: 'a pod without its lock', payload: 'x\0', files: ['/bin/true'] },
      { name: 'a program that is none', payload: 'x\0', files: ['/etc/passwd', '/dev/zero'] },
      { name: 'arguments without an end', payload: 'x', files: ['/bin/true', '/dev/zero'] },
      { name: 'no arguments', payload: '', files: ['/bin/true', '/dev/zero'] },
    ]
    for (const { name, payload, files } of impossible) {
      it(`${name}: 254, and the server is told`, async () => {
        const { heard, ...ran } = await become(payload, files)
        assert.deepEqual([ran.status, ran.stdout, heard], [254, '', 'f'])
        assert.match(ran.stderr, /^holdfast run: the pod cannot be started from this process: /)
      })
    }

    it('becomes the program, with an empty environment and the descriptors whose numbers it is told', async () => {
      const script = 'echo "$0 $*"; env; ls -l /proc/$$/fd'
      const { heard, stdout } = await become(`sh\0-c\0${script}\0name\0`, ['/bin/sh', '/dev/zero', '/dev/full'])
      assert.equal(heard, '')
      const [, zero, full] = /^name ([0-9]+) ([0-9]+)\nPWD=.*\n/.exec(stdout) ?? []
      const links = [...stdout.matchAll(/ ([0-9]+) -> (\/.*)$/gm)].map(([, fd, to]) => [fd, to])
      const expected = [
        [zero, '/dev/zero'],
        [full, '/dev/full'],
      ]
      assert.deepEqual(
        links.filter(([fd]) => Number(fd) > 2),
        expected,
      )
    })
  })
})

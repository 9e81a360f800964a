import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import {
  descriptorOf,
  type LibcAdapter,
  loadLibc,
  MAX_SENT_DESCRIPTORS,
  peerCredentials,
  sendDescriptors,
  tryFlock,
} from '../../../native/process/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** Connects, takes what comes, says what it got, and keeps it until its standard input ends. */
const RECEIVER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print('connected', flush=True)
data, fds, flags, address = socket.recv_fds(s, 100, 300)
print(data.decode(), *(os.readlink(f'/proc/self/fd/{fd}') for fd in fds), flush=True)
sys.stdin.read()
`

describe('descriptors sent over a unix socket', () => {
  const directory = tempDir()
  const file = join(directory.path, 'locked')
  let server: Server
  let receiver: ChildProcess
  let connection: Socket

  before(() => writeFileSync(file, ''))
  after(() => directory.remove())
  beforeEach(async () => {
    const path = join(directory.path, 'socket')
    server = createServer({ pauseOnConnect: true }).listen(path) // does not notice the peer's end by itself
    const connected = once(server, 'connection')
    receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['pipe', 'pipe', 'inherit'] })
    ;[connection] = await connected
    await said()
  })
  afterEach(async () => {
    connection.destroy()
    await killed()
    await new Promise((resolve) => server.close(resolve))
  })

  /** The receiver's next line. */
  const said = async (): Promise<string> => {
    let line = ''
    while (!line.endsWith('\n')) line += (await once(receiver.stdout as NodeJS.EventEmitter, 'data'))[0] // a pipe: see spawn
    return line.trim()
  }
  const killed = async (): Promise<void> => {
    if (receiver.exitCode !== null || receiver.signalCode !== null) return
    const ended = once(receiver, 'exit')
    receiver.kill('SIGKILL')
    await ended
  }
  const open = (): number => openSync(file, 'r')

  for (const adapter of ['koffi', 'ffi-napi'] as const satisfies readonly LibcAdapter[]) {
    describe(`by ${adapter}`, () => {
      const calls = loadLibc(adapter)

      it('arrive with the bytes, and are the same open files: a lock goes along and ends with the receiver', async () => {
        const [locked, zero] = [open(), openSync('/dev/zero', 'r')]
        assert.equal(tryFlock(locked, 'exclusive'), true)
        sendDescriptors(descriptorOf(connection), Buffer.from('hello'), [locked, zero], calls)
        closeSync(locked) // while it may still be on its way
        closeSync(zero)
        assert.equal(await said(), `hello ${file} /dev/zero`)
        const other = open()
        try {
          assert.equal(tryFlock(other, 'shared'), false, 'the receiver holds it')
          const ended = once(receiver, 'exit')
          receiver.stdin?.end()
          await ended
          assert.equal(tryFlock(other, 'exclusive'), true)
        } finally {
          closeSync(other)
        }
      })

      it('arrive all when there are as many as the kernel passes at once', async () => {
        const fd = open()
        sendDescriptors(descriptorOf(connection), Buffer.from('x'), Array(MAX_SENT_DESCRIPTORS).fill(fd), calls)
        closeSync(fd)
        assert.equal((await said()).split(' ').length, 1 + MAX_SENT_DESCRIPTORS)
      })

      it('come from a peer whose process and user the kernel names', () => {
        const peer = peerCredentials(descriptorOf(connection), calls)
        assert.deepEqual(peer, { pid: receiver.pid, uid: process.getuid?.(), gid: process.getgid?.() })
      })

      it('are refused when one is closed, the peer is gone, or it is no socket', async () => {
        const bytes = Buffer.from('x')
        const failed = (fd: number, fds: number[], message: RegExp) =>
          assert.throws(() => sendDescriptors(fd, bytes, fds, calls), { code: 'PROCESS_CALL_FAILED', message })
        failed(descriptorOf(connection), [9999], /EBADF/)
        const fd = open()
        try {
          failed(fd, [fd], /ENOTSOCK/)
          assert.throws(() => peerCredentials(fd, calls), { code: 'PROCESS_CALL_FAILED', message: /ENOTSOCK/ })
          await killed()
          failed(descriptorOf(connection), [fd], /EPIPE/)
        } finally {
          closeSync(fd)
        }
      })
    })
  }

  it('are neither none nor more than the kernel passes, and not without a byte', () => {
    const fd = descriptorOf(connection)
    assert.throws(() => sendDescriptors(fd, Buffer.from('x'), []), RangeError)
    assert.throws(() => sendDescriptors(fd, Buffer.from('x'), Array(MAX_SENT_DESCRIPTORS + 1).fill(0)), RangeError)
    assert.throws(() => sendDescriptors(fd, Buffer.alloc(0), [0]), RangeError)
  })

  it('need a connection that is open', () => {
    connection.destroy()
    assert.throws(() => descriptorOf(connection), { code: 'PROCESS_CALL_FAILED', message: /closed/ })
  })
})

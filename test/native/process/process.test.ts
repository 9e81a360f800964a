import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  execve,
  flock,
  type LibcAdapter,
  loadLibc,
  lookForInput,
  setFdInheritable,
  tryFlock,
  unlock,
  waitForFlock,
} from '../../../native/process/index.ts'

const INDEX = new URL('../../../native/process/index.ts', import.meta.url).href

/** Runs a program text in a Node of its own. */
function inNode(text: string): { status: number | null; stdout: string; stderr: string } {
  const program = `const p = await import(${JSON.stringify(INDEX)}); const fs = await import('node:fs'); ${text}`
  return spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', program], { encoding: 'utf8' })
}

describe('native/process', () => {
  let directory = ''
  let file = ''
  const fds: number[] = []
  const open = (): number => {
    const fd = openSync(file, 'r')
    fds.push(fd)
    return fd
  }

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-process-'))
    file = join(directory, 'lock')
    writeFileSync(file, '')
  })
  afterEach(() => {
    for (const fd of fds.splice(0)) closeSync(fd)
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  for (const adapter of ['koffi', 'ffi-napi'] as const satisfies readonly LibcAdapter[]) {
    describe(`the ${adapter} adapter`, () => {
      it('gives what libc gives, and errno only on failure', () => {
        const libc = loadLibc(adapter)
        const fd = open()
        assert.deepEqual(libc.fcntl(fd, 1, 0), { value: 1, errno: 0 }) // F_GETFD: FD_CLOEXEC
        assert.deepEqual(libc.fcntl(9999, 1, 0), { value: -1, errno: 9 }) // EBADF
        assert.deepEqual(libc.flock(fd, 2 | 4), { value: 0, errno: 0 })
        assert.deepEqual(libc.flock(open(), 2 | 4), { value: -1, errno: 11 }) // EAGAIN
        assert.deepEqual(libc.execve('/nonexistent', ['x'], []), { value: -1, errno: 2 })
      })

      it('looks whether there is something to read', () => {
        const fifo = join(directory, `fifo-${adapter}`)
        assert.equal(spawnSync('mkfifo', [fifo]).status, 0)
        const fd = openSync(fifo, 'r+')
        fds.push(fd)
        const descriptor = Buffer.alloc(8)
        descriptor.writeInt32LE(fd, 0)
        descriptor.writeInt16LE(1, 4) // POLLIN
        const libc = loadLibc(adapter)
        assert.deepEqual(libc.poll(descriptor, 0), { value: 0, errno: 0 })
        lookForInput(fd, 0.1)
        writeSync(fd, 'x')
        assert.deepEqual(libc.poll(descriptor, 0), { value: 1, errno: 0 })
        lookForInput(fd, Number.POSITIVE_INFINITY)
      })

      it('waits on another thread', async () => {
        const libc = loadLibc(adapter)
        assert.deepEqual(await libc.flockAsync(open(), 2), { value: 0, errno: 0 })
      })

      it('executes with the arguments and environment given', () => {
        const run = inNode(`const l = p.loadLibc('${adapter}'); l.fcntl(1, 2, 0); l.fcntl(2, 2, 0)
          l.execve('/bin/sh', ['sh', '-c', 'echo "$0 $1 $A"; env | wc -l', 'é', 'a b'], ['A=1', 'PATH=/usr/bin:/bin'])`)
        assert.equal(run.stderr, '')
        assert.match(run.stdout, /^é a b 1\n/)
      })
    })
  }

  it('becomes the program: same pid, its exit status, its output', () => {
    const run = inNode(`fs.writeSync(1, process.pid + '\\n')
      p.execve('/bin/sh', ['sh', '-c', 'echo $$; exit 7'], {})`)
    const [before, after] = run.stdout.split('\n')
    assert.equal(before, after)
    assert.equal(run.status, 7)
  })

  it('passes the descriptors named and no others', () => {
    const run = inNode(`const a = fs.openSync('/dev/random'), b = fs.openSync('/dev/zero')
      p.execve('/bin/sh', ['sh', '-c', 'ls -l /proc/$$/fd'], { PATH: '/usr/bin:/bin' }, [b])`)
    assert.equal(run.status, 0)
    assert.match(run.stdout, / -> \/dev\/zero/)
    assert.doesNotMatch(run.stdout, /anon_inode|\/dev\/random/) // what Node or the program opened
  })

  it('goes on in this process when the program cannot be executed', () => {
    const run = inNode(
      `try { p.execve('/nonexistent/program', ['x'], {}) } catch (e) { console.log(e.code, e.message) }`,
    )
    assert.equal(run.stdout, 'PROCESS_EXEC_FAILED executing /nonexistent/program: ENOENT\n')
  })

  it('refuses a NUL inside an argument', () => {
    assert.throws(() => execve('/bin/true', ['true', 'a\0b'], {}), RangeError)
  })

  it('refuses a descriptor that is not open with PROCESS_CALL_FAILED', () => {
    assert.throws(() => setFdInheritable(9999, true), { code: 'PROCESS_CALL_FAILED', message: /EBADF/ })
    assert.throws(() => tryFlock(9999, 'shared'), { code: 'PROCESS_CALL_FAILED', message: /EBADF/ })
  })

  it('grants shared locks together and an exclusive one alone', () => {
    const [a, b, c] = [open(), open(), open()]
    assert.equal(tryFlock(a, 'shared'), true)
    assert.equal(tryFlock(b, 'shared'), true)
    assert.equal(tryFlock(c, 'exclusive'), false)
    assert.throws(() => flock(c, 'exclusive'), { code: 'PROCESS_LOCK_HELD' })
    unlock(a)
    unlock(b)
    flock(c, 'exclusive')
    assert.equal(tryFlock(a, 'shared'), false)
  })

  it('waits for the end of the process that holds the lock', async () => {
    const holder = spawn('flock', [file, 'sh', '-c', 'echo held; read x'], { stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      await once(holder.stdout, 'data')
      const fd = open()
      assert.equal(tryFlock(fd, 'shared'), false)
      const granted = waitForFlock(fd, 'shared')
      holder.stdin.end()
      await granted
      assert.equal(tryFlock(fd, 'exclusive'), true)
    } finally {
      holder.kill('SIGKILL')
    }
  })
})

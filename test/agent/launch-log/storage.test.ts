import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LaunchLog, openLogDirectory } from '../../../agent/launch-log/index.ts'
import type { LaunchLogContent } from '../../../attestation/event-log/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { RegisterTpm } from './register-tpm.ts'

describe('the launch log on disk', () => {
  const dir = tempDir()
  after(() => dir.remove())

  it('is for root alone', async () => {
    const storage = await openLogDirectory(join(dir.path, 'a', 'launch-log'))
    const log = await storage.open('1-0.cel')
    assert.equal(statSync(join(dir.path, 'a', 'launch-log')).mode & 0o777, 0o700)
    assert.equal(statSync(join(dir.path, 'a', 'launch-log', '1-0.cel')).mode & 0o777, 0o600)
    await log.close()
    await storage.close()
  })

  it('refuses a second agent until the first has given the directory back', async () => {
    const directory = join(dir.path, 'b')
    const storage = await openLogDirectory(directory)
    await assert.rejects(openLogDirectory(directory), { code: 'LAUNCH_LOG_LOCKED' })
    await storage.close()
    await (await openLogDirectory(directory)).close()
  })

  it('keeps logs of a key that the TPM has lost aside, for its counters may come again', async () => {
    const directory = join(dir.path, 'key')
    mkdirSync(directory)
    writeFileSync(join(directory, '1-0.cel'), 'of before keys were kept')
    const [old, fresh] = [`000b${'a1'.repeat(32)}`, `000b${'b2'.repeat(32)}`]
    for (let i = 0; i < 2; i++) await (await openLogDirectory(directory, old)).close()
    assert.deepEqual(readdirSync(directory).sort(), ['1-0.cel', 'key', 'lock'])
    const storage = await openLogDirectory(directory, fresh)
    const log = await storage.open('1-0.cel')
    assert.equal(await log.size(), 0)
    await log.close()
    await storage.close()
    assert.equal(readFileSync(join(directory, old.slice(0, 20), '1-0.cel'), 'utf8'), 'of before keys were kept')
    assert.equal(readFileSync(join(directory, 'key'), 'utf8'), fresh)
  })

  it('refuses an agent in another process, and lets it in when that one was killed', async () => {
    const directory = join(dir.path, 'c')
    const url = new URL('../../../agent/launch-log/index.ts', import.meta.url)
    const source = `import { openLogDirectory } from ${JSON.stringify(url.href)}
      globalThis.held = await openLogDirectory(${JSON.stringify(directory)})
      console.log('locked')
      setInterval(() => globalThis.held, 1000)`
    const other = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(other, 'exit')
    try {
      await once(other.stdout, 'data')
      await assert.rejects(openLogDirectory(directory), { code: 'LAUNCH_LOG_LOCKED', message: /a node has one agent/ })
    } finally {
      other.kill('SIGKILL')
      await ended
    }
    await (await openLogDirectory(directory)).close()
  })

  it('says what cannot be opened', async () => {
    const file = join(dir.path, 'file')
    writeFileSync(file, '')
    await assert.rejects(openLogDirectory(join(file, 'launch-log')), { code: 'LAUNCH_LOG_STORAGE', message: /ENOTDIR/ })
  })

  it('takes a mark that is torn or foreign for none', async () => {
    const directory = join(dir.path, 'd')
    const storage = await openLogDirectory(directory)
    for (const [content, mark] of [
      ['0000000000000042\n', 42],
      ['00000000000', 0],
      ['abcdefghabcdefgh\n', 0],
      ['', 0],
    ] as const) {
      writeFileSync(join(directory, '1-0.cel.extended'), content)
      const log = await storage.open('1-0.cel')
      assert.equal(await log.readMark(), mark, content)
      await log.close()
    }
    await storage.close()
  })

  it('keeps log and register together on a disk that fills up, and goes on when there is room', async function () {
    const mount = join(dir.path, 'small')
    mkdirSync(mount)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', mount], { stdio: 'pipe' })
    } catch {
      console.log('      skipped: a tmpfs cannot be mounted here (needs root)')
      this.skip()
    }
    try {
      const tpm = new RegisterTpm(['sha256', 'sha384'])
      const log = await LaunchLog.open({
        storage: await openLogDirectory(join(mount, 'launch-log')),
        tpm: tpm.port(),
        pcr: pcrIndex(15),
        banks: tpm.banks,
        agentRecord: (found) => ({
          ...{ record: 'agent', version: 't', programSha256: 'c'.repeat(64), configSha256: 'd'.repeat(64) },
          ...{ mode: 'enforce', found, verifierKeys: [] },
        }),
        onBreak: () => assert.fail('no break'),
      })
      let full = 0
      let written = 0
      for (let i = 0; full < 3 && i < 2000; i++) {
        await log
          .exclusive((w) => w.append([denied(i)]))
          .then(
            () => written++,
            (err: unknown) => {
              assert.equal((err as { code?: string }).code, 'LAUNCH_LOG_STORAGE', String(err))
              assert.match(String(err), /ENOSPC/)
              full++
            },
          )
      }
      assert.equal(full, 3)
      assert.ok(written > 20, `${written} records`)
      execFileSync('mount', ['-o', 'remount,size=256k', mount])
      await log.exclusive((w) => w.append([denied(5000)]))
      await log.exclusive((w) => w.checkRegister())
      assert.equal(tpm.extends, log.view.summary.records)
      assert.equal(log.view.summary.records, written + 2)
      await log.close()
    } finally {
      execFileSync('umount', [mount])
    }
  })
})

function denied(n: number): LaunchLogContent {
  const uuid = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  return { record: 'denied', uuid, request: 'a'.repeat(64), code: 'LAUNCH_DENIED' }
}

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { openStore, operate, type Store } from '../../../attestation/store/index.ts'
import { decision, enrolment, evidence, nodeId, result, version } from '../../support/store-records.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('a store in a file', () => {
  const dir = tempDir()
  let count = 0
  const open: Store[] = []
  const fresh = async (file = join(dir.path, `store-${count++}.sqlite`)): Promise<Store> => {
    const store = await openStore(file, { exclusive: true, create: true })
    open.push(store)
    return store
  }
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close()
  })
  after(() => dir.remove())

  it('makes its file readable by its owner only', async () => {
    const store = await fresh()
    assert.equal(statSync(store.name).mode & 0o777, 0o600)
  })

  it('refuses a second verifier on the same file, and lets it in when the first has ended', async () => {
    const store = await fresh()
    await assert.rejects(openStore(store.name, { exclusive: true, create: true }), { code: 'STORE_IN_USE' })
    await store.close()
    open.pop()
    await fresh(store.name)
  })

  it('says so when the directory or, for a command, the file is not there', async () => {
    await assert.rejects(openStore(join(dir.path, 'no/where.sqlite'), { exclusive: true, create: true }), {
      code: 'STORE_UNAVAILABLE',
    })
    const file = join(dir.path, 'absent.sqlite')
    await assert.rejects(openStore(file, { exclusive: false, create: false }), { code: 'STORE_UNAVAILABLE' })
    assert.equal(existsSync(file), false)
  })

  it('refuses a file that is no database, and one damaged in the middle, without changing either', async () => {
    const text = join(dir.path, 'text.sqlite')
    writeFileSync(text, 'this is no database, it is a letter to a friend'.repeat(100))
    const before = readFileSync(text)
    await assert.rejects(openStore(text, { exclusive: true, create: true }), { code: 'STORE_CORRUPT' })
    assert.deepEqual(readFileSync(text), before)
    const store = await fresh()
    await store.close()
    open.pop()
    const damaged = readFileSync(store.name)
    damaged.fill(0x5a, 100, 4096)
    writeFileSync(store.name, damaged)
    await assert.rejects(openStore(store.name, { exclusive: true, create: true }), { code: 'STORE_CORRUPT' })
  })

  it('says STORE_LOCKED when another program keeps the write lock', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    const raw = new Sqlite(store.name)
    try {
      raw.exec('begin immediate')
      await assert.rejects(store.saveResult(result(1, { node: version(1, 1) })), { code: 'STORE_LOCKED' })
    } finally {
      raw.close()
    }
    await store.saveResult(result(1, { node: version(1, 1) }))
  })

  it('says STORE_FULL on a full disk, keeps what it had, and goes on when there is room', async function () {
    const mount = join(dir.path, 'small')
    mkdirSync(mount)
    const done = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount], { encoding: 'utf8' })
    if (done.status !== 0) {
      console.log(`skipped: a small tmpfs cannot be mounted here: ${done.stderr || done.error}`)
      this.skip()
    }
    try {
      const store = await openStore(join(mount, 'store.sqlite'), { exclusive: true, create: true })
      try {
        await store.enrol(enrolment(1))
        await operate(store, nodeId(1), { act: 'admit' }, 'anna')
        const big = { ...evidence('bb'), bytes: Buffer.alloc(2 << 20) }
        await assert.rejects(store.saveDecision(decision(1), result(1, { evidence: big })), {
          code: 'STORE_FULL',
        })
        assert.equal((await store.decisions(nodeId(1), 10)).length, 0)
        assert.equal((await store.node(nodeId(1)))?.state, undefined)
        await store.saveDecision(decision(1), result(1))
        assert.equal((await store.decisions(nodeId(1), 10)).length, 1)
      } finally {
        await store.close()
      }
    } finally {
      spawnSync('umount', [mount])
    }
  })

  it('has every decision that was answered, after kill -9 in the middle of writing', async () => {
    const file = join(dir.path, 'killed.sqlite')
    const child = spawn(
      process.execPath,
      ['--import=tsx', join(import.meta.dirname, '../../support/store-writer.ts'), file],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let answered = 0
    child.stdout.on('data', (chunk: Buffer) => {
      answered += chunk.length // one byte for each committed decision
      if (answered >= 20) child.kill('SIGKILL')
    })
    await once(child, 'close')
    assert.equal(child.signalCode, 'SIGKILL')
    const store = await fresh(file)
    const kept = await store.decisions(nodeId(1), 100_000)
    assert.ok(kept.length >= answered, `${answered} answered, ${kept.length} kept`)
    const raw = new Sqlite(file, { readonly: true })
    assert.equal(raw.pragma('integrity_check', { simple: true }), 'ok')
    raw.close()
  })
})

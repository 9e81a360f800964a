import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import {
  type BoundAk,
  type DecisionRecord,
  type Enrolment,
  findNode,
  openStore,
  operate,
  type ResultRecord,
  type Store,
  saveToken,
} from '../../../attestation/store/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

const nodeId = (n: number): string => n.toString(16).padStart(64, '0')
const ak = (n: number): BoundAk => ({
  public: Uint8Array.of(1, n),
  name: `000b${nodeId(n)}`,
  certificate: Uint8Array.of(2, n),
})
const enrolment = (n: number, admission: Enrolment['admission'] = { kind: 'pending' }): Enrolment => ({
  nodeId: nodeId(n),
  ekPublic: Uint8Array.of(9, n),
  ak: ak(n),
  attributes: { hostname: `host${n}` },
  admission,
})
const evidence = (text: string) => ({
  sha256: text.padEnd(64, '0'),
  kind: 'evidence' as const,
  bytes: Buffer.from(text),
})
const result = (n: number, over: Partial<ResultRecord> = {}): ResultRecord => ({
  nodeId: nodeId(n),
  generation: 2, // enrolled, then admitted by an operator
  state: '{"offset":1}',
  evidence: evidence('aa'),
  ...over,
})
const decision = (n: number, over: Partial<DecisionRecord> = {}): DecisionRecord => ({
  nodeId: nodeId(n),
  podUuid: '11111111-2222-3333-4444-555555555555',
  outcome: 'allowed',
  reasons: ['permit-all'],
  policyRevision: nodeId(77),
  ticketId: 'ab'.repeat(16),
  tier: 'affirming',
  request: Buffer.from('{}'),
  requestSha256: nodeId(5),
  ...over,
})

describe('the store', () => {
  const dir = tempDir()
  let count = 0
  const open: Store[] = []
  const at = new Date('2026-01-02T03:04:05.000Z')
  const fresh = async (file = join(dir.path, `store-${count++}.sqlite`)): Promise<Store> => {
    const store = await openStore(file, { exclusive: true, create: true, now: () => at })
    open.push(store)
    return store
  }
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close()
  })
  after(() => dir.remove())

  it('keeps a node with everything it was given, over a restart', async () => {
    const store = await fresh()
    await store.enrol({ ...enrolment(1), ekCertificateSha256: nodeId(3) })
    await store.close()
    open.pop()
    const again = await fresh(store.file)
    const node = await again.node(nodeId(1))
    assert.equal(node?.admission, 'pending')
    assert.deepEqual(node?.ak, ak(1))
    assert.equal(node?.ekCertificateSha256, nodeId(3))
    assert.deepEqual(node?.attributes, { hostname: 'host1' })
    assert.equal(node?.createdAt, '2026-01-02T03:04:05.000Z')
  })

  it('makes its file readable by its owner only', async () => {
    const store = await fresh()
    assert.equal(statSync(store.file).mode & 0o777, 0o600)
  })

  it('refuses one EK for two nodes, one node for two EKs and one AK for two nodes', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await assert.rejects(store.enrol({ ...enrolment(2), ekPublic: enrolment(1).ekPublic }), { code: 'STORE_CONFLICT' })
    await assert.rejects(store.enrol({ ...enrolment(1), ekPublic: Uint8Array.of(7) }), { code: 'STORE_CONFLICT' })
    await assert.rejects(store.enrol({ ...enrolment(2), ak: ak(1) }), { code: 'STORE_CONFLICT' })
    assert.equal((await store.nodes()).length, 1)
  })

  it('binds another AK only after an operator has taken the first one away', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await assert.rejects(store.bindAk(nodeId(1), ak(2)), { code: 'STORE_CONFLICT' })
    await operate(store, nodeId(1), { act: 'rebind' }, 'anna')
    assert.equal((await store.node(nodeId(1)))?.ak, undefined)
    assert.equal((await store.bindAk(nodeId(1), ak(2))).ak?.name, ak(2).name)
  })

  it('lets no statement part EK, node and AK, rewrite a decision, or delete a node', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await operate(store, nodeId(1), { act: 'admit' }, 'anna')
    await store.saveDecision(decision(1), result(1))
    const raw = new Sqlite(store.file)
    try {
      for (const statement of [
        `update nodes set ak_name = 'other'`,
        `update nodes set ek_public = x'00'`,
        `update nodes set node_id = 'x'`,
        'delete from nodes',
        `update decisions set outcome = 'denied'`,
        'delete from decisions',
        'delete from evidence',
        'delete from operator_acts',
      ]) {
        assert.throws(() => raw.exec(statement), { code: 'SQLITE_CONSTRAINT_TRIGGER' }, statement)
      }
    } finally {
      raw.close()
    }
  })

  it('spends a token once, gives its labels, and enrols nobody with a spent, unknown or expired one', async () => {
    const store = await fresh()
    const later = new Date(at.getTime() + 1000)
    await saveToken(store, { sha256: 'a'.repeat(64), labels: { zone: 'x' }, expiresAt: later }, 'anna')
    await saveToken(store, { sha256: 'b'.repeat(64), labels: {}, expiresAt: at }, 'anna')
    const node = await store.enrol(enrolment(1, { kind: 'token', tokenSha256: 'a'.repeat(64) }))
    assert.equal(node.admission, 'admitted')
    assert.equal(node.admittedBy, 'token')
    assert.deepEqual(node.labels, { zone: 'x' })
    for (const tokenSha256 of ['a', 'b', 'c'].map((c) => c.repeat(64))) {
      await assert.rejects(store.enrol(enrolment(2, { kind: 'token', tokenSha256 })), { code: 'STORE_CONFLICT' })
    }
    assert.equal(await store.node(nodeId(2)), undefined)
  })

  it('keeps decision, evidence and state together or not at all', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await operate(store, nodeId(1), { act: 'admit' }, 'anna')
    await store.saveDecision(decision(1), result(1))
    assert.equal((await store.node(nodeId(1)))?.state, '{"offset":1}')
    assert.deepEqual(await store.evidence(evidence('aa').sha256), new Uint8Array(Buffer.from('aa')))
    // the same ticket id again: refused by the table, and the new state with it
    await assert.rejects(store.saveDecision(decision(1), result(1, { state: '{"offset":2}' })), {
      code: 'STORE_CONFLICT',
    })
    assert.equal((await store.node(nodeId(1)))?.state, '{"offset":1}')
    assert.equal((await store.decisions(nodeId(1), 10)).length, 1)
  })

  for (const [what, prepare] of [
    ['pending', async (s: Store) => await operate(s, nodeId(1), { act: 'release' }, 'anna')],
    ['refused', async (s: Store) => await operate(s, nodeId(1), { act: 'refuse' }, 'anna')],
    [
      'quarantined',
      async (s: Store) => {
        await operate(s, nodeId(1), { act: 'admit' }, 'anna')
        await s.saveVerdict(
          nodeId(1),
          2,
          { tier: 'contraindicated', findings: '[]', quarantine: 'forked log' },
          undefined,
        )
      },
    ],
  ] as const) {
    it(`commits no permission for a node that is ${what}, but keeps its denial`, async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await prepare(store)
      await assert.rejects(store.saveDecision(decision(1), result(1)), { code: 'STORE_CONFLICT' })
      const { ticketId: _, ...rest } = decision(1, { outcome: 'denied', code: 'NODE_QUARANTINED' })
      await store.saveDecision(rest, result(1))
      assert.deepEqual(
        (await store.decisions(nodeId(1), 10)).map((d) => d.outcome),
        ['denied'],
      )
    })
  }

  it('commits no permission for a node whose key was taken away in between', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await operate(store, nodeId(1), { act: 'admit' }, 'anna')
    await operate(store, nodeId(1), { act: 'rebind' }, 'anna')
    await assert.rejects(store.saveDecision(decision(1), result(1)), { code: 'STORE_CONFLICT' })
  })

  it('keeps quarantine until it is released, whatever later verdicts say', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await store.saveVerdict(
      nodeId(1),
      1,
      { tier: 'contraindicated', findings: '[]', quarantine: 'forked log' },
      undefined,
    )
    await store.saveResult(result(1, { generation: 1, change: { tier: 'affirming', findings: '[]' } }))
    assert.equal((await store.node(nodeId(1)))?.quarantine, 'forked log')
    await operate(store, nodeId(1), { act: 'release' }, 'anna')
    const node = await store.node(nodeId(1))
    assert.equal(node?.quarantine, undefined)
    assert.equal(node?.state, undefined)
    assert.equal((await store.verdicts(nodeId(1), 10)).length, 2)
  })

  it('sets and removes labels', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    await operate(store, nodeId(1), { act: 'label', set: { zone: 'a', rack: '3' }, remove: [] }, 'anna')
    await operate(store, nodeId(1), { act: 'label', set: { zone: 'b' }, remove: ['rack'] }, 'anna')
    assert.deepEqual((await store.node(nodeId(1)))?.labels, { zone: 'b' })
  })

  it('finds a node by ID, beginning of an ID or host name, and says when none or several fit', async () => {
    const store = await fresh()
    await store.enrol({ ...enrolment(1), nodeId: `abcd1${'0'.repeat(59)}` })
    await store.enrol({ ...enrolment(2), nodeId: `abcd2${'0'.repeat(59)}` })
    assert.equal((await findNode(store, 'ABCD1')).attributes['hostname'], 'host1')
    assert.equal((await findNode(store, 'host2')).attributes['hostname'], 'host2')
    for (const name of ['abcd', 'abc', 'host3', '']) {
      await assert.rejects(findNode(store, name), { code: 'STORE_NODE_UNKNOWN' }, name)
    }
  })

  it('notices what another process has written', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    const before = store.dataVersion()
    const other = await openStore(store.file, { exclusive: false, create: false })
    try {
      await operate(other, nodeId(1), { act: 'admit' }, 'anna')
    } finally {
      await other.close()
    }
    assert.notEqual(store.dataVersion(), before)
    assert.equal((await store.node(nodeId(1)))?.admission, 'admitted')
  })

  it('refuses a second verifier on the same file, and lets it in when the first has ended', async () => {
    const store = await fresh()
    await assert.rejects(openStore(store.file, { exclusive: true, create: true }), { code: 'STORE_IN_USE' })
    await store.close()
    open.pop()
    await fresh(store.file)
  })

  it('belongs to one ticket key', async () => {
    const store = await fresh()
    await store.claimFor(nodeId(1))
    await store.claimFor(nodeId(1))
    await assert.rejects(store.claimFor(nodeId(2)), { code: 'STORE_CONFLICT' })
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
    const damaged = readFileSync(store.file)
    damaged.fill(0x5a, 100, 4096)
    writeFileSync(store.file, damaged)
    await assert.rejects(openStore(store.file, { exclusive: true, create: true }), { code: 'STORE_CORRUPT' })
  })

  it('refuses a file made by a later release', async () => {
    const store = await fresh()
    await store.close()
    open.pop()
    const raw = new Sqlite(store.file)
    raw.prepare('insert into kysely_migration (name, timestamp) values (?, ?)').run('9999-later', at.toISOString())
    raw.close()
    await assert.rejects(openStore(store.file, { exclusive: true, create: true }), { code: 'STORE_VERSION' })
  })

  it('says STORE_LOCKED when another program keeps the write lock', async () => {
    const store = await fresh()
    await store.enrol(enrolment(1))
    const raw = new Sqlite(store.file)
    try {
      raw.exec('begin immediate')
      await assert.rejects(store.saveResult(result(1, { generation: 1 })), { code: 'STORE_LOCKED' })
    } finally {
      raw.close()
    }
    await store.saveResult(result(1, { generation: 1 }))
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

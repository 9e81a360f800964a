import assert from 'node:assert/strict'
import { fromHex } from '../../../attestation/base/index.ts'
import { NONCE_LIFETIME_MS } from '../../../attestation/protocol/index.ts'
import { operate } from '../../../attestation/store/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { NonceTable } from '../../../attestation/verifier/nonces.ts'
import type { AgentPeer, QuoteBend } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { newAk, random, selectionOf } from '../../support/soft-tpm.ts'

describe('a session quote', () => {
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(2)
    const peer = await fleet.connect(fleet.node(0))
    await peer.enrol()
    await peer.close()
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  /** A known node with the verifier's challenge in hand. */
  const challenged = async (): Promise<AgentPeer> => {
    const [tpm] = fleet.tpms
    assert.ok(tpm)
    tpm.reset()
    const peer = await fleet.connect(fleet.node(0))
    peer.hello()
    await peer.next('status')
    await peer.next('challenge')
    return peer
  }

  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((b, i) => (i === 0 ? b ^ 1 : b))
  const attacks: readonly [string, string, (peer: AgentPeer) => Promise<QuoteBend> | QuoteBend][] = [
    ['another extraData', 'ATTEST_EXTRA_DATA_MISMATCH', () => ({ extraData: flip })],
    ['no extraData', 'ATTEST_EXTRA_DATA_EMPTY', () => ({ extraData: () => new Uint8Array(0) })],
    ['the exporter of another connection (relay)', 'ATTEST_EXTRA_DATA_MISMATCH', () => ({ exporter: random(32) })],
    ['the identity of another verifier', 'ATTEST_EXTRA_DATA_MISMATCH', () => ({ verifierId: random(32) })],
    [
      'a nonce that was never given',
      'NONCE_UNKNOWN',
      (peer) => {
        peer.nonce = random(32)
        return {}
      },
    ],
    [
      'the nonce of another connection',
      'NONCE_UNKNOWN',
      async (peer) => {
        const other = await challenged()
        peer.nonce = other.nonce
        return {}
      },
    ],
    [
      'a selection without the log register',
      'QUOTE_SELECTION_BITMAP',
      () => ({ selection: [{ bank: 'sha256', pcrs: [0].map(pcrIndex) }] }),
    ],
    ['a resettable register instead', 'QUOTE_SELECTION_BITMAP', () => ({ selection: selectionOf(['sha256'], 16) })],
    [
      'an empty selection',
      'QUOTE_SELECTION_EMPTY',
      () => ({
        selection: [],
        body: (b) => ({ ...b, pcrs: [{ bank: 'sha256', pcr: 15, value: new Uint8Array(32) }] }),
      }),
    ],
    [
      'values that the TPM does not hold',
      'QUOTE_PCR_DIGEST_MISMATCH',
      () => ({
        body: (b) => ({ ...b, pcrs: b.pcrs.map((p) => (p.pcr === 15 ? { ...p, value: new Uint8Array(32) } : p)) }),
      }),
    ],
    [
      'values of fewer registers',
      'QUOTE_PCR_VALUE_MISSING',
      () => ({ body: (b) => ({ ...b, pcrs: b.pcrs.slice(1) }) }),
    ],
    [
      'a register twice',
      'PROTOCOL_BAD_PCR_VALUES',
      () => ({ body: (b) => ({ ...b, pcrs: [...b.pcrs, ...b.pcrs.slice(0, 1)] }) }),
    ],
  ]
  for (const [what, code, bend] of attacks) {
    it(`is refused with ${what}`, async () => {
      const peer = await challenged()
      peer.quote({ t: 'evidence', purpose: 'session' }, await bend(peer))
      assert.equal(await peer.refused(), code)
      const node = await fleet.verifier.withStore(async (s) => await s.node(peer.node.nodeId))
      assert.equal(node?.tier, 'none', 'a quote that does not verify says nothing of the node')
      assert.equal(node?.quarantine, undefined)
    })
  }

  it('is refused when another AK signed it', async () => {
    const peer = await challenged()
    const { ak } = peer.node.tpm
    peer.node.tpm.ak = { ...newAk(), name: ak.name, public: ak.public }
    try {
      peer.quote({ t: 'evidence', purpose: 'session' })
      assert.equal(await peer.refused(), 'ATTEST_SIGNATURE_INVALID')
    } finally {
      peer.node.tpm.ak = ak
    }
  })

  it('is refused when the AK of another enrolled node signed it', async () => {
    const other = await fleet.connect(fleet.node(1))
    await other.enrol()
    const peer = await challenged()
    const { ak } = peer.node.tpm
    peer.node.tpm.ak = other.node.tpm.ak
    try {
      peer.quote({ t: 'evidence', purpose: 'session' })
      assert.match(await peer.refused(), /^ATTEST_(SIGNER_MISMATCH|SIGNATURE_INVALID|QUALIFIED_SIGNER)/)
    } finally {
      peer.node.tpm.ak = ak
    }
  })

  it('is refused the second time', async () => {
    const peer = await challenged()
    const frame = peer.quote({ t: 'evidence', purpose: 'session' })
    await peer.next('result')
    peer.sendRaw(frame)
    assert.match(await peer.refused(), /^(NONCE_UNKNOWN|SESSION_UNEXPECTED_MESSAGE)$/)
  })

  it('is refused with a body that is none', async () => {
    const peer = await challenged()
    peer.send({ t: 'quoted', body: random(100), attest: random(100), signature: random(70), machineLogs: [] })
    assert.match(await peer.refused(), /^PROTOCOL_/)
  })

  it('is refused in place of a periodic one', async () => {
    const peer = await challenged()
    peer.quote({ t: 'evidence', purpose: 'session' })
    await peer.next('result')
    peer.quote({ t: 'evidence', purpose: 'session' })
    assert.equal(await peer.refused(), 'SESSION_UNEXPECTED_MESSAGE')
  })
})

describe('a launch log', () => {
  let fleet: Fleet
  let used = 0
  before(async () => {
    fleet = await startFleet(12)
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  const bends: readonly [
    string,
    (log: Uint8Array) => Partial<{ offset: number; bytes: Uint8Array; resetCount: number }>,
  ][] = [
    ['tampered with', (log) => ({ bytes: log.map((b, i) => (i === log.length - 3 ? b ^ 1 : b)) })],
    ['truncated', (log) => ({ bytes: log.slice(0, log.length - 1) })],
    ['missing its last record', () => ({ bytes: new Uint8Array(0) })],
    ['of another TPM start', () => ({ resetCount: 6 })],
    ['sent from another offset than asked', () => ({ offset: 1 })],
  ]
  for (const [what, bend] of bends) {
    it(`that is ${what} makes the node contraindicated, and stays on record`, async () => {
      const peer = await fleet.connect(fleet.node(used++))
      await peer.enrol()
      peer.node.record({
        record: 'denied',
        uuid: '00000000-0000-4000-8000-000000000001',
        request: 'c'.repeat(64),
        code: 'X',
      })
      const result = await peer.prove({ log: bend(peer.node.log) })
      assert.equal(result.tier, 'contraindicated', JSON.stringify(result.findings))
      const [verdict] = await fleet.verifier.withStore(async (s) => await s.verdicts(peer.node.nodeId, 1))
      assert.equal(verdict?.tier, 'contraindicated')
      assert.ok(verdict?.evidenceSha256)
    })
  }

  it('that was rewritten after it was proven makes the node contraindicated', async () => {
    const peer = await fleet.proven(used++)
    peer.node.record({
      record: 'denied',
      uuid: '00000000-0000-4000-8000-000000000001',
      request: 'c'.repeat(64),
      code: 'X',
    })
    const forked = peer.node.log.slice()
    forked[forked.length - 3] = 0x41
    peer.quote({ t: 'evidence', purpose: 'periodic' }, { log: { bytes: forked.slice(peer.offset) } })
    assert.equal((await peer.next('result')).tier, 'contraindicated')
  })

  it('may be ahead of the quote', async () => {
    const peer = await fleet.connect(fleet.node(used++))
    await peer.enrol()
    peer.node.append({
      record: 'denied',
      uuid: '00000000-0000-4000-8000-000000000001',
      request: 'c'.repeat(64),
      code: 'X',
    })
    const result = await peer.prove()
    assert.equal(result.tier, 'affirming', JSON.stringify(result.findings))
    assert.ok(result.logOffset < peer.node.log.length)
  })

  it('begins anew with each TPM start', async () => {
    const node = fleet.node(used++)
    const first = await fleet.connect(node)
    await first.enrol()
    await first.prove()
    node.tpm.restart()
    node.newBoot()
    const second = await fleet.connect(node)
    assert.equal((await second.login()).tier, 'affirming')
    node.tpm.reset()
    node.newBoot()
    const third = await fleet.connect(node)
    assert.equal((await third.login()).tier, 'affirming')
  })

  it('of a TPM whose counters went back puts the node in quarantine until an operator releases it', async () => {
    const node = fleet.node(used++)
    const first = await fleet.connect(node)
    await first.enrol()
    await first.prove()
    node.tpm.clock = { ...node.tpm.clock, resetCount: 3 }
    node.tpm.start()
    node.newBoot()
    const second = await fleet.connect(node)
    assert.equal((await second.login()).tier, 'contraindicated')
    // going forward again does not help
    node.tpm.clock = { ...node.tpm.clock, resetCount: 9 }
    node.tpm.start()
    node.newBoot()
    const third = await fleet.connect(node)
    assert.equal((await third.login()).tier, 'contraindicated')
    const answer = await third.launch(node.measured().bytes)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'NODE_CONTRAINDICATED')
    assert.match(
      (await fleet.verifier.withStore(async (s) => await s.node(node.nodeId)))?.quarantine ?? '',
      /continuity/,
    )
    await fleet.verifier.withStore(async (s) => await operate(s, node.nodeId, { act: 'release' }, 'anna'))
    assert.equal(await third.refused(), 'NODE_CHANGED')
    const fourth = await fleet.connect(node)
    assert.equal((await fourth.login()).tier, 'affirming')
  })

  it('is asked for again, in pieces, when it is long', async () => {
    const node = fleet.node(used++)
    const peer = await fleet.connect(node)
    await peer.enrol()
    const firstPiece = node.log.length
    node.record({ record: 'denied', uuid: '00000000-0000-4000-8000-000000000001', request: 'c'.repeat(64), code: 'X' })
    const piece = { log: { bytes: node.log.slice(0, firstPiece), more: true } }
    const login = await peer.prove(piece)
    assert.deepEqual(
      login.findings.map((f) => [f.rule, f.tier]),
      [['node.login', 'none']],
    )
    assert.equal(login.logOffset, 0) // who is there is known, and nothing of what it sent
    const partial = await peer.prove(piece)
    assert.equal(partial.tier, 'none')
    assert.equal(partial.logOffset, firstPiece)
    assert.equal((await peer.prove()).tier, 'affirming')
  })
})

describe('time', () => {
  it('voids the verdict of a node that has fallen silent', async () => {
    const fleet = await startFleet(1, { settings: 'attestation:\n  periodSeconds: 1\n  silentAfterSeconds: 2\n' })
    try {
      const peer = await fleet.proven(0)
      for (;;) {
        const node = await fleet.verifier.withStore(async (s) => await s.node(peer.node.nodeId))
        if (node?.tier === 'none') break
        await peer.next('challenge') // asked each second, never answered
      }
      const [verdict] = await fleet.verifier.withStore(async (s) => await s.verdicts(peer.node.nodeId, 1))
      assert.match(JSON.stringify(verdict?.findings), /node\.silent/)
    } finally {
      await fleet.stop()
    }
  })

  it('makes a node contraindicated that does not show what became of its ticket', async () => {
    let offsetMs = 0
    const fleet = await startFleet(1, { now: () => new Date(Date.now() + offsetMs) })
    try {
      const peer = await fleet.proven(0)
      assert.equal((await peer.launch(peer.node.measured().bytes)).t, 'ticket')
      offsetMs = 61_000 // 30 s of the ticket, 30 s of grace
      peer.quote({ t: 'evidence', purpose: 'periodic' })
      const result = await peer.next('result')
      assert.equal(result.tier, 'contraindicated')
      assert.match(JSON.stringify(result.findings), /ticket-deadline/)
    } finally {
      await fleet.stop()
    }
  })
})

describe('the clockwork', () => {
  it('does not forget a node, and its tickets, while a connection of it has yet to prove itself', async () => {
    let offsetMs = 0
    const fleet = await startFleet(2, {
      now: () => new Date(Date.now() + offsetMs),
      settings: 'attestation: {periodSeconds: 1, silentAfterSeconds: 2}\n',
    })
    try {
      const node = fleet.node(0)
      const first = await fleet.connect(node)
      await first.enrol()
      await first.prove()
      await first.close()
      const early = await fleet.connect(node)
      early.hello()
      await early.next('status')
      await early.next('challenge')
      const clock = await fleet.proven(1)
      while ((await fleet.verifier.withStore(async (s) => await s.node(node.nodeId)))?.tier !== 'none') {
        await clock.next('challenge') // once a second
      }
      const late = await fleet.connect(node)
      await late.login()
      assert.equal((await late.launch(node.measured().bytes)).t, 'ticket')
      early.quote({ t: 'evidence', purpose: 'session' }, { log: { bytes: node.log.slice(early.offset) } })
      assert.equal(await early.refused(), 'NODE_CHANGED') // it is the same node in memory, and has gone on since
      offsetMs = 61_000
      const again = await fleet.connect(node)
      assert.equal((await again.login()).tier, 'contraindicated') // the ticket is overdue
    } finally {
      await fleet.stop()
    }
  })

  it('sees an overdue ticket without any message of the node', async () => {
    let offsetMs = 0
    const fleet = await startFleet(1, {
      now: () => new Date(Date.now() + offsetMs),
      settings: 'attestation: {periodSeconds: 1, silentAfterSeconds: 60}\n',
    })
    try {
      const peer = await fleet.proven(0)
      assert.equal((await peer.launch(peer.node.measured().bytes)).t, 'ticket')
      offsetMs = 61_000
      for (;;) {
        const node = await fleet.verifier.withStore(async (s) => await s.node(peer.node.nodeId))
        if (node?.tier === 'contraindicated') break
        await peer.next('challenge')
      }
      const [verdict] = await fleet.verifier.withStore(async (s) => await s.verdicts(peer.node.nodeId, 1))
      assert.match(JSON.stringify(verdict?.findings), /ticket-deadline/)
    } finally {
      await fleet.stop()
    }
  })
})

describe('the nonces of a connection', () => {
  let now = 0
  const table = () => new NonceTable<'asked'>(random, () => now)

  it('are good once', () => {
    const nonces = table()
    const nonce = nonces.issue('asked')
    assert.equal(nonces.redeem(nonce), 'asked')
    assert.equal(nonces.redeem(nonce), undefined)
  })

  it('are not good after their time', () => {
    const nonces = table()
    const nonce = nonces.issue('asked')
    now += NONCE_LIFETIME_MS
    assert.equal(nonces.redeem(nonce), undefined)
  })

  it('are bounded: a new one pushes the oldest out', () => {
    const nonces = table()
    const issued = Array.from({ length: 5 }, () => nonces.issue('asked'))
    assert.deepEqual(
      issued.map((n) => nonces.redeem(n)),
      [undefined, 'asked', 'asked', 'asked', 'asked'],
    )
  })

  it('of another connection are unknown', () => {
    assert.equal(table().redeem(table().issue('asked')), undefined)
    assert.equal(table().redeem(fromHex('00')), undefined)
  })
})

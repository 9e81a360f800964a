import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  appraiseEvidence,
  type EvidenceAppraisal,
  type NodeState,
  parseNodeState,
  releaseNode,
  serialiseNodeState,
  type Tier,
  wantedLog,
} from '../../../attestation/appraisal/index.ts'
import { fromHex, utf8 } from '../../../attestation/base/index.ts'
import {
  CEL_CONTENT,
  encodeCelRecord,
  extendWithContent,
  type LaunchLogContent,
  type LaunchRecord,
  launchLogRecord,
  zeroRegisters,
} from '../../../attestation/event-log/index.ts'
import { ticketedLaunchRecord } from '../../../attestation/protocol/index.ts'
import {
  appraiseLog,
  clockAt,
  evidenceOf,
  honestRequest,
  issue,
  LATER,
  measured,
  NOW,
  POLICY,
  podRecord,
} from '../../support/appraisal.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { BANKS, LogBuilder, PCR } from '../../support/launch-log.ts'

const REQUEST = honestRequest()
const UUID = REQUEST.pod.uuid
const tierOf = (a: { findings: EvidenceAppraisal['findings'] }, rule: string): Tier | undefined => {
  const tiers = a.findings.filter((f) => f.rule === rule).map((f) => f.tier)
  return tiers.find((t) => t !== 'affirming') ?? tiers[0]
}
const bad = (a: EvidenceAppraisal) => a.findings.filter((f) => f.tier === 'contraindicated').map((f) => f.rule)
const unticketed = (over: Partial<LaunchRecord> = {}): LaunchRecord => ({
  record: 'launch',
  uuid: UUID,
  request: podRecord(REQUEST).request,
  mode: 'enforce',
  ...over,
})
const exited: LaunchLogContent = { record: 'exited', uuid: UUID, statuses: { app: 0 }, reason: 'exited' }
const denied: LaunchLogContent = { record: 'denied', uuid: UUID, request: podRecord(REQUEST).request, code: 'NO' }

describe('the launch log against the quote', () => {
  it('is proven whole when all of it replays to the quoted register', () => {
    const a = appraiseLog(new LogBuilder().agent().add(...measured(REQUEST)))
    assert.deepEqual([a.provenRecords, a.unprovenRecords, a.continuity], [4, 0, 'first'])
    assert.deepEqual(
      a.findings.map((f) => [f.rule, f.tier]),
      [
        ['continuity.counters', 'affirming'],
        ['launch-log.replay', 'affirming'],
        ['launch-log.start', 'affirming'],
        ['launch-log.mode', 'affirming'],
        ['launch-log.verifier-keys', 'affirming'],
        ['launch-log.images', 'affirming'],
      ],
    )
  })

  it('is proven as far as the quote reaches when the log is ahead, and goes on from there', () => {
    const log = new LogBuilder().agent()
    const quoted = log.registers
    log.add(...measured(REQUEST))
    const a = appraiseEvidence(undefined, { ...evidenceOf(log, clockAt(1)), registers: quoted }, POLICY, NOW)
    assert.deepEqual([a.provenRecords, a.unprovenRecords, bad(a)], [1, 3, []])
    assert.equal(a.state.boot?.log.images.size, 0)
    const b = appraiseLog(log, a.state)
    assert.deepEqual([b.provenRecords, b.unprovenRecords, b.continuity, bad(b)], [3, 0, 'same-boot', []])
  })

  it('without new records is proven again by the same register', () => {
    const log = new LogBuilder().agent()
    const a = appraiseLog(log, appraiseLog(log).state)
    assert.deepEqual([a.provenRecords, bad(a)], [0, []])
  })

  it('of which no prefix replays is contraindicated, and nothing of it is kept', () => {
    const log = new LogBuilder().agent()
    const first = appraiseLog(log)
    const lie = new LogBuilder().agent().add(...measured(REQUEST))
    const evidence = {
      ...evidenceOf(lie, clockAt(200), first.state),
      registers: extendWithContent(log.registers, utf8('unlogged')),
    }
    const a = appraiseEvidence(first.state, evidence, POLICY, NOW)
    assert.deepEqual(bad(a), ['launch-log.replay'])
    assert.deepEqual(a.state.boot, first.state.boot)
  })

  it('must agree with the quote in every bank', () => {
    const log = new LogBuilder().agent()
    const registers = { ...log.registers, sha1: new Uint8Array(20) }
    assert.deepEqual(bad(appraiseEvidence(undefined, { ...evidenceOf(log, clockAt(1)), registers }, POLICY, NOW)), [
      'launch-log.replay',
    ])
    const { sha1: _, ...fewer } = log.registers
    assert.deepEqual(
      bad(appraiseEvidence(undefined, { ...evidenceOf(log, clockAt(1)), registers: fewer }, POLICY, NOW)),
      ['launch-log.banks'],
    )
  })

  const pieces: [string, (e: ReturnType<typeof evidenceOf>) => Partial<typeof e>, string][] = [
    ['of another TPM start', (e) => ({ log: { ...e.log, restartCount: 1 } }), 'launch-log.tpm-start'],
    ['from another offset', (e) => ({ log: { ...e.log, offset: 1 } }), 'launch-log.offset'],
    ['in a PCR that anybody can reset', () => ({ pcr: 16 }), 'launch-log.register'],
    ['in a PCR of dynamic launch', () => ({ pcr: 17 }), 'launch-log.register'],
    ['of another PCR', () => ({ pcr: 14 }), 'launch-log.format'],
    ['that is cut', (e) => ({ log: { ...e.log, bytes: e.log.bytes.subarray(1) } }), 'launch-log.format'],
    ['that is empty', (e) => ({ log: { ...e.log, bytes: new Uint8Array() } }), 'launch-log.start'],
  ]
  for (const [name, change, rule] of pieces) {
    it(`${name} is contraindicated by ${rule}`, () => {
      const evidence = evidenceOf(new LogBuilder().agent(), clockAt(1))
      const a = appraiseEvidence(undefined, { ...evidence, ...change(evidence) }, POLICY, NOW)
      assert.deepEqual(bad(a), [rule])
      assert.equal(a.state.boot, undefined)
    })
  }

  it('with content of another type is contraindicated', () => {
    const content = utf8('x')
    const record = { ...launchLogRecord(0, PCR, BANKS, content), contentType: CEL_CONTENT.imaTlv }
    const registers = extendWithContent(zeroRegisters(BANKS), content)
    const bytes = encodeCelRecord(record)
    const evidence = { ...evidenceOf(new LogBuilder(), clockAt(1)), registers }
    const a = appraiseEvidence(undefined, { ...evidence, log: { ...evidence.log, bytes } }, POLICY, NOW)
    assert.deepEqual(bad(a), ['launch-log.start'])
  })

  it('gives an appraisal for any bytes', () => {
    const log = new LogBuilder().agent().add(...measured(REQUEST))
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), (at, value) => {
        const evidence = evidenceOf(log, clockAt(1))
        const bytes = log.bytes.slice()
        const i = at % bytes.length
        const same = bytes[i] === value
        bytes[i] = value
        const a = appraiseEvidence(undefined, { ...evidence, log: { ...evidence.log, bytes } }, POLICY, NOW)
        assert.equal(bad(a).length > 0, !same)
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
})

describe('a long launch log, sent in pieces', () => {
  const log = new LogBuilder().agent()
  const cut = log.bytes.length
  log.add(...measured(REQUEST))
  const first = () => {
    const evidence = evidenceOf(log, clockAt(1))
    return { ...evidence, log: { ...evidence.log, bytes: log.bytes.subarray(0, cut), more: true } }
  }

  it('says nothing of the node before a quote matches, and then proves all of it', () => {
    const a = appraiseEvidence(undefined, first(), POLICY, NOW)
    assert.deepEqual([tierOf(a, 'launch-log.replay'), a.state.boot, bad(a)], ['none', undefined, []])
    assert.deepEqual(wantedLog(a.state), { resetCount: 5, restartCount: 0, offset: cut })
    const b = appraiseLog(log, a.state)
    assert.deepEqual([tierOf(b, 'launch-log.replay'), b.provenRecords, bad(b)], ['affirming', 3, []])
    assert.equal(b.state.boot?.replay.offset, log.bytes.length)
    assert.deepEqual(b.state.boot, appraiseLog(log).state.boot)
  })

  it('is forgotten when its end does not match either', () => {
    const a = appraiseEvidence(undefined, first(), POLICY, NOW)
    const evidence = { ...evidenceOf(log, clockAt(200), a.state), registers: zeroRegisters(BANKS) }
    const b = appraiseEvidence(a.state, evidence, POLICY, NOW)
    assert.deepEqual([bad(b), wantedLog(b.state).offset], [['launch-log.replay'], 0])
  })
})

describe('a long launch log without an end', () => {
  it('is contraindicated before it takes more than 256 MiB', () => {
    const log = new LogBuilder().agent()
    const evidence = { ...evidenceOf(log, clockAt(1)), registers: extendWithContent(log.registers, utf8('x')) }
    const a = appraiseEvidence(undefined, { ...evidence, log: { ...evidence.log, more: true } }, POLICY, NOW)
    const { ahead } = a.state
    assert.ok(ahead)
    const offset = 256 << 20
    const far = { ...a.state, ahead: { ...ahead, replay: { ...ahead.replay, offset } } }
    const next = new LogBuilder().agent().add(denied)
    const bytes = next.bytes.subarray(log.bytes.length)
    const b = appraiseEvidence(far, { ...evidence, log: { ...evidence.log, offset, bytes, more: true } }, POLICY, NOW)
    assert.deepEqual([bad(b), b.state.ahead], [['launch-log.replay'], undefined])
  })
})

describe('another register in the same TPM start', () => {
  it('voids what was proven of the first one', () => {
    const log = new LogBuilder().agent()
    const { state } = appraiseLog(log)
    const a = appraiseEvidence(state, { ...evidenceOf(log, clockAt(200), state), pcr: 14 }, POLICY, NOW)
    assert.deepEqual([bad(a), a.state.boot, wantedLog(a.state).offset], [['launch-log.offset'], undefined, 0])
  })
})

describe('the start of a launch log', () => {
  const used = { sha1: fromHex('01'.repeat(20)), sha256: fromHex('02'.repeat(32)) }

  it('must be an agent record', () => {
    assert.deepEqual(bad(appraiseLog(new LogBuilder().add(...measured(REQUEST)))), ['launch-log.start'])
  })
  it('at a register that something else had extended is contraindicated, as long as no policy explains it', () => {
    const log = new LogBuilder(used).agent()
    const a = appraiseLog(log)
    assert.deepEqual(bad(a), ['launch-log.start'])
    assert.deepEqual(bad(appraiseLog(log, a.state)), ['launch-log.start'])
    assert.deepEqual(bad(appraiseLog(log, a.state, NOW, { ...POLICY, startValues: [used] })), [])
  })
  it('is not explained by a value that agrees in some banks only', () => {
    const partly = { ...used, sha1: new Uint8Array(20) }
    assert.deepEqual(
      bad(appraiseLog(new LogBuilder(used).agent(), undefined, NOW, { ...POLICY, startValues: [partly] })),
      ['launch-log.start'],
    )
  })
  it('that lies about what it found does not replay', () => {
    const log = new LogBuilder(used).agent({ found: { sha1: '00'.repeat(20), sha256: '00'.repeat(32) } })
    assert.deepEqual(bad(appraiseLog(log)), ['launch-log.replay'])
  })
  it('after a TPM resume is explained by the register where the proof ended', () => {
    const before = new LogBuilder().agent()
    const a = appraiseLog(before)
    const resumed = new LogBuilder(before.registers).agent()
    const b = appraiseEvidence(a.state, evidenceOf(resumed, clockAt(500, 5, 1)), POLICY, NOW)
    assert.deepEqual([b.continuity, bad(b)], ['tpm-restart', []])
    assert.equal(b.state.boot?.log.resumed, true)
  })
  describe('after TPM2_Clear', () => {
    const cleared = (log: LogBuilder, before: EvidenceAppraisal) => {
      const again = new LogBuilder(log.registers).agent()
      return appraiseEvidence({ ...before.state, anotherAk: true }, evidenceOf(again, clockAt(1, 0, 0)), POLICY, NOW)
    }
    it('is explained by the register where the proof ended', () => {
      const log = new LogBuilder().agent().add(...measured(REQUEST))
      const after = cleared(log, appraiseLog(log))
      assert.equal(after.continuity, 'tpm-clear')
      assert.deepEqual(bad(after), [])
      assert.equal(after.state.boot?.log.resumed, true)
    })
    it('is not while pods run on: the agent that begins anew does not know them', () => {
      const { log, state } = launched()
      const running = appraiseLog(log, state)
      assert.deepEqual(bad(running), [])
      assert.deepEqual(bad(cleared(log, running)), ['launch-log.start'])
      log.add(exited)
      assert.deepEqual(bad(cleared(log, appraiseLog(log, running.state))), [])
    })
    it('is seen by the log that begins anew where the counters were at zero before, and ends tickets of the key that is gone', () => {
      const log = new LogBuilder().agent().add(...measured(REQUEST))
      const first = appraiseEvidence(undefined, evidenceOf(log, clockAt(50, 0, 0)), POLICY, NOW)
      const { state } = issue(REQUEST, first)
      const again = new LogBuilder(log.registers).agent()
      const after = appraiseEvidence({ ...state, anotherAk: true }, evidenceOf(again, clockAt(900, 0, 0)), POLICY, NOW)
      assert.deepEqual([after.continuity, bad(after)], ['tpm-clear', []])
      assert.deepEqual(after.state.tickets, [])
      assert.deepEqual(
        after.ended.map((e) => e.end),
        ['dead'],
      )
      const sameAk = appraiseEvidence(state, evidenceOf(again, clockAt(900, 0, 0)), POLICY, NOW)
      assert.deepEqual([sameAk.continuity, bad(sameAk)], ['same-boot', ['launch-log.offset']])
    })
    it('is not where anything stood against the log: it would be forgotten', () => {
      const log = new LogBuilder().agent().add(...measured(REQUEST), unticketed(), exited)
      const failed = appraiseLog(log)
      assert.deepEqual(bad(failed), ['launch-log.ticket'])
      assert.deepEqual(bad(cleared(log, failed)), ['launch-log.start'])
      const start = new LogBuilder(used).agent()
      assert.deepEqual(bad(cleared(start, appraiseLog(start))), ['launch-log.start'])
    })
  })

  it('after a TPM resume is not explained where anything stood against the log before it', () => {
    const log = new LogBuilder().agent().add(...measured(REQUEST), unticketed(), exited)
    const failed = appraiseLog(log)
    assert.deepEqual(bad(failed), ['launch-log.ticket'])
    const { clock } = failed.state
    const next = new LogBuilder(log.registers).agent()
    const resumed = { ...clock, clockMs: clock.clockMs + 1n, restartCount: clock.restartCount + 1 }
    assert.deepEqual(bad(appraiseEvidence(failed.state, evidenceOf(next, resumed), POLICY, NOW)), ['launch-log.start'])
  })

  it('after a TPM resume is not explained by any other register, nor after a reset by that one', () => {
    const before = new LogBuilder().agent()
    const a = appraiseLog(before)
    const elsewhere = new LogBuilder(used).agent()
    assert.deepEqual(bad(appraiseEvidence(a.state, evidenceOf(elsewhere, clockAt(500, 5, 1)), POLICY, NOW)), [
      'launch-log.start',
    ])
    const replayed = new LogBuilder(before.registers).agent()
    assert.deepEqual(bad(appraiseEvidence(a.state, evidenceOf(replayed, clockAt(500, 6, 0)), POLICY, NOW)), [
      'launch-log.start',
    ])
  })
})

describe('a new TPM start', () => {
  it('voids what was proven: the log begins again, images and pods are unknown', () => {
    const a = appraiseLog(new LogBuilder().agent().add(...measured(REQUEST)))
    const b = appraiseEvidence(a.state, evidenceOf(new LogBuilder().agent(), clockAt(500, 6, 0)), POLICY, NOW)
    assert.deepEqual([b.continuity, bad(b), b.state.boot?.log.images.size], ['tpm-reset', [], 0])
  })
  it('with the old digests extended again and the old log is seen by the restart counter, and its tickets are not known', () => {
    const { log, state } = launched()
    const b = appraiseEvidence(state, evidenceOf(log, clockAt(5000, 5, 1)), POLICY, NOW)
    assert.deepEqual([b.continuity, bad(b)], ['tpm-restart', ['launch-log.ticket']])
  })
})

describe('records in the launch log', () => {
  const start = () => new LogBuilder().agent().add(...measured(REQUEST))
  const cases: [string, LogBuilder, string[]][] = [
    ['a launch without a ticket in mode enforce', start().add(unticketed()), ['launch-log.ticket']],
    [
      'a launch of a pod that was not measured',
      new LogBuilder().agent({ mode: 'audit' }).add(unticketed({ mode: 'audit' })),
      ['launch-log.order'],
    ],
    [
      'a launch for another request',
      new LogBuilder()
        .agent({ mode: 'audit' })
        .add(...measured(REQUEST), unticketed({ mode: 'audit', request: '99'.repeat(32) })),
      ['launch-log.order'],
    ],
    [
      'a second launch of a running pod',
      new LogBuilder()
        .agent({ mode: 'audit' })
        .add(...measured(REQUEST), unticketed({ mode: 'audit' }), unticketed({ mode: 'audit' })),
      ['launch-log.order'],
    ],
    [
      'a launch in another mode than the agent runs in',
      start().add(unticketed({ mode: 'audit' })),
      ['launch-log.mode'],
    ],
    [
      'a running pod measured again',
      new LogBuilder()
        .agent({ mode: 'off' })
        .add(...measured(REQUEST), unticketed({ mode: 'off' }), podRecord(REQUEST)),
      ['launch-log.duplicate-pod'],
    ],
    [
      'a pod whose image was not measured',
      new LogBuilder().agent().add(...measured(REQUEST).slice(0, 1), podRecord(REQUEST)),
      ['launch-log.order'],
    ],
    [
      'a pod whose stage1 was not measured',
      new LogBuilder().agent().add(...measured(REQUEST).slice(1)),
      ['launch-log.order'],
    ],
    ['the end of a pod that was never launched', start().add(exited), ['launch-log.order']],
    [
      'a denial of a running pod',
      new LogBuilder().agent({ mode: 'off' }).add(...measured(REQUEST), unticketed({ mode: 'off' }), denied),
      ['launch-log.order'],
    ],
    [
      'a second agent that found another register',
      start().agent({ found: { sha1: '00'.repeat(20), sha256: '00'.repeat(32) } }),
      ['launch-log.agent-found'],
    ],
    [
      'a break',
      start().add({
        record: 'break',
        reason: 'cut',
        expected: { sha256: '00'.repeat(32) },
        found: { sha256: '11'.repeat(32) },
      }),
      ['launch-log.break'],
    ],
  ]
  for (const [name, log, rules] of cases) {
    it(`with ${name} are contraindicated by ${rules}, and stay so in this TPM start`, () => {
      const a = appraiseLog(log)
      assert.deepEqual(bad(a), rules)
      assert.deepEqual(bad(appraiseLog(log, a.state)), rules)
      const next = appraiseEvidence(a.state, evidenceOf(new LogBuilder().agent(), clockAt(900, 6)), POLICY, NOW)
      assert.deepEqual(bad(next), [])
      const released = releaseNode(a.state)
      assert.deepEqual(bad(appraiseLog(log, released)), [])
    })
  }

  const allowed: [string, LogBuilder][] = [
    ['a denial and a second try', start().add(denied, podRecord(REQUEST))],
    ['a pod measured again before any decision', start().add(podRecord(REQUEST))],
    ['a launch that did not come about', start().add({ ...exited, reason: 'not-started', statuses: {} })],
    ['an agent started again', start().agent()],
  ]
  for (const [name, log] of allowed) it(`with ${name} are affirming`, () => assert.deepEqual(bad(appraiseLog(log)), []))

  it('show modes that do not enforce, and changes of the mode, as warnings', () => {
    const a = appraiseLog(
      new LogBuilder()
        .agent()
        .agent({ mode: 'audit' })
        .add(...measured(REQUEST), unticketed({ mode: 'audit' })),
    )
    assert.deepEqual(bad(a), [])
    const warnings = a.findings.filter((f) => f.tier === 'warning').map((f) => f.rule)
    assert.deepEqual(warnings, ['launch-log.mode', 'launch-log.ticket', 'launch-log.mode', 'launch-log.unticketed'])
    assert.equal(tierOf(appraiseLog(new LogBuilder().agent({ mode: 'off' })), 'launch-log.mode'), 'warning')
  })

  it('show a pod that was launched without a ticket as a warning until it ends, also when the agent enforces again', () => {
    const log = new LogBuilder().agent({ mode: 'audit' }).add(...measured(REQUEST), unticketed({ mode: 'audit' }))
    const a = appraiseLog(log)
    const b = appraiseLog(log.agent(), a.state)
    const c = appraiseLog(log, parseNodeState(serialiseNodeState(b.state)))
    assert.deepEqual(
      [c.state.boot?.log.agent.mode, tierOf(c, 'launch-log.mode'), tierOf(c, 'launch-log.unticketed')],
      ['enforce', 'affirming', 'warning'],
    )
    assert.equal(tierOf(appraiseLog(log.add(exited), c.state), 'launch-log.unticketed'), undefined)
  })

  it('show an agent that obeys other verifiers, or pins none, as a warning', () => {
    for (const verifierKeys of [['99'.repeat(32)], []]) {
      assert.equal(tierOf(appraiseLog(new LogBuilder().agent({ verifierKeys })), 'launch-log.verifier-keys'), 'warning')
    }
  })

  it('with a ticket of before first contact are a warning, later a violation', () => {
    const log = start().add(unticketed({ ticket: '0a'.repeat(16) }))
    assert.equal(tierOf(appraiseLog(log), 'launch-log.ticket'), 'warning')
    const known = appraiseLog(new LogBuilder().agent())
    assert.deepEqual(bad(appraiseLog(log, known.state)), ['launch-log.ticket'])
  })
})

describe('tickets that are out', () => {
  it('are proven by the launch record at the register they name', () => {
    const { appraisal } = launched()
    assert.deepEqual([appraisal.ended.map((e) => e.end), appraisal.state.tickets, bad(appraisal)], [['proven'], [], []])
  })

  it('are dead when another record lands first, and using one then is a violation', () => {
    const { log, claims, state } = issued()
    log.add(denied)
    const a = appraiseLog(log, state)
    assert.deepEqual([a.ended.map((e) => e.end), a.state.tickets.length, bad(a)], [['dead'], 0, []])
    log.add(podRecord(REQUEST), ticketedLaunchRecord(claims, 'enforce'))
    assert.deepEqual(bad(appraiseLog(log, a.state)), ['launch-log.ticket'])
  })

  it('are dead and violated when record and other event arrive with one quote', () => {
    const { log, claims, state } = issued()
    log.agent().add(ticketedLaunchRecord(claims, 'enforce'))
    const a = appraiseLog(log, state)
    assert.deepEqual([a.ended.map((e) => e.end), bad(a)], [['dead'], ['launch-log.ticket']])
  })

  it('are not proven by a launch record that says anything else', () => {
    const { log, claims, state } = issued()
    log.add({ ...ticketedLaunchRecord(claims, 'enforce'), policy: '99'.repeat(32) })
    const a = appraiseLog(log, state)
    assert.deepEqual([a.ended.map((e) => e.end), bad(a)], [['dead'], ['launch-log.ticket']])
  })

  it('cannot be used twice', () => {
    const { log, claims, state } = launched()
    log.add(exited, podRecord(REQUEST), ticketedLaunchRecord(claims, 'enforce'))
    assert.deepEqual(bad(appraiseLog(log, state)), ['launch-log.ticket'])
  })

  it('of two for one register, the second is dead once the first is used', () => {
    const { log, claims, state } = issued()
    const other = issue(REQUEST, { ...appraiseLog(log), state })
    log.add(ticketedLaunchRecord(claims, 'enforce'))
    const a = appraiseLog(log, other.state)
    assert.deepEqual(
      a.ended.map((e) => [e.ticket.id, e.end]),
      [
        [claims.jti, 'proven'],
        [other.claims.jti, 'dead'],
      ],
    )
  })

  it('end with the TPM start', () => {
    const { state } = issued()
    const a = appraiseEvidence(state, evidenceOf(new LogBuilder().agent(), clockAt(900, 6)), POLICY, NOW)
    assert.deepEqual([a.ended.map((e) => e.end), a.state.tickets], [['dead'], []])
  })

  it('past their deadline with neither proof nor death are contraindicated until proven', () => {
    const { log, claims, state } = issued()
    const a = appraiseLog(log, state, LATER(91))
    assert.deepEqual([a.overdue.map((t) => t.id), bad(a)], [[claims.jti], ['launch-log.ticket-deadline']])
    const again = appraiseLog(log, a.state, LATER(92))
    assert.deepEqual([again.overdue, bad(again)], [[], ['launch-log.ticket-deadline']])
    log.add(ticketedLaunchRecord(claims, 'enforce'))
    const b = appraiseLog(log, again.state, LATER(93))
    assert.deepEqual([b.ended.map((e) => e.end), bad(b)], [['proven-late'], []])
  })

  it('are not overdue before their deadline', () => {
    const { log, state } = issued()
    assert.deepEqual(appraiseLog(log, state, LATER(89)).overdue, [])
  })
})

describe('a quarantined node', () => {
  const log = new LogBuilder().agent()
  const rolledBack = (): EvidenceAppraisal => {
    const a = appraiseLog(log)
    return appraiseEvidence(a.state, evidenceOf(log, clockAt(5000, 4)), POLICY, NOW)
  }

  it('was one whose TPM went back, and keeps the counters it had', () => {
    const a = rolledBack()
    assert.deepEqual([a.continuity, bad(a)], ['rollback', ['continuity.counters', 'node.quarantine']])
    assert.deepEqual([a.state.clock.resetCount, a.state.quarantine?.rule], [5, 'continuity.counters'])
  })
  it('stays so, whatever it shows', () => {
    const a = rolledBack()
    for (const clock of [clockAt(9000), clockAt(9000, 9)]) {
      const b = appraiseEvidence(a.state, evidenceOf(log, clock), POLICY, LATER(60))
      assert.deepEqual([bad(b), b.state.quarantine?.at], [['node.quarantine'], NOW.toISOString()])
    }
  })
  it('starts anew when an operator releases it', () => {
    const released: NodeState | undefined = releaseNode(rolledBack().state)
    assert.equal(released, undefined)
    assert.deepEqual(bad(appraiseEvidence(released, evidenceOf(log, clockAt(1, 0)), POLICY, NOW)), [])
  })
})

function issued() {
  const log = new LogBuilder().agent().add(...measured(REQUEST))
  return { log, ...issue(REQUEST, appraiseLog(log)) }
}

function launched() {
  const { log, claims, state } = issued()
  log.add(ticketedLaunchRecord(claims, 'enforce'))
  const appraisal = appraiseLog(log, state)
  return { log, claims, appraisal, state: appraisal.state }
}

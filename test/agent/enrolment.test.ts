import assert from 'node:assert/strict'
import { SESSION_START, type SessionEvent, type SessionState, stepSession } from '../../agent/enrolment.ts'
import type { VerifierMessage } from '../../attestation/protocol/index.ts'

const NODE = 'ab'.repeat(32)
const nonce = new Uint8Array(32)
const received = (message: VerifierMessage): SessionEvent => ({ kind: 'received', message })
const status = (admission: 'admitted' | 'pending' | 'refused', nodeId = NODE) =>
  received({ t: 'status', nodeId, admission, message: 'as it is' })
const challenge = (purpose: 'session' | 'periodic') =>
  received({
    ...{ t: 'challenge', purpose, nonce, selection: [{ bank: 'sha256', pcrs: [15] }] },
    log: { resetCount: 0, restartCount: 0, offset: 0 },
    machineLogs: [],
  })
const activate = received({ t: 'activate', idObject: new Uint8Array(1), encryptedSecret: new Uint8Array(1) })
const result = received({
  t: 'result',
  tier: 'affirming',
  result: 'x',
  findings: [],
  nonce,
  logOffset: 0,
  machineLogs: [],
})
const ticket = (id: number) => received({ t: 'ticket', id, ticket: 'x', nonce, logOffset: 0, machineLogs: [] })
const denied = (id: number) =>
  received({ t: 'denied', id, code: 'X', reasons: ['x'], nonce, logOffset: 0, machineLogs: [] })
const error = received({ t: 'error', code: 'NODE_REFUSED', message: 'no' })
const sentEvidence: SessionEvent = { kind: 'sent', what: 'evidence' }
const sentLaunch = (launch: number): SessionEvent => ({ kind: 'sent', what: { launch } })

/** Runs events; @returns the state and all effects, as words */
function walk(...events: SessionEvent[]): { state: SessionState; effects: string[] } {
  let state = SESSION_START
  const effects: string[] = []
  for (const event of events) {
    const step = stepSession(state, event, NODE)
    state = step.state
    effects.push(...step.effects.map((e) => e.do))
  }
  return { state, effects }
}

const READY = [challenge('session'), sentEvidence, result]

describe('a session with a verifier', () => {
  it('of an unknown node: activation, admission, login', () => {
    const { state, effects } = walk(activate, status('admitted'), challenge('session'), sentEvidence, result)
    assert.deepEqual(state, { phase: 'ready', outstanding: 'nothing' })
    assert.deepEqual(effects, ['activate', 'answer', 'deliver'])
  })

  it('of a known node: login at once, with or without a status before it', () => {
    assert.equal(walk(status('admitted'), ...READY).state.phase, 'ready')
    assert.equal(walk(...READY).state.phase, 'ready')
  })

  it('waits as pending until an operator admits the node', () => {
    assert.deepEqual(walk(activate, status('pending')).state, { phase: 'pending', message: 'as it is' })
    assert.equal(walk(activate, status('pending'), status('admitted'), ...READY).state.phase, 'ready')
  })

  it('delivers the answer of the launch that was asked for', () => {
    for (const answer of [ticket(7), denied(7)]) {
      const { state, effects } = walk(...READY, sentLaunch(7), answer)
      assert.deepEqual(state, { phase: 'ready', outstanding: 'nothing' })
      assert.equal(effects.at(-1), 'deliver')
    }
  })

  it('answers a challenge that crosses a launch', () => {
    const { state, effects } = walk(...READY, sentLaunch(7), challenge('periodic'), ticket(7))
    assert.equal(state.phase, 'ready')
    assert.deepEqual(effects.slice(-2), ['answer', 'deliver'])
  })

  it('takes another nonce that it has asked for, and none that it has not', () => {
    const renewed = received({ t: 'renewed', nonce })
    const { state, effects } = walk(...READY, { kind: 'sent', what: 'renewal' }, renewed)
    assert.deepEqual(state, { phase: 'ready', outstanding: 'nothing' })
    assert.equal(effects.at(-1), 'deliver')
    for (const events of [[renewed], [...READY, renewed], [...READY, sentEvidence, renewed]]) {
      const { state } = walk(...events)
      assert.ok(state.phase === 'failed' && state.code === 'UPLINK_UNEXPECTED_MESSAGE')
    }
  })

  it('keeps how soon the verifier wants to see it again', () => {
    const { state } = walk(...READY, received({ t: 'error', code: 'X', message: 'later', retryAfterMs: 7000 }))
    assert.ok(state.phase === 'failed' && state.retryAfterMs === 7000)
  })

  it('stops pods for a verifier that it has proved itself to, and for no other', () => {
    const stop = received({ t: 'stop-pods', reason: 'failed' })
    const { state, effects } = walk(...READY, stop)
    assert.equal(state.phase, 'ready')
    assert.equal(effects.at(-1), 'stop-pods')
    assert.equal(walk(stop).state.phase, 'failed')
  })

  it('keeps the AK certificate', () => {
    const akCertificate = new Uint8Array([1])
    const message = { t: 'status', nodeId: NODE, admission: 'admitted', akCertificate, message: '' } as const
    assert.deepEqual(walk(activate, received(message)).effects, ['activate', 'keep-certificate'])
  })

  const refused = [
    { name: 'a refusal', events: [activate, status('refused')], code: 'UPLINK_REFUSED' },
    {
      name: 'a refusal of a node that was let in before',
      events: [...READY, status('refused')],
      code: 'UPLINK_REFUSED',
    },
    { name: 'an error', events: [error], code: 'UPLINK_REFUSED' },
    { name: 'an error while a launch is decided', events: [...READY, sentLaunch(1), error], code: 'UPLINK_REFUSED' },
    { name: 'the status of another node', events: [status('admitted', 'cd'.repeat(32))], code: 'UPLINK_WRONG_NODE_ID' },
    ...[
      { name: 'a second activation', events: [activate, activate] },
      { name: 'an activation of a node that is let in', events: [...READY, activate] },
      { name: 'a challenge before the activation is answered', events: [activate, challenge('session')] },
      { name: 'a challenge to a pending node', events: [activate, status('pending'), challenge('session')] },
      { name: 'a periodic challenge instead of the login', events: [challenge('periodic')] },
      { name: 'a second login', events: [...READY, challenge('session')] },
      { name: 'a challenge while the login is under way', events: [challenge('session'), challenge('session')] },
      { name: 'a result that nobody asked for', events: [...READY, result] },
      { name: 'a result before evidence was sent', events: [challenge('session'), result] },
      { name: 'a result for a launch', events: [...READY, sentLaunch(1), result] },
      { name: 'a ticket that nobody asked for', events: [...READY, ticket(1)] },
      { name: 'a ticket for another launch', events: [...READY, sentLaunch(2), ticket(1)] },
      { name: 'a second ticket', events: [...READY, sentLaunch(1), ticket(1), ticket(1)] },
      { name: 'a ticket for evidence', events: [...READY, sentEvidence, ticket(0)] },
      { name: 'a denial before the login', events: [denied(1)] },
      { name: 'pending after the login', events: [...READY, status('pending')] },
    ].map((c) => ({ ...c, code: 'UPLINK_UNEXPECTED_MESSAGE' })),
  ]
  for (const { name, events, code } of refused) {
    it(`ends with ${code} on ${name}`, () => {
      const { state } = walk(...events)
      assert.ok(state.phase === 'failed')
      assert.equal(state.code, code)
      assert.deepEqual(stepSession(state, status('admitted'), NODE), { state, effects: [] }, 'and stays ended')
    })
  }

  it('sends one message at a time', () => {
    assert.throws(() => walk(...READY, sentEvidence, sentLaunch(1)), RangeError)
    assert.throws(() => walk(sentEvidence), RangeError)
  })
})

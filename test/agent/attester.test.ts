import assert from 'node:assert/strict'
import { Attester, type KnownLog, type QuotedFrame } from '../../agent/attester.ts'
import type { LaunchLog } from '../../agent/launch-log/index.ts'
import type { LaunchLogContent } from '../../attestation/event-log/index.ts'
import {
  decodeAgentMessage,
  decodeQuotedBody,
  MAX_LOG_BYTES,
  type QuotedBody,
} from '../../attestation/protocol/index.ts'
import { makeDigest, pcrIndex } from '../../attestation/tpm2/index.ts'
import { decodeCel } from '../support/cel.ts'
import { random, SoftTpm, selectionOf } from '../support/soft-tpm.ts'
import { softLog } from './support/soft-log.ts'
import { SoftTpmPort } from './support/soft-tpm-port.ts'

const NOTHING: KnownLog = { resetCount: 0, restartCount: 0, offset: 0, machineLogs: [] }
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const denied = (n: number): LaunchLogContent => ({
  record: 'denied',
  uuid: uuid(n),
  request: 'a'.repeat(64),
  code: 'X',
})

describe('evidence', () => {
  let tpm: SoftTpmPort
  let log: LaunchLog
  let attester: Attester
  beforeEach(async () => {
    tpm = new SoftTpmPort(new SoftTpm(['sha256', 'sha384']))
    log = await softLog(tpm)
    attester = new Attester(tpm, pcrIndex(15), async () => [])
    tpm.calls.length = 0
  })

  const challenge = (banks = tpm.soft.banks) => ({
    ...{ verifierId: random(32), exporter: random(32), nonce: random(32) },
    selection: selectionOf(banks, 15),
  })
  const quoted = (known = NOTHING, banks = tpm.soft.banks): Promise<QuotedFrame> =>
    log.exclusive((w) => attester.quoted(w, { t: 'evidence', purpose: 'periodic' }, challenge(banks), known))
  const bodyOf = ({ frame }: QuotedFrame): QuotedBody => {
    const message = decodeAgentMessage(frame)
    assert.ok(message.t === 'quoted')
    return decodeQuotedBody(message.body)
  }

  it('has the values of all registers asked for, and the whole log', async () => {
    const body = bodyOf(await quoted())
    assert.equal(body.pcrs.length, 10)
    assert.deepEqual(body.log.bytes, new Uint8Array(await log.view.read(0, log.view.size)))
    assert.equal(body.log.more, false)
  })

  it('reads registers of the boot once: a launch does not wait for them', async () => {
    await quoted()
    await quoted()
    assert.deepEqual(tpm.calls, ['readPcrs', 'quote', 'quote'])
  })

  it('is made anew when a register of the boot has changed since it was read', async () => {
    await quoted()
    tpm.soft.extend(4, new Uint8Array(1))
    const body = bodyOf(await quoted())
    const four = body.pcrs.find((p) => p.pcr === 4)
    assert.deepEqual(four?.value, tpm.soft.register('sha256', 4))
  })

  it('is given up when registers change all the time', async () => {
    tpm.before = (called) => {
      if (called === 'quote') tpm.soft.extend(4, new Uint8Array(1))
    }
    await assert.rejects(quoted(), { code: 'ATTEST_PCRS_UNSTEADY' })
    assert.equal(log.settled, true, 'the log has nothing to do with it')
  })

  it('is refused, and the log compared with the TPM, when something else has extended its register', async () => {
    tpm.register.extendDirectly(tpm.soft.banks.map((b) => makeDigest(b, new Uint8Array(b === 'sha256' ? 32 : 48))))
    await assert.rejects(quoted(), { code: 'ATTEST_REGISTER_MOVED' })
    assert.equal(log.settled, false)
    await quoted()
    assert.equal(log.view.summary.breaks.length, 1)
  })

  it('is refused when it is of another TPM start than the log', async () => {
    tpm.register.reset()
    await assert.rejects(quoted(), { code: 'ATTEST_TPM_RESTARTED' })
    const body = bodyOf(await quoted())
    assert.equal(body.log.resetCount, tpm.register.start.resetCount)
  })

  it('is refused for a bank that the TPM has not', async () => {
    await assert.rejects(quoted(NOTHING, ['sha256', 'sha512']), { code: 'ATTEST_BANK_MISSING' })
  })

  it('carries only what the verifier lacks', async () => {
    const { size, start } = log.view
    await log.exclusive((w) => w.append([denied(1)]))
    const body = bodyOf(await quoted({ ...start, offset: size, machineLogs: [] }))
    assert.equal(body.log.offset, size)
    assert.equal(decodeCel(body.log.bytes).length, 1)
    assert.equal(bodyOf(await quoted({ ...start, offset: log.view.size, machineLogs: [] })).log.bytes.length, 0)
  })

  it('carries all of the log for a verifier that knows another TPM start, or more than there is', async () => {
    const { size, start } = log.view
    for (const known of [
      { ...start, resetCount: start.resetCount - 1, offset: size, machineLogs: [] },
      { ...start, restartCount: start.restartCount + 1, offset: size, machineLogs: [] },
      { ...start, offset: size + 1, machineLogs: [] },
    ]) {
      const body = bodyOf(await quoted(known))
      assert.deepEqual([body.log.offset, body.log.bytes.length], [0, size])
    }
  })

  it('carries a long log in pieces of whole records', async () => {
    const images = Array.from({ length: 64 }, (_, i) => `image-${i}-${'x'.repeat(450)}`)
    const pod = (n: number): LaunchLogContent => ({
      ...{ record: 'pod', uuid: uuid(n), request: 'a'.repeat(64), manifest: 'b'.repeat(64), stage1: 's', images },
    })
    await log.exclusive((w) => w.append(Array.from({ length: 230 }, (_, i) => pod(i))))
    const { size, start } = log.view
    assert.ok(size > MAX_LOG_BYTES)
    const first = await quoted()
    const { log: piece } = bodyOf(first)
    assert.deepEqual([first.more, piece.more, piece.offset], [true, true, 0])
    const records = decodeCel(piece.bytes, 0).length
    const rest = bodyOf(await quoted({ ...start, offset: piece.bytes.length, machineLogs: [] }))
    assert.equal(rest.log.more, false)
    assert.equal(piece.bytes.length + rest.log.bytes.length, size)
    assert.equal(records + decodeCel(rest.log.bytes, records).length, log.view.summary.records)
  })
})

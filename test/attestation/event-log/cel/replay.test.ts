import assert from 'node:assert/strict'
import fc from 'fast-check'
import { fromHex, toHex, utf8 } from '../../../../attestation/base/index.ts'
import {
  banksOf,
  encodeCelRecord,
  equalRegisters,
  extendValue,
  fromBankValues,
  launchLogRecord,
  replayRecords,
  replayStart,
  toBankValues,
  zeroRegisters,
} from '../../../../attestation/event-log/index.ts'
import { BANKS, LogBuilder, PCR } from '../../../support/launch-log.ts'

const REGISTER = { pcr: PCR, banks: BANKS }

describe('replay', () => {
  it('extends as the TPM does', () => {
    assert.equal(
      toHex(extendValue('sha256', new Uint8Array(32), fromHex(`${'00'.repeat(31)}01`))),
      '90f4b39548df55ad6187a1d20d731ecee78c545b94afd16f42ef7592d99cd365',
    )
  })

  it('in pieces gives what it gives at once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 40 }), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 4 }),
        (contents, cuts) => {
          const log = new LogBuilder()
          for (const content of contents) log.addBytes(utf8(content))
          const whole = replayRecords(replayStart(zeroRegisters(BANKS)), log.bytes, REGISTER)
          const ends = [0, ...whole.map((r) => r.after.offset)]
          const bounds = [...cuts.map((c) => ends[c % ends.length] ?? 0).sort((a, b) => a - b), log.bytes.length]
          let state = replayStart(zeroRegisters(BANKS))
          const pieces = []
          for (const bound of bounds) {
            const piece = replayRecords(state, log.bytes.subarray(state.offset, bound), REGISTER)
            pieces.push(...piece)
            state = piece.at(-1)?.after ?? state
          }
          assert.deepEqual(pieces, whole)
          assert.ok(equalRegisters(state.banks, log.registers))
        },
      ),
    )
  })

  it('refuses a piece that does not go on where the last one ended', () => {
    const log = new LogBuilder().addBytes(utf8('a')).addBytes(utf8('b'))
    const [first] = replayRecords(replayStart(zeroRegisters(BANKS)), log.bytes, REGISTER)
    assert.ok(first)
    assert.throws(() => replayRecords(first.after, log.bytes, REGISTER), {
      code: 'EVENT_LOG_BAD_RECNUM',
      position: { offset: first.after.offset, recnum: 0 },
    })
  })

  it('refuses a record of an NV index', () => {
    const record = launchLogRecord(0, PCR, BANKS, utf8('{}'))
    const bytes = encodeCelRecord({ ...record, index: { kind: 'nv', value: PCR } })
    assert.throws(() => replayRecords(replayStart(zeroRegisters(BANKS)), bytes, REGISTER), {
      code: 'EVENT_LOG_WRONG_REGISTER',
    })
  })

  it('refuses content that is not what was measured', () => {
    const record = launchLogRecord(0, PCR, BANKS, utf8('{}'))
    const bytes = encodeCelRecord({ ...record, content: utf8('{ }') })
    assert.throws(() => replayRecords(replayStart(zeroRegisters(BANKS)), bytes, REGISTER), {
      code: 'EVENT_LOG_DIGEST_MISMATCH',
    })
  })

  it('leaves content opaque whose digest rule is not known', () => {
    const record = { ...launchLogRecord(0, PCR, BANKS, utf8('x')), contentType: 200 }
    assert.equal(replayRecords(replayStart(zeroRegisters(BANKS)), encodeCelRecord(record), REGISTER).length, 1)
  })
})

describe('registers', () => {
  it('are equal only with the same banks', () => {
    assert.ok(!equalRegisters(zeroRegisters(['sha1']), zeroRegisters(['sha1', 'sha256'])))
    assert.ok(!equalRegisters(zeroRegisters(['sha1', 'sha256']), zeroRegisters(['sha1'])))
    assert.ok(equalRegisters(zeroRegisters(['sha256', 'sha1']), zeroRegisters(['sha1', 'sha256'])))
  })

  it('come back from hex as they were, and not with another length', () => {
    const registers = zeroRegisters(['sha384', 'sha1'])
    assert.deepEqual(banksOf(registers), ['sha1', 'sha384'])
    assert.ok(equalRegisters(fromBankValues(toBankValues(registers)), registers))
    assert.throws(() => fromBankValues({ sha256: '00' }), RangeError)
    assert.throws(() => fromBankValues({ sha1: 'zz' }), RangeError)
  })
})

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes } from '../../../attestation/base/index.ts'
import { digest, type HashAlgorithm } from '../../../attestation/crypto/index.ts'
import {
  type BankRegisters,
  type EventDigests,
  isAfterStart,
  pcrAfterStart,
  replayRegister,
  zeroRegisters,
} from '../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256']

function digestsOf(n: number, banks = BANKS): EventDigests {
  return Object.fromEntries(banks.map((bank) => [bank, digest(bank, Uint8Array.of(n & 0xff, n >>> 8))]))
}

/** The register after these events, by the definition of extend. */
function extended(
  events: readonly EventDigests[],
  banks = BANKS,
  start: BankRegisters = zeroRegisters(banks),
): BankRegisters {
  let value = start
  for (const e of events) {
    value = Object.fromEntries(
      banks.map((bank) => [bank, digest(bank, concatBytes(value[bank] as Uint8Array, e[bank] as Uint8Array))]),
    )
  }
  return value
}

const EVENTS = Array.from({ length: 6 }, (_, i) => digestsOf(i))

describe('the replay of a register', () => {
  for (let n = 0; n <= EVENTS.length; n++) {
    it(`proves the first ${n} of six events when the quote has that value`, () => {
      const replay = replayRegister(zeroRegisters(BANKS), EVENTS, extended(EVENTS.slice(0, n)))
      assert.equal(replay.proven, n)
      assert.equal(replay.events, 6)
      assert.deepEqual(
        replay.banks.map((b) => b.end),
        Object.values(extended(EVENTS)),
      )
    })
  }

  it('proves nothing when the quote is ahead of the log', () => {
    assert.equal(replayRegister(zeroRegisters(BANKS), EVENTS.slice(0, 5), extended(EVENTS)).proven, undefined)
  })

  it('proves nothing when one bank was forged, and says which', () => {
    const forged = EVENTS.map((e, i) => (i === 2 ? { ...e, sha1: new Uint8Array(20) } : e))
    const replay = replayRegister(zeroRegisters(BANKS), forged, extended(EVENTS))
    assert.equal(replay.proven, undefined)
    assert.deepEqual(
      replay.banks.map((b) => [b.bank, b.proven]),
      [
        ['sha1', undefined],
        ['sha256', 6],
      ],
    )
  })

  it('proves nothing when the banks prove different events', () => {
    const quoted = { ...extended(EVENTS), sha1: extended(EVENTS.slice(0, 3)).sha1 as Uint8Array }
    assert.equal(replayRegister(zeroRegisters(BANKS), EVENTS, quoted).proven, undefined)
  })

  it('names the first event without a digest of a bank, and replays nothing behind it there', () => {
    const lacking = EVENTS.map((e, i) => (i === 4 ? { sha256: e.sha256 as Uint8Array } : e))
    const replay = replayRegister(zeroRegisters(BANKS), lacking, extended(EVENTS))
    assert.deepEqual(
      replay.banks.map((b) => [b.bank, b.missing, b.proven]),
      [
        ['sha1', 4, undefined],
        ['sha256', undefined, 6],
      ],
    )
    assert.deepEqual(replay.banks[0]?.end, extended(EVENTS.slice(0, 4)).sha1)
  })

  it('takes a digest of another length for none', () => {
    const events = [{ sha256: new Uint8Array(31) }]
    assert.equal(replayRegister(zeroRegisters(['sha256']), events, zeroRegisters(['sha256'])).banks[0]?.missing, 0)
  })

  it('reads its events once, so they need not be in memory together', () => {
    let made = 0
    function* events(): Generator<EventDigests> {
      for (const e of EVENTS) {
        made++
        yield e
      }
    }
    assert.equal(replayRegister(zeroRegisters(BANKS), events(), extended(EVENTS)).proven, 6)
    assert.equal(made, 6)
  })

  it('refuses to start without a value of a quoted bank', () => {
    assert.throws(() => replayRegister(zeroRegisters(['sha1']), EVENTS, extended(EVENTS)), RangeError)
  })

  it('gives no proof of a log in which one event was changed, removed, added or swapped with another', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.nat(),
        fc.nat(),
        fc.constantFrom('change', 'remove', 'add', 'swap'),
        (count, a, b, how) => {
          const events = Array.from({ length: count }, (_, i) => digestsOf(i))
          const quoted = extended(events)
          const i = a % count
          const j = b % count
          const changed = [...events]
          if (how === 'change') changed[i] = digestsOf(1000 + i)
          else if (how === 'remove') changed.splice(i, 1)
          else if (how === 'add') changed.splice(i, 0, digestsOf(1000))
          else [changed[i], changed[j]] = [events[j] as EventDigests, events[i] as EventDigests]
          const same = how === 'swap' && i === j
          assert.equal(replayRegister(zeroRegisters(BANKS), changed, quoted).proven, same ? count : undefined)
        },
      ),
      { numRuns: fuzzRuns(300) },
    )
  })
})

describe('the value of a PCR after a TPM start', () => {
  it('is zero in 0 to 16 and 23, and all ones in 17 to 22', () => {
    for (let pcr = 0; pcr < 24; pcr++) {
      const ones = pcr >= 17 && pcr <= 22
      assert.deepEqual(pcrAfterStart(pcr, ['sha256']).sha256, new Uint8Array(32).fill(ones ? 0xff : 0))
    }
  })

  it('is told from every other', () => {
    for (const pcr of [0, 1, 16, 17, 22, 23]) {
      const values = pcrAfterStart(pcr, BANKS)
      assert.ok(isAfterStart(pcr, values))
      for (const bank of BANKS) {
        for (const at of [0, 10, (values[bank] as Uint8Array).length - 1]) {
          const changed = (values[bank] as Uint8Array).slice()
          changed[at] = (changed[at] as number) ^ 1
          assert.ok(!isAfterStart(pcr, { ...values, [bank]: changed }))
        }
      }
    }
    assert.ok(isAfterStart(0, pcrAfterStart(0, BANKS, 4), 4))
    assert.ok(!isAfterStart(0, pcrAfterStart(0, BANKS, 4), 3))
  })

  it('has the locality of TPM2_Startup in the last byte of PCR 0 alone', () => {
    for (const locality of [0, 3, 4] as const) {
      const { sha1, sha256 } = pcrAfterStart(0, BANKS, locality)
      assert.equal(sha1?.[19], locality)
      assert.equal(sha256?.[31], locality)
      assert.deepEqual(sha256?.subarray(0, 31), new Uint8Array(31))
    }
    assert.deepEqual(pcrAfterStart(1, ['sha1'], 3).sha1, new Uint8Array(20))
  })
})

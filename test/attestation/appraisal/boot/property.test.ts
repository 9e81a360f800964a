import assert from 'node:assert/strict'
import fc from 'fast-check'
import { appraiseBoot, type BootAppraisal } from '../../../../attestation/appraisal/boot/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import { honestBoot, quoteOf } from '../../../support/boot.ts'
import { cryptoAgileLog, type WrittenEvent } from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

const EVENTS = honestBoot()
const QUOTED = quoteOf(EVENTS)
const isGood = ({ findings }: BootAppraisal): boolean => findings.every((f) => f.tier === 'affirming')
const index = fc.nat({ max: EVENTS.length - 1 })

describe('a boot whose log was changed', () => {
  it('is never affirming with an event removed, repeated, or put before another of its register', () => {
    fc.assert(
      fc.property(index, index, fc.constantFrom('remove', 'repeat', 'swap'), (i, j, how) => {
        const changed = [...EVENTS]
        const [a, b] = [EVENTS[i] as WrittenEvent, EVENTS[j] as WrittenEvent]
        if (how === 'swap' && (i === j || a.register !== b.register)) return
        if (how === 'remove') changed.splice(i, 1)
        else if (how === 'repeat') changed.splice(j, 0, a)
        else [changed[i], changed[j]] = [b, a]
        assert.ok(!isGood(appraiseBoot({ firmware: cryptoAgileLog(changed), quoted: QUOTED })), `${how} ${i} ${j}`)
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('proves nothing that was not measured, by whatever bit the log was changed', () => {
    const log = cryptoAgileLog(EVENTS)
    fc.assert(
      fc.property(fc.nat({ max: log.length * 8 - 1 }), (bit) => {
        const changed = log.slice()
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
        const appraisal = appraiseBoot({ firmware: changed, quoted: QUOTED })
        for (const { event, proof } of appraisal.timeline()) {
          if (proof !== 'data') continue
          const { digests, register } = event
          const known = EVENTS.some((e) => e.register === register.index && sameDigest(e, digests.sha256))
          assert.ok(known, `event ${event.index} with bit ${bit} changed`)
        }
      }),
      { numRuns: fuzzRuns(400) },
    )
  })

  it('gives a finding for any bytes, any quote and any prefix, and never throws', () => {
    const log = cryptoAgileLog(EVENTS)
    const anyBytes = fc.oneof(
      fc.nat({ max: log.length }).map((n) => log.subarray(0, n)),
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.nat({ max: log.length - 1 }), fc.uint8Array({ minLength: 1, maxLength: 8 })).map(([from, bytes]) => {
        const changed = log.slice()
        changed.set(bytes.subarray(0, log.length - from), from)
        return changed
      }),
    )
    const banks = fc.constantFrom(['sha256'] as const, ['sha1'] as const, ['sha1', 'sha256', 'sha512'] as const)
    fc.assert(
      fc.property(anyBytes, banks, fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17]), (firmware, of, pcrs) => {
        const appraisal = appraiseBoot({
          firmware,
          systemd: { offset: 0, bytes: firmware },
          quoted: quoteOf(EVENTS, { banks: of, pcrs }),
        })
        assert.ok(appraisal.findings.length > 0)
        for (const { why } of appraisal.timeline()) assert.notEqual(why, '')
        JSON.stringify(appraisal)
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
})

describe('a boot whose events were given other types', () => {
  it('is never affirming with Secure Boot on where the TPM was told that it is off', () => {
    const off = honestBoot({ secureBoot: false })
    const quoted = quoteOf(off)
    const types = fc.constantFrom(...Object.values(EV))
    fc.assert(
      fc.property(fc.array(fc.tuple(index, types), { maxLength: 6 }), (changes) => {
        const changed = off.map((e) => ({ ...e, measured: e.measured ?? e.data }))
        for (const [i, type] of changes) if (changed[i] !== undefined) changed[i] = { ...changed[i], type }
        assert.notEqual(appraiseBoot({ firmware: cryptoAgileLog(changed), quoted }).facts?.secureBoot.state, 'enabled')
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
})

function sameDigest(e: WrittenEvent, value: Uint8Array | undefined): boolean {
  return value !== undefined && Buffer.from(value).equals(digest('sha256', e.measured ?? e.data))
}

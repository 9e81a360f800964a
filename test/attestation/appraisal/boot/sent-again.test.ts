import assert from 'node:assert/strict'
import { appraiseBoot } from '../../../../attestation/appraisal/boot/index.ts'
import { concatBytes, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { EV } from '../../../../attestation/event-log/index.ts'
import { event, honestBoot, quoteOf } from '../../../support/boot.ts'
import { faults } from '../../../support/boot-appraisal.ts'
import { cryptoAgileLog } from '../../../support/firmware-log.ts'

const BAD = honestBoot({ secureBoot: false })
const FORGED = honestBoot()

function systemdLog(...strings: readonly string[]): Uint8Array {
  const records = strings.map((string) => {
    const digests = [{ hashAlg: 'sha256', digest: toHex(digest('sha256', utf8(string))) }]
    const content = { string, eventType: 'phase' }
    return utf8(`\u001e${JSON.stringify({ pcr: 11, digests, content_type: 'systemd', content })}\n`)
  })
  return concatBytes(...records)
}

const measured = (...strings: readonly string[]) => quoteOf([...BAD, ...strings.map((s) => event(11, EV.IPL, utf8(s)))])

describe('a log of the same boot that is sent again', () => {
  const first = appraiseBoot({ firmware: cryptoAgileLog(BAD), quoted: quoteOf(BAD) })

  it('is replayed again: another one in its place is refused', () => {
    assert.equal(first.facts?.secureBoot.state, 'disabled')
    const second = appraiseBoot({ firmware: cryptoAgileLog(FORGED), quoted: quoteOf(BAD), previous: first })
    assert.ok(faults(second).includes('boot.replay contraindicated'), faults(second).join())
    assert.notEqual(second.facts?.secureBoot.state, 'enabled')
  })

  it('is refused where only the names and settings in it are others, event by event', () => {
    for (const [i, forged] of FORGED.entries()) {
      const events = BAD.map((e, j) => (i === j ? { ...e, data: utf8('another'), measured: utf8('another') } : e))
      if (forged.type === EV.NO_ACTION || BAD[i] === undefined) continue
      const second = appraiseBoot({ firmware: cryptoAgileLog(events), quoted: quoteOf(BAD), previous: first })
      assert.ok(faults(second).includes('boot.replay contraindicated'), `event ${i}`)
    }
  })

  it('is taken where it is the same, and what was proved of it is proved', () => {
    const second = appraiseBoot({ firmware: cryptoAgileLog(BAD), quoted: quoteOf(BAD), previous: first })
    assert.deepEqual(faults(second), faults(first))
    assert.deepEqual(second.state, first.state)
    assert.deepEqual(second.facts, first.facts)
  })

  it("is refused of systemd, where it comes with the firmware's and where it comes alone", () => {
    const firmware = cryptoAgileLog(BAD)
    const quoted = measured('enter-initrd', 'leave-initrd')
    const true_ = { offset: 0, bytes: systemdLog('enter-initrd', 'leave-initrd') }
    const forged = { offset: 0, bytes: systemdLog('something', 'else') }
    const proved = appraiseBoot({ firmware, systemd: true_, quoted })
    assert.deepEqual(
      proved.facts?.unifiedKernel.phases.map((p) => p.proof),
      ['data', 'data'],
    )
    for (const second of [
      appraiseBoot({ firmware, systemd: forged, quoted, previous: proved }),
      appraiseBoot({ systemd: forged, quoted, previous: proved }),
    ]) {
      const told = [...second.timeline({ kind: 'pcr', index: 11 })]
      assert.ok(
        told.every(({ proof }) => proof !== 'data' && proof !== 'digest'),
        JSON.stringify(told.map((t) => t.proof)),
      )
      const phases = second.facts?.unifiedKernel.phases.filter((p) => p.proof === 'data').map((p) => p.value) ?? []
      assert.ok(!phases.includes('something'), phases.join())
    }
  })
})

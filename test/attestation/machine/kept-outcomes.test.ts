import assert from 'node:assert/strict'
import { parseAppraisalPolicy } from '../../../attestation/appraisal-policy/index.ts'
import { concatBytes, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { EV } from '../../../attestation/event-log/index.ts'
import { appraiseMachine, type MachineState, wantedMachineLogs } from '../../../attestation/machine/index.ts'
import type { MachineLogPiece } from '../../../attestation/protocol/index.ts'
import { event, honestBoot, quoteOf } from '../../support/boot.ts'
import { cryptoAgileLog, type WrittenEvent } from '../../support/firmware-log.ts'
import { bootAggregateEntry, encodeList } from '../../support/ima-log.ts'

const POLICY = `version: 1
name: workers
owner: platform team
unlisted: observe
rules:
  secure-boot: {mode: enforce, secureBoot: {enabled: true}}
  phases: {mode: enforce, events: {pcr: 11, forbidden: [{name: no debug, text: "*debug*"}]}}
`
const GOOD = honestBoot()
const FIRMWARE: MachineLogPiece = { source: 'firmware', offset: 0, bytes: cryptoAgileLog(GOOD), more: false }
const START = { resetCount: 3, restartCount: 0 }

const phase = (string: string): WrittenEvent => event(11, EV.IPL, utf8(string))
const systemdLog = (...strings: readonly string[]): Uint8Array =>
  concatBytes(
    ...strings.map((string) => {
      const digests = [{ hashAlg: 'sha256', digest: toHex(digest('sha256', utf8(string))) }]
      return utf8(
        `\u001e${JSON.stringify({ pcr: 11, digests, content_type: 'systemd', content: { string, eventType: 'phase' } })}\n`,
      )
    }),
  )

describe('what policy made of a boot, kept while it lasts', () => {
  const policy = parseAppraisalPolicy(POLICY, 'workers.yaml', () => new Uint8Array())
  const appraise = (
    previous: MachineState | undefined,
    measured: readonly WrittenEvent[],
    pieces: readonly MachineLogPiece[],
    by = policy,
  ) =>
    appraiseMachine({
      previous,
      start: START,
      continuity: previous === undefined ? 'first' : 'same-boot',
      quoted: quoteOf([...GOOD, ...measured], { pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 10, 11] }),
      pieces,
      launchPcr: 15,
      explained: [],
      findings: [],
      node: { id: 'ab'.repeat(32), labels: {} },
      launchLog: undefined,
      tpm: { firmwareVersion: 1n },
      clock: { safe: true },
      policy: by,
      now: new Date('2026-11-23T12:00:00Z'),
    })
  const systemd = (offset: number, ...strings: readonly string[]): MachineLogPiece => ({
    source: 'systemd',
    offset,
    bytes: systemdLog(...strings),
    more: false,
  })
  const tierOf = ({ result }: ReturnType<typeof appraise>, rule: string) =>
    result.findings.find((f) => f.rule === rule)?.tier
  const first = appraise(undefined, [phase('enter-initrd')], [FIRMWARE, systemd(0, 'enter-initrd')])

  it('stands as long as its registers do', () => {
    const second = appraise(first.state, [phase('enter-initrd')], [])
    for (const appraised of [first, second]) {
      assert.equal(tierOf(appraised, 'policy.secure-boot'), 'affirming')
      assert.equal(tierOf(appraised, 'policy.phases'), 'affirming')
    }
    assert.equal(second.more, false)
  })

  it('falls with a register that no log explains any more, in the rules that read it and in no others', () => {
    const second = appraise(first.state, [phase('enter-initrd'), event(7, EV.IPL, utf8('x'))], [])
    assert.equal(tierOf(second, 'policy.secure-boot'), 'contraindicated')
    assert.equal(tierOf(second, 'policy.phases'), 'affirming')
    const third = appraise(second.state, [phase('enter-initrd'), event(7, EV.IPL, utf8('x'))], [])
    assert.equal(tierOf(third, 'policy.secure-boot'), 'contraindicated')
  })

  it('is judged anew, by all logs, when there are further events in a register that a rule reads', () => {
    const offset = systemdLog('enter-initrd').length
    const measured = [phase('enter-initrd'), phase('debug-shell')]
    const second = appraise(first.state, measured, [systemd(offset, 'debug-shell')])
    assert.equal(second.more, true, JSON.stringify(second.result.findings))
    assert.notEqual(second.result.tier, 'affirming')
    assert.deepEqual(
      wantedMachineLogs(second.state, policy).map((w) => w.offset),
      [0, 0],
    )
    const third = appraise(second.state, measured, [FIRMWARE, systemd(0, 'enter-initrd', 'debug-shell')])
    assert.equal(third.more, false)
    assert.equal(tierOf(third, 'policy.phases'), 'contraindicated')
    assert.equal(appraise(second.state, measured, []).result.tier, 'contraindicated', 'and never without them')
  })

  it('and what a list of IMA has shown meanwhile waits for the policy to weigh it', () => {
    const text =
      POLICY.replace('unlisted: observe', 'unlisted: enforce') +
      '  files: {mode: observe, ima: {excludes: ["/tmp/**"]}}\n'
    const observing = parseAppraisalPolicy(text, 'workers.yaml', () => new Uint8Array())
    const began = appraise(undefined, [phase('enter-initrd')], [FIRMWARE, systemd(0, 'enter-initrd')], observing)
    const forged: MachineLogPiece = { source: 'ima', offset: 0, bytes: encodeList([bootAggregateEntry()]), more: false }
    const offset = systemdLog('enter-initrd').length
    const measured = [phase('enter-initrd'), phase('debug-shell'), event(10, EV.IPL, utf8('in no list'))]
    const second = appraise(began.state, measured, [systemd(offset, 'debug-shell'), forged], observing)
    assert.equal(second.more, true)
    assert.equal(second.result.tier, 'none', JSON.stringify(second.result.findings))
    const third = appraise(second.state, measured, [FIRMWARE, systemd(0, 'enter-initrd'), forged], observing)
    assert.equal(third.result.findings.find((f) => f.rule === 'ima.replay')?.policy?.mode, 'observe')
  })
})

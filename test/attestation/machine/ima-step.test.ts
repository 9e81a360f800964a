import assert from 'node:assert/strict'
import { compileImaPolicy, EMPTY_IMA_POLICY, imaStateStart } from '../../../attestation/appraisal/ima/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { extendValue } from '../../../attestation/event-log/index.ts'
import { imaStep } from '../../../attestation/machine/ima-step.ts'
import { bootAggregateEntry, encodeList, fileEntry, type ImaEntrySpec, templateData } from '../../support/ima-log.ts'

describe('a list of IMA that comes in pieces', () => {
  const policy = compileImaPolicy({
    files: new Map(),
    excludes: ['/**'],
    signatureKeys: [],
    requireSignature: false,
    keyrings: new Map(),
    ignoredKeyrings: [],
    learnKeysFrom: [],
    buffers: new Map(),
    violations: 'refuse',
  })
  const start = imaStateStart(['sha256'])
  const quoted = { sha256: new Uint8Array(32).fill(1) }
  const step = (offset: number) =>
    imaStep({
      previous: undefined,
      ahead: { ...start, replay: { ...start.replay, offset, entries: 1 } },
      refuted: false,
      piece: {
        source: 'ima',
        offset,
        bytes: encodeList([bootAggregateEntry(), fileEntry('/bin/sh', 'x')]),
        more: true,
      },
      quoted,
      pcr: () => undefined,
      policy,
    })

  it('is asked for piece by piece', () => {
    const { more, ahead } = step(1000)
    assert.equal(more, true)
    assert.ok((ahead?.replay.offset ?? 0) > 1000)
  })

  it('is refused when it has no end: a node could keep a verifier busy with it for ever', () => {
    const { more, ahead, findings } = step(256 << 20)
    assert.equal(more, false)
    assert.equal(ahead, undefined)
    assert.equal(findings[0]?.tier, 'contraindicated')
    assert.match(findings[0]?.message ?? '', /bytes of list, and no quote proves/)
  })
})

describe('a list of IMA that goes on from what is not known', () => {
  const entries = [bootAggregateEntry(), fileEntry('/bin/sh', 'x')]
  let sha256: Uint8Array = new Uint8Array(32)
  for (const entry of entries) sha256 = extendValue('sha256', sha256, digest('sha256', templateData(entry)))
  const step = (offset: number, refuted: boolean) =>
    imaStep({
      ...{ previous: undefined, ahead: undefined, refuted },
      piece: { source: 'ima', offset, bytes: encodeList(entries), more: false },
      ...{ quoted: { sha256 }, pcr: () => undefined },
      policy: compileImaPolicy({ ...EMPTY_IMA_POLICY, excludes: ['/**'] }),
    })

  it('is asked for once from its beginning, with no verdict on it', () => {
    const first = step(4701, false)
    assert.deepEqual([first.more, first.refuted, first.ima, first.ahead], [true, true, undefined, undefined])
    assert.equal(first.findings[0]?.tier, 'none')
    const next = step(0, first.refuted)
    assert.deepEqual([next.more, next.refuted], [false, false])
    assert.equal(next.findings[0]?.tier, 'affirming')
  })

  it('is refuted when it goes on from there again', () => {
    const { more, refuted, findings } = step(4701, true)
    assert.deepEqual([more, refuted, findings[0]?.tier], [false, true, 'contraindicated'])
    assert.match(findings[0]?.message ?? '', /IMA_OFFSET/)
  })
})

describe('boot_aggregate of a list that begins anew', () => {
  const policy = compileImaPolicy({ ...EMPTY_IMA_POLICY, excludes: ['/**'] })
  const registers = Array.from({ length: 10 }, (_, pcr) => new Uint8Array(32).fill(pcr + 1))
  const pcr = (bank: string, index: number) => (bank === 'sha256' ? registers[index] : undefined)
  const right = digest('sha256', ...registers)
  const old = digest('sha256', ...registers.slice(0, 8))
  const files = (...names: string[]) => names.map((name) => fileEntry(`/${name}`, name))
  const extended = (...entries: readonly ImaEntrySpec[]): { sha256: Uint8Array } => {
    let sha256: Uint8Array = new Uint8Array(32)
    for (const entry of entries) sha256 = extendValue('sha256', sha256, digest('sha256', templateData(entry)))
    return { sha256 }
  }
  /** The list of one kernel, then that of the next, against the register. @param quotedPcr registers at the second quote */
  const afterKexec = (first: readonly ImaEntrySpec[], second: readonly ImaEntrySpec[], quotedPcr = pcr) => {
    const common = { ahead: undefined, refuted: false, policy }
    const piece = (entries: readonly ImaEntrySpec[]) => ({
      ...({ source: 'ima', offset: 0, bytes: encodeList(entries), more: false } as const),
    })
    const before = imaStep({ ...common, previous: undefined, piece: piece(first), quoted: extended(...first), pcr })
    assert.ok(before.ima)
    const quoted = extended(...first, ...second)
    const all = { ...common, quoted, pcr: quotedPcr }
    const step = imaStep({ ...all, previous: before.ima, piece: piece(second) })
    return {
      step,
      before: before.ima,
      again: () => imaStep({ ...all, ...step, previous: step.ima, ahead: step.ahead, piece: piece(second) }),
    }
  }
  const found = ({ findings }: ReturnType<typeof imaStep>, rule: string) => findings.find((f) => f.rule === rule)

  it('is that of the registers, which the next kernel has read as the one before', () => {
    const { step } = afterKexec([bootAggregateEntry(right), ...files('a')], [bootAggregateEntry(right), ...files('b')])
    assert.equal(found(step, 'ima.replay')?.tier, 'affirming')
    assert.equal(found(step, 'ima.boot-aggregate')?.tier, 'affirming')
  })

  it('refutes the list when it is another or none while the registers are as they were, and goes on to', () => {
    for (const second of [
      [bootAggregateEntry(), ...files('b')],
      [bootAggregateEntry(new Uint8Array(32)), ...files('b')],
      files('b', 'c'),
    ]) {
      const { step, before, again } = afterKexec([bootAggregateEntry(right), ...files('a')], second)
      for (const each of [step, again()]) {
        assert.equal(found(each, 'ima.replay')?.tier, 'contraindicated')
        assert.match(found(each, 'ima.replay')?.message ?? '', /begins anew with another boot_aggregate/)
        assert.equal(each.ima, before) // nothing of it was believed
      }
    }
  })

  it('is a warning when it is another and the registers were extended since: what they were at kexec is not known', () => {
    const extendedSince = (bank: string, index: number) => (index === 9 ? new Uint8Array(32) : pcr(bank, index))
    const { step } = afterKexec([bootAggregateEntry(right)], [bootAggregateEntry(), ...files('b')], extendedSince)
    assert.equal(found(step, 'ima.replay')?.tier, 'affirming')
    assert.equal(found(step, 'ima.boot-aggregate')?.tier, 'warning')
  })

  it('may be of more registers than that of an older kernel', () => {
    const { step } = afterKexec([bootAggregateEntry(old)], [bootAggregateEntry(right), ...files('b')])
    assert.equal(found(step, 'ima.boot-aggregate')?.tier, 'affirming')
    const warned = afterKexec([bootAggregateEntry(old)], [bootAggregateEntry(), ...files('b')])
    assert.equal(found(warned.step, 'ima.boot-aggregate')?.tier, 'warning')
  })

  it('is not taken over from the list before', () => {
    const { step } = afterKexec([bootAggregateEntry(old)], files('b', 'c'))
    assert.match(found(step, 'ima.boot-aggregate')?.message ?? '', /does not begin with boot_aggregate/)
  })
})

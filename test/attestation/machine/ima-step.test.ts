import assert from 'node:assert/strict'
import { compileImaPolicy, imaStateStart } from '../../../attestation/appraisal/ima/index.ts'
import { imaStep } from '../../../attestation/machine/ima-step.ts'
import { bootAggregateEntry, encodeList, fileEntry } from '../../support/ima-log.ts'

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

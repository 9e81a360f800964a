import assert from 'node:assert/strict'
import { LogSummary } from '../../agent/launch-log/summary.ts'
import { measuredRequest, recordsBeforeLaunch } from '../../agent/launch-records.ts'
import { canonicalJson } from '../../attestation/base/index.ts'
import { launchRequest } from '../support/launch-request.ts'

describe('the records of a launch', () => {
  it('say of an image all that was asked for: signers, the policy that let it in, what was relaxed', () => {
    const { node, mode, ...launch } = launchRequest()
    const images = launch.images.map((image) => ({
      ...image,
      signers: [
        { kind: 'openpgp' as const, key: 'openpgp:ab', checkedAt: '2026-01-01T00:00:00Z' },
        { key: 'sha256:cd', checkedAt: '2026-01-01T00:00:00Z' }, // as stage0 of an older version says it
      ],
      policy: { sha256: 'ab'.repeat(32), scope: 'docker registry.example' },
      relaxed: ['http'],
    }))
    const measured = measuredRequest({ ...launch, images, podDirectory: '/pod' }, node, mode)
    const records = recordsBeforeLaunch(new LogSummary(), measured).filter((r) => r.record === 'image')
    const wanted = images.map((image) => ({ ...image, record: 'image' }))
    assert.equal(canonicalJson(records), canonicalJson(wanted))
  })
})

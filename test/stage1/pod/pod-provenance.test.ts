import assert from 'node:assert/strict'
import { provenanceOf } from '../../../stage1/pod/pod-provenance.ts'
import { launchRequest } from '../../support/launch-request.ts'

describe('the provenance of a pod', () => {
  const request = launchRequest()
  const of = (measured: unknown) => provenanceOf({ launch: {}, answer: { request: JSON.stringify(measured) } })

  it('is what the measured request says, and not what was asked for', () => {
    const signers = [{ kind: 'certificate' as const, key: 'https://issuer me', checkedAt: '2026-01-01T00:00:00Z' }]
    const policy = { sha256: 'ab'.repeat(32), scope: 'docker registry.example' }
    const images = request.images.map((image) => ({ ...image, signers, policy, relaxed: ['http'] }))
    const found = of({ ...request, images, relaxed: ['image'] })
    const [image] = request.images
    assert.ok(image && found)
    const { manifest, tree, verification } = image
    assert.deepEqual(found.images, [{ tree, verification, manifest, signers, policy, relaxed: ['http'] }])
    assert.deepEqual(found.relaxed, ['image'])
    assert.equal(found.stage1.id, request.stage1.id)
    assert.equal(provenanceOf({ launch: request }), undefined)
  })

  it('names the TPM of a pod that has its own', () => {
    const tpm = { node: 'ab'.repeat(32), certificate: 'cd'.repeat(32), authority: 'ef'.repeat(32) }
    const guest = { archive: '01'.repeat(32), memoryMiB: 256, processors: 1 }
    assert.equal(of({ ...request, guest: { ...guest, tpm } })?.tpmNode, tpm.node)
    assert.equal(of({ ...request, guest })?.tpmNode, undefined)
  })

  it('says nothing of a policy where none was asked', () => {
    assert.equal(of(request)?.images[0]?.policy, undefined)
  })

  for (const [what, record] of [
    ['no record', undefined],
    ['no answer', { launch: {} }],
    ['a request that is no text', { answer: { request: {} } }],
    ['a request that was cut short', { answer: { request: '{"v":1' } }],
  ] as const) {
    it(`is not known of ${what}`, () => assert.equal(provenanceOf(record), undefined))
  }

  it('is read of whatever JSON a request may be', () => {
    for (const odd of [{ images: [null, 7], stage1: [] }, { images: 'x', relaxed: {} }, []]) {
      assert.doesNotThrow(() => of(odd))
    }
  })
})

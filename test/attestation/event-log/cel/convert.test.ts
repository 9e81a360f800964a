import assert from 'node:assert/strict'
import { concatBytes, fromHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  celCoverage,
  celEvents,
  decodeCelAny,
  encodeCelCbor,
  encodeCelJson,
  encodeCelRecord,
  imaCelRecord,
  pcClientCelRecord,
} from '../../../../attestation/event-log/index.ts'
import { externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

describe('conversion', () => {
  it('keeps a firmware event as it was measured', () => {
    const eventData = fromHex('00000000')
    const record = pcClientCelRecord(3, {
      pcr: 7,
      eventType: 4,
      eventData,
      digests: { sha256: digest('sha256', eventData) },
    })
    assert.deepEqual(decodeCelAny(encodeCelRecord(record)).records, [record])
    assert.equal(celCoverage(record).coverage, 'data')
  })

  it('makes of a list of IMA what the kernel extended', function () {
    const set = externalVectors('ima')
    if (set === undefined) return skipWithoutVectors(this, 'ima')
    const list = new Uint8Array(Buffer.from(set.text('libcel-binary_runtime_measurements.b64'), 'base64'))
    const records = imaEntries(list).map((entry, i) => imaCelRecord(i, entry, ['sha1', 'sha256']))
    assert.ok(records.length > 50)
    for (const bytes of [
      concatBytes(...records.map(encodeCelRecord)),
      encodeCelJson(records),
      encodeCelCbor(records),
    ]) {
      const events = [...celEvents(decodeCelAny(bytes).records)]
      assert.equal(events.length, records.length)
      for (const event of events)
        assert.deepEqual([event.type, event.coverage, event.register.index], ['ima-ng', 'data', 10])
    }
  })

  it('extends all ones for a violation, and hashes the oldest template as the kernel does', () => {
    const violation = {
      pcr: 10,
      templateDigest: new Uint8Array(20),
      templateName: 'ima-ng',
      templateData: fromHex('01'),
    }
    const record = imaCelRecord(0, violation, ['sha1', 'sha256'])
    assert.ok(record.digests.every((d) => d.bytes.every((b) => b === 0xff)))
    assert.match(celCoverage(record).why, /violation/)
    const name = utf8('/bin/sh')
    const templateData = concatBytes(new Uint8Array(20).fill(1), fromHex('07000000'), name)
    const hashed = concatBytes(new Uint8Array(20).fill(1), name, new Uint8Array(249))
    const entry = { pcr: 10, templateDigest: digest('sha1', hashed), templateName: 'ima', templateData }
    assert.equal(celCoverage(imaCelRecord(0, entry, ['sha1', 'sha256'])).coverage, 'data')
  })
})

/** Entries of a binary list of IMA with a template of variable size, little-endian. */
function imaEntries(list: Uint8Array) {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength)
  const entries = []
  for (let at = 0; at < list.length; ) {
    const pcr = view.getUint32(at, true)
    const templateDigest = list.subarray(at + 4, at + 24)
    const nameEnd = at + 28 + view.getUint32(at + 24, true)
    const templateName = Buffer.from(list.subarray(at + 28, nameEnd)).toString()
    const end = nameEnd + 4 + view.getUint32(nameEnd, true)
    entries.push({ pcr, templateDigest, templateName, templateData: list.subarray(nameEnd + 4, end) })
    at = end
  }
  return entries
}

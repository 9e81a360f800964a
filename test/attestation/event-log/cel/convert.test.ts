import assert from 'node:assert/strict'
import { concatBytes, fromHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  type CelRecord,
  celCoverage,
  celEvents,
  decodeCelAny,
  decodeCelContent,
  EV,
  encodeCelCbor,
  encodeCelJson,
  encodeCelRecord,
  firmwareCelRecords,
  imaCelRecords,
  type MeasureLogRecord,
  readFirmwareLog,
  readImaList,
  readMeasureLog,
  systemdCelRecords,
  type UnnumberedCelRecord,
} from '../../../../attestation/event-log/index.ts'
import { systemdRecord } from '../../../support/evidence.ts'
import { cryptoAgileLog, u32 } from '../../../support/firmware-log.ts'
import { externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

const numbered = (records: Iterable<UnnumberedCelRecord>): CelRecord[] =>
  [...records].map((record, recnum) => ({ ...record, recnum }))
const SEPARATOR = { type: EV.SEPARATOR, data: fromHex('00000000') }

describe('conversion to CEL', () => {
  it('keeps a firmware event as it was measured', () => {
    const log = readFirmwareLog(cryptoAgileLog([{ register: 7, ...SEPARATOR }], { banks: ['sha1', 'sha256'] }))
    const [, record, ...more] = numbered(firmwareCelRecords(log))
    assert.ok(record !== undefined && more.length === 0)
    assert.deepEqual(decodeCelAny(encodeCelRecord(record)).records, [record])
    assert.deepEqual([record.index, celCoverage(record).coverage], [{ kind: 'pcr', value: 7 }, 'data'])
    assert.deepEqual(
      record.digests.map(({ bank, bytes }) => [bank, bytes]),
      (['sha1', 'sha256'] as const).map((bank) => [bank, digest(bank, SEPARATOR.data)]),
    )
  })

  it('of a CCEL names RTMRs, and nothing for MRTD', () => {
    const bytes = cryptoAgileLog([{ register: 1, ...SEPARATOR }], { banks: ['sha384'] })
    const records = numbered(firmwareCelRecords(readFirmwareLog(bytes, { kind: 'ccel' })))
    assert.deepEqual(
      [...celEvents(records)].map(({ register }) => register),
      [{ kind: 'rtmr', index: 0 }],
    )
  })

  it('makes of a list of IMA what the kernel extended', function () {
    const set = externalVectors('ima')
    if (set === undefined) return skipWithoutVectors(this, 'ima')
    const list = new Uint8Array(Buffer.from(set.text('libcel-binary_runtime_measurements.b64'), 'base64'))
    const records = numbered(imaCelRecords(readImaList(list), ['sha1', 'sha256']))
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
    const name = utf8('/bin/sh')
    const data = concatBytes(new Uint8Array(20).fill(1), u32(7), name)
    const hashed = concatBytes(new Uint8Array(20).fill(1), name, new Uint8Array(249))
    const entry = (templateDigest: Uint8Array) => concatBytes(u32(10), templateDigest, u32(3), utf8('ima'), data)
    const bytes = concatBytes(entry(digest('sha1', hashed)), entry(new Uint8Array(20)))
    const [file, violation] = numbered(imaCelRecords({ bytes, templateHash: 'sha1' }, ['sha1', 'sha256']))
    assert.ok(file && violation)
    assert.deepEqual(
      file.digests.map((d) => d.bytes),
      [digest('sha1', hashed), digest('sha256', hashed)],
    )
    assert.equal(celCoverage(file).coverage, 'data')
    assert.ok(violation.digests.every((d) => d.bytes.every((b) => b === 0xff)))
    assert.match(celCoverage(violation).why, /violation/)
  })

  it('keeps what systemd measured, with all that CEL has room for', () => {
    const { records } = readMeasureLog(systemdRecord(11, 'phase', 'ready'))
    const [record] = numbered(systemdCelRecords(records))
    assert.ok(record)
    assert.deepEqual(decodeCelContent(record), {
      kind: 'systemd',
      event: { eventType: 0, timestamp: 1000n, bootId: new Uint8Array(16).fill(0xfa), string: 'ready' },
    })
    assert.equal(celCoverage(record).coverage, 'data')
    const { eventType: _, ...early } = records[0] as MeasureLogRecord // there is one
    const [bare] = numbered(systemdCelRecords([early]))
    assert.deepEqual(bare && decodeCelContent(bare), { kind: 'systemd_string', bytes: utf8('ready') })
    const { string: __, ...secret } = early
    assert.throws(() => [...systemdCelRecords([{ ...secret, eventType: 'new-key' }])], {
      code: 'EVENT_LOG_BAD_CONTENT',
      message: /new-key/,
    })
  })
})

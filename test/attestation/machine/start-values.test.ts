import assert from 'node:assert/strict'
import { concatBytes, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest, hmac } from '../../../attestation/crypto/index.ts'
import { encodeLaunchLogContent, extendWithContent, zeroRegisters } from '../../../attestation/event-log/index.ts'
import { explainedStartValues } from '../../../attestation/machine/index.ts'

const START = { resetCount: 1, restartCount: 0 }
const LOG = { pcr: 15, registers: zeroRegisters(['sha256']) }

function record(string: string, eventType: string, measured = digest('sha256', utf8(string))): Uint8Array {
  const digests = [{ hashAlg: 'sha256', digest: toHex(measured) }]
  return utf8(
    `\u001e${JSON.stringify({ pcr: 15, digests, content_type: 'systemd', content: { string, eventType } })}\n`,
  )
}

const explained = (...records: readonly Uint8Array[]): readonly (string | undefined)[] =>
  explainedStartValues(
    undefined,
    [{ source: 'systemd', offset: 0, bytes: concatBytes(...records), more: false }],
    START,
    LOG,
  ).map((banks) => banks.sha256)

describe("values of the launch log's register that systemd's log explains", () => {
  const machineId = record('machine-id:0123', 'machine-id')
  const after = toHex(extendWithContent(LOG.registers, utf8('machine-id:0123')).sha256 as Uint8Array)

  it('are those after each text that systemd measures there', () => {
    assert.deepEqual(explained(machineId), [after])
    assert.equal(explained(machineId, record('file-system:/:x', 'filesystem')).length, 2)
  })

  it('do not come of records of an earlier launch log in systemd’s clothes', () => {
    const pod = encodeLaunchLogContent({
      record: 'denied',
      uuid: '00000000-0000-4000-8000-000000000001',
      request: 'c'.repeat(64),
      code: 'X',
    })
    const text = new TextDecoder().decode(pod)
    for (const type of ['machine-id', 'filesystem', 'phase']) {
      assert.deepEqual(explained(machineId, record(text, type), machineId), [after])
    }
  })

  it('do not come of digests whose text nobody can know', () => {
    const keyed = hmac('sha256', utf8('volume key'), utf8('cryptsetup:root:luks'))
    assert.deepEqual(explained(machineId, record('cryptsetup:root:luks', 'volume-key', keyed)), [after])
    assert.deepEqual(explained(record('machine-id:0123', 'machine-id', keyed)), [])
  })
})

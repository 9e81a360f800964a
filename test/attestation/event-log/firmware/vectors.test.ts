import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  decodeFirmwareEventData,
  describeFirmwareEvent,
  EventLogError,
  type FirmwareEvent,
  type FirmwareLog,
  firmwareEventCoverage,
  readFirmwareLog,
} from '../../../../attestation/event-log/index.ts'
import { fuzzing, fuzzRuns } from '../../../support/fuzz.ts'
import { externalVectors, skipWithoutVectors, type VectorSet } from '../../../support/vectors.ts'

/** Where logs of other projects lie; every file that is not told apart by these patterns must be read. */
const SETS: readonly { readonly name: string; readonly logs: RegExp }[] = [
  { name: 'eventlogs/attacks', logs: /\.bin$/ },
  { name: 'eventlogs/ccel', logs: /ovmf$|\.bin$/ },
  { name: 'eventlogs/go-attestation', logs: /./ },
  { name: 'eventlogs/google', logs: /\.bin$/ },
  { name: 'eventlogs/ibmtss', logs: /\.log$/ },
  { name: 'eventlogs/tpm2-tools', logs: /\.bin$/ },
  { name: 'eventlogs/tpm2-tss', logs: /\.b64$/ },
  { name: 'keylime/eventlogs-hw', logs: /\.bin$/ },
  { name: 'quotes', logs: /eventlog\.bin$/ },
  { name: 'swtpm/node', logs: /eventlog\.bin$/ },
]

const REFUSED: Readonly<Record<string, string>> = {
  'cut-mid-event.bin': 'EVENT_LOG_TRUNCATED',
  'digest-count-2g.bin': 'EVENT_LOG_BAD_DIGEST',
  'event-size-4g.bin': 'EVENT_LOG_TOO_LONG',
  'linux_tpm12.json': 'EVENT_LOG_UNKNOWN_FORMAT',
}

/** Logs of which an event's digest is not what its data says. */
const MISMATCHES: Readonly<Record<string, number>> = { 'separator-digest-mismatch.bin': 1 }
/** Logs of which events' data has not the form of the type that an attacker gave them. */
const MALFORMED: Readonly<Record<string, number>> = { 'bootloader-masquerade-pcr4.bin': 2 }

function readVector(set: VectorSet, file: string): FirmwareLog {
  const bytes = file.endsWith('.b64') ? new Uint8Array(Buffer.from(set.text(file), 'base64')) : set.read(file)
  return readFirmwareLog(bytes, { kind: set.name === 'eventlogs/ccel' ? 'ccel' : 'tpm' })
}

describe('firmware logs of other projects', () => {
  for (const { name, logs } of SETS) {
    it(`are read or refused as they should be, and every event's data has the form of its type: ${name}`, function () {
      const set = externalVectors(name)
      if (set === undefined) skipWithoutVectors(this, name)
      const files = set.list().filter((file) => logs.test(file))
      assert.ok(files.length > 0)
      for (const file of files) {
        const code = REFUSED[file]
        if (code !== undefined) assert.throws(() => readVector(set, file), { name: 'EventLogError', code }, file)
        else checkLog(file, readVector(set, file))
      }
    })
  }

  function checkLog(file: string, log: FirmwareLog): void {
    let mismatches = 0
    const malformed: string[] = []
    for (const event of log.events) {
      const data = decodeFirmwareEventData(event, log)
      const bad = data.kind === 'malformed' ? data : data.kind === 'variable' ? data.value : undefined
      if (bad !== undefined && 'why' in bad) malformed.push(`event ${event.index}: ${bad.why}`)
      const { coverage, why } = firmwareEventCoverage(event, log)
      assert.notEqual(why, '')
      if (coverage === 'mismatch') mismatches++
      const text = describeFirmwareEvent(event, log)
      assert.match(text, /^[\P{C}]{1,1000}$/u, `${file}, event ${event.index}`)
    }
    assert.equal(malformed.length, MALFORMED[file] ?? 0, `${file}: ${malformed.join('; ')}`)
    assert.equal(mismatches, MISMATCHES[file] ?? 0, file)
  }

  it('have as many events as another implementation counts', function () {
    const name = 'eventlogs'
    const set = externalVectors(name)
    if (set === undefined) skipWithoutVectors(this, name)
    const counted = JSON.parse(set.text('replay-computed.json')) as Record<string, { events?: number }> // as its INDEX.md says
    const files = Object.entries(counted).filter(([, { events }]) => events !== undefined)
    assert.ok(files.length > 0)
    for (const [path, { events }] of files) {
      const bytes = path.endsWith('.b64') ? new Uint8Array(Buffer.from(set.text(path), 'base64')) : set.read(path)
      const log = readFirmwareLog(bytes)
      assert.equal(log.events.length - (log.format === 'sha1' ? 0 : 1), events, path) // the Spec ID event is not counted there
    }
  })

  it('are read only where they are cut between two events', function () {
    let tried = 0
    for (const { name, logs } of SETS) {
      const set = externalVectors(name)
      if (set === undefined) continue
      for (const file of set.list().filter((f) => logs.test(f) && REFUSED[f] === undefined)) {
        const log = readVector(set, file)
        const bytes = new Uint8Array((log.events[0] as FirmwareEvent).data.buffer) // every log has an event
        tried += cutEverywhere(file, bytes, log)
      }
    }
    if (tried === 0) skipWithoutVectors(this, 'eventlogs')
  })

  /** All cuts in `npm run fuzz`; else those in the heads of events, where all fields but the data are. */
  function cutEverywhere(file: string, bytes: Uint8Array, log: FirmwareLog): number {
    const kind = log.registers === 'pcr' ? 'tpm' : 'ccel'
    const end = bytes.length - log.padding
    const ends = new Set([...log.events.slice(1).map((e) => e.offset), end])
    const near = fuzzing ? end : 24
    for (const { offset } of log.events) {
      for (let length = offset; length < Math.min(offset + near, end); length++) {
        const cut = bytes.subarray(0, length)
        if (ends.has(length)) assert.equal(readFirmwareLog(cut, { kind }).padding, 0)
        else assert.throws(() => readFirmwareLog(cut, { kind }), { name: 'EventLogError' }, `${file} ${length}`)
        if (near === end && ends.has(length + 1)) break
      }
    }
    return 1
  }

  it('give values or coded errors after any change of some bytes', function () {
    const set = externalVectors('eventlogs/ibmtss')
    if (set === undefined) skipWithoutVectors(this, 'eventlogs/ibmtss')
    const sources = set.list().map((file) => set.read(file))
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(fc.constantFrom(...sources), changes, (source, list) => {
        const bytes = source.slice()
        for (const [at, value] of list) bytes[at % bytes.length] = value
        try {
          const log = readFirmwareLog(bytes)
          for (const event of log.events) {
            firmwareEventCoverage(event, log)
            describeFirmwareEvent(event, log)
          }
        } catch (err) {
          assert.ok(err instanceof EventLogError)
        }
      }),
      { numRuns: fuzzRuns(100) },
    )
  })
})

import assert from 'node:assert/strict'
import { parse } from 'yaml'
import { toHex } from '../../../../attestation/base/index.ts'
import { digest, hashSize } from '../../../../attestation/crypto/index.ts'
import {
  BANK_ORDER,
  decodeFirmwareEventData,
  EV,
  eventTypeName,
  type FirmwareEvent,
  type FirmwareEventData,
  type FirmwareLog,
  firmwareEventCoverage,
  readFirmwareLog,
  type VariableData,
} from '../../../../attestation/event-log/index.ts'
import { guid } from '../../../support/firmware-log.ts'
import { copiedVectors, externalVectors, skipWithoutVectors } from '../../../support/vectors.ts'

type Fields = { readonly [name: string]: unknown }

/** @returns the fields of an object; those of anything else are none */
function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {} // any object has readable fields
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Text of tpm2_eventlog for what is not plain text: each line is a quoted string of its own inside the YAML string. */
function unquoted(text: string): string {
  return text.split('\n').map(unquotedLine).join('\n')
}

function unquotedLine(text: string): string {
  if (!text.startsWith('"')) return text
  return text.slice(1, -1).replace(/\\(x[0-9a-f]{2}|.)/gi, (_, c: string) => {
    if (c.startsWith('x')) return String.fromCharCode(Number.parseInt(c.slice(1), 16))
    return c === '0' ? '\0' : ({ n: '\n', r: '\r', t: '\t' }[c] ?? c)
  })
}

/**
 * Device path text of libefivar and of UEFI 2.10 in one form: numbers decimal, `File(…)` and `FvVol(…)` as UEFI has
 * them.
 */
function pathText(text: string): string {
  return text
    .replace(/File\((\\[^)]*)\)/g, '$1')
    .replaceAll('FvVol(', 'Fv(')
    .replace(/\b0x[0-9a-f]+\b/gi, (hex) => BigInt(hex).toString())
    .toLowerCase()
}

function samePath(want: unknown, path: { text: string; nodes: readonly unknown[] }, bytes: Uint8Array): void {
  const text = String(want)
  if (/^([0-9a-f]{2})*$/.test(text)) assert.ok(text.startsWith(toHex(bytes)) || toHex(bytes).startsWith(text))
  else assert.equal(pathText(path.text), pathText(text))
}

function compareEvent(want: Fields, event: FirmwareEvent, log: FirmwareLog): void {
  assert.equal(event.register, want['PCRIndex'])
  const name = eventTypeName(event.type)
  assert.equal(name.startsWith('EV_') ? name : 'Unknown event type', want['EventType'])
  // The Spec ID event of one vector has vendor bytes that its size leaves out.
  if (name !== 'EV_NO_ACTION') assert.equal(event.data.length, want['EventSize'])
  for (const entry of list(want['Digests']).map(fields)) {
    const bank = BANK_ORDER.find((b) => b === entry['AlgorithmId'])
    assert.ok(bank)
    assert.equal(toHex(event.digests[bank] ?? new Uint8Array(0)), entry['Digest'])
  }
  const data = decodeFirmwareEventData(event, log)
  assert.ok(data.kind !== 'malformed', data.kind === 'malformed' ? data.why : '')
  if (want['SpecID'] !== undefined) compareSpecId(fields(list(want['SpecID'])[0]), data, log)
  else if (typeof want['Event'] === 'string') compareText(want['Event'], event)
  else compareFields(fields(want['Event']), event, data)
}

function compareText(want: string, event: FirmwareEvent): void {
  const text = Buffer.from(event.data).toString('latin1')
  // The tool prints the first 1024 bytes.
  if (want === toHex(event.data.subarray(0, 1024))) return
  assert.equal(text.trimEnd().replaceAll('\0', ''), unquoted(want).trimEnd().replaceAll('\0', ''))
}

function compareSpecId(want: Fields, data: FirmwareEventData, log: FirmwareLog): void {
  assert.ok(data.kind === 'spec-id')
  assert.equal(data.platformClass, want['platformClass'])
  assert.deepEqual(data.version, {
    major: want['specVersionMajor'],
    minor: want['specVersionMinor'],
    errata: want['specErrata'],
  })
  assert.equal(data.uintnBits, want['uintnSize'] === 1 ? 32 : 64)
  assert.deepEqual(
    log.algorithms.map((a) => a.bank),
    list(want['Algorithms']).map((a) => fields(a)['algorithmId']),
  )
  assert.equal(data.vendorInfo.length, want['vendorInfoSize'])
  if (want['vendorInfo'] !== undefined) assert.equal(toHex(data.vendorInfo), want['vendorInfo'])
}

function compareFields(want: Fields, event: FirmwareEvent, data: FirmwareEventData): void {
  if ('VariableName' in want) compareVariable(want, data)
  else if ('BlobBase' in want) {
    assert.ok(data.kind === 'firmware-blob')
    assert.deepEqual([Number(data.base), Number(data.length)], [want['BlobBase'], want['BlobLength']].map(Number))
  } else if ('DevicePath' in want) {
    assert.ok(data.kind === 'image-load')
    const numbers = [data.base, data.length, data.linkTimeAddress].map(Number)
    const wanted = ['ImageLocationInMemory', 'ImageLengthInMemory', 'ImageLinkTimeAddress'].map((k) => Number(want[k]))
    assert.deepEqual(numbers, wanted)
    samePath(want['DevicePath'], data.path, event.data.subarray(32, 32 + Number(want['LengthOfDevicePath'])))
  } else if ('Header' in want) compareGpt(want, data)
  else if ('String' in want) {
    const text = (latin1: string) => latin1.replaceAll('\0', '').trimEnd() // the files differ in which NULs they keep
    assert.equal(text(Buffer.from(event.data).toString('latin1')), text(unquoted(String(want['String']))))
  } else assert.deepEqual(want, {})
}

function compareVariable(want: Fields, data: FirmwareEventData): void {
  assert.ok(data.kind === 'variable')
  assert.equal(data.guid, want['VariableName'])
  assert.equal(data.name, want['UnicodeName'])
  assert.equal(data.name.length, want['UnicodeNameLength'])
  assert.equal(data.data.length, want['VariableDataLength'])
  const content = want['VariableData']
  if (typeof content === 'string') assert.equal(toHex(data.data), content)
  else if (Array.isArray(content)) compareEntries(content, data)
  else compareContent(fields(content), data)
}

function compareContent(want: Fields, { data, value }: VariableData): void {
  if ('Description' in want) {
    assert.ok(value.form === 'load-option')
    assert.equal(value.option.active, want['Enabled'] === 'Yes')
    assert.equal(value.option.description, want['Description'])
    const start = 4 + 2 + 2 * (value.option.description.length + 1)
    samePath(want['DevicePath'], value.option.path, data.subarray(start, start + Number(want['FilePathListLength'])))
  } else if ('Enabled' in want) {
    assert.equal(value.form === 'switch' && value.on, want['Enabled'] === 'Yes')
  } else assert.equal(data.length, 0)
}

function compareEntries(want: readonly unknown[], { data, value }: VariableData): void {
  if (value.form === 'boot-order') {
    const order = value.order.map((n) => `boot${n.toString(16).padStart(4, '0')}`)
    assert.deepEqual(
      order,
      want.map((name) => String(name).toLowerCase()),
    )
  } else if (value.form === 'authority') {
    // The tool takes the first sixteen bytes of a bare certificate for an owner.
    const entry = fields(want[0])
    assert.equal(toHex(data), toHex(guid(String(entry['SignatureOwner']))) + entry['SignatureData'])
    assert.ok(data.length - value.entry.data.length === (value.entry.owner === undefined ? 0 : 16))
  } else {
    assert.ok(value.form === 'signature-lists', value.form)
    const lists = value.lists.map(({ type, entries }) => {
      return { type, keys: entries.map((e) => ({ owner: e.owner, data: toHex(e.data) })) }
    })
    const wanted = want.map(fields).map((l) => {
      const keys = list(l['Keys']).map(fields)
      return {
        type: l['SignatureType'],
        keys: keys.map((k) => ({ owner: k['SignatureOwner'], data: k['SignatureData'] })),
      }
    })
    assert.deepEqual(lists, wanted)
  }
}

function compareGpt(want: Fields, data: FirmwareEventData): void {
  assert.ok(data.kind === 'gpt')
  const header = fields(want['Header'])
  const { diskGuid, ...numbers } = data.header
  assert.equal(diskGuid, header['DiskGUID'])
  const names = ['Revision', 'HeaderSize', 'HeaderCRC32', 'MyLBA', 'AlternateLBA', 'FirstUsableLBA', 'LastUsableLBA']
  names.push('PartitionEntryLBA', 'NumberOfPartitionEntry', 'SizeOfPartitionEntry', 'PartitionEntryArrayCRC32')
  assert.deepEqual(
    Object.values(numbers).map(Number),
    names.map((name) => Number(header[name])),
  )
  const partitions = list(want['Partitions']).map(fields)
  assert.equal(data.partitions.length, want['NumberOfPartitions'])
  // "(null)": behind a name's NUL was something that the tool could not convert.
  const name = (text: unknown, ours: string) => (text === '(null)' ? ours : String(text ?? '').replaceAll('\0', ''))
  assert.deepEqual(
    data.partitions.map((p) => [
      p.typeGuid,
      p.guid,
      Number(p.firstLba),
      Number(p.lastLba),
      Number(p.attributes),
      p.name,
    ]),
    partitions.map((p, i) => [
      ...[p['PartitionTypeGUID'], p['UniquePartitionGUID'], Number(p['StartingLBA']), Number(p['EndingLBA'])],
      ...[Number(p['Attributes']), name(p['PartitionName'], data.partitions[i]?.name ?? '')],
    ]),
  )
}

/** Values of PCRs as the tool prints them, which YAML would take for numbers: `  sha256:` and then `    0  : 0x…`. */
function printedPcrs(text: string): { bank: string; pcr: number; value: string }[] {
  const out: { bank: string; pcr: number; value: string }[] = []
  let bank = ''
  for (const line of text.slice(text.lastIndexOf('\npcrs:')).split('\n')) {
    bank = /^ {2}(\w+):$/.exec(line)?.[1] ?? bank
    const value = /^ {4}(\d+) *: 0x([0-9a-f]+)$/.exec(line)
    if (value !== null) out.push({ bank, pcr: Number(value[1]), value: String(value[2]) })
  }
  return out
}

/** What the tool makes of the log: extends of every event, from the locality that the log names. */
function replayed(log: FirmwareLog, pcr: number, bank: (typeof BANK_ORDER)[number]): string {
  let value = new Uint8Array(hashSize(bank))
  for (const event of log.events) {
    const data = event.type === EV.NO_ACTION && pcr === 0 ? decodeFirmwareEventData(event, log) : undefined
    if (data?.kind === 'startup-locality') value[value.length - 1] = data.locality
    const extended = event.digests[bank]
    if (event.register !== pcr || event.type === EV.NO_ACTION || extended === undefined) continue
    value = new Uint8Array(digest(bank, value, extended))
  }
  return toHex(value)
}

function compareAll(name: string, bytes: Uint8Array, text: string): void {
  const isJson = name.endsWith('.json')
  const log = readFirmwareLog(bytes)
  // One file of the set has its events not marked as items of a list.
  const parsed = fields(
    isJson
      ? JSON.parse(text)
      : parse(
          text.replace(/^ {2}PCRIndex:/gm, (line, at: number) => {
            return /EventNum: \d+\n$/.test(text.slice(0, at)) ? line : '- PCRIndex:'
          }),
          { logLevel: 'silent' },
        ),
  )
  const wanted = list(parsed['events']).map(fields)
  assert.ok(wanted.length > 0)
  wanted.forEach((want, i) => {
    const event = log.events[Number(want['EventNum'] ?? i)]
    assert.ok(event)
    try {
      compareEvent(want, event, log)
    } catch (err) {
      assert.fail(`${name}, event ${event.index}: ${err instanceof Error ? err.message : err}`)
    }
  })
  if (isJson) return
  for (const { bank, pcr, value } of printedPcrs(text)) {
    const known = BANK_ORDER.find((b) => b === bank)
    assert.ok(known)
    assert.equal(replayed(log, pcr, known), value, `PCR ${pcr} in ${bank}`)
  }
}

describe('a firmware log compared, field by field, with what tpm2_eventlog reads in it', () => {
  const tools = externalVectors('eventlogs/tpm2-tools')
  const hardware = externalVectors('keylime/eventlogs-hw')

  it('of tpm2-tools', function () {
    if (tools === undefined) skipWithoutVectors(this, 'eventlogs/tpm2-tools')
    const names = tools.list().filter((name) => name.endsWith('.yaml'))
    assert.ok(names.length >= 6)
    for (const name of names) compareAll(name, tools.read(name.replace(/\.yaml$/, '')), tools.text(name))
  })

  it('of machines of several makers', function () {
    if (hardware === undefined) skipWithoutVectors(this, 'keylime/eventlogs-hw')
    const names = hardware.list().filter((name) => /\.(yml|json)$/.test(name))
    assert.ok(names.length >= 8)
    for (const name of names) {
      const bytes = hardware.read(name.replace(/\.(yml|json)$/, '.bin'))
      compareAll(name, bytes, hardware.text(name))
    }
  })
})

describe('a CCEL compared with what another implementation reads in it', () => {
  it('has the same events, and its data is covered by its digests where they are the hash of it', function () {
    const vectors = externalVectors('eventlogs/ccel')
    if (vectors === undefined) skipWithoutVectors(this, 'eventlogs/ccel')
    const log = readFirmwareLog(vectors.read('CCEL_data_ovmf'), { kind: 'ccel' })
    const wanted = list(fields(JSON.parse(vectors.text('CCEL_data_ovmf_out.json')))['uefi_event_logs']).map(fields)
    assert.equal(log.events.length, wanted.length + 1)
    wanted.forEach((want, i) => {
      const event = log.events[i + 1]
      assert.ok(event)
      assert.equal(event.register, want['index'])
      assert.equal(eventTypeName(event.type), want['type_name'])
      assert.equal(Buffer.from(event.data).toString('base64'), want['event'])
      assert.equal(toHex(event.digests.sha384 ?? new Uint8Array(0)), fields(list(want['digests'])[0])['digest'])
      const { coverage } = firmwareEventCoverage(event, log)
      if (want['digest_matches_event'] === true) assert.equal(coverage, 'data')
      const data = decodeFirmwareEventData(event, log)
      assert.notEqual(data.kind, 'malformed')
      const details = fields(want['details'])
      if ('unicode_name' in details) assert.ok(data.kind === 'variable' && data.name === details['unicode_name'])
      if (data.kind === 'text') assert.equal(data.text, details['string'])
      if ('description' in data) assert.equal(data.description, details['string'])
    })
  })
})

describe('the firmware log of a guest', () => {
  const vm = copiedVectors('vm')
  for (const set of vm.list()) {
    it(`has the events and registers that another implementation read: ${set}`, () => {
      const log = readFirmwareLog(vm.read(`${set}/binary_bios_measurements`))
      const want = fields(JSON.parse(vm.text(`${set}/expected.json`)))
      assert.equal(log.events.length, want['events'])
      const extended = log.events.filter((e) => e.type !== EV.NO_ACTION)
      const registers = [...new Set(extended.map((e) => e.register))].sort((a, b) => a - b)
      assert.deepEqual(registers, want['event_pcrs'])
      assert.deepEqual(
        log.algorithms.map((a) => a.bank),
        want['event_algs'],
      )
      const pcrs = fields(fields(want['pcrs'])['sha256'])
      for (const pcr of registers) assert.equal(replayed(log, pcr, 'sha256'), pcrs[String(pcr)], `PCR ${pcr}`)
      const secureBoot = log.events
        .map((e) => decodeFirmwareEventData(e, log))
        .find((d) => d.kind === 'variable' && d.name === 'SecureBoot')
      if (secureBoot === undefined) return
      const on = secureBoot.kind === 'variable' && secureBoot.value.form === 'switch' && secureBoot.value.on
      assert.equal(on, want['secure_boot_efivar'])
    })
  }
})

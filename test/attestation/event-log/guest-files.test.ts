import assert from 'node:assert/strict'
import { fromHex, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  decodeFirmwareEventData,
  EV,
  imaEntries,
  imaReplayStart,
  readFirmwareLog,
  replayIma,
} from '../../../attestation/event-log/index.ts'
import { externalVectors, skipWithoutVectors, type VectorSet } from '../../support/vectors.ts'

// What Debian guests under QEMU said of themselves, beside the logs that their firmware and kernel kept.

/** The initial RAM disk that the set's index names. */
const INITRD = '6754556af4a3023ba8cf1510bc9ad0ca46a9cc70dc6f0db15504cc72ba6d5be0'
const ZERO = '00'.repeat(32)

interface Guest {
  readonly name: string
  readonly bytes: (file: string) => Uint8Array
  readonly text: (file: string) => string
  readonly list: readonly string[]
  readonly expected: {
    readonly files: Readonly<Record<string, string>>
    readonly ima_entries: number
    readonly cmdline: string
    readonly pcrs: { readonly sha256: Readonly<Record<string, string>> }
  }
}

describe('files of Debian guests under QEMU', () => {
  const set = externalVectors('vm')
  if (set === undefined) {
    it('agree with the logs', function () {
      skipWithoutVectors(this, 'vm')
    })
    return
  }
  for (const name of set.list().filter((entry) => set.has(`${entry}/expected.json`))) describeGuest(guestOf(set, name))
  it('are of the guests that the index tells of', () => {
    const told = [...set.text('INDEX.md').matchAll(/^## (ovmf|seabios)(\S*)$/gm)].map(([, a, b]) => `${a}${b}`)
    assert.deepEqual(set.list(), ['INDEX.md', 'ca', ...told].sort())
  })
})

function guestOf(set: VectorSet, name: string): Guest {
  const files = set.list(name).filter((file) => file !== 'acpi')
  return {
    name,
    bytes: (file) => set.read(`${name}/${file}`),
    text: (file) => set.text(`${name}/${file}`),
    list: [...files, ...set.list(`${name}/acpi`).map((file) => `acpi/${file}`)].sort(),
    expected: JSON.parse(set.text(`${name}/expected.json`)),
  }
}

function describeGuest({ name, bytes, text, list, expected }: Guest): void {
  const commandLine = text('cmdline.txt').trim()
  const later = sysfsRegisters(text('sysfs-pcr-sha256.later.txt'))
  const pcr = (register: number): string => {
    const value = expected.pcrs.sha256[String(register)] ?? ''
    return value === '0' ? ZERO : value
  }

  it(`${name}: every file is the one that was examined, and no other lies there`, () => {
    const examined = Object.entries(expected.files)
    for (const [file, sha256] of examined) assert.equal(toHex(digest('sha256', bytes(file))), sha256, file)
    assert.deepEqual(list, [...examined.map(([file]) => file), 'acpi/TPM2', 'expected.json'].sort())
  })

  it(`${name}: the later registers are those quoted, but for the one that IMA went on to extend`, () => {
    for (let register = 0; register <= 15; register++) {
      if (register !== 10) assert.equal(later.get(register), pcr(register), `register ${register}`)
    }
    const replay = (list: string, value: string): boolean =>
      replayIma(imaReplayStart(['sha256']), bytes(list), { sha256: fromHex(value) }).proved
    assert.ok(replay('ima_binary', pcr(10)))
    const after = later.get(10) ?? ''
    assert.ok(replay('ima_binary_later', after))
    assert.ok(!replay('ima_binary', after), 'the shorter list ends before')
  })
  it(`${name}: ima_count counts the entries before the quote`, () => {
    const entries = [...imaEntries(bytes('ima_binary'))].length
    assert.equal(Number(text('ima_count')), entries)
    assert.equal(entries, expected.ima_entries)
  })

  it(`${name}: the kernel was started with its command line, and says so everywhere`, () => {
    assert.equal(commandLine, expected.cmdline)
    assert.ok(text('dmesg.txt').includes(`] Command line: ${commandLine}\n`))
    assert.ok(text('console.log').includes(`] Command line: ${commandLine}`))
    // the firmware's own loader adds the initrd; systemd-boot has all of it from its entry on the disk
    const given = commandLine.replace(/ initrd=initrd$/, '')
    assert.equal(text('qemu.cmdline').includes(`-append '${given}'`), name !== 'ovmf-sdboot')
    const [release = ''] = /\d+\.\d+\.\S+/.exec(text('uname.txt')) ?? []
    assert.ok(text('dmesg.txt').includes(`Linux version ${release} `))
    assert.ok(commandLine.includes(`ta.nonce=${text('nonce.hex').trim()}`))
  })
  it(`${name}: register 9 is of the command line and the initrd, where the kernel's loader measured them`, () => {
    const wide = Buffer.from(`${commandLine}\0`, 'utf16le')
    const measured: Readonly<Record<string, readonly string[]>> = {
      'seabios-direct': [], // no UEFI, nothing measured
      'ovmf-sb-direct-kernel': [INITRD], // the kernel was started past the loader that measures its options
    }
    const digests = measured[name] ?? [toHex(digest('sha256', wide)), INITRD]
    assert.equal(toHex(extended(digests)), pcr(9))
  })

  it(`${name}: Secure Boot variables are those that the firmware measured`, () => {
    const measured = measuredVariables(bytes('binary_bios_measurements'))
    for (const file of list.filter((entry) => /^efivar-/.test(entry) && entry !== 'efivar-SetupMode.bin')) {
      // in efivarfs four bytes of attributes come first
      assert.equal(measured.get(file.slice('efivar-'.length, -'.bin'.length)), toHex(bytes(file).subarray(4)), file)
    }
    if (!list.includes('efivar-SetupMode.bin')) return assert.equal(measured.size, 0, 'a BIOS has none')
    const enrolled = (measured.get('PK') ?? '') !== ''
    assert.equal(bytes('efivar-SetupMode.bin')[4], enrolled ? 0 : 1, 'without a PK the firmware is in setup mode')
  })
  it(`${name}: acpi/TPM2 is a whole table of a TPM 2.0 with a log`, () => {
    const table = bytes('acpi/TPM2')
    const view = new DataView(table.buffer, table.byteOffset, table.length)
    assert.deepEqual(table.subarray(0, 4), utf8('TPM2'))
    assert.equal(view.getUint32(4, true), table.length)
    assert.equal(
      table.reduce((sum, byte) => (sum + byte) & 0xff, 0),
      0,
      'its bytes add up to 0',
    )
    const [startMethod, minimumLog, logAddress] = [
      view.getUint32(48, true),
      view.getUint32(64, true),
      view.getBigUint64(68, true),
    ]
    assert.equal(startMethod, name === 'seabios-direct' ? 6 : 7, 'TIS, or a command response buffer')
    assert.ok(minimumLog >= bytes('binary_bios_measurements').length && logAddress > 0n)
  })
}

/** A register after these digests. */
function extended(digests: readonly string[]): Uint8Array {
  return digests.reduce<Uint8Array>((value, of) => digest('sha256', value, fromHex(of)), new Uint8Array(32))
}

function sysfsRegisters(text: string): Map<number, string> {
  const lines = [...text.matchAll(/^(\d+) ([0-9A-F]{64})$/gm)]
  return new Map(lines.map(([, register, value = '']) => [Number(register), value.toLowerCase()]))
}

/** Contents of the variables of Secure Boot, by name. */
function measuredVariables(log: Uint8Array): Map<string, string> {
  const variables = new Map<string, string>()
  const firmwareLog = readFirmwareLog(log)
  for (const event of firmwareLog.events.filter(({ type }) => type === EV.EFI_VARIABLE_DRIVER_CONFIG)) {
    const data = decodeFirmwareEventData(event, firmwareLog)
    if (data.kind === 'variable') variables.set(data.name, toHex(data.data))
  }
  return variables
}

import assert from 'node:assert/strict'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  type Coverage,
  EV,
  firmwareEventCoverage,
  readFirmwareLog,
  separatorOf,
} from '../../../../attestation/event-log/index.ts'
import {
  cryptoAgileLog,
  filePath,
  imageLoad,
  tagged,
  u8,
  u32,
  u64,
  utf16,
  variableData,
  type WrittenEvent,
} from '../../../support/firmware-log.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const NOT_THE_DATA = utf8('something else')

function eventOf(written: WrittenEvent) {
  const log = readFirmwareLog(cryptoAgileLog([written], { banks: ['sha1', 'sha256'] }))
  const event = log.events[1]
  assert.ok(event)
  return { event, log }
}

/** What is said of an event of PCR 0 whose digests are of `measured`. */
function covered(type: number, data: Uint8Array, measured: Uint8Array = data): { coverage: Coverage; why: string } {
  const { event, log } = eventOf({ register: 0, type, data, measured })
  return firmwareEventCoverage(event, log)
}

const variable = variableData(GLOBAL, 'BootOrder', utf8('ab'))
const windows = tagged(0x00050003, u8(0))

const CASES: readonly [
  title: string,
  type: number,
  data: Uint8Array,
  measured: Uint8Array,
  coverage: Coverage,
  why?: RegExp,
][] = [
  ['an action', EV.EFI_ACTION, utf8('x'), utf8('x'), 'data'],
  ['an action of another digest', EV.EFI_ACTION, utf8('x'), NOT_THE_DATA, 'mismatch', /EV_EFI_ACTION must be the hash/],
  ['an action whose digest is of its text with a NUL', EV.ACTION, utf8('x'), utf8('x\0'), 'mismatch'],
  ['a Secure Boot variable', EV.EFI_VARIABLE_DRIVER_CONFIG, variable, variable, 'data'],
  [
    'a Secure Boot variable of which only the value is measured',
    EV.EFI_VARIABLE_DRIVER_CONFIG,
    variable,
    utf8('ab'),
    'mismatch',
  ],
  ['a boot variable: its value', EV.EFI_VARIABLE_BOOT, variable, utf8('ab'), 'data', /value; its name is not covered/],
  ['a boot variable: all of it', EV.EFI_VARIABLE_BOOT, variable, variable, 'data', /whole variable structure/],
  ['a boot variable of another digest', EV.EFI_VARIABLE_BOOT2, variable, NOT_THE_DATA, 'mismatch'],
  ['a boot variable that is no structure', EV.EFI_VARIABLE_BOOT, u32(1), NOT_THE_DATA, 'mismatch'],
  ['an authority', EV.EFI_VARIABLE_AUTHORITY, variable, variable, 'data', /hash of the data$/],
  [
    'an authority as some shims measure it',
    EV.EFI_VARIABLE_AUTHORITY,
    variable,
    variable.subarray(0, -1),
    'data',
    /without its last byte/,
  ],
  ['an authority without two bytes', EV.EFI_VARIABLE_AUTHORITY, variable, variable.subarray(0, -2), 'mismatch'],
  [
    'a configuration without its last byte',
    EV.EFI_VARIABLE_DRIVER_CONFIG,
    variable,
    variable.subarray(0, -1),
    'mismatch',
  ],
  ['a partition table', EV.EFI_GPT_EVENT, utf8('t'), NOT_THE_DATA, 'mismatch'],
  ['a firmware version', EV.S_CRTM_VERSION, utf16('1\0'), utf16('1\0'), 'data'],
  ['an image', EV.EFI_BOOT_SERVICES_APPLICATION, imageLoad(filePath('\\a')), NOT_THE_DATA, 'digest', /PE image/],
  [
    'a firmware blob',
    EV.EFI_PLATFORM_FIRMWARE_BLOB,
    concatBytes(u64(1), u64(2)),
    NOT_THE_DATA,
    'digest',
    /where it lies/,
  ],
  ['a type that nobody knows', 0x40e, utf8('x'), NOT_THE_DATA, 'digest', /not in the log/],
  ['a type that nobody knows, of its data', 0x40e, utf8('x'), utf8('x'), 'data'],
  ['a tag of Linux', EV.EVENT_TAG, tagged(0x8f3b22ec, utf8('Linux initrd\0')), NOT_THE_DATA, 'digest', /only names/],
  ['a tag of its data', EV.EVENT_TAG, tagged(1, utf8('x')), tagged(1, utf8('x')), 'data'],
  ['an event of Windows', EV.EVENT_TAG, windows, windows, 'data'],
  ['an event of Windows of another digest', EV.EVENT_TAG, windows, NOT_THE_DATA, 'mismatch'],
  ["a command of GRUB's", EV.IPL, utf8('grub_cmd: set a\0'), utf8('set a'), 'data', /without prefix and NUL/],
  ["a command of an older GRUB's", EV.IPL, utf8('grub_cmd set a\0'), utf8('set a\0'), 'data', /without prefix$/],
  ["a command of GRUB's that was another", EV.IPL, utf8('grub_cmd: set a\0'), utf8('set b'), 'mismatch', /GRUB always/],
  ['a kernel command line', EV.IPL, utf8('kernel_cmdline: /vmlinuz a=1\0'), utf8('/vmlinuz a=1'), 'data'],
  [
    'a kernel command line that was another',
    EV.IPL,
    utf8('kernel_cmdline: /vmlinuz a=1\0'),
    utf8('/vmlinuz a=2'),
    'mismatch',
  ],
  ['a file that GRUB read', EV.IPL, utf8('/vmlinuz\0'), NOT_THE_DATA, 'digest', /is its name/],
  ['a variable of shim', EV.IPL, utf8('MokList\0'), NOT_THE_DATA, 'digest', /variable's content/],
  ['a command line of systemd-boot', EV.IPL, utf16('a=1\0'), utf16('a=1\0'), 'data', /with its NUL$/],
  ['a command line of systemd-boot without NUL', EV.IPL, utf16('a=1\0'), utf16('a=1'), 'data', /without NUL/],
  [
    'a command line of an older systemd-boot',
    EV.IPL,
    utf16('a=1\0').subarray(0, -1),
    utf16('a=1\0'),
    'data',
    /log lacks/,
  ],
  ['a section of a unified kernel image: its name', EV.IPL, utf16('.linux\0'), utf8('.linux\0'), 'data', /in ASCII/],
  [
    'a section of a unified kernel image: its content',
    EV.IPL,
    utf16('.linux\0'),
    NOT_THE_DATA,
    'digest',
    /section's content/,
  ],
  ['an unknown boot loader', EV.IPL, utf8('x'), NOT_THE_DATA, 'digest', /not known/],
  ['a separator', EV.SEPARATOR, u32(0xffffffff), u32(0xffffffff), 'data'],
  ['a separator whose digest is the error', EV.SEPARATOR, u32(0), u32(1), 'mismatch'],
  ['a separator whose digest is another', EV.SEPARATOR, u32(0), u32(0xffffffff), 'mismatch'],
  ['an error separator that tells more', EV.SEPARATOR, utf8('error 7'), u32(1), 'digest', /error separator/],
]

describe('what the digests of a firmware event say of its data', () => {
  for (const [title, type, data, measured, coverage, why] of CASES) {
    it(`is '${coverage}' for ${title}`, () => {
      const got = covered(type, data, measured)
      assert.equal(got.coverage, coverage)
      if (why !== undefined) assert.match(got.why, why)
    })
  }

  it('asks every bank: one that disagrees is enough', () => {
    const data = utf8('Exit Boot Services Invocation')
    const digests = [
      [0x04, digest('sha1', data)],
      [0x0b, digest('sha256', NOT_THE_DATA)],
    ] as const
    const { event, log } = eventOf({ register: 5, type: EV.EFI_ACTION, data, digests })
    assert.equal(firmwareEventCoverage(event, log).coverage, 'mismatch')
  })

  it('is that nothing is said of an event without a digest of a known bank', () => {
    const log = readFirmwareLog(
      cryptoAgileLog([{ register: 5, type: EV.EFI_ACTION, data: utf8('x') }], { banks: [], unknown: [[0x12, 32]] }),
    )
    const event = log.events[1]
    assert.ok(event)
    assert.equal(firmwareEventCoverage(event, log).coverage, 'digest')
  })

  it('is that EV_NO_ACTION is not extended, and is told apart when it has a digest nonetheless', () => {
    const plain = covered(EV.NO_ACTION, utf8('StartupLocality\0\x03'))
    assert.deepEqual([plain.coverage, plain.why], ['not-extended', 'EV_NO_ACTION is not extended'])
    const data = utf8('x')
    const { event, log } = eventOf({ register: 0, type: EV.NO_ACTION, data, digests: [[0x0b, digest('sha256', data)]] })
    const marked = firmwareEventCoverage(event, log)
    assert.equal(marked.coverage, 'not-extended')
    assert.match(marked.why, /may have been another event/)
  })
})

describe('separatorOf', () => {
  it('tells a separator by its digests, whatever its type', () => {
    const of = (type: number, measured: Uint8Array) =>
      separatorOf(eventOf({ register: 0, type, data: u8(9), measured }).event)
    assert.equal(of(EV.EFI_ACTION, u32(0)), 'boot')
    assert.equal(of(EV.UNUSED, u32(0xffffffff)), 'boot')
    assert.equal(of(EV.SEPARATOR, u32(1)), 'error')
    assert.equal(of(EV.SEPARATOR, utf8('WBCL')), 'windows')
    assert.equal(of(EV.SEPARATOR, u32(2)), undefined)
  })

  it("gives 'other' where the banks disagree", () => {
    const [zero, error] = [u32(0), u32(1)]
    for (const sha256 of [digest('sha256', error), digest('sha256', NOT_THE_DATA)]) {
      const digests = [
        [0x04, digest('sha1', zero)],
        [0x0b, sha256],
      ] as const
      assert.equal(separatorOf(eventOf({ register: 0, type: EV.SEPARATOR, data: zero, digests }).event), 'other')
    }
  })
})

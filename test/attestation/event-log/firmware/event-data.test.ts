import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, utf8 } from '../../../../attestation/base/index.ts'
import {
  decodeFirmwareEventData,
  EV,
  type FirmwareEventData,
  readFirmwareLog,
  type VariableValue,
} from '../../../../attestation/event-log/index.ts'
import {
  cryptoAgileLog,
  filePath,
  guid,
  imageLoad,
  loadOption,
  PATH_END,
  signatureList,
  tagged,
  u8,
  u16,
  u32,
  u64,
  utf16,
  variableData,
  type WrittenLog,
} from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
const OTHER = 'ec87d643-eba4-4bb5-a1e5-3f3e36b20da9'
const MICROSOFT = '77fa9abd-0359-4d32-bd60-28f4e78f784b'
const X509 = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
const SHA256 = 'c1c41626-504c-4092-aca9-41f936934328'

function decoded(type: number, data: Uint8Array, log: WrittenLog = {}): FirmwareEventData {
  const read = readFirmwareLog(cryptoAgileLog([{ register: 0, type, data }], log))
  const event = read.events[1]
  assert.ok(event)
  return decodeFirmwareEventData(event, read)
}

function value(
  namespace: string,
  name: string,
  content: Uint8Array,
  type: number = EV.EFI_VARIABLE_DRIVER_CONFIG,
): VariableValue {
  const data = decoded(type, variableData(namespace, name, content))
  assert.ok(data.kind === 'variable', data.kind === 'malformed' ? data.why : data.kind)
  assert.deepEqual([data.guid, data.name, data.data], [namespace, name, content])
  return data.value
}

/** A DER SEQUENCE with two length bytes, as a certificate is. */
function derOf(bytes: number): Uint8Array {
  return concatBytes(
    Uint8Array.of(0x30, 0x82, (bytes - 4) >>> 8, (bytes - 4) & 0xff),
    new Uint8Array(bytes - 4).fill(7),
  )
}

describe('UEFI_VARIABLE_DATA', () => {
  it('is read by what its name says', () => {
    assert.deepEqual(value(GLOBAL, 'SecureBoot', u8(1)), { form: 'switch', on: true })
    assert.deepEqual(value(GLOBAL, 'DeployedMode', u8(0)), { form: 'switch', on: false })
    assert.deepEqual(value(GLOBAL, 'PK', new Uint8Array(0)), { form: 'empty' })
    assert.deepEqual(value(GLOBAL, 'BootOrder', concatBytes(u16(3), u16(0x10))), { form: 'boot-order', order: [3, 16] })
    assert.deepEqual(value(OTHER, 'Setup', u32(7)), { form: 'bytes' })
    assert.deepEqual(value(OTHER, 'SecureBoot', u8(1)), { form: 'bytes' }, 'the name is of another namespace')
    assert.deepEqual(value(SHIM, 'SbatLevel', utf8('sbat,1,2024\n')), { form: 'text', text: 'sbat,1,2024\n' })
  })

  it('holds signature lists, with the type of each', () => {
    const hash = new Uint8Array(32).fill(5)
    const lists = concatBytes(
      signatureList(X509, [{ owner: MICROSOFT, data: derOf(300) }]),
      signatureList(SHA256, [
        { owner: MICROSOFT, data: hash },
        { owner: MICROSOFT, data: hash },
      ]),
      signatureList(OTHER, [{ owner: MICROSOFT, data: u8(1) }]),
    )
    const read = value(SECURITY, 'dbx', lists)
    assert.ok(read.form === 'signature-lists')
    assert.deepEqual(
      read.lists.map((l) => [l.typeName, l.entries.length]),
      [
        ['x509', 1],
        ['sha256', 2],
        [undefined, 1],
      ],
    )
    assert.deepEqual(read.lists[1]?.entries[1], { owner: MICROSOFT, data: hash })
  })

  it('holds a boot option', () => {
    const option = concatBytes(loadOption('Debian', filePath('\\EFI\\debian\\shimx64.efi'), 9), utf8('more'))
    const read = value(GLOBAL, 'Boot0001', option, EV.EFI_VARIABLE_BOOT)
    assert.ok(read.form === 'load-option')
    const { active, hidden, description, path, optionalData } = read.option
    assert.deepEqual([active, hidden, description], [true, true, 'Debian'])
    assert.equal(path.file, '\\EFI\\debian\\shimx64.efi')
    assert.equal(path.text, 'HD(1,GPT,3cb9643c-6c08-4fe5-852d-17e1ae701158,0x800,0x100000)/\\EFI\\debian\\shimx64.efi')
    assert.deepEqual(optionalData, utf8('more'))
  })

  it('of EV_EFI_VARIABLE_AUTHORITY holds the entry that allowed an image, with or without its owner', () => {
    const der = derOf(300)
    const authority = (name: string, content: Uint8Array) => value(SHIM, name, content, EV.EFI_VARIABLE_AUTHORITY)
    assert.deepEqual(authority('Shim', der), { form: 'authority', entry: { data: der } })
    const signature = concatBytes(guid(MICROSOFT), der)
    assert.deepEqual(authority('db', signature), { form: 'authority', entry: { owner: MICROSOFT, data: der } })
    const hash = new Uint8Array(32).fill(5)
    assert.deepEqual(authority('MokList', hash), { form: 'authority', entry: { data: hash } })
    assert.deepEqual(authority('MokListTrusted', u8(1)), { form: 'switch', on: true })
  })

  it('of EV_EFI_VARIABLE_AUTHORITY may have the bytes behind that some shims log', () => {
    const whole = concatBytes(variableData(SHIM, 'Shim', derOf(300)), new Uint8Array(6))
    assert.equal(decoded(EV.EFI_VARIABLE_AUTHORITY, whole).kind, 'variable')
    assert.equal(decoded(EV.EFI_VARIABLE_DRIVER_CONFIG, whole).kind, 'malformed')
    assert.equal(decoded(EV.EFI_VARIABLE_AUTHORITY, concatBytes(whole, new Uint8Array(20))).kind, 'malformed')
  })

  const contents: readonly [why: string, name: string, content: Uint8Array][] = [
    ['a switch of two bytes', 'SecureBoot', u16(1)],
    ['a switch that is neither 0 nor 1', 'SecureBoot', u8(2)],
    ['a boot order of half an entry', 'BootOrder', u8(1)],
    ['a signature size of 0', 'db', concatBytes(guid(OTHER), u32(28), u32(0), u32(0))],
    [
      'a signature size that does not divide the list',
      'db',
      concatBytes(guid(OTHER), u32(28 + 35), u32(0), u32(17), new Uint8Array(35)),
    ],
    [
      'a signature size that only has room for the owner',
      'db',
      concatBytes(guid(OTHER), u32(28 + 16), u32(0), u32(16), new Uint8Array(16)),
    ],
    [
      'a list longer than the variable',
      'db',
      concatBytes(guid(OTHER), u32(28 + 34), u32(0), u32(17), new Uint8Array(17)),
    ],
    ['a list shorter than its header', 'db', concatBytes(guid(OTHER), u32(20), u32(0), u32(17))],
    ['a header longer than the list', 'db', concatBytes(guid(OTHER), u32(28), u32(1), u32(17), u8(0))],
    [
      'a hash of another size than its type',
      'dbx',
      signatureList(SHA256, [{ owner: OTHER, data: new Uint8Array(33) }]),
    ],
    [
      'bytes behind the last list',
      'dbx',
      concatBytes(signatureList(SHA256, [{ owner: OTHER, data: new Uint8Array(32) }]), u8(0)),
    ],
    ['an option without end of its description', 'Boot0000', concatBytes(u32(1), u16(0), utf16('abc'))],
    ['an option whose path is longer than it', 'Boot0000', concatBytes(u32(1), u16(99), utf16('abc\0'))],
  ]
  for (const [why, name, content] of contents) {
    it(`has a content that is told malformed: ${why}`, () => {
      const namespace = name.startsWith('db') ? SECURITY : GLOBAL
      assert.equal(value(namespace, name, content).form, 'malformed')
    })
  }

  it('is refused with lengths that the event cannot hold', () => {
    const at = (name: bigint, data: bigint) =>
      concatBytes(guid(GLOBAL), u64(name), u64(data), utf16('PK'), new Uint8Array(9))
    for (const [name, data] of [
      [2n ** 63n, 0n],
      [2n, 2n ** 64n - 1n],
      [2n, 10n],
      [2n, 8n],
      [0x8000000000000002n, 9n],
    ] as const) {
      assert.equal(decoded(EV.EFI_VARIABLE_BOOT, at(name, data)).kind, 'malformed', `${name} ${data}`)
    }
    assert.equal(decoded(EV.EFI_VARIABLE_BOOT, at(2n, 9n)).kind, 'variable')
  })

  it('of 32-bit firmware may have 32-bit lengths', () => {
    const old = concatBytes(guid(GLOBAL), u32(2), u32(0), utf16('PK'))
    assert.equal(decoded(EV.EFI_VARIABLE_DRIVER_CONFIG, old).kind, 'malformed')
    const read = decoded(EV.EFI_VARIABLE_DRIVER_CONFIG, old, { uintnSize: 1 })
    assert.ok(read.kind === 'variable' && read.name === 'PK')
    const now = variableData(GLOBAL, 'PK', new Uint8Array(0))
    assert.equal(decoded(EV.EFI_VARIABLE_DRIVER_CONFIG, now, { uintnSize: 1 }).kind, 'variable')
  })
})

describe('event data', () => {
  it('of an image says where it came from', () => {
    const read = decoded(EV.EFI_BOOT_SERVICES_APPLICATION, imageLoad(filePath('\\EFI\\BOOT\\BOOTX64.EFI')))
    assert.ok(read.kind === 'image-load')
    assert.deepEqual([read.base, read.length, read.path.file], [0x1000n, 0x2000n, '\\EFI\\BOOT\\BOOTX64.EFI'])
    const long = concatBytes(u64(0), u64(0), u64(0), u64(2n ** 40n), PATH_END)
    assert.equal(decoded(EV.EFI_BOOT_SERVICES_APPLICATION, long).kind, 'malformed')
    assert.equal(
      decoded(EV.EFI_BOOT_SERVICES_DRIVER, concatBytes(imageLoad(PATH_END), new Uint8Array(17))).kind,
      'malformed',
    )
  })

  it('of a partition table has its entries', () => {
    const header = concatBytes(
      ...[
        utf8('EFI PART'),
        u32(0x10000),
        u32(92),
        u32(1),
        u32(0),
        u64(1),
        u64(99),
        u64(34),
        u64(66),
        guid(OTHER),
        u64(2),
      ],
      ...[u32(128), u32(128), u32(0xffffffff)],
    )
    const entry = concatBytes(
      guid(X509),
      guid(OTHER),
      u64(34),
      u64(65),
      u64(2n ** 63n),
      utf16('root'),
      new Uint8Array(64),
    )
    const read = decoded(EV.EFI_GPT_EVENT, concatBytes(header, u64(2), entry, entry))
    assert.ok(read.kind === 'gpt')
    assert.equal(read.header.diskGuid, OTHER)
    assert.equal(read.header.partitionEntryArrayCrc32, 0xffffffff)
    assert.deepEqual(read.partitions[1], {
      ...{ typeGuid: X509, guid: OTHER, firstLba: 34n, lastLba: 65n, attributes: 2n ** 63n, name: 'root' },
    })
    for (const count of [1n, 3n, 2n ** 63n]) {
      assert.equal(decoded(EV.EFI_GPT_EVENT, concatBytes(header, u64(count), entry, entry)).kind, 'malformed')
    }
    assert.equal(decoded(EV.EFI_GPT_EVENT, concatBytes(utf8('EFI TRAP'), header.subarray(8), u64(0))).kind, 'malformed')
    const none = header.slice()
    none.set(u32(0), 84) // the size of an entry
    assert.equal(decoded(EV.EFI_GPT_EVENT, concatBytes(none, u64(2n ** 63n))).kind, 'malformed')
  })

  it('of blobs and tables says where they lie', () => {
    const blob = concatBytes(u64(0xff000000), u64(0x100000))
    const described = concatBytes(u8(3), utf8('Fv\0'), blob)
    assert.deepEqual(decoded(EV.EFI_PLATFORM_FIRMWARE_BLOB, blob), {
      kind: 'firmware-blob',
      base: 0xff000000n,
      length: 0x100000n,
    })
    assert.deepEqual(decoded(EV.POST_CODE, blob), { kind: 'firmware-blob', base: 0xff000000n, length: 0x100000n })
    assert.deepEqual(decoded(EV.EFI_PLATFORM_FIRMWARE_BLOB2, described), {
      ...{ kind: 'firmware-blob', description: 'Fv', base: 0xff000000n, length: 0x100000n },
    })
    const table = concatBytes(guid(OTHER), u64(0x1234))
    assert.deepEqual(decoded(EV.EFI_HANDOFF_TABLES, concatBytes(u64(1), table)), {
      ...{ kind: 'handoff-tables', tables: [{ guid: OTHER, address: 0x1234n }] },
    })
    const described2 = concatBytes(u8(2), utf8('T\0'), u64(1), table)
    const read = decoded(EV.EFI_HANDOFF_TABLES2, described2)
    assert.ok(read.kind === 'handoff-tables' && read.description === 'T' && read.tables.length === 1)
    assert.equal(decoded(EV.EFI_HANDOFF_TABLES, concatBytes(u64(2n ** 61n), table)).kind, 'malformed')
    assert.equal(decoded(EV.EFI_PLATFORM_FIRMWARE_BLOB, concatBytes(blob, u8(0))).kind, 'malformed')
    assert.equal(decoded(EV.EFI_PLATFORM_FIRMWARE_BLOB2, u8(200)).kind, 'malformed')
  })

  it('of EV_NO_ACTION is told by its signature', () => {
    assert.deepEqual(decoded(EV.NO_ACTION, utf8('StartupLocality\0\x03')), { kind: 'startup-locality', locality: 3 })
    assert.equal(decoded(EV.NO_ACTION, utf8('StartupLocality\0')).kind, 'malformed')
    assert.equal(decoded(EV.NO_ACTION, utf8('StartupLocality\0\x03\x03')).kind, 'malformed')
    const text = (t: string) => concatBytes(u8(t.length), utf8(t))
    const manifest = concatBytes(
      utf8('SP800-155 Event2'),
      u32(674),
      guid(OTHER),
      text('Dell\0'),
      text('R760'),
      text('1'),
    )
    const whole = concatBytes(manifest, text('Dell'), u32(674), text('2.1.3'))
    assert.deepEqual(decoded(EV.NO_ACTION, whole), {
      ...{ kind: 'reference-manifest', signature: 'SP800-155 Event2', vendorId: 674, manifestGuid: OTHER },
      ...{ platformManufacturer: 'Dell', platformModel: 'R760', platformVersion: '1' },
      ...{ firmwareManufacturer: 'Dell', firmwareVersion: '2.1.3' },
    })
    assert.equal(decoded(EV.NO_ACTION, manifest).kind, 'malformed')
    assert.deepEqual(decoded(EV.NO_ACTION, utf8('NvIndexInstance\0ab')), {
      kind: 'text',
      text: 'NvIndexInstance',
      encoding: 'ascii',
    })
  })

  it('of the firmware version is text, a GUID or nothing', () => {
    const version = (data: Uint8Array) => decoded(EV.S_CRTM_VERSION, data)
    assert.deepEqual(version(utf16('1.2 β\0')), { kind: 'opaque', bytes: utf16('1.2 β\0') })
    assert.deepEqual(version(utf16('1234567\0')), { kind: 'crtm-version', form: 'text', version: '1234567' })
    assert.deepEqual(version(utf8('B11.04')), { kind: 'crtm-version', form: 'text', version: 'B11.04' })
    assert.deepEqual(version(guid(OTHER)), { kind: 'crtm-version', form: 'guid', version: OTHER })
    assert.deepEqual(version(u16(0)), { kind: 'crtm-version', form: 'text', version: '' })
  })

  it('of a separator is told by its four bytes', () => {
    const separator = (data: Uint8Array) => {
      const read = decoded(EV.SEPARATOR, data)
      return read.kind === 'separator' && read.value
    }
    assert.deepEqual([u32(0), u32(0xffffffff)].map(separator), ['boot', 'boot'])
    assert.deepEqual([u32(1), utf8('WBCL'), u32(2), u64(0)].map(separator), ['error', 'windows', 'other', 'other'])
  })

  it('of boot loaders is told by the form of their text', () => {
    const ipl = (data: Uint8Array) => {
      const read = decoded(EV.IPL, data)
      return read.kind === 'ipl' && [read.writer, read.what, read.text]
    }
    assert.deepEqual(ipl(utf8('grub_cmd: linux /vmlinuz quiet\0')), ['grub', 'command', 'linux /vmlinuz quiet'])
    assert.deepEqual(ipl(utf8('kernel_cmdline: /vmlinuz quiet\0')), ['grub', 'kernel-command-line', '/vmlinuz quiet'])
    assert.deepEqual(ipl(utf8('grub_kernel_cmdline /vmlinuz\0')), ['grub', 'kernel-command-line', '/vmlinuz'])
    assert.deepEqual(ipl(utf8('module_cmdline: /xen\0')), ['grub', 'module-command-line', '/xen'])
    assert.deepEqual(ipl(utf8('(hd0,gpt1)/grub.cfg\0')), ['grub', 'file', '(hd0,gpt1)/grub.cfg'])
    assert.deepEqual(ipl(Buffer.from('MokList\0\xaf', 'latin1')), ['shim', 'variable', 'MokList'])
    assert.deepEqual(ipl(utf16('root=UUID=1 quiet\0')), ['systemd', 'command-line', 'root=UUID=1 quiet'])
    assert.deepEqual(ipl(utf16('.linux\0')), ['systemd', 'section', '.linux'])
    assert.deepEqual(ipl(utf16('Global credentials initrd\0')), ['systemd', 'file', 'Global credentials initrd'])
    assert.deepEqual(ipl(utf8('something')), ['unknown', 'text', 'something'])
    assert.deepEqual(ipl(Uint8Array.of(1, 2, 3)), ['unknown', 'bytes', '\x01\x02\x03'])
  })

  it('of a tag names what Linux and systemd measured', () => {
    const read = decoded(EV.EVENT_TAG, tagged(0x8f3b22ec, utf8('Linux initrd\0')))
    assert.ok(read.kind === 'tagged')
    assert.equal(read.events[0]?.text, 'Linux initrd')
    assert.equal(read.events[0]?.name, 'initrd, measured by Linux')
    const addon = decoded(EV.EVENT_TAG, tagged(0x49dffe0f, utf16('extra.efi\0')))
    assert.ok(addon.kind === 'tagged' && addon.events[0]?.text === 'extra.efi')
    const two = decoded(EV.EVENT_TAG, concatBytes(tagged(1, u32(1)), tagged(2, u32(2))))
    assert.ok(two.kind === 'tagged' && two.events.length === 2 && two.events[1]?.name === undefined)
    assert.equal(decoded(EV.EVENT_TAG, u32(1)).kind, 'malformed')
    assert.equal(decoded(EV.EVENT_TAG, concatBytes(u32(1), u32(0xffffffff))).kind, 'malformed')
  })

  it('of Windows is a tree of its events', () => {
    const module = tagged(
      0x40010003,
      concatBytes(tagged(0x00070001, utf16('\\Windows\\tpm.sys\0')), tagged(0x00070004, new Uint8Array(32))),
    )
    const boot = tagged(0x40010001, concatBytes(module, tagged(0x00050003, u8(0)), tagged(0x00020002, u64(65))))
    const read = decoded(EV.EVENT_TAG, boot)
    assert.ok(read.kind === 'windows')
    const boundary = read.events[0]
    assert.ok(boundary?.name === 'TRUSTBOUNDARY' && boundary.value.form === 'container')
    const [modules, testSigning, counter] = boundary.value.events
    assert.ok(modules?.value.form === 'container')
    assert.deepEqual(modules.value.events[0]?.value, { form: 'text', text: '\\Windows\\tpm.sys' })
    assert.deepEqual(modules.value.events[1]?.value, { form: 'bytes' })
    assert.deepEqual([testSigning?.name, testSigning?.value], ['TESTSIGNING', { form: 'switch', on: false }])
    assert.deepEqual([counter?.name, counter?.value], ['BOOTCOUNTER', { form: 'number', number: 65n }])
  })

  it('of Windows is refused when it is nested deeper than Windows does', () => {
    let nested = tagged(0x00050003, u8(0))
    for (let i = 0; i < 5; i++) nested = tagged(0x40010001, nested)
    assert.equal(decoded(EV.EVENT_TAG, nested).kind, 'malformed')
    assert.equal(decoded(EV.EVENT_TAG, tagged(0x40010001, u32(9))).kind, 'malformed')
    const many = concatBytes(...Array.from({ length: (1 << 14) + 1 }, () => tagged(0x00050003, u8(0))))
    assert.equal(decoded(EV.EVENT_TAG, many).kind, 'malformed')
  })

  it("of Google's firmware says how the memory is protected", () => {
    const info = (technology: number) => concatBytes(utf8('GCE NonHostInfo\0'), u8(technology), new Uint8Array(15))
    assert.deepEqual(decoded(EV.NONHOST_INFO, info(4)), { kind: 'gce-non-host-info', memoryProtection: 'amd-sev-snp' })
    assert.deepEqual(decoded(EV.NONHOST_INFO, info(9)), { kind: 'gce-non-host-info', memoryProtection: 'unknown' })
    assert.equal(decoded(EV.NONHOST_INFO, info(4).subarray(0, 31)).kind, 'opaque')
  })

  it('of devices asked over SPDM may be a variable of their keys', () => {
    const devdb = variableData(SECURITY, 'devdb', concatBytes(guid(OTHER), derOf(60)))
    assert.equal(decoded(EV.EFI_SPDM_DEVICE_AUTHORITY, devdb).kind, 'variable')
  })

  it('of text is its text, of anything else its bytes', () => {
    assert.deepEqual(decoded(EV.EFI_ACTION, utf8('Exit Boot Services Invocation')), {
      ...{ kind: 'text', text: 'Exit Boot Services Invocation', encoding: 'ascii' },
    })
    assert.deepEqual(decoded(EV.PLATFORM_CONFIG_FLAGS, utf16('kernel\0\0')), {
      kind: 'text',
      text: 'kernel',
      encoding: 'utf-16le',
    })
    assert.deepEqual(decoded(EV.COMPACT_HASH, fromHex('10000000')), { kind: 'opaque', bytes: fromHex('10000000') })
    assert.deepEqual(decoded(0x40e, new Uint8Array(0)), { kind: 'opaque', bytes: new Uint8Array(0) })
  })

  it('of any bytes and type gives a value', () => {
    const log = readFirmwareLog(cryptoAgileLog([]))
    const types = fc.constantFrom(...Object.values(EV))
    const heads = fc.constantFrom(
      ...[new Uint8Array(0), guid(GLOBAL), utf8('EFI PART'), utf8('SP800-155 Event3'), u32(0x40010001)],
    )
    fc.assert(
      fc.property(types, heads, fc.uint8Array({ maxLength: 300 }), (type, head, tail) => {
        const data = concatBytes(head, tail)
        const event = { index: 1, offset: 0, register: 0, type, digests: {}, data }
        assert.equal(typeof decodeFirmwareEventData(event, log).kind, 'string')
      }),
      { numRuns: fuzzRuns(3000) },
    )
  })
})

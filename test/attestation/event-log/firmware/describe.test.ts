import assert from 'node:assert/strict'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { certificateName, describeFirmwareEvent, EV, readFirmwareLog } from '../../../../attestation/event-log/index.ts'
import {
  cryptoAgileLog,
  filePath,
  imageLoad,
  loadOption,
  PARTITION,
  signatureList,
  tagged,
  u8,
  u16,
  u32,
  u64,
  utf16,
  variableData,
} from '../../../support/firmware-log.ts'
import { copiedVectors } from '../../../support/vectors.ts'

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
const MICROSOFT = '77fa9abd-0359-4d32-bd60-28f4e78f784b'

function text(type: number, data: Uint8Array, register = 0): string {
  const log = readFirmwareLog(cryptoAgileLog([{ register, type, data }]))
  const event = log.events[1]
  assert.ok(event)
  return describeFirmwareEvent(event, log)
}

function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const inner = concatBytes(...content)
  const length = inner.length < 128 ? u8(inner.length) : Uint8Array.of(0x82, inner.length >>> 8, inner.length & 0xff)
  return concatBytes(u8(tag), length, inner)
}

/** As much of a certificate as its subject needs. */
function certificate(attributes: readonly [oid: number, tag: number, value: Uint8Array][], version = true): Uint8Array {
  const names = attributes.map(([oid, tag, value]) => {
    return der(0x31, der(0x30, der(0x06, Uint8Array.of(0x55, 4, oid)), der(tag, value)))
  })
  const head = [...(version ? [der(0xa0, der(2, u8(2)))] : []), der(2, u8(1)), der(0x30), der(0x30), der(0x30)]
  return der(0x30, der(0x30, ...head, der(0x30, ...names), der(0x30, new Uint8Array(400))))
}

const CERTIFICATE = certificate([[3, 0x0c, utf8('Holdfast Test CA')]])

describe('a firmware event in one line', () => {
  const variable = (name: string, content: Uint8Array, namespace = GLOBAL) =>
    text(EV.EFI_VARIABLE_DRIVER_CONFIG, variableData(namespace, name, content))

  it('tells of Secure Boot', () => {
    assert.equal(variable('SecureBoot', u8(1)), 'Secure Boot is on')
    assert.equal(variable('SecureBoot', u8(0)), 'Secure Boot is off')
    assert.equal(variable('SecureBoot', new Uint8Array(0)), 'Secure Boot is off (no variable)')
    const x509 = signatureList('a5c059a1-94e4-4aa7-87b5-ab155c2bf072', [{ owner: MICROSOFT, data: CERTIFICATE }])
    const hashes = signatureList(
      'c1c41626-504c-4092-aca9-41f936934328',
      Array.from({ length: 77 }, () => ({ owner: MICROSOFT, data: new Uint8Array(32) })),
    )
    assert.equal(variable('db', x509, SECURITY), 'Secure Boot variable db: 1 certificate: CN=Holdfast Test CA')
    assert.equal(
      variable('dbx', concatBytes(x509, hashes, x509), SECURITY),
      'Secure Boot variable dbx: 2 certificates: CN=Holdfast Test CA, CN=Holdfast Test CA; 77 sha256 hashes',
    )
    assert.match(
      variable('db', u32(7), SECURITY),
      /^Secure Boot variable db: malformed: EFI_SIGNATURE_LIST: SignatureType/,
    )
    const authority = text(EV.EFI_VARIABLE_AUTHORITY, variableData(SHIM, 'Shim', CERTIFICATE))
    assert.equal(authority, 'shim authority from Shim: CN=Holdfast Test CA')
  })

  it('tells of what boots', () => {
    const file = '\\EFI\\debian\\shimx64.efi'
    const disk = `HD(1,GPT,${PARTITION},0x800,0x100000)`
    assert.equal(
      text(EV.EFI_BOOT_SERVICES_APPLICATION, imageLoad(filePath(file))),
      `EFI application ${file} from ${disk}`,
    )
    const option = loadOption('debian', filePath(file), 0)
    assert.equal(
      text(EV.EFI_VARIABLE_BOOT, variableData(GLOBAL, 'Boot0001', option)),
      `boot option Boot0001 "debian": ${disk}/${file} (inactive)`,
    )
    const order = variableData(GLOBAL, 'BootOrder', concatBytes(u16(1), u16(0x2001)))
    assert.equal(text(EV.EFI_VARIABLE_BOOT, order), 'boot order: Boot0001, Boot2001')
    assert.equal(
      text(EV.IPL, utf8('kernel_cmdline: /vmlinuz root=/dev/sda1\0')),
      'kernel command line: /vmlinuz root=/dev/sda1',
    )
    assert.equal(text(EV.IPL, utf8('grub_cmd: insmod gzio\0')), 'GRUB command: insmod gzio')
    assert.equal(text(EV.IPL, utf16('.initrd\0')), 'unified kernel image section .initrd')
    assert.equal(
      text(EV.EVENT_TAG, tagged(0x8f3b22ec, utf8('Linux initrd\0'))),
      'initrd, measured by Linux: Linux initrd',
    )
    assert.equal(text(EV.EFI_ACTION, utf8('Exit Boot Services Invocation')), 'Exit Boot Services Invocation')
  })

  it('tells of the platform', () => {
    assert.equal(text(EV.SEPARATOR, u32(0)), 'separator: the firmware has measured, what boots comes now')
    assert.equal(text(EV.SEPARATOR, u32(9)), 'separator of no known value: 4 bytes 09000000')
    assert.equal(text(EV.NO_ACTION, utf8('StartupLocality\0\x03')), 'TPM started at locality 3')
    assert.equal(text(EV.S_CRTM_VERSION, utf16('GCE v1\0')), 'firmware version GCE v1')
    assert.equal(
      text(EV.EFI_PLATFORM_FIRMWARE_BLOB, concatBytes(u64(0xff000000), u64(0x100000))),
      'firmware at 0xff000000, 1.0 MiB',
    )
    assert.equal(text(0x40e, Uint8Array.of(1)), 'type 0x0000040e: 1 byte 01')
    assert.match(text(EV.EFI_GPT_EVENT, u32(1)), /^EV_EFI_GPT_EVENT, malformed: UEFI_GPT_DATA: Signature/)
    const boot = concatBytes(tagged(0x40010003, tagged(0x00070001, utf16('\\a.sys\0'))), tagged(0x00050003, u8(1)))
    assert.equal(text(EV.EVENT_TAG, boot), 'Windows: 1 module: \\a.sys; TESTSIGNING on')
  })

  it('cannot write what is not in it: control characters are escaped and the line is bounded', () => {
    assert.equal(
      text(EV.IPL, utf8('grub_cmd: \x1b[2Jfake\nEV_SEPARATOR\0')),
      'GRUB command: \\x1b[2Jfake\\x0aEV_SEPARATOR',
    )
    const turned = text(EV.IPL, utf16('a\u202eb\ud800\0'))
    assert.equal(turned, 'command line: a\\u{202e}b\\u{d800}')
    const long = text(EV.IPL, utf8(`kernel_cmdline: ${'a'.repeat(5000)}\0`))
    assert.ok(long.length <= 320 && long.endsWith('…'))
    const escapes = text(EV.IPL, utf8(`kernel_cmdline: ${'\x01'.repeat(5000)}\0`))
    assert.ok(escapes.length < 4 * 320)
  })

  it('is given for every event of real guests', () => {
    const vm = copiedVectors('vm')
    const lines = vm.list().flatMap((set) => {
      const log = readFirmwareLog(vm.read(`${set}/binary_bios_measurements`))
      return log.events.map((event) => describeFirmwareEvent(event, log))
    })
    assert.ok(lines.every((line) => line.length > 0 && !line.includes('malformed')))
    assert.ok(lines.includes('Secure Boot is on'))
    assert.ok(lines.some((line) => /^EFI application \\EFI\\BOOT\\BOOTX64.EFI from PciRoot/.test(line)))
    assert.ok(lines.some((line) => /^command line: initrd=\\initrd.img console=ttyS0 /.test(line)))
  })
})

describe('the name of a certificate', () => {
  it('is its common name, else what it has', () => {
    assert.equal(certificateName(CERTIFICATE), 'CN=Holdfast Test CA')
    assert.equal(
      certificateName(
        certificate([
          [10, 0x13, utf8('Org')],
          [3, 0x13, utf8('Name')],
        ]),
      ),
      'CN=Name',
    )
    assert.equal(certificateName(certificate([[10, 0x13, utf8('Org')]], false)), 'O=Org')
    assert.equal(certificateName(certificate([[3, 0x1e, Uint8Array.of(0, 65, 3, 0xb2)]])), 'CN=Aβ')
    assert.equal(certificateName(certificate([])), undefined)
  })

  it('is none of what is no certificate, wherever it is cut', () => {
    assert.equal(certificateName(utf8('hash')), undefined)
    for (let length = 0; length < CERTIFICATE.length; length++) {
      assert.equal(certificateName(CERTIFICATE.subarray(0, length)), undefined)
    }
    assert.equal(certificateName(Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0)), undefined)
    assert.equal(certificateName(Uint8Array.of(0x30, 0x80, 0, 0)), undefined)
  })
})

import assert from 'node:assert/strict'
import { qemuFiles } from '../../../../stage1/flavours/kvm/firmware.ts'

const DEBIAN = [
  '/usr/share/seabios/bios-256k.bin',
  '/usr/share/qemu/linuxboot_dma.bin',
  '/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so',
]
const on = (files: readonly string[]) => (file: string) => files.includes(file)

describe('files that QEMU loads', () => {
  it('are its firmware, and the emulator where that is a module and is used', () => {
    assert.deepEqual(qemuFiles('kvm', on(DEBIAN)).files, DEBIAN.slice(0, 2).sort())
    assert.deepEqual(qemuFiles('tcg', on(DEBIAN)).files, [...DEBIAN].sort())
    assert.equal(qemuFiles('tcg', on(DEBIAN)).moduleDirectory, '/usr/lib/x86_64-linux-gnu/qemu')
    const builtIn = qemuFiles('tcg', on(DEBIAN.slice(0, 2)))
    assert.deepEqual(builtIn.files, DEBIAN.slice(0, 2).sort())
    assert.equal(builtIn.moduleDirectory, undefined)
  })

  it('are taken from where QEMU looks first', () => {
    const twice = [...DEBIAN, '/usr/share/qemu/bios-256k.bin']
    const { files, firmwareDirectories } = qemuFiles('kvm', on(twice))
    assert.ok(files.includes('/usr/share/seabios/bios-256k.bin'))
    assert.deepEqual(firmwareDirectories, ['/usr/share/seabios', '/usr/share/qemu'])
  })

  for (const missing of DEBIAN.slice(0, 2)) {
    it(`are all demanded: ${missing}`, () => {
      assert.throws(() => qemuFiles('kvm', on(DEBIAN.filter((f) => f !== missing))), { code: 'POD_FIRMWARE_MISSING' })
    })
  }
})

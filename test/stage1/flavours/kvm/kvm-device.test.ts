import assert from 'node:assert/strict'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { kvmGroup } from '../../../../stage1/flavours/kvm/kvm-device.ts'
import { tempDir } from '../../../support/temp-dir.ts'

describe('the group of /dev/kvm', () => {
  const dir = tempDir()
  after(dir.remove)

  for (const [mode, gid, wanted] of [
    [0o660, 64_109, 64_109],
    [0o666, 64_109, undefined],
    [0o600, 64_109, undefined],
    [0o640, 64_109, undefined],
    [0o660, 0, undefined],
  ] as const) {
    it(`with mode ${mode.toString(8)} and group ${gid} is ${wanted === undefined ? 'not needed, or no help' : 'what QEMU gets'}`, function () {
      if (process.geteuid?.() !== 0) {
        console.log('      skipped: not root')
        return this.skip()
      }
      const file = join(dir.path, `${mode}-${gid}`)
      writeFileSync(file, '')
      chownSync(file, 0, gid)
      chmodSync(file, mode)
      assert.equal(kvmGroup(file), wanted)
    })
  }

  it('is none where there is no device', () => {
    assert.equal(kvmGroup(join(dir.path, 'none')), undefined)
  })
})

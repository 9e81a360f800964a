import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { gunzipSync } from 'node:zlib'
import { utf8 } from '../../../../attestation/base/index.ts'
import { buildKvmStage1, initramfs, kvmStage1Image } from '../../../../stage1/flavours/kvm/index.ts'

const PARTS = {
  program: utf8('program'),
  kernel: utf8('kernel'),
  kernelRelease: '6.1.0-test',
  modules: [
    ['b.ko', utf8('second letter')],
    ['a.ko', utf8('first letter')],
  ] as const,
}

describe('the stage1 image kvm', () => {
  it('is the same for the same program and kernel, and another for others', () => {
    assert.deepEqual(kvmStage1Image(PARTS), kvmStage1Image(PARTS))
    assert.notDeepEqual(kvmStage1Image(PARTS), kvmStage1Image({ ...PARTS, program: utf8('progral') }))
    assert.notDeepEqual(kvmStage1Image(PARTS), kvmStage1Image({ ...PARTS, kernel: utf8('kernal') }))
    assert.notDeepEqual(kvmStage1Image(PARTS), kvmStage1Image({ ...PARTS, modules: [...PARTS.modules].reverse() }))
  })

  it('names the modules in the order in which they are loaded', () => {
    const made = initramfs(PARTS)
    assert.equal(made.length % 4, 0)
    const text = new TextDecoder('latin1').decode(gunzipSync(made))
    assert.ok(text.includes('modules/order\0'))
    assert.ok(text.includes('b.ko\0a.ko\0'))
  })

  it('is built with the kernel that is wanted alone', async () => {
    const dir = mkdtempSync(`${tmpdir()}/holdfast-kernel-`)
    try {
      mkdirSync(`${dir}/lib/modules/1`, { recursive: true })
      writeFileSync(`${dir}/lib/modules/1/modules.dep`, 'a.ko:\n')
      writeFileSync(`${dir}/lib/modules/1/a.ko`, 'module')
      writeFileSync(`${dir}/vmlinuz`, 'kernel')
      const settings = { program: `${dir}/vmlinuz`, kernel: dir, modules: ['a'], output: `${dir}/out` }
      const sha256 = createHash('sha256').update('kernel').digest('hex')
      const another = createHash('sha256').update('kernal').digest('hex')
      await assert.rejects(buildKvmStage1({ ...settings, kernelSha256: another }), new RegExp(`${sha256}, wanted`))
      assert.equal(existsSync(`${dir}/out`), false)
      await buildKvmStage1({ ...settings, kernelSha256: sha256 })
      assert.ok(existsSync(`${dir}/out`))
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  for (const { name, releases, modulesDep, refused } of [
    { name: 'without modules of any kernel', releases: [], modulesDep: '', refused: /modules of one kernel/ },
    { name: 'with modules of two kernels', releases: ['1', '2'], modulesDep: '', refused: /modules of one kernel/ },
    { name: 'without a module', releases: ['1'], modulesDep: 'x/b.ko:\n', refused: /no module a/ },
  ]) {
    it(`is not built from a directory ${name}`, async () => {
      const dir = mkdtempSync(`${tmpdir()}/holdfast-kernel-`)
      try {
        mkdirSync(`${dir}/lib/modules`, { recursive: true })
        writeFileSync(`${dir}/vmlinuz`, 'kernel')
        for (const release of releases) {
          mkdirSync(`${dir}/lib/modules/${release}`)
          writeFileSync(`${dir}/lib/modules/${release}/modules.dep`, modulesDep)
        }
        const settings = { program: `${dir}/vmlinuz`, kernel: dir, modules: ['a'], output: `${dir}/out` }
        await assert.rejects(buildKvmStage1(settings), refused)
        assert.throws(() => readFileSync(`${dir}/out`), { code: 'ENOENT' })
      } finally {
        rmSync(dir, { recursive: true })
      }
    })
  }
})

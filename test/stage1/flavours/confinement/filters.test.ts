import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  defaultSeccompFilter,
  devicePolicyProgram,
  deviceRulesV1,
  TPM_DEVICES,
} from '../../../../stage1/flavours/confinement/index.ts'
import { nspawnStage1Image } from '../../../../stage1/flavours/nspawn/index.ts'
import { runFilter } from '../../../support/bpf.ts'

const ALLOW = 0x7fff0000
const EPERM = 0x00050001
const ENOSYS = 0x00050026

describe('the default seccomp filter', () => {
  const x64 = defaultSeccompFilter('x64')
  const arm64 = defaultSeccompFilter('arm64')
  const X64 = 0xc000003e
  const ARM64 = 0xc00000b7

  it('allows what every program does', () => {
    for (const nr of [0, 1, 9, 57, 59, 41, 105, 126, 231, 435 + 10])
      assert.equal(runFilter(x64, X64, nr, [2]), ALLOW, `${nr}`)
    for (const nr of [63, 64, 221, 198, 146, 91, 94]) assert.equal(runFilter(arm64, ARM64, nr, [2]), ALLOW, `${nr}`)
  })

  it('refuses calls of other machines and of the x32 ABI', () => {
    assert.equal(runFilter(x64, 0x40000003, 0), EPERM) // i386
    assert.equal(runFilter(x64, ARM64, 0), EPERM)
    assert.equal(runFilter(x64, X64, 0x40000000), EPERM)
    assert.equal(runFilter(x64, X64, 0xffffffff), EPERM)
    assert.equal(runFilter(arm64, X64, 64), EPERM)
    assert.equal(runFilter(arm64, 0x40000028, 64), EPERM) // 32-bit ARM
  })

  it('refuses mounts, modules, kexec, bpf, keys and io_uring on both machines', () => {
    for (const nr of [165, 155, 175, 246, 321, 250, 425, 304]) assert.equal(runFilter(x64, X64, nr), EPERM, `${nr}`)
    for (const nr of [40, 41, 105, 104, 280, 219, 425, 265]) assert.equal(runFilter(arm64, ARM64, nr), EPERM, `${nr}`)
  })

  it('looks at arguments: new namespaces, terminal input, vsock, personality', () => {
    assert.equal(runFilter(x64, X64, 56, [17]), ALLOW) // fork
    assert.equal(runFilter(x64, X64, 56, [0x3d0f00]), ALLOW) // a thread
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
      assert.equal(runFilter(x64, X64, 56, [flag | 17]), EPERM)
      assert.equal(runFilter(arm64, ARM64, 97, [flag]), EPERM)
    }
    assert.equal(runFilter(x64, X64, 272, [0x80]), EPERM) // unshare of a time namespace
    assert.equal(runFilter(x64, X64, 272, [0x200]), ALLOW) // unshare of file system information
    assert.equal(runFilter(x64, X64, 435), ENOSYS)
    assert.equal(runFilter(x64, X64, 16, [0, 0x5412]), EPERM)
    assert.equal(runFilter(x64, X64, 16, [0, 0x5401]), ALLOW)
    assert.equal(runFilter(x64, X64, 41, [40]), EPERM)
    assert.equal(runFilter(x64, X64, 41, [1]), ALLOW)
    assert.equal(runFilter(x64, X64, 135, [0xffffffff]), ALLOW)
    assert.equal(runFilter(x64, X64, 135, [0x0040000]), EPERM) // ADDR_NO_RANDOMIZE
  })
})

/** Runs the eBPF device program with the few instructions it uses. */
function mayUse(type: number, major: number, minor: number, program = devicePolicyProgram()): boolean {
  const code = new DataView(program.buffer)
  const registers = [0, 0, 0, 0, 0]
  const context = [(7 << 16) | type, major, minor]
  for (let at = 0; at * 8 < program.length; at++) {
    const dst = code.getUint8(8 * at + 1) & 15
    const offset = code.getInt16(8 * at + 2, true)
    const imm = code.getInt32(8 * at + 4, true)
    switch (code.getUint8(8 * at)) {
      case 0x61:
        registers[dst] = context[offset / 4] ?? assert.fail('reads beyond its context')
        break
      case 0x57:
        registers[dst] = (registers[dst] ?? 0) & imm
        break
      case 0x55:
        if (registers[dst] !== imm) at += offset
        break
      case 0xb7:
        registers[dst] = imm
        break
      case 0x95:
        return registers[0] === 1
      default:
        assert.fail(`instruction ${at}`)
    }
  }
  return assert.fail('ran past its end')
}

describe('the device policy', () => {
  it('allows the devices of /dev and nothing else', () => {
    const CHAR = 2
    const BLOCK = 1
    for (const minor of [3, 5, 7, 8, 9]) assert.ok(mayUse(CHAR, 1, minor))
    assert.ok(mayUse(CHAR, 5, 0) && mayUse(CHAR, 5, 2) && mayUse(CHAR, 136, 0) && mayUse(CHAR, 136, 77))
    assert.ok(!mayUse(CHAR, 1, 1) && !mayUse(CHAR, 1, 11) && !mayUse(CHAR, 10, 200) && !mayUse(CHAR, 5, 1))
    assert.ok(!mayUse(BLOCK, 7, 0) && !mayUse(BLOCK, 1, 3) && !mayUse(BLOCK, 136, 0))
  })

  it('allows the resource manager of a TPM by its minor number, whatever its major one is, and not the TPM', () => {
    const program = devicePolicyProgram(TPM_DEVICES)
    for (const major of [10, 253]) assert.ok(mayUse(2, major, 65536, program))
    assert.ok(!mayUse(2, 10, 224, program) && !mayUse(1, 253, 65536, program) && !mayUse(2, 253, 65536))
    assert.ok(deviceRulesV1(TPM_DEVICES).some(([, rule]) => rule === 'c *:65536 rwm'))
  })
})

describe('the stage1 image', () => {
  it('has the same bytes for the same program, and is an archive that tar reads', () => {
    const program = new Uint8Array(1000).fill(7)
    const aci = nspawnStage1Image(program, 'x64')
    assert.deepEqual(aci, nspawnStage1Image(program, 'x64'))
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-aci-'))
    try {
      writeFileSync(join(directory, 'aci'), aci)
      const listing = execFileSync('tar', ['tvf', 'aci', '--numeric-owner'], {
        cwd: directory,
        encoding: 'utf8',
        env: { ...process.env, TZ: 'UTC' },
      })
      assert.match(listing, /^-rwxr-xr-x 0\/0 +1000 1970-01-01 00:00 rootfs\/init$/m)
      for (const name of ['usr', 'tmp', 'run', 'proc', 'sys', 'dev', 'etc'])
        assert.match(listing, new RegExp(` rootfs/${name}/$`, 'm'))
      const manifest = JSON.parse(execFileSync('tar', ['xOf', 'aci', 'manifest'], { cwd: directory, encoding: 'utf8' }))
      assert.deepEqual(
        manifest.annotations.map((a: { name: string }) => a.name),
        [
          'holdfast/stage1/flavour',
          'holdfast/stage1/host-programs',
          'holdfast/stage1/interface-version',
          'holdfast/stage1/run',
        ],
      )
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})

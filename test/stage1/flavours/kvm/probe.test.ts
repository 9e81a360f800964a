import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { utf8 } from '../../../../attestation/base/index.ts'
import { whyNoKvm } from '../../../../stage1/flavours/kvm/accelerator.ts'
import { cpioArchive } from '../../../../stage1/flavours/kvm/cpio.ts'
import {
  type ProbeGuest,
  probeGuest,
  readVirtualizationFacts,
  selectAccelerator,
} from '../../../../stage1/flavours/kvm/probe.ts'

const KERNEL = new URL('../../../../build/kernel/vmlinuz', import.meta.url).pathname
const QEMU = '/usr/bin/qemu-system-x86_64'
const BUSYBOX = '/bin/busybox'
/** A guest of an emulated processor has come up long before, on a busy machine, too. */
const LONG_MS = 50_000

describe('probe guests', () => {
  let dir = ''
  before(function () {
    const missing = [KERNEL, QEMU, BUSYBOX].filter((file) => !existsSync(file))
    if (missing.length > 0) {
      console.log(`      skipped: ${missing.join(', ')} missing`)
      return this.skip()
    }
    dir = mkdtempSync(`${tmpdir()}/holdfast-probe-`)
  })
  after(() => {
    if (dir !== '') rmSync(dir, { recursive: true })
  })

  /** A guest whose PID 1 is this script. */
  function guest(script: string): ProbeGuest {
    return {
      qemu: QEMU,
      kernel: readFileSync(KERNEL),
      initramfs: cpioArchive([
        { name: 'bin', kind: 'directory', mode: 0o755 },
        { name: 'bin/busybox', kind: 'file', mode: 0o755, content: readFileSync(BUSYBOX) },
        { name: 'init', kind: 'file', mode: 0o755, content: utf8(`#!/bin/busybox sh\n${script}\n`) },
      ]),
    }
  }

  it('that power off as they are told show that an accelerator works', async () => {
    const result = await probeGuest('tcg', guest('[ "$1" = probe ] && /bin/busybox poweroff -f'), LONG_MS)
    assert.deepEqual(result, { works: true })
  }).timeout(60_000)

  it('that crash again and again show nothing, though QEMU would end with 0', async () => {
    const result = await probeGuest('tcg', guest('exit 1'), 4000)
    assert.ok(!result.works)
    assert.match(result.why, /did not power off within 4000 ms/)
  }).timeout(60_000)

  it('that QEMU cannot start are told of with its words', async () => {
    const result = await probeGuest('tcg', { ...guest('exit 1'), kernel: utf8('no kernel') }, LONG_MS)
    assert.ok(!result.works)
    assert.match(result.why, /ended QEMU with 1\. .*kernel/)
  }).timeout(60_000)

  it('are booted by nobody, and not by root: nobody was asked yet whether this kernel may run', async function () {
    if (process.geteuid?.() !== 0) {
      console.log('      skipped: not root')
      return this.skip()
    }
    const qemu = `${dir}/qemu`
    const script = `#!/bin/sh\nuntil [ "$1" = -kernel ]; do shift; done\nhead -c 6 "$2" >&2; id -u >&2; id -G >&2; exit 1\n`
    writeFileSync(qemu, script, { mode: 0o755 })
    chmodSync(dir, 0o755)
    const result = await probeGuest('tcg', { ...guest('exit 1'), kernel: utf8('kernel'), qemu }, LONG_MS)
    assert.ok(!result.works)
    assert.match(result.why, /kernel65534\\x0a65534$/)
  })

  it('without a QEMU are told of', async () => {
    const result = await probeGuest('tcg', { ...guest('exit 1'), qemu: '/nonexistent/qemu' }, LONG_MS)
    assert.ok(!result.works)
    assert.match(result.why, /\/nonexistent\/qemu/)
  })

  it('are not run where the machine itself says that KVM cannot work', async function () {
    const why = whyNoKvm(readVirtualizationFacts())
    if (why === undefined) {
      console.log('      skipped: this machine may have KVM')
      return this.skip()
    }
    const settings = {
      ...guest('exit 1'),
      ...{ kernel: new Uint8Array(1), initramfs: new Uint8Array(1) },
      qemu: '/nonexistent',
      qemuDigest: 'q',
      kernelDigest: 'k',
      cacheFile: `${dir}/cache`,
    }
    assert.deepEqual(await selectAccelerator('auto', settings), { kind: 'tcg', reason: why })
    await assert.rejects(selectAccelerator('kvm', settings), { code: 'POD_ACCEL_MISSING' })
    assert.equal(existsSync(settings.cacheFile), false)
  })
})

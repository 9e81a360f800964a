import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { codeOf } from '../../../attestation/base/index.ts'
import { parseRunOptions } from '../../../stage1/cli/run-options.ts'
import { assemblePod, checkPodUntouched } from '../../../stage1/pod/assemble.ts'
import { diskBytesWanted, diskIsolator, refuseDisk } from '../../../stage1/pod/guest-disk.ts'
import { MKE2FS, makeDisk, requireRoom } from '../../../stage1/pod/guest-disk-file.ts'
import { openHostProgram } from '../../../stage1/pod/host-programs.ts'
import { buildPodManifest, newPodUuid, readAppLimits } from '../../../stage1/pod/index.ts'
import { readPodLimits } from '../../../stage1/pod/isolators.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

const MIB = 2 ** 20
const withLimit = (value: unknown) => ({ isolators: [{ name: 'holdfast/disk', value }] })

describe('the isolator holdfast/disk', () => {
  for (const [limit, bytes] of [
    ['16Mi', 16 * MIB],
    ['1Gi', 1024 * MIB],
    ['8Ti', 2 ** 43],
    ['20M', 19_996_672], // whole blocks
  ] as const) {
    it(`makes ${limit} a disk of ${bytes} bytes`, () => {
      assert.equal(diskBytesWanted(withLimit({ limit })), bytes)
    })
  }

  for (const value of [
    { limit: '16383Ki' },
    { limit: '15Mi' },
    { limit: '8193Gi' },
    { limit: '9T' },
    { limit: '0' },
    { limit: '-1Gi' },
    { limit: '1.5Gi' },
    { limit: '1 Gi' },
    { limit: 'much' },
    { limit: '' },
    { limit: 1_073_741_824 },
    { size: '1Gi' },
    '1Gi',
    true,
    null,
  ]) {
    it(`refuses the value ${JSON.stringify(value)}`, () => {
      assert.throws(() => diskBytesWanted(withLimit(value)), {
        code: 'POD_ISOLATOR_BAD',
        message: /^isolator holdfast\/disk: /,
      })
    })
  }

  it('is a pod’s, beside its limits, and no app’s', () => {
    const { isolators } = withLimit({ limit: '1Gi' })
    assert.deepEqual(readPodLimits([...isolators, { name: 'holdfast/pids', value: { limit: '9' } }]), { pids: 9 })
    assert.equal(diskBytesWanted({ isolators: [] }), undefined)
    assert.throws(() => readAppLimits(isolators), { code: 'POD_UNSUPPORTED' })
    assert.throws(() => readPodLimits([...isolators, ...isolators]), { code: 'POD_ISOLATOR_BAD' })
  })

  it('is refused for a pod that is no virtual machine', () => {
    assert.throws(() => refuseDisk(withLimit({ limit: '1Gi' })), { code: 'POD_UNSUPPORTED' })
    refuseDisk({ isolators: [] })
  })

  it('comes from the option --disk of run, as typed', () => {
    const o = parseRunOptions(['--disk', '512Mi', 'busybox'])
    assert.ok(o !== 'help' && o.disk === '512Mi')
    assert.deepEqual(buildPodManifest([], [], { hostname: 'h', disk: o.disk }).isolators, [diskIsolator('512Mi')])
    assert.throws(() => parseRunOptions(['--disk', '1Mi', 'busybox']), { code: 'POD_ISOLATOR_BAD' })
    assert.throws(() => parseRunOptions(['--disk', '1Gi', '--pod-manifest', 'pod.json']), { code: 'USAGE' })
  })
})

describe('the disk of a pod that is a virtual machine', () => {
  const SIZE = 16 * MIB
  let work: string
  beforeEach(() => {
    work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-disk-'))
  })
  afterEach(() => fs.rmSync(work, { recursive: true, force: true }))

  const USER = process.geteuid?.() === 0 ? 0x7abc_0000 : (process.geteuid?.() ?? 0)
  /** @param file instead of the real one */
  const made = (podPath: string, file?: string): fs.Stats => {
    const mke2fs = openHostProgram(MKE2FS, file)
    try {
      const fd = makeDisk(podPath, USER, { sizeBytes: SIZE, mke2fs })
      const stat = fs.fstatSync(fd)
      assert.equal(fs.writeSync(fd, new Uint8Array(1), 0, 1, 0), 1) // the boot block is nobody's
      fs.closeSync(fd)
      return stat
    } finally {
      fs.closeSync(mke2fs.fd)
    }
  }
  const openFiles = (): string[] =>
    fs.readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [fs.readlinkSync(`/proc/self/fd/${fd}`, 'utf8')].filter((to) => to.startsWith(work))
      } catch (err) {
        if (codeOf(err) === 'ENOENT') return [] // the listing's own
        throw err
      }
    })

  it('is an empty ext4 of QEMU’s user: no journal, no reserve, nothing for a guest to make zero', () => {
    const stat = made(work)
    assert.deepEqual([stat.size, stat.mode & 0o7777, stat.uid], [SIZE, 0o600, USER])
    assert.ok(stat.blocks * 512 < MIB, `${stat.blocks} blocks`)
    const disk = path.join(work, 'disk')
    const told = execFileSync('/usr/sbin/dumpe2fs', [disk], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    assert.match(told, /^Filesystem features: +(?!.*journal).*\bextent\b.*\bmetadata_csum\b/m)
    assert.match(told, /^Reserved block count: +0$/m)
    assert.match(told, /^Errors behavior: +Remount read-only$/m)
    const groups = told.split('\n').filter((line) => line.startsWith('Group '))
    assert.ok(groups.length > 0 && groups.every((line) => line.includes('ITABLE_ZEROED')), told)
    const root = execFileSync('/usr/sbin/debugfs', ['-R', 'ls -p /', disk], { encoding: 'utf8', stdio: 'pipe' })
    assert.deepEqual(root.trim().split('\n'), [
      '/2/040755/0/0/.//',
      '/2/040755/0/0/..//',
      '/11/040700/0/0/lost+found//',
    ])
    execFileSync('/usr/sbin/e2fsck', ['-fn', disk], { stdio: 'ignore' })
    assert.deepEqual(openFiles(), [])
  })

  for (const [what, put] of [
    ['a file', (file: string) => fs.writeFileSync(file, 'theirs')],
    ['a link', (file: string) => fs.symlinkSync('/nonexistent', file)],
  ] as const) {
    it(`is not made over ${what} that is there`, () => {
      put(path.join(work, 'disk'))
      assert.throws(() => made(work), { code: 'POD_DIRECTORY_FAILED', message: /EEXIST/ })
    })

    it(`is noticed where ${what} was put in its place while the agent was asked`, () => {
      const manifest = podManifest([shellApp('app', 'true')])
      const assembled = assemblePod(work, newPodUuid(), manifest)
      fs.closeSync(assembled.pod.fd)
      checkPodUntouched(assembled, assembled.pod.path)
      put(path.join(assembled.pod.path, 'disk'))
      assert.throws(() => checkPodUntouched(assembled, assembled.pod.path), { code: 'LAUNCH_CHANGED' })
    })
  }

  it('is not there without mke2fs, and the message says what to install', () => {
    assert.throws(() => openHostProgram(MKE2FS, path.join(work, 'none')), {
      code: 'POD_PROGRAM_MISSING',
      hint: /apt-get install e2fsprogs/,
    })
  })

  it('is refused with the words of a program that failed, and nothing stays open', () => {
    const words = /ended with 2: mke2fs: invalid option -- 'e'/
    assert.throws(() => made(work, '/usr/bin/ls'), { code: 'POD_DIRECTORY_FAILED', message: words })
    assert.deepEqual(openFiles(), [])
  })

  it('is refused where the file system has not the room now', () => {
    requireRoom(work, 4096)
    assert.throws(() => requireRoom(work, Number.MAX_SAFE_INTEGER), {
      code: 'POD_DIRECTORY_FAILED',
      message: /has no room for a disk of \d+ MiB: \d+ MiB are free$/,
    })
  })
})

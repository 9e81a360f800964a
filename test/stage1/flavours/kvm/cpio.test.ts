import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { cpioArchive, padded } from '../../../../stage1/flavours/kvm/cpio.ts'
import type { TarMember } from '../../../../stage1/flavours/tar.ts'

const MEMBERS: readonly TarMember[] = [
  { name: 's1', kind: 'directory', mode: 0o755 },
  { name: 's1/plan', kind: 'directory', mode: 0o700 },
  { name: 's1/plan/empty', kind: 'file', mode: 0o600, content: new Uint8Array(0) },
  { name: 's1/plan/one', kind: 'file', mode: 0o644, content: utf8('x') },
  { name: 's1/plan/many', kind: 'file', mode: 0o755, content: new Uint8Array(4099).fill(7) },
]

/** busybox is the other opinion. */
function unpack(archive: Uint8Array): { dir: string; [Symbol.dispose](): void } {
  const dir = mkdtempSync(`${tmpdir()}/holdfast-cpio-`)
  execFileSync('busybox', ['cpio', '-i', '-d', '-m'], { cwd: dir, input: archive, stdio: ['pipe', 'ignore', 'pipe'] })
  return { dir, [Symbol.dispose]: () => rmSync(dir, { recursive: true }) }
}

describe('cpio archives', () => {
  it('are unpacked by another program with names, modes and contents as they were given', () => {
    using made = unpack(cpioArchive(MEMBERS))
    for (const member of MEMBERS) {
      const stat = statSync(`${made.dir}/${member.name}`)
      assert.equal(stat.mode & 0o777, member.mode, member.name)
      assert.equal(stat.isDirectory(), member.kind === 'directory', member.name)
      if (member.kind === 'file') assert.equal(stat.mtimeMs, 0, member.name)
      if (member.kind === 'file') {
        assert.deepEqual(new Uint8Array(readFileSync(`${made.dir}/${member.name}`)), new Uint8Array(member.content))
      }
    }
  })

  it('give no two members one inode, which would make links of them', () => {
    const text = new TextDecoder('latin1').decode(cpioArchive(MEMBERS))
    const inodes = [...text.matchAll(/070701([0-9a-f]{8})/g)].map((m) => m[1])
    assert.equal(new Set(inodes).size, MEMBERS.length + 1)
  })

  it('are equal for equal members, and a multiple of 4 bytes whatever these are', () => {
    for (let size = 0; size < 9; size++) {
      const members: TarMember[] = [
        { name: 'a'.repeat(size + 1), kind: 'file', mode: 0o644, content: new Uint8Array(size) },
      ]
      assert.equal(cpioArchive(members).length % 4, 0)
      assert.deepEqual(cpioArchive(members), cpioArchive(members))
    }
  })

  it('end with the trailer that the kernel knows', () => {
    // "070701" and 13 fields of 8 digits; the name has 11 bytes with its NUL, and is padded
    const fields = Array.from({ length: 13 }, (_, i) => ({ 4: 1, 11: 11 })[i] ?? 0)
    const trailer = `070701${fields.map((f) => f.toString(16).padStart(8, '0')).join('')}TRAILER!!!\0\0\0\0`
    assert.equal(new TextDecoder('latin1').decode(cpioArchive([])), trailer)
  })

  it('are padded with no more zeros than are needed', () => {
    assert.deepEqual(padded(utf8('abcd')), utf8('abcd'))
    assert.deepEqual(padded(utf8('abcde')), concatBytes(utf8('abcde'), new Uint8Array(3)))
    assert.deepEqual(padded(new Uint8Array(0)), new Uint8Array(0))
  })
})

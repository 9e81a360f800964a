import assert from 'node:assert/strict'
import fs from 'node:fs'
import fc from 'fast-check'
import {
  errno,
  errorNumber,
  KILL,
  setSeccompFilter,
  systemCallGroup,
} from '../../../../../stage1/flavours/confinement/index.ts'
import { ALLOW, assemble, decide, loadNumber } from '../../../../../stage1/flavours/confinement/seccomp/bpf.ts'
import { systemCalls } from '../../../../../stage1/flavours/confinement/seccomp/syscalls.ts'
import { runFilter } from '../../../../support/bpf.ts'
import { fuzzRuns } from '../../../../support/fuzz.ts'

const X64 = 0xc000003e
const x64 = systemCalls('x64')
const arm64 = systemCalls('arm64')
const number = (name: string): number => x64.get(name) ?? assert.fail(name)

describe('system call tables', () => {
  it('agree with the kernel headers of this machine', function () {
    const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'
    if (!fs.existsSync(header)) {
      console.log(`      skipped: no ${header}`)
      this.skip()
    }
    for (const [, name = '', nr] of fs.readFileSync(header, 'utf8').matchAll(/^#define __NR_(\w+)\s+(\d+)$/gm)) {
      if (name !== '') assert.equal(x64.get(name), Number(nr), name)
    }
  })

  it('has known numbers of AArch64, and no name or number twice', () => {
    for (const [name, nr] of [
      ['read', 63],
      ['execve', 221],
      ['clone', 220],
      ['openat2', 437],
      ['mseal', 462],
    ] as const)
      assert.equal(arm64.get(name), nr)
    for (const table of [x64, arm64]) assert.equal(new Set(table.values()).size, table.size)
    assert.ok([...arm64.keys()].every((name) => x64.has(name)))
  })

  it('numbers errors as the kernel does', () => {
    for (const [name, nr] of [
      ['EPERM', 1],
      ['ENOSYS', 38],
      ['ENOMSG', 42],
      ['EBFONT', 59],
      ['EHWPOISON', 133],
    ] as const)
      assert.equal(errorNumber(name), nr)
    assert.equal(errorNumber('-'), undefined)
    assert.equal(errorNumber('EWOULD'), undefined)
  })
})

describe('a filter for a set of numbers', () => {
  it('tells members from others, whatever the set', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 0x3fffffff }))),
        fc.array(fc.integer({ min: 0, max: 45 })),
        (members, others) => {
          const program = assemble([...loadNumber('x64', KILL), ...decide(new Set(members), ALLOW, KILL)])
          for (const nr of [...members, ...members.map((n) => n + 1), ...others]) {
            assert.equal(runFilter(program, X64, nr), members.includes(nr) ? ALLOW : KILL)
          }
        },
      ),
      { numRuns: fuzzRuns(200) },
    )
  })
})

describe('groups of system calls', () => {
  it('are those that rkt and systemd have names for', () => {
    assert.deepEqual(systemCallGroup('@appc.io/empty'), [])
    assert.equal(systemCallGroup('@appc.io/all')?.length, x64.size)
    assert.deepEqual(systemCallGroup('@systemd/keyring'), ['add_key', 'keyctl', 'request_key'])
    assert.ok(systemCallGroup('@systemd/system-service')?.includes('read')) // by way of another group
    assert.equal(systemCallGroup('@systemd/constructor'), undefined)
    assert.equal(systemCallGroup('@appc.io/most'), undefined)
    for (const name of ['docker', 'holdfast']) {
      const [white = [], black = []] = ['white', 'black'].map((c) => systemCallGroup(`@${name}/default-${c}list`))
      assert.equal(white.length + black.length, x64.size)
      assert.ok(black.includes('mount') && white.includes('read') && !white.includes('mount'))
    }
    for (const name of systemCallGroup('@docker/default-blacklist') ?? []) assert.ok(x64.has(name), name)
  })

  it('name no call that is none, and none of them is empty', () => {
    for (const group of ['default', 'aio', 'process', 'network-io', 'resources', 'setuid', 'mount', 'obsolete']) {
      const names = systemCallGroup(`@systemd/${group}`) ?? []
      assert.ok(names.length > 2)
      for (const name of names) assert.ok(x64.has(name) || arm64.has(name), name)
    }
  })
})

describe('the filter of a seccomp isolator', () => {
  const set = (
    mode: 'retain' | 'remove',
    calls: readonly string[],
    refusal = KILL,
    unconditional: readonly string[] = [],
  ) => setSeccompFilter('x64', { mode, calls: new Set(calls), unconditional: new Set(unconditional), refusal })

  it('lets a retained set through, and what every program needs to start and end', () => {
    const filter = set('retain', ['read'])
    for (const name of ['read', 'execve', 'exit_group', 'rt_sigreturn'])
      assert.equal(runFilter(filter, X64, number(name)), ALLOW, name)
    for (const name of ['write', 'openat', 'mount']) assert.equal(runFilter(filter, X64, number(name)), KILL, name)
  })

  it('refuses a removed set, with the error that is asked for', () => {
    const filter = set('remove', ['mkdir'], errno(18))
    assert.equal(runFilter(filter, X64, number('mkdir')), 0x00050012)
    assert.equal(runFilter(filter, X64, number('read')), ALLOW)
  })

  it('refuses calls of other machines and of x32 whatever the set', () => {
    for (const filter of [set('retain', ['read', 'write']), set('remove', [])]) {
      assert.equal(runFilter(filter, 0x40000003, 0), KILL)
      assert.equal(runFilter(filter, X64, 0x40000000), KILL)
    }
  })

  it('keeps the rules for arguments, but for calls that may be made with any', () => {
    const newUserNamespace = [0x10000000]
    assert.equal(runFilter(set('retain', ['unshare']), X64, number('unshare'), newUserNamespace), KILL)
    assert.equal(runFilter(set('remove', ['mkdir']), X64, number('unshare'), newUserNamespace), KILL)
    const named = set('retain', ['unshare'], KILL, ['unshare'])
    assert.equal(runFilter(named, X64, number('unshare'), newUserNamespace), ALLOW)
    assert.equal(runFilter(set('retain', ['read']), X64, number('unshare'), [0]), KILL)
  })
})

import assert from 'node:assert/strict'
import { readAppLimits } from '../../../stage1/pod/index.ts'

const read = (name: string, value: unknown) => readAppLimits([{ name, value }])

describe('isolators of an app', () => {
  it('reads limits, weights and scores', () => {
    const limits = readAppLimits([
      { name: 'resource/memory', value: { request: '1M', limit: '64Mi' } },
      { name: 'resource/cpu', value: { limit: '500m' } },
      { name: 'resource/block-bandwidth', value: { default: true, limit: '2M' } },
      { name: 'resource/block-iops', value: { default: true, limit: '100' } },
      { name: 'holdfast/pids', value: { limit: '32' } },
      { name: 'os/linux/cpu-shares', value: 512 },
      { name: 'os/linux/oom-score-adj', value: -5 },
    ])
    assert.deepEqual(limits.resources, {
      memoryBytes: 64 << 20,
      cpuMillis: 500,
      blockBytesPerSecond: 2_000_000,
      blockOperationsPerSecond: 100,
      pids: 32,
      cpuShares: 512,
    })
    assert.equal(limits.oomScoreAdj, -5)
  })

  it('reads labels of SELinux and AppArmor', () => {
    const context = { user: 'system_u', role: 'system_r', type: 'container_t', level: 's0:c1,c2' }
    assert.equal(read('os/linux/selinux-context', context).selinuxContext, 'system_u:system_r:container_t:s0:c1,c2')
    assert.equal(read('os/linux/apparmor-profile', { profile: 'strict' }).apparmorProfile, 'strict')
  })

  it('reads when an app is restarted, with a delay and a limit', () => {
    assert.equal(readAppLimits([]).restart.policy, 'never')
    assert.deepEqual(read('holdfast/restart', { policy: 'always', limit: 3 }).restart, {
      policy: 'always',
      limit: 3,
      firstDelayMs: 100,
      longestDelayMs: 30_000,
    })
    assert.equal(read('holdfast/restart', { policy: 'on-failure' }).restart.limit, 10)
  })

  it('reads seccomp sets: names for any argument, wildcards with the rules for arguments', () => {
    const set = read('os/linux/seccomp-retain-set', { set: ['@systemd/keyring', 'clone'], errno: 'ENOSYS' }).seccomp
    assert.deepEqual([...(set?.calls ?? [])], ['add_key', 'keyctl', 'request_key', 'clone'])
    assert.deepEqual([...(set?.unconditional ?? [])], ['clone'])
    assert.equal(set?.refusal, 0x00050026)
    assert.equal(read('os/linux/seccomp-retain-set', { set: ['read'] }).seccomp?.refusal, 0x80000000)
    const everything = read('os/linux/seccomp-retain-set', { set: ['@appc.io/all'] }).seccomp
    assert.ok(everything?.unconditional.has('unshare'))
    assert.ok(read('os/linux/seccomp-remove-set', { set: ['@appc.io/empty'] }).seccomp?.unconditional.has('ioctl'))
    assert.equal(read('os/linux/seccomp-remove-set', { set: ['mkdir'] }).seccomp?.unconditional.size, 0)
  })

  const bad: [name: string, value: unknown][] = [
    ['resource/block-bandwidth', { default: false, limit: '1M' }],
    ['resource/block-iops', { default: true, limit: '0' }],
    ['holdfast/pids', { limit: 5 }],
    ['holdfast/pids', { limit: '0' }],
    ['holdfast/restart', 'always'],
    ['holdfast/restart', { policy: 'sometimes' }],
    ['holdfast/restart', { policy: 'always', limit: -1 }],
    ['os/linux/cpu-shares', 1],
    ['os/linux/cpu-shares', '512'],
    ['os/linux/oom-score-adj', 1001],
    ['os/linux/oom-score-adj', 0.5],
    ['os/linux/selinux-context', { user: 'u', role: 'r', type: 't' }],
    ['os/linux/apparmor-profile', { profile: 'a b' }],
    ['os/linux/apparmor-profile', { profile: '' }],
    ['os/linux/seccomp-retain-set', { set: ['no_such_call'] }],
    ['os/linux/seccomp-retain-set', { set: ['@systemd/nothing'] }],
    ['os/linux/seccomp-retain-set', { set: [7] }],
    ['os/linux/seccomp-retain-set', ['read']],
    ['os/linux/seccomp-remove-set', { set: [], errno: 'EWHAT' }],
  ]
  for (const [name, value] of bad) {
    it(`refuses ${name} with the value ${JSON.stringify(value)}`, () => {
      assert.throws(() => read(name, value), { code: 'POD_ISOLATOR_BAD' })
    })
  }

  it('refuses an isolator twice, and both seccomp sets', () => {
    const pids = { name: 'holdfast/pids', value: { limit: '5' } }
    assert.throws(() => readAppLimits([pids, pids]), { code: 'POD_ISOLATOR_BAD' })
    const sets = ['retain', 'remove'].map((w) => ({ name: `os/linux/seccomp-${w}-set`, value: { set: ['read'] } }))
    assert.throws(() => readAppLimits(sets), { code: 'POD_ISOLATOR_BAD' })
  })
})

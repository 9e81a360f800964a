import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { podsImpossible } from '../../support/pods.ts'
import { type AppSettings, podManifest, Stage1Pods, shellApp } from '../../support/stage1-pods.ts'

describe('how holdfast-stage1 confines an app', () => {
  let pods: Stage1Pods

  before(function () {
    const why = podsImpossible()
    if (why !== undefined) {
      console.log(`      skipped: ${why}`)
      this.skip()
    }
    pods = new Stage1Pods((root) => {
      fs.writeFileSync(path.join(root, 'etc/owned'), '')
      fs.chownSync(path.join(root, 'etc/owned'), 4321, 8765)
    })
  })
  after(async () => {
    await pods?.stop()
  })

  const sh = (script: string, more: Partial<AppSettings> = {}) => pods.run(podManifest([shellApp('app', script, more)]))
  const isolated = (script: string, name: string, value: unknown, more: Partial<AppSettings> = {}) =>
    sh(script, { isolators: [{ name, value }], ...more })

  it('gives the groups of the image and those that are asked for', async () => {
    const { stdout } = await sh('id -G', { user: 'web', group: 'web', supplementaryGIDs: [5000, 1003] })
    assert.equal(stdout, '1002 1003 5000\n')
  })

  it('takes user and group from the owner of a file of the image', async () => {
    const { stdout } = await sh('id -u; id -g', { user: '/etc/owned', group: '/etc/owned' })
    assert.equal(stdout, '4321\n8765\n')
    assert.equal((await sh('true', { user: '/etc/absent' })).status, 125)
  })

  it('hides what tells of the host, and lets nothing be changed below /proc', async () => {
    const { stdout } = await sh(
      'for f in keys timer_list kcore interrupts; do cat /proc/$f | head -c 1 | wc -c; done; ls /sys/firmware /sys/kernel/debug | grep -vc :; ' +
        'for f in sys/kernel/hostname sysrq-trigger irq/default_smp_affinity; do (echo 1 > /proc/$f) 2> /dev/null && echo wrote $f; done; true',
    )
    assert.match(stdout, /^0\n0\n0\n0\n[01]\n$/)
  })

  it('ends a call outside of a retained set as by SIGSYS, or with the error that is asked for', async () => {
    const set = [
      '@systemd/default',
      '@systemd/system-service',
      '@systemd/basic-io',
      '@systemd/file-system',
      '@systemd/signal',
    ]
    const retain = 'os/linux/seccomp-retain-set'
    const rest = ['@systemd/process', '@systemd/io-event', '@systemd/ipc', '@systemd/resources', '@systemd/setuid']
    const without = { set: [...set, ...rest] }
    assert.deepEqual((await isolated('exec uname', retain, without)).status, 0)
    // the shell that made the directory is one process; its own child is ended
    const ended = await isolated('mkdir /x && exec sethostname', retain, { set: ['@appc.io/empty', 'brk'] })
    assert.equal(ended.status, 128 + 31)
  })

  it('refuses what a removed set names', async () => {
    const remove = 'os/linux/seccomp-remove-set'
    const killed = await isolated('exec mkdir /x', remove, { set: ['mkdir', 'mkdirat'] })
    assert.equal(killed.status, 128 + 31)
    const refused = await isolated('mkdir /x', remove, { set: ['mkdir', 'mkdirat'], errno: 'EXDEV' })
    assert.match(refused.stderr, /Invalid cross-device link/)
  })

  it('loads a filter last, so that one too strict to become a user does not hinder it', async () => {
    const { stdout } = await isolated(
      'id -u; grep -E "^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs|Seccomp):" /proc/self/status',
      'os/linux/seccomp-remove-set',
      { set: ['setresuid', 'setresgid', 'setgroups', 'capset'] },
      { user: 'web' },
    )
    assert.equal(
      stdout,
      '1001\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n',
    )
  })

  it('raises how soon the kernel chooses an app for want of memory, and says when it may not lower it', async () => {
    assert.equal((await isolated('cat /proc/self/oom_score_adj', 'os/linux/oom-score-adj', 321)).stdout, '321\n')
    const own = Number(fs.readFileSync('/proc/self/oom_score_adj', 'utf8'))
    const lower = await isolated('cat /proc/self/oom_score_adj', 'os/linux/oom-score-adj', -1000)
    if (lower.status === 0) assert.equal(lower.stdout, '-1000\n')
    else
      assert.match(
        lower.stderr,
        /writing "-1000" to \/proc\/thread-self\/oom_score_adj: (Permission|Operation)/,
        `${own}`,
      )
  })

  it('limits processes, of an app and of the pod', async () => {
    const forks = 'for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo made'
    const app = await isolated(forks, 'holdfast/pids', { limit: '4' })
    assert.match(app.stderr, /can't fork/)
    assert.equal(app.stdout, '')
    const pod = await pods.run(
      podManifest([shellApp('app', forks)], { isolators: [{ name: 'holdfast/pids', value: { limit: '6' } }] }),
    )
    assert.match(pod.stderr, /can't fork/)
  })

  it('fails where a security label is asked for that the kernel has no use for', async () => {
    const pod = await pods.run(podManifest([shellApp('app', 'true')]), {}, (plan) =>
      plan.set('apps/app/security-labels', new TextEncoder().encode('attr/apparmor/exec\0exec strict\0')),
    )
    assert.equal(pod.status, 125)
    assert.match(pod.stderr, /attr\/apparmor\/exec/)
  })
})

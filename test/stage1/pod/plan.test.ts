import assert from 'node:assert/strict'
import { fromUtf8 } from '../../../attestation/base/index.ts'
import { acName } from '../../../stage1/manifest/index.ts'
import {
  buildPodManifest,
  cgroupMounts,
  type PlanFiles,
  parseCpu,
  parseMemory,
  planPod,
  readAppLimits,
} from '../../../stage1/pod/index.ts'

import { manifestWith, planApp, planImage, planSettings, planUuid, UNIFIED } from '../../support/plan.ts'

const items = (plan: PlanFiles, name: string): string[] =>
  fromUtf8(plan.get(name) ?? assert.fail(name))
    .split('\0')
    .slice(0, -1)

describe('stage1/pod manifest', () => {
  it('merges what the user set into the app section of the image', () => {
    const [built] = buildPodManifest(
      [planImage],
      [
        {
          args: ['-v'],
          environment: [{ name: 'PATH', value: '/usr/bin' }],
          user: '7',
          isolators: [],
        },
      ],
      { hostname: 'h' },
    ).apps
    assert.equal(built?.name, 'web')
    assert.equal(built?.image.name, 'reg.example/team/web-1')
    assert.deepEqual(built?.app.exec, ['/bin/web', '-v'])
    assert.equal(built?.app.user, '7')
    assert.deepEqual(built?.app.environment, [
      { name: 'PATH', value: '/usr/bin' },
      { name: 'AC_APP_NAME', value: 'web' },
    ])
  })

  it('does not run another user with the group of the image’s user', () => {
    const withGroup = { ...planImage, app: { ...planApp, group: 'www' } }
    const [kept] = buildPodManifest([withGroup], [{ environment: [], isolators: [] }], { hostname: 'h' }).apps
    const [changed] = buildPodManifest([withGroup], [{ environment: [], isolators: [], user: '7' }], {
      hostname: 'h',
    }).apps
    assert.equal(kept?.app.group, 'www')
    assert.equal(changed?.app.group, undefined)
  })

  it('gives two apps of one image different names', () => {
    const none = { environment: [], isolators: [] }
    assert.deepEqual(
      buildPodManifest([planImage, planImage, planImage], [none, none, none], { hostname: 'h' }).apps.map(
        (a) => a.name,
      ),
      ['web', 'web-2', 'web-3'],
    )
  })

  it('mounts nothing at an optional mount point but a volume of its name or one that is given for the place', () => {
    const data = acName('volume-data')
    const point = { name: data, path: '/data', readOnly: false }
    const built = (optional: boolean, ...volumes: string[]) => {
      const app = { ...planApp, mountPoints: [optional ? { ...point, optional } : point] }
      const given = volumes.map((name) => ({ name: acName(name), kind: 'empty' as const }))
      const { apps, volumes: all } = buildPodManifest([{ ...planImage, app }], [{}], { hostname: 'h', volumes: given })
      return [apps[0]?.mounts, all.map((v) => v.name)]
    }
    assert.deepEqual(built(true), [[], []])
    assert.deepEqual(built(true, 'other'), [[], ['other']])
    assert.deepEqual(built(true, data), [[{ volume: data, path: '/data' }], [data]])
    assert.deepEqual(built(false), [[{ volume: 'web-volume-data', path: '/data' }], ['web-volume-data']])
  })

  it('refuses an image that names no program with POD_UNSUPPORTED', () => {
    const { app: _, ...files } = planImage
    assert.throws(() => buildPodManifest([files], [{ environment: [], isolators: [] }], { hostname: 'h' }), {
      code: 'POD_UNSUPPORTED',
    })
  })
})

describe('stage1/pod plan', () => {
  it('says everything that the C program carries out', () => {
    const plan = planPod(manifestWith([]), planSettings)
    assert.deepEqual(items(plan, 'apps.list'), ['web'])
    assert.deepEqual(items(plan, 'apps/web/argv'), ['/bin/web', '--port', '80'])
    assert.deepEqual(items(plan, 'apps/web/env'), ['PATH=/bin', 'AC_APP_NAME=web'])
    assert.deepEqual(items(plan, 'apps/web/user'), ['web', ''])
    assert.deepEqual(items(plan, 'apps/web/cwd'), ['/srv'])
    assert.deepEqual(items(plan, 'network'), ['none'])
    const supervisor = items(plan, 'supervisor')
    assert.equal(supervisor[0], '/usr/bin/systemd-nspawn')
    assert.ok(supervisor.includes('--hostname=web-1'))
    assert.deepEqual(supervisor.slice(-3), ['--', '/init', 'init'])
    assert.ok(items(plan, 'supervisor-env').includes('SYSTEMD_SECCOMP=0'))
    assert.ok((plan.get('apps/web/seccomp')?.length ?? 0) > 0)
  })

  it('is the same for the same manifest', () => {
    assert.deepEqual(planPod(manifestWith([]), planSettings), planPod(manifestWith([]), planSettings))
  })

  it('gives no CAP_MKNOD by default, and exactly the set that the manifest retains', () => {
    const MKNOD = '27'
    assert.ok(!items(planPod(manifestWith([]), planSettings), 'apps/web/caps').includes(MKNOD))
    const retain = [{ name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_CHOWN', 'CAP_NET_ADMIN'] } }]
    assert.deepEqual(items(planPod(manifestWith(retain), planSettings), 'apps/web/caps'), ['0', '12'])
    const remove = [{ name: 'os/linux/capabilities-remove-set', value: { set: ['CAP_CHOWN'] } }]
    assert.ok(!items(planPod(manifestWith(remove), planSettings), 'apps/web/caps').includes('0'))
  })

  it('leaves the filter out only when it was told to', () => {
    assert.equal(planPod(manifestWith([]), { ...planSettings, seccomp: false }).get('apps/web/seccomp')?.length, 0)
  })

  it('writes v1 limits and device rules where v1 controllers are', () => {
    const plan = planPod(manifestWith([{ name: 'resource/cpu', value: { limit: '500m' } }]), planSettings)
    assert.deepEqual(items(plan, 'apps/web/cgroup-settings'), [
      `/sys/fs/cgroup/cpu,cpuacct/holdfast/${planUuid}/app-web/cpu.cfs_period_us`,
      '100000',
      `/sys/fs/cgroup/cpu,cpuacct/holdfast/${planUuid}/app-web/cpu.cfs_quota_us`,
      '50000',
    ])
    assert.deepEqual(items(plan, 'cgroup-settings').slice(0, 2), [
      `/sys/fs/cgroup/devices/holdfast/${planUuid}/devices.deny`,
      'a',
    ])
    assert.deepEqual(items(plan, 'device-policy-cgroup'), [])
  })

  it('writes v2 limits, passes controllers down and attaches the device program where v2 is alone', () => {
    const v2 = { ...planSettings, cgroups: cgroupMounts(UNIFIED, 'cpu memory pids\n') }
    const plan = planPod(manifestWith([{ name: 'resource/memory', value: { limit: '64Mi' } }]), v2)
    const root = '/sys/fs/c group'
    assert.deepEqual(items(plan, 'apps/web/cgroup-settings'), [
      `${root}/holdfast/${planUuid}/app-web/memory.max`,
      String(64 << 20),
    ])
    assert.deepEqual(
      items(plan, 'cgroup-settings').filter((_, i) => i % 2 === 0),
      [
        `${root}/cgroup.subtree_control`,
        `${root}/holdfast/cgroup.subtree_control`,
        `${root}/holdfast/${planUuid}/cgroup.subtree_control`,
      ],
    )
    assert.deepEqual(items(plan, 'device-policy-cgroup'), [`${root}/holdfast/${planUuid}`])
    // no process may be in the group whose children have controllers
    assert.deepEqual(items(plan, 'cgroups.join'), [`${root}/holdfast/${planUuid}/supervisor/cgroup.procs`])
  })

  const unsupported = [
    {
      name: 'a memory limit without a memory controller',
      isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }],
      cgroups: cgroupMounts('', ''),
    },
    {
      name: 'an isolator nobody carries out',
      isolators: [{ name: 'resource/block-bandwidth', value: { limit: '1M' } }],
      cgroups: planSettings.cgroups,
    },
  ]
  for (const { name, isolators, cgroups } of unsupported) {
    it(`refuses ${name} with POD_UNSUPPORTED`, () => {
      assert.throws(() => planPod(manifestWith(isolators), { ...planSettings, cgroups }), { code: 'POD_UNSUPPORTED' })
    })
  }

  it('refuses a NUL in any text, and a machine without a filter', () => {
    const bad = buildPodManifest([planImage], [{ args: ['a\0b'], environment: [], isolators: [] }], { hostname: 'h' })
    assert.throws(() => planPod(bad, planSettings), { code: 'POD_UNSUPPORTED' })
    assert.throws(() => planPod(manifestWith([]), { ...planSettings, arch: 'riscv64' }), { code: 'POD_UNSUPPORTED' })
  })
})

describe('stage1/pod isolators', () => {
  it('reads sizes and shares', () => {
    assert.deepEqual(['1Mi', '64M', '1G', '2Gi', '1048576'].map(parseMemory), [1 << 20, 64e6, 1e9, 2 ** 31, 1 << 20])
    assert.deepEqual(['500m', '2', '0.5', '1.25'].map(parseCpu), [500, 2000, 500, 1250])
  })

  for (const text of ['', '-1', '1', '64MB', '1e9', '0x100000', '9999999999999999T', ' 64Mi', '64Mi\n']) {
    it(`refuses the size ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseMemory(text), { code: 'POD_ISOLATOR_BAD' }))
  }
  for (const text of ['', '0', '9m', '-1', 'NaN', '1,5', '.5', '99999']) {
    it(`refuses the share ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseCpu(text), { code: 'POD_ISOLATOR_BAD' }))
  }

  const bad = [
    { name: 'resource/memory', value: '64Mi' },
    { name: 'resource/cpu', value: { limit: 2 } },
    { name: 'os/linux/capabilities-retain-set', value: { set: 'CAP_CHOWN' } },
    { name: 'os/linux/capabilities-remove-set', value: null },
    { name: 'os/linux/no-new-privileges', value: 'yes' },
  ]
  for (const isolator of bad) {
    it(`refuses ${isolator.name} with the value ${JSON.stringify(isolator.value)}`, () => {
      assert.throws(() => readAppLimits([isolator]), { code: 'POD_ISOLATOR_BAD' })
    })
  }

  it('refuses a capability that Linux does not have, and retain together with remove', () => {
    for (const set of [['CAP_EVERYTHING'], ['constructor'], ['chown']]) {
      const isolators = [{ name: 'os/linux/capabilities-retain-set', value: { set } }]
      assert.throws(() => planPod(manifestWith(isolators), planSettings), { code: 'POD_ISOLATOR_BAD' })
    }
    const both = ['retain', 'remove'].map((w) => ({
      name: `os/linux/capabilities-${w}-set`,
      value: { set: ['CAP_CHOWN'] },
    }))
    assert.throws(() => planPod(manifestWith(both), planSettings), { code: 'POD_ISOLATOR_BAD' })
  })
})

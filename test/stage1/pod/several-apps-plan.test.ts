import assert from 'node:assert/strict'
import { fromUtf8 } from '../../../attestation/base/index.ts'
import { acName, type Volume } from '../../../stage1/manifest/index.ts'
import { cgroupMounts, type PlanFiles, type PlanSettings, planPod, podUuid } from '../../../stage1/pod/index.ts'
import { type AppSettings, podManifest, shellApp } from '../../support/stage1-pods.ts'

const V1 = ['memory', 'cpu', 'pids', 'devices', 'blkio']
  .map((c, i) => `3${i} 30 0:3${i} / /cg/${c} rw - cgroup cgroup rw,${c}`)
  .join('\n')
const V2 = '35 30 0:31 / /cg2 rw - cgroup2 cgroup2 rw'
const uuid = podUuid('5c1d0000-0000-4000-8000-000000000001')
const settings: PlanSettings = {
  uuid,
  podPath: `/data/pods/run/${uuid}`,
  network: 'none',
  supervisor: '/usr/bin/systemd-nspawn',
  run: ['/init', 'init'],
  cgroups: cgroupMounts(V1, ''),
  arch: 'x64',
  seccomp: true,
  machine: { securityModules: () => [], blockDevice: () => '254:0', noPrivateUsers: () => undefined },
}
const unified = cgroupMounts(V2, 'cpu io memory pids\n')
const items = (plan: PlanFiles, name: string): string[] =>
  fromUtf8(plan.get(name) ?? assert.fail(name))
    .split('\0')
    .slice(0, -1)
const data = acName('data')
const pointAt = (place: string, readOnly = false): Partial<AppSettings> => ({
  mountPoints: [{ name: data, path: place, readOnly }],
})
const plan = (
  apps: readonly AppSettings[],
  volumes: readonly Volume[] = [],
  s: Partial<PlanSettings> = {},
): PlanFiles => planPod(podManifest(apps, { volumes }), { ...settings, ...s })

describe('a plan for several apps', () => {
  it('has handlers, restarts, groups and root of each', () => {
    const files = plan([
      shellApp('one', 'true', {
        eventHandlers: [{ name: 'pre-start', exec: ['/prepare', 'x'] }],
        supplementaryGIDs: [7, 8],
        readOnlyRootFS: true,
        isolators: [{ name: 'holdfast/restart', value: { policy: 'always', limit: 2 } }],
      }),
      shellApp('two', 'true'),
    ])
    assert.deepEqual(items(files, 'apps.list'), ['one', 'two'])
    assert.deepEqual(items(files, 'apps/one/pre-start'), ['/prepare', 'x'])
    assert.deepEqual(items(files, 'apps/one/post-stop'), [])
    assert.deepEqual(items(files, 'apps/one/restart'), ['always', '2', '100', '30000'])
    assert.deepEqual(items(files, 'apps/one/groups'), ['7', '8'])
    assert.deepEqual(items(files, 'apps/one/read-only-root'), ['1'])
    assert.deepEqual(items(files, 'apps/two/read-only-root'), ['0'])
    assert.deepEqual(items(files, 'apps/two/restart')[0], 'never')
  })

  it('says where streams go', () => {
    assert.deepEqual(items(plan([shellApp('a', '')]), 'streams'), ['pass'])
    const log = plan([shellApp('a', '')], [], { streams: { kind: 'log', maxBytes: 1000, files: 3 } })
    assert.deepEqual(items(log, 'streams'), ['log', '1000', '3'])
    const terminal = plan([shellApp('a', '')], [], { streams: { kind: 'terminal' } })
    assert.ok(items(terminal, 'supervisor').includes('--console=interactive'))
    assert.throws(() => plan([shellApp('a', ''), shellApp('b', '')], [], { streams: { kind: 'terminal' } }), {
      code: 'POD_UNSUPPORTED',
    })
  })
})

describe('volumes of a plan', () => {
  it('are the manifest’s, by name or by place, then empty ones for mount points without', () => {
    const host: Volume = { name: data, kind: 'host', source: '/srv/data', readOnly: true, recursive: false }
    const files = plan(
      [
        shellApp('one', '', pointAt('/a')),
        shellApp('two', '', { mounts: [{ volume: data, path: '/b/' }], ...pointAt('/b', true) }),
        shellApp('three', '', { mountPoints: [{ name: acName('own'), path: '/c', readOnly: false }] }),
      ],
      [host],
    )
    assert.deepEqual(items(files, 'volumes'), [
      ...['data', 'host', '/srv/data', 'ro', 'single', '0', '0', '0'],
      ...['own', 'empty', '', 'rw', 'single', '0', '0', String(0o755)],
    ])
    assert.deepEqual(items(files, 'apps/one/mounts'), ['0', '/a', 'rw'])
    assert.deepEqual(items(files, 'apps/two/mounts'), ['0', '/b/', 'ro'])
    assert.deepEqual(items(files, 'apps/three/mounts'), ['1', '/c', 'rw'])
  })

  it('are none at an optional mount point that nobody gave one for, whatever the pod has', () => {
    const optional: Partial<AppSettings> = {
      mountPoints: [{ name: data, path: '/a', readOnly: true, optional: true }],
    }
    assert.deepEqual(items(plan([shellApp('a', '', optional)]), 'volumes'), [])
    const given = { ...optional, mounts: [{ volume: data, path: '/a' }] }
    const files = plan([shellApp('a', '', given), shellApp('b', '', optional)], [{ name: data, kind: 'empty' }])
    assert.deepEqual([items(files, 'apps/a/mounts'), items(files, 'apps/b/mounts')], [['0', '/a', 'ro'], []])
  })

  it('has owner and mode of empty ones', () => {
    const files = plan(
      [shellApp('a', '', pointAt('/a'))],
      [{ name: data, kind: 'empty', mode: '1777', uid: 5, gid: 6 }],
    )
    assert.deepEqual(items(files, 'volumes').slice(5), ['5', '6', String(0o1777)])
  })

  it('refuses a read-only mount point that nobody gave a volume for with POD_VOLUME_MISSING', () => {
    assert.throws(() => plan([shellApp('a', '', pointAt('/a', true))]), { code: 'POD_VOLUME_MISSING' })
  })

  for (const place of ['/', '//', '/.', '/proc', '/proc/sys', '/sys/fs', '/dev', '/dev/', '/dev/pts/1']) {
    it(`refuses a volume on ${place} with POD_VOLUME_BAD`, () => {
      assert.throws(() => plan([shellApp('a', '', pointAt(place))]), { code: 'POD_VOLUME_BAD' })
    })
  }

  it('refuses two volumes on one place with POD_VOLUME_BAD', () => {
    const mounts = ['/a', '/./a/'].map((path) => ({ volume: data, path }))
    assert.throws(() => plan([shellApp('a', '', { mounts })], [{ name: data, kind: 'empty' }]), {
      code: 'POD_VOLUME_BAD',
    })
  })
})

describe('control groups of a plan', () => {
  const limits = [
    { name: 'holdfast/pids', value: { limit: '9' } },
    { name: 'os/linux/cpu-shares', value: 1024 },
    { name: 'resource/block-bandwidth', value: { default: true, limit: '1M' } },
    { name: 'resource/block-iops', value: { limit: '50' } },
  ]
  const own = `holdfast/${uuid}/app-a`

  it('has all limits on v1, and the blkio group only where it is needed', () => {
    assert.ok(!items(plan([shellApp('a', '')]), 'cgroups').some((g) => g.startsWith('/cg/blkio')))
    const files = plan([shellApp('a', '', { isolators: limits })])
    assert.deepEqual(items(files, 'apps/a/cgroup-settings'), [
      ...[`/cg/cpu/${own}/cpu.shares`, '1024', `/cg/pids/${own}/pids.max`, '9'],
      ...[`/cg/blkio/${own}/blkio.throttle.read_bps_device`, '254:0 1000000'],
      ...[`/cg/blkio/${own}/blkio.throttle.write_bps_device`, '254:0 1000000'],
      ...[`/cg/blkio/${own}/blkio.throttle.read_iops_device`, '254:0 50'],
      ...[`/cg/blkio/${own}/blkio.throttle.write_iops_device`, '254:0 50'],
    ])
    assert.ok(items(files, 'cgroups.top').includes(`/cg/blkio/holdfast/${uuid}`))
    assert.deepEqual(items(files, 'apps/a/oom-events'), [`/cg/memory/${own}/memory.oom_control`])
    assert.deepEqual(items(files, 'apps/a/enter.members'), [`/cg/memory/${own}/cgroup.procs`])
    assert.deepEqual(items(files, 'apps/a/enter.join'), [
      ...items(files, 'cgroups.join'),
      ...items(files, 'apps/a/cgroups.join'),
    ])
  })

  it('has all limits on v2, with io passed down only where it is needed', () => {
    const files = plan([shellApp('a', '', { isolators: limits })], [], { cgroups: unified })
    assert.deepEqual(items(files, 'apps/a/cgroup-settings'), [
      ...[`/cg2/${own}/cpu.weight`, '39', `/cg2/${own}/pids.max`, '9'],
      ...[`/cg2/${own}/io.max`, '254:0 rbps=1000000 wbps=1000000', `/cg2/${own}/io.max`, '254:0 riops=50 wiops=50'],
    ])
    assert.equal(items(files, 'cgroup-settings')[1], '+memory +cpu +pids +io')
    assert.equal(items(plan([shellApp('a', '')], [], { cgroups: unified }), 'cgroup-settings')[1], '+memory +cpu +pids')
    assert.deepEqual(items(files, 'apps/a/oom-events'), [`/cg2/${own}/memory.events`])
    // what is joined last is the app's own group; the pod's takes no process
    assert.deepEqual(items(files, 'apps/a/enter.join'), [`/cg2/${own}/cgroup.procs`])
  })

  it('has limits of the pod for all its apps', () => {
    const manifest = podManifest([shellApp('a', '')], {
      isolators: [{ name: 'resource/memory', value: { limit: '64Mi' } }],
    })
    const files = planPod(manifest, settings)
    assert.deepEqual(items(files, 'cgroup-settings').slice(-2), [
      `/cg/memory/holdfast/${uuid}/memory.limit_in_bytes`,
      String(64 << 20),
    ])
    const foreign = podManifest([shellApp('a', '')], { isolators: [{ name: 'os/linux/oom-score-adj', value: 1 }] })
    assert.throws(() => planPod(foreign, settings), { code: 'POD_UNSUPPORTED' })
  })

  for (const isolator of limits) {
    it(`refuses ${isolator.name} where there is no controller with POD_UNSUPPORTED`, () => {
      const app = shellApp('a', '', { isolators: [isolator] })
      assert.throws(() => plan([app], [], { cgroups: cgroupMounts('', '') }), { code: 'POD_UNSUPPORTED' })
    })
  }

  it('refuses limits of block I/O without a disk, and labels without a module, with POD_UNSUPPORTED', () => {
    const machine = {
      securityModules: () => ['apparmor'],
      blockDevice: () => undefined,
      noPrivateUsers: () => undefined,
    }
    assert.throws(() => plan([shellApp('a', '', { isolators: limits })], [], { machine }), { code: 'POD_UNSUPPORTED' })
    const apparmor = [{ name: 'os/linux/apparmor-profile', value: { profile: 'strict' } }]
    const labelled = plan([shellApp('a', '', { isolators: apparmor })], [], { machine })
    assert.deepEqual(items(labelled, 'apps/a/security-labels'), ['attr/apparmor/exec', 'exec strict'])
    assert.throws(() => plan([shellApp('a', '', { isolators: apparmor })]), { code: 'POD_UNSUPPORTED' })
  })
})

import assert from 'node:assert/strict'
import { parseRunOptions } from '../../../stage1/cli/run-options.ts'
import { acName, type PodManifest } from '../../../stage1/manifest/index.ts'
import { buildPodManifest, newPodUuid, type PlanSettings, planPod } from '../../../stage1/pod/index.ts'
import { type AppSettings, podManifest, shellApp } from '../../support/stage1-pods.ts'

const settings: PlanSettings = {
  uuid: newPodUuid(),
  podPath: '/var/lib/holdfast/pods/run/x',
  network: 'none',
  supervisor: '/usr/bin/systemd-nspawn',
  run: ['/init', 'init'],
  cgroups: { v1: { memory: '/cg/memory' }, v2: '/cg/v2', v2Controllers: ['pids'] },
  arch: 'x64',
  seccomp: true,
  machine: { securityModules: () => [], blockDevice: () => undefined, noPrivateUsers: () => undefined },
  firstUser: 0x7abc_0000,
}
const isolators = [{ name: 'holdfast/private-users', value: true }]
const manifest = (app: Partial<AppSettings> = {}, pod: Partial<PodManifest> = {}): PodManifest =>
  podManifest([shellApp('app', 'true', app)], { isolators, ...pod })
const items = (name: string, m: PodManifest): string[] =>
  new TextDecoder().decode(planPod(m, settings).get(name)).split('\0').slice(0, -1)

describe('plans of pods with private users', () => {
  it('name the range to launch and to the supervisor, which changes no owners', () => {
    const planned = manifest()
    assert.deepEqual(items('private-users', planned), ['2059141120'])
    const supervisor = items('supervisor', planned)
    assert.ok(supervisor.includes('--private-users=2059141120:65536'))
    assert.ok(supervisor.includes('--private-users-ownership=off'))
  })

  it('give the pod the files by which its init moves apps, on v2 those of the group above, too', () => {
    const top = `holdfast/${settings.uuid}`
    assert.deepEqual(items('cgroups.given', manifest()), [
      `/cg/memory/${top}/app-app/tasks`,
      `/cg/v2/${top}/app-app/cgroup.procs`,
      `/cg/v2/${top}/cgroup.procs`,
    ])
  })

  for (const other of [[], [{ name: 'holdfast/private-users', value: false }]]) {
    it(`have none of it for a pod with the users of the host: ${JSON.stringify(other)}`, () => {
      const planned = manifest({}, { isolators: other })
      assert.deepEqual([items('private-users', planned), items('cgroups.given', planned)], [[], []])
      assert.ok(!items('supervisor', planned).some((a) => a.startsWith('--private')))
    })
  }

  for (const [what, bad, code] of [
    ['a user beyond', manifest({ user: '65536' }), 'POD_UNSUPPORTED'],
    ['a group beyond', manifest({ group: '100000' }), 'POD_UNSUPPORTED'],
    ['a supplementary group beyond', manifest({ supplementaryGIDs: [1, 65536] }), 'POD_UNSUPPORTED'],
    [
      'an owner beyond',
      manifest({}, { volumes: [{ name: acName('v'), kind: 'empty', uid: 70_000 }] }),
      'POD_UNSUPPORTED',
    ],
    [
      'another value',
      manifest({}, { isolators: [{ name: 'holdfast/private-users', value: 'yes' }] }),
      'POD_ISOLATOR_BAD',
    ],
    ['an app that asks for it', manifest({ isolators }), 'POD_UNSUPPORTED'],
  ] as const) {
    it(`refuse ${what}`, () => {
      assert.throws(() => planPod(bad, settings), { code })
    })
  }

  it('are none where the kernel cannot', () => {
    const machine = { ...settings.machine, noPrivateUsers: () => 'user.max_user_namespaces is 0' }
    assert.throws(() => planPod(manifest(), { ...settings, machine }), {
      code: 'POD_UNSUPPORTED',
      message: /max_user_namespaces is 0/,
    })
    planPod(manifest({}, { isolators: [] }), { ...settings, machine })
  })

  it('come from an option of run, by an isolator that is measured with the manifest', () => {
    const o = parseRunOptions(['--private-users', 'busybox'])
    assert.ok(o !== 'help' && o.privateUsers)
    assert.deepEqual(buildPodManifest([], [], { hostname: 'h', privateUsers: true }).isolators, isolators)
    assert.deepEqual(buildPodManifest([], [], { hostname: 'h' }).isolators, [])
    assert.throws(() => parseRunOptions(['--private-users', '--pod-manifest', 'pod.json']), { code: 'USAGE' })
  })
})

import assert from 'node:assert/strict'
import { fromUtf8 } from '../../../attestation/base/index.ts'
import { devicePolicyProgram, TPM_DEVICES } from '../../../stage1/flavours/confinement/index.ts'
import type { Isolator, Volume } from '../../../stage1/manifest/index.ts'
import { type GuestPlan, planGuest } from '../../../stage1/pod/guest-plan.ts'
import { tpmIsolator } from '../../../stage1/pod/guest-tpm.ts'
import { planPod } from '../../../stage1/pod/index.ts'
import { manifestWith, planSettings, planUuid } from '../../support/plan.ts'

const settings = { uuid: planUuid, arch: 'x64', seccomp: true }
const items = ({ files }: Pick<GuestPlan, 'files'>, name: string): string[] =>
  fromUtf8(files.get(name) ?? assert.fail(name))
    .split('\0')
    .slice(0, -1)
const withVolumes = (...volumes: object[]) => ({ ...manifestWith([]), volumes: volumes as Volume[] })

describe('the plan of a guest', () => {
  it('confines an app as the plan of namespaces does', () => {
    const guest = planGuest(manifestWith([]), settings)
    const host = { files: planPod(manifestWith([]), planSettings) }
    for (const name of ['argv', 'env', 'cwd', 'user', 'groups', 'caps', 'seccomp', 'no-new-privileges', 'mounts']) {
      assert.deepEqual(guest.files.get(`apps/web/${name}`), host.files.get(`apps/web/${name}`), name)
    }
    assert.deepEqual(guest.files.get('masked-paths'), host.files.get('masked-paths'))
    assert.equal(guest.hostname, 'web-1')
  })

  it('has control groups of the guest, whatever the host has', () => {
    const guest = planGuest(manifestWith([{ name: 'resource/memory', value: { limit: '64Mi' } }]), settings)
    const group = `/sys/fs/cgroup/holdfast/${planUuid}/app-web`
    assert.deepEqual(items(guest, 'apps/web/cgroup-settings'), [`${group}/memory.max`, String(64 << 20)])
    assert.deepEqual(items(guest, 'apps/web/enter.members'), [`${group}/cgroup.procs`])
    assert.deepEqual(items(guest, 'network'), ['none'])
  })

  it('gives host volumes as shares, by tags that its volumes name', () => {
    const guest = planGuest(
      withVolumes(
        { name: 'tmp', kind: 'empty' },
        { name: 'data', kind: 'host', source: '/srv/data', readOnly: true },
        { name: 'out', kind: 'host', source: '/srv/out', readOnly: false },
      ),
      settings,
    )
    assert.deepEqual(guest.shares, [
      { tag: 'v1', source: '/srv/data', readOnly: true },
      { tag: 'v2', source: '/srv/out', readOnly: false },
    ])
    assert.deepEqual(items(guest, 'volumes'), [
      ...['tmp', 'empty', '', 'rw', 'single', '0', '0', '493'],
      ...['data', 'tag', 'v1', 'ro', 'single', '0', '0', '0'],
      ...['out', 'tag', 'v2', 'rw', 'single', '0', '0', '0'],
    ])
  })

  it('lets apps use the TPM of a pod that has one', () => {
    const policy = (isolators: Isolator[]) =>
      planGuest({ ...manifestWith([]), isolators }, settings).files.get('device-policy')
    assert.deepEqual(policy([tpmIsolator]), devicePolicyProgram(TPM_DEVICES))
    assert.deepEqual(policy([]), devicePolicyProgram())
  })

  const refused: [string, () => unknown][] = [
    [
      'a volume without what is mounted below it',
      () =>
        planGuest(
          withVolumes({ name: 'data', kind: 'host', source: '/srv', readOnly: true, recursive: false }),
          settings,
        ),
    ],
    [
      'users of its own',
      () => planGuest({ ...manifestWith([]), isolators: [{ name: 'holdfast/private-users', value: true }] }, settings),
    ],
    [
      'a limit on block I/O',
      () => planGuest(manifestWith([{ name: 'resource/block-iops', value: { default: true, limit: '10' } }]), settings),
    ],
    [
      'a label of SELinux',
      () =>
        planGuest(
          manifestWith([{ name: 'os/linux/selinux-context', value: { user: 'u', role: 'r', type: 't', level: 's0' } }]),
          settings,
        ),
    ],
    [
      'a terminal for two apps',
      () => {
        const [app] = manifestWith([]).apps
        const two = { ...manifestWith([]), apps: [app, { ...app, name: 'other' }] } as Parameters<typeof planGuest>[0]
        return planGuest(two, { ...settings, streams: { kind: 'terminal' } })
      },
    ],
  ]
  for (const [what, plan] of refused) {
    it(`is refused with ${what}`, () => assert.throws(plan, { code: 'POD_UNSUPPORTED' }))
  }
})

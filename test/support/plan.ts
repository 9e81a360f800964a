import { type App, imageId } from '../../stage1/manifest/index.ts'
import { buildPodManifest, cgroupMounts, type PlanSettings, podUuid } from '../../stage1/pod/index.ts'

/** Mounts of control groups of both versions. */
export const HYBRID = `30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
34 30 0:30 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd
35 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`

/** Mounts of version 2 alone. */
export const UNIFIED = '35 30 0:31 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw'

export const planUuid = podUuid('5c1d0000-0000-4000-8000-000000000001')
/** Of the image that planned pods have. */
export const planApp: App = {
  exec: ['/bin/web', '--port', '80'],
  user: 'web',
  supplementaryGIDs: [],
  environment: [{ name: 'PATH', value: '/bin' }],
  workingDirectory: '/srv',
  mountPoints: [],
  isolators: [],
  userAnnotations: {},
  userLabels: {},
}
/** The image of planned pods. */
export const planImage = {
  id: imageId(`sha256-${'a'.repeat(64)}`),
  reference: 'docker://reg.example/team/web:1',
  app: planApp,
  programLength: 1,
}
export const planSettings: PlanSettings = {
  uuid: planUuid,
  podPath: `/data/pods/run/${planUuid}`,
  network: 'none',
  supervisor: '/usr/bin/systemd-nspawn',
  run: ['/init', 'init'],
  cgroups: cgroupMounts(HYBRID, ''),
  arch: 'x64',
  seccomp: true,
  machine: { securityModules: () => [], blockDevice: () => undefined, noPrivateUsers: () => undefined },
}
/** A pod of one app `web` with these isolators. */
export const manifestWith = (isolators: App['isolators']) =>
  buildPodManifest([{ ...planImage, app: { ...planApp, isolators } }], [{ environment: [], isolators: [] }], {
    hostname: 'web-1',
  })

import type { MountPoint, PodApp, PodManifest, Volume } from '../manifest/index.ts'
import { PodError } from './errors.ts'

/** A volume in an app's root. */
export interface PlannedMount {
  readonly volume: string
  readonly path: string
  readonly readOnly: boolean
}

const DEFAULT_MODE = '0755'

/**
 * The volumes of a pod: the manifest's, then an empty one for each mount point that nobody gave a volume for. The App
 * Container specification leaves that to the executor; an app finds its mount points mounted and writable, and what it
 * writes there goes with the pod. A mount point that is read-only needs a volume: an empty one would be of no use; an
 * optional one needs none.
 *
 * @returns the volumes, and the mounts of each app by its name
 * @throws PodError POD_VOLUME_MISSING, POD_VOLUME_BAD for a place where none can be
 */
export function planVolumes(manifest: PodManifest): {
  readonly volumes: readonly Volume[]
  readonly mounts: ReadonlyMap<string, readonly PlannedMount[]>
} {
  const volumes: Volume[] = [...manifest.volumes]
  const mounts = new Map<string, PlannedMount[]>()
  for (const app of manifest.apps) {
    const planned = app.mounts.map(({ volume, path }): PlannedMount => {
      const point = app.app.mountPoints.find((p) => samePath(p.path, path))
      return { volume, path, readOnly: point?.readOnly ?? false }
    })
    for (const point of app.app.mountPoints) {
      if (point.optional || planned.some((m) => samePath(m.path, point.path))) continue
      if (!volumes.some((v) => v.name === point.name)) volumes.push(implicitVolume(app, point))
      planned.push({ volume: point.name, path: point.path, readOnly: point.readOnly })
    }
    for (const { path } of planned) checkPlace(app, path)
    refuseTwice(app, planned)
    mounts.set(app.name, planned)
  }
  return { volumes, mounts }
}

type HostVolume = Extract<Volume, { kind: 'host' }>

/**
 * Records of the plan file `volumes`.
 * @param of what is said of a host volume after its name: kind, source, access, extent
 */
export function volumeRecords(
  volumes: readonly Volume[],
  of: (volume: HostVolume, position: number) => readonly [string, string, string, string] = asItIs,
): string[] {
  return volumes.flatMap((v, i) =>
    v.kind === 'empty'
      ? [
          ...[v.name, v.kind, '', 'rw', 'single', String(v.uid ?? 0), String(v.gid ?? 0)],
          String(Number.parseInt(v.mode ?? DEFAULT_MODE, 8)),
        ]
      : [v.name, ...of(v, i), '0', '0', '0'],
  )
}

function asItIs(v: HostVolume): [string, string, string, string] {
  return [v.kind, v.source, v.readOnly ? 'ro' : 'rw', v.recursive === false ? 'single' : 'recursive']
}

/** Records of the plan file `mounts` of one app. */
export function mountRecords(volumes: readonly Volume[], mounts: readonly PlannedMount[]): string[] {
  return mounts.flatMap(({ volume, path, readOnly }) => [
    String(volumes.findIndex((v) => v.name === volume)),
    path,
    readOnly ? 'ro' : 'rw',
  ])
}

function implicitVolume(app: PodApp, point: MountPoint): Volume {
  if (point.readOnly) {
    throw new PodError(
      'POD_VOLUME_MISSING',
      `app ${app.name}: nothing is given for its read-only mount point ${point.name}`,
      {
        hint: `Give it one: --volume ${point.name},kind=host,source=PATH`,
      },
    )
  }
  return { name: point.name, kind: 'empty' }
}

/** The kernel's own files are part of what isolates the pod; init refuses links of the image that lead there. */
const RESERVED = ['/proc', '/sys', '/dev']

function checkPlace(app: PodApp, path: string): void {
  const plain = normal(path)
  if (plain === '/' || RESERVED.some((r) => plain === r) || /^\/(proc|sys|dev\/pts)\//.test(plain)) {
    throw new PodError('POD_VOLUME_BAD', `app ${app.name}: no volume can be mounted on ${path}`)
  }
}

function refuseTwice(app: PodApp, mounts: readonly PlannedMount[]): void {
  for (const [i, { path }] of mounts.entries()) {
    if (mounts.findIndex((m) => samePath(m.path, path)) < i)
      throw new PodError('POD_VOLUME_BAD', `app ${app.name}: two volumes are mounted on ${path}`)
  }
}

function samePath(a: string, b: string): boolean {
  return normal(a) === normal(b)
}

/** Manifests have no '..' in paths. */
function normal(path: string): string {
  return `/${path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`
}

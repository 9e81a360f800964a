import {
  AC_VERSION,
  type AcName,
  type App,
  acIdentifierFrom,
  acName,
  acNameFrom,
  type EnvironmentVariable,
  type ImageId,
  type Isolator,
  type Mount,
  type NameValue,
  type PodApp,
  type PodManifest,
  type TextMap,
  type Volume,
} from '../manifest/index.ts'
import { mapPorts, type PortWish } from '../network/index.ts'
import { PodError } from './errors.ts'
import { diskIsolator } from './guest-disk.ts'
import { tpmIsolator } from './guest-tpm.ts'
import { PRIVATE_USERS_ISOLATOR } from './private-users.ts'

/** An image as a pod uses it. */
export interface PodImage {
  readonly id: ImageId
  /** The reference it was fetched by; of an ACI its own name. */
  readonly reference: string
  /** Absent for an image that only holds files. */
  readonly app?: App
  /**
   * How many items of `app.exec` arguments given by the user come after: for an OCI image its Entrypoint alone, as they
   * replace its Cmd; for an ACI all of them.
   */
  readonly programLength: number
}

/** What the user set for an app; absent members leave the image's own. */
export interface AppOverrides {
  /** Instead of one made from the image's name. */
  readonly name?: AcName
  /** Replaces the program, and with it the arguments that the image gives it. */
  readonly exec?: string
  /** Come after the program. */
  readonly args?: readonly string[]
  readonly environment?: readonly EnvironmentVariable[]
  readonly user?: string
  readonly group?: string
  readonly supplementaryGIDs?: readonly number[]
  readonly workingDirectory?: string
  readonly readOnlyRootFS?: boolean
  /** Each replaces the image's isolator of the same name, or about the same set. */
  readonly isolators?: readonly Isolator[]
  readonly mounts?: readonly Mount[]
  readonly annotations?: readonly NameValue[]
  readonly userAnnotations?: TextMap
  readonly userLabels?: TextMap
}

/** What the user set for the pod and for all of its apps. */
export interface PodOverrides {
  readonly hostname: string
  readonly volumes?: readonly Volume[]
  /** In every app. */
  readonly mounts?: readonly Mount[]
  /** Ports of the host that are to lead to the pod. */
  readonly ports?: readonly PortWish[]
  /** Whether it is to have a user namespace of its own. */
  readonly privateUsers?: boolean
  /** Size, as typed, of the disk for what the apps of a virtual machine write. */
  readonly disk?: string
  /** Whether it is to be a virtual machine with a TPM of its own. */
  readonly tpm?: boolean
  /** In every app; its own come after them. */
  readonly environment?: readonly EnvironmentVariable[]
}

/** Name of the annotation with the pod's host name. */
export const HOSTNAME_ANNOTATION = 'holdfast/hostname'

/**
 * The pod manifest that is stored, measured and run: images' app sections with everything the user set merged in.
 *
 * @param overrides one for each image, in the same order
 * @throws PodError POD_UNSUPPORTED for an image that cannot be run, POD_NAME_TAKEN for two apps of one name; UsageError
 * for a port that the pod has not
 */
export function buildPodManifest(
  images: readonly PodImage[],
  overrides: readonly AppOverrides[],
  pod: PodOverrides,
): PodManifest {
  const taken = new Set<string>()
  for (const { name } of overrides) {
    if (name === undefined) continue
    if (taken.has(name)) throw new PodError('POD_NAME_TAKEN', `two apps of the pod are to be named ${name}`)
    taken.add(name)
  }
  const apps = images.map((image, i): PodApp => {
    const o = overrides[i] ?? {}
    const name = o.name ?? freeName(acNameFrom(image.reference), taken)
    return {
      name,
      image: { id: image.id, name: acIdentifierFrom(image.reference.replace(/^[a-z0-9+.-]+:\/*/, '')) },
      app: mergeApp(name, image, { ...o, environment: [...(pod.environment ?? []), ...(o.environment ?? [])] }),
      readOnlyRootFS: o.readOnlyRootFS ?? false,
      mounts: [...(o.mounts ?? []), ...(pod.mounts ?? []).filter((m) => !o.mounts?.some((own) => own.path === m.path))],
      annotations: o.annotations ?? [],
    }
  })
  return {
    acKind: 'PodManifest',
    acVersion: AC_VERSION,
    ...withVolumesForAll(apps, pod.volumes ?? []),
    isolators: [
      ...(pod.privateUsers ? [{ name: PRIVATE_USERS_ISOLATOR, value: true }] : []),
      ...(pod.disk === undefined ? [] : [diskIsolator(pod.disk)]),
      ...(pod.tpm ? [tpmIsolator] : []),
    ],
    ...exposedPorts(apps, pod.ports ?? []),
    annotations: [{ name: HOSTNAME_ANNOTATION, value: pod.hostname }],
    userAnnotations: {},
    userLabels: {},
  }
}

function exposedPorts(apps: readonly PodApp[], wishes: readonly PortWish[]): Pick<PodManifest, 'ports'> {
  const mappings = mapPorts(
    wishes,
    apps.flatMap((a) => a.app.ports ?? []),
  )
  if (mappings.length === 0) return {}
  return {
    ports: mappings.map(({ name, protocol, podPort, hostPort, hostIp }) => ({
      name: acName(name),
      hostPort,
      ...(hostIp === undefined ? {} : { hostIP: hostIp }),
      podPort: { name: acName(name), protocol, port: podPort },
    })),
  }
}

/**
 * A manifest that a user wrote, with what every pod has: volumes for all mount points, AC_APP_NAME, a host name.
 */
export function completePodManifest(manifest: PodManifest, hostname: string): PodManifest {
  const named = manifest.apps.map((a) => ({
    ...a,
    app: { ...a.app, environment: environmentOf(a.name, a.app.environment) },
  }))
  const annotations = manifest.annotations.some((a) => a.name === HOSTNAME_ANNOTATION)
    ? manifest.annotations
    : [...manifest.annotations, { name: HOSTNAME_ANNOTATION, value: hostname }]
  return { ...manifest, ...withVolumesForAll(named, manifest.volumes), annotations }
}

/**
 * An image's mount point takes the pod's volume of its name, where nothing else is mounted there; where the pod has
 * none it gets an empty one of its own, so that an app finds what its image promised and shares it with nobody. An
 * optional mount point then gets none.
 */
function withVolumesForAll(apps: readonly PodApp[], volumes: readonly Volume[]): Pick<PodManifest, 'apps' | 'volumes'> {
  const all = [...volumes]
  const mounted = apps.map((a): PodApp => {
    const more = a.app.mountPoints
      .filter((point) => !a.mounts.some((mount) => mount.path === point.path))
      .flatMap((point): Mount[] => {
        if (volumes.some((v) => v.name === point.name)) return [{ volume: point.name, path: point.path }]
        if (point.optional) return []
        const volume = freeName(acNameFrom(`${a.name}-${point.name}`), new Set(all.map((v) => v.name)))
        all.push({ name: volume, kind: 'empty' })
        return [{ volume, path: point.path }]
      })
    return { ...a, mounts: [...a.mounts, ...more] }
  })
  return { apps: mounted, volumes: all }
}

const NO_APP: App = {
  exec: [],
  user: '0',
  group: '0',
  supplementaryGIDs: [],
  environment: [],
  workingDirectory: '/',
  mountPoints: [],
  isolators: [],
  userAnnotations: {},
  userLabels: {},
}

function mergeApp(name: AcName, image: PodImage, o: AppOverrides): App {
  const own = image.app ?? NO_APP
  const exec = mergeExec(image, own.exec, o)
  if (exec.length === 0) {
    throw new PodError('POD_UNSUPPORTED', `image ${image.reference} names no program to run`, {
      hint: 'Give one: holdfast run --exec /bin/sh IMAGE, or arguments after --.',
    })
  }
  const { group: ownGroup, ...rest } = own
  // a user given without a group runs with that user's own, not with the group of the image's user
  const group = o.group ?? (o.user === undefined ? ownGroup : undefined)
  const isolators = o.isolators ?? []
  return {
    ...rest,
    exec,
    ...(o.user === undefined ? {} : { user: o.user }),
    ...(group === undefined ? {} : { group }),
    ...(o.supplementaryGIDs === undefined ? {} : { supplementaryGIDs: o.supplementaryGIDs }),
    ...(o.workingDirectory === undefined ? {} : { workingDirectory: o.workingDirectory }),
    environment: environmentOf(name, [...own.environment, ...(o.environment ?? [])]),
    isolators: [...own.isolators.filter((a) => !isolators.some((b) => subjectOf(a) === subjectOf(b))), ...isolators],
    userAnnotations: { ...own.userAnnotations, ...o.userAnnotations },
    userLabels: { ...own.userLabels, ...o.userLabels },
  }
}

/** What an isolator is about: a set that is retained and one that is removed would contradict each other. */
function subjectOf({ name }: Isolator): string {
  return name.replace(/-(retain|remove)-set$/, '')
}

function mergeExec(image: PodImage, own: readonly string[], o: AppOverrides): readonly string[] {
  if (o.exec !== undefined) return [o.exec, ...(o.args ?? [])]
  return o.args === undefined || o.args.length === 0 ? own : [...own.slice(0, image.programLength), ...o.args]
}

/** PATH where nobody says otherwise. Source: App Container specification v0.8.11, "Execution Environment". */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Each variable once, where it was first given, with the value it was given last; PATH and AC_APP_NAME are always there. */
function environmentOf(app: AcName, given: readonly EnvironmentVariable[]): EnvironmentVariable[] {
  const all = [{ name: 'PATH', value: DEFAULT_PATH }, ...given, { name: 'AC_APP_NAME', value: app }]
  const values = new Map(all.map((v) => [v.name, v.value]))
  return [...values].map(([name, value]) => ({ name, value }))
}

function freeName(name: AcName, taken: Set<string>): AcName {
  let free = name
  for (let n = 2; taken.has(free); n++) free = acNameFrom(`${name.slice(0, 58)}-${n}`)
  taken.add(free)
  return free
}

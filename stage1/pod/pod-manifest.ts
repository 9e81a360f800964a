import {
  AC_VERSION,
  type AcName,
  type App,
  acIdentifierFrom,
  acNameFrom,
  type EnvironmentVariable,
  type ImageId,
  type Isolator,
  type PodManifest,
} from '../manifest/index.ts'
import { PodError } from './errors.ts'

/** An image as a pod uses it. */
export interface PodImage {
  readonly id: ImageId
  /** The reference it was fetched by. */
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
  /** Replaces the program, and with it the arguments that the image gives it. */
  readonly exec?: string
  /** Come after the program. */
  readonly args?: readonly string[]
  readonly environment: readonly EnvironmentVariable[]
  readonly user?: string
  readonly group?: string
  readonly workingDirectory?: string
  /** Each replaces the image's isolator of the same name. */
  readonly isolators: readonly Isolator[]
}

/** Name of the annotation with the pod's host name. */
export const HOSTNAME_ANNOTATION = 'holdfast/hostname'

/**
 * The pod manifest that is stored, measured and run: images' app sections with everything the user set merged in.
 *
 * @param overrides one for each image, in the same order
 * @throws PodError POD_UNSUPPORTED for an image that cannot be run
 */
export function buildPodManifest(
  images: readonly PodImage[],
  overrides: readonly AppOverrides[],
  hostname: string,
): PodManifest {
  const taken = new Set<string>()
  return {
    acKind: 'PodManifest',
    acVersion: AC_VERSION,
    apps: images.map((image, i) => {
      const name = freeName(acNameFrom(image.reference), taken)
      return {
        name,
        image: { id: image.id, name: acIdentifierFrom(image.reference.replace(/^[a-z0-9+.-]+:\/*/, '')) },
        app: mergeApp(name, image, overrides[i] ?? { environment: [], isolators: [] }),
      }
    }),
    volumes: [],
    isolators: [],
    annotations: [{ name: HOSTNAME_ANNOTATION, value: hostname }],
  }
}

function mergeApp(name: AcName, image: PodImage, o: AppOverrides): App {
  const own: App = image.app ?? {
    exec: [],
    user: '0',
    group: '0',
    environment: [],
    workingDirectory: '/',
    mountPoints: [],
    isolators: [],
  }
  const exec = mergeExec(image, own.exec, o)
  if (exec.length === 0) {
    throw new PodError('POD_UNSUPPORTED', `image ${image.reference} names no program to run`, {
      hint: 'Give one: holdfast run --exec /bin/sh IMAGE, or arguments after --.',
    })
  }
  const { group: ownGroup, ...rest } = own
  // a user given without a group runs with that user's own, not with the group of the image's user
  const group = o.group ?? (o.user === undefined ? ownGroup : undefined)
  return {
    ...rest,
    exec,
    ...(o.user === undefined ? {} : { user: o.user }),
    ...(group === undefined ? {} : { group }),
    ...(o.workingDirectory === undefined ? {} : { workingDirectory: o.workingDirectory }),
    environment: mergeEnvironment(own.environment, [...o.environment, { name: 'AC_APP_NAME', value: name }]),
    isolators: [...own.isolators.filter((a) => !o.isolators.some((b) => a.name === b.name)), ...o.isolators],
  }
}

function mergeExec(image: PodImage, own: readonly string[], o: AppOverrides): readonly string[] {
  if (o.exec !== undefined) return [o.exec, ...(o.args ?? [])]
  return o.args === undefined || o.args.length === 0 ? own : [...own.slice(0, image.programLength), ...o.args]
}

/** Later values win; the place of a variable is where it was first set. */
function mergeEnvironment(
  base: readonly EnvironmentVariable[],
  more: readonly EnvironmentVariable[],
): EnvironmentVariable[] {
  const values = new Map(base.map((v) => [v.name, v.value]))
  for (const { name, value } of more) values.set(name, value)
  return [...values].map(([name, value]) => ({ name, value }))
}

function freeName(name: AcName, taken: Set<string>): AcName {
  let free = name
  for (let n = 2; taken.has(free); n++) free = acNameFrom(`${name.slice(0, 58)}-${n}`)
  taken.add(free)
  return free
}

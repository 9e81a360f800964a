import { UsageError } from '../../attestation/base/index.ts'
import { type AcName, acIdentifier, acName, type NameValue, type TextMap } from '../manifest/index.ts'
import type { AppOverrides } from '../pod/index.ts'
import { APP_ENVIRONMENT_OPTIONS, appEnvironment, type EnvironmentOptions } from './environment-options.ts'
import { ISOLATOR_OPTIONS, parseIsolators } from './isolator-options.ts'
import type { ImageWords, OptionSpec, OptionValues } from './option-table.ts'
import { MOUNT_OPTION, parseMount } from './volume-options.ts'

/** An app as it was asked for: its image, and what is not the image's own. */
export interface AppOptions {
  /** As typed: looked up in the store, or fetched. */
  readonly image: string
  readonly environment: EnvironmentOptions
  /** All but the environment, which files have a part in. */
  readonly overrides: AppOverrides
}

const PAIR = { value: 'NAME=VALUE', several: true, of: 'app' } as const
/** Options that stand behind an image. */
export const APP_OPTIONS: readonly OptionSpec[] = [
  { name: 'name', value: 'NAME', of: 'app', help: ["instead of the last part of the image's name"] },
  { name: 'exec', value: 'PROGRAM', of: 'app', help: ["run this instead of the image's program"] },
  ...APP_ENVIRONMENT_OPTIONS,
  { name: 'user', value: 'USER', of: 'app', help: ['name or number, looked up in the image'] },
  { name: 'group', value: 'GROUP', of: 'app', help: ["name or number; the user's own group unless given"] },
  {
    name: 'supplementary-gids',
    value: 'NUMBER,...',
    of: 'app',
    help: ["groups besides those of the image's /etc/group"],
  },
  { name: 'working-dir', value: 'PATH', of: 'app', help: ['absolute path in the image; made where it is absent'] },
  { name: 'readonly-rootfs', of: 'app', help: ['nothing but volumes can be written to'] },
  MOUNT_OPTION,
  ...ISOLATOR_OPTIONS,
  { ...PAIR, name: 'annotation', help: ["of the app in this pod, over the image's own"] },
  { ...PAIR, name: 'user-annotation', help: ['for people and tools; nothing here goes by it'] },
  { ...PAIR, name: 'user-label', help: ['the same'] },
]

/** @throws UsageError; PodError POD_ISOLATOR_BAD for a limit of the wrong form */
export function readAppOptions({ image, options: o, args }: ImageWords): AppOptions {
  const [name, exec, user, group] = [o.last('name'), o.last('exec'), o.last('user'), o.last('group')]
  const gids = o.last('supplementary-gids')
  const workingDirectory = o.last('working-dir')
  return {
    image,
    environment: appEnvironment(o),
    overrides: {
      ...(name === undefined ? {} : { name: parseName(name) }),
      ...(exec === undefined ? {} : { exec }),
      ...(args === undefined ? {} : { args }),
      ...(user === undefined ? {} : { user }),
      ...(group === undefined ? {} : { group }),
      ...(gids === undefined ? {} : { supplementaryGIDs: gids.split(',').map(parseGid) }),
      ...(workingDirectory === undefined ? {} : { workingDirectory: parseDirectory(workingDirectory) }),
      readOnlyRootFS: o.flag('readonly-rootfs'),
      isolators: parseIsolators(o),
      mounts: o.all('mount').map(parseMount),
      annotations: pairs(o, 'annotation').map(({ name, value }) => ({ name: annotationName(name), value })),
      userAnnotations: textMap(pairs(o, 'user-annotation')),
      userLabels: textMap(pairs(o, 'user-label')),
    },
  }
}

function parseName(text: string): AcName {
  return checked('--name', () => acName(text))
}

function annotationName(text: string): string {
  return checked('--annotation', () => acIdentifier(text))
}

function checked<T>(option: string, make: () => T): T {
  try {
    return make()
  } catch (err) {
    if (err instanceof RangeError) throw new UsageError(`${option}: ${err.message}`)
    throw err
  }
}

/** Of the last numbers setgroups(2) would take, -1 means something else to other calls. */
function parseGid(text: string): number {
  const gid = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(gid < 0xffffffff)) throw new UsageError(`--supplementary-gids: '${text.slice(0, 40)}' is no group number`)
  return gid
}

function parseDirectory(path: string): string {
  if (path.startsWith('/') && !path.split('/').includes('..')) return path
  throw new UsageError(`--working-dir ${path.slice(0, 120)}: give an absolute path without '..'`)
}

function pairs(o: OptionValues, name: string): NameValue[] {
  return o.all(name).map((text) => {
    const at = text.indexOf('=')
    if (at <= 0) throw new UsageError(`--${name} ${text.slice(0, 80)}: write NAME=VALUE`)
    return { name: text.slice(0, at), value: text.slice(at + 1) }
  })
}

function textMap(all: readonly NameValue[]): TextMap {
  return Object.fromEntries(all.map(({ name, value }) => [name, value]))
}

import { type AcName, acName } from './ac-name.ts'
import { type Port, readPorts } from './ports.ts'
import type { ShapeReader } from './reader.ts'

/** One variable, in the order the app will see them. */
export interface EnvironmentVariable {
  readonly name: string
  readonly value: string
}

/** A place in the app's root where a volume is mounted. */
export interface MountPoint {
  readonly name: AcName
  /** Absolute path in the app's root. */
  readonly path: string
  readonly readOnly: boolean
  /**
   * Nothing is mounted here unless a volume is given: the app finds what its image has there, and writes to its own
   * layer. So it is with an OCI image's volumes; the App Container specification knows no such member and its readers
   * leave it out.
   */
  readonly optional?: true
}

/** A program of the app's root that is run, as the app would be, before it starts or after it has ended. */
export interface EventHandler {
  readonly name: 'pre-start' | 'post-stop'
  readonly exec: readonly string[]
}

/** A limit or a grant; the value is checked by whoever carries it out. */
export interface Isolator {
  readonly name: string
  readonly value: unknown
}

/**
 * How an app is run (App Container specification v0.8.11, "Image Manifest Schema", `app`).
 * `group` is absent where an OCI image names a user only: then it is that user's own group in the image's /etc/passwd,
 * or 0 where the user is a number that is not listed there.
 */
export interface App {
  readonly exec: readonly string[]
  /** At most one of each name; absent where there are none. */
  readonly eventHandlers?: readonly EventHandler[]
  /** Name or number as text, or the absolute path of a file of the image, whose owner it is then. */
  readonly user: string
  readonly group?: string
  /** Numbers that are added to the groups of the image's /etc/group. */
  readonly supplementaryGIDs: readonly number[]
  readonly environment: readonly EnvironmentVariable[]
  /** Absolute path in the app's root. */
  readonly workingDirectory: string
  readonly mountPoints: readonly MountPoint[]
  /** What it listens on; absent where it names nothing. */
  readonly ports?: readonly Port[]
  readonly isolators: readonly Isolator[]
  /** What users say of it; nothing here goes by it. */
  readonly userAnnotations: TextMap
  readonly userLabels: TextMap
}

/** Texts by name, as users give them. */
export type TextMap = Readonly<Record<string, string>>

const MAX_ARGUMENTS = 4096
const MAX_VARIABLES = 4096
const MAX_ITEMS = 256
/** setgroups(2) takes 32 bits, and the last of them means "leave it as it is" elsewhere. */
const LAST_ID = 0xfffffffe
const APP_MEMBERS = [
  ...['exec', 'user', 'group', 'supplementaryGIDs', 'environment', 'workingDirectory', 'mountPoints', 'isolators'],
  ...['eventHandlers', 'ports', 'userAnnotations', 'userLabels'],
]

/** Reads an `app` section. `strict` notes unknown members too: pod manifests are ours, image manifests may be newer. */
export function readApp(r: ShapeReader, value: unknown, path: string, strict: boolean): App {
  const o = r.object(value, path)
  if (strict) r.onlyKnown(o, path, APP_MEMBERS)
  const group = r.optionalString(o['group'], `${path}.group`)
  const workingDirectory = r.optionalString(o['workingDirectory'], `${path}.workingDirectory`) || '/'
  requireAbsolute(r, workingDirectory, `${path}.workingDirectory`)
  const user = r.string(o['user'], `${path}.user`)
  if (user === '') r.complain(`${path}.user`, 'is empty')
  if (group === '') r.complain(`${path}.group`, 'is empty')
  return {
    exec: r.strings(o['exec'], `${path}.exec`, MAX_ARGUMENTS),
    ...(o['eventHandlers'] === undefined
      ? {}
      : { eventHandlers: readEventHandlers(r, o['eventHandlers'], `${path}.eventHandlers`) }),
    user,
    ...(group === undefined ? {} : { group }),
    supplementaryGIDs: r
      .list(o['supplementaryGIDs'], `${path}.supplementaryGIDs`, MAX_ITEMS)
      .flatMap((v, i) => readId(r, v, `${path}.supplementaryGIDs[${i}]`)),
    environment: r
      .list(o['environment'], `${path}.environment`, MAX_VARIABLES)
      .map((v, i) => readVariable(r, v, `${path}.environment[${i}]`)),
    workingDirectory,
    mountPoints: readMountPoints(r, o['mountPoints'], `${path}.mountPoints`),
    ...(o['ports'] === undefined ? {} : { ports: readPorts(r, o['ports'], `${path}.ports`) }),
    isolators: readIsolators(r, o['isolators'], `${path}.isolators`),
    userAnnotations: readTextMap(r, o['userAnnotations'], `${path}.userAnnotations`),
    userLabels: readTextMap(r, o['userLabels'], `${path}.userLabels`),
  }
}

/** Number of a user or group, as a list of one; an empty list after a complaint. */
export function readId(r: ShapeReader, value: unknown, path: string): number[] {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LAST_ID) return [value]
  r.complain(path, `must be a whole number from 0 to ${LAST_ID}`)
  return []
}

/** Reads userAnnotations or userLabels. */
export function readTextMap(r: ShapeReader, value: unknown, path: string): TextMap {
  const entries = Object.entries(r.optionalObject(value, path) ?? {})
  if (entries.length > MAX_ITEMS) r.complain(path, `has ${entries.length} members, at most ${MAX_ITEMS} are allowed`)
  return Object.fromEntries(entries.slice(0, MAX_ITEMS).map(([k, v]) => [k, r.string(v, `${path}.${k}`)]))
}

function readEventHandlers(r: ShapeReader, value: unknown, path: string): EventHandler[] {
  const handlers = r.list(value, path, MAX_ITEMS).flatMap((v, i): EventHandler[] => {
    const o = r.object(v, `${path}[${i}]`)
    const name = o['name']
    const exec = r.strings(o['exec'], `${path}[${i}].exec`, MAX_ARGUMENTS)
    if (exec.length === 0) r.complain(`${path}[${i}].exec`, 'is empty: there is nothing to run')
    if (name === 'pre-start' || name === 'post-stop') return [{ name, exec }]
    r.complain(`${path}[${i}].name`, "must be 'pre-start' or 'post-stop'")
    return []
  })
  if (new Set(handlers.map((h) => h.name)).size < handlers.length) r.complain(path, 'names an event twice')
  return handlers
}

function readVariable(r: ShapeReader, value: unknown, path: string): EnvironmentVariable {
  const o = r.object(value, path)
  const name = r.string(o['name'], `${path}.name`)
  if (name === '' || name.includes('=')) r.complain(`${path}.name`, 'is empty or contains =')
  return { name, value: r.string(o['value'], `${path}.value`) }
}

function readMountPoints(r: ShapeReader, value: unknown, path: string): MountPoint[] {
  return r.list(value, path, MAX_ITEMS).flatMap((v, i) => {
    const o = r.object(v, `${path}[${i}]`)
    const name = r.checked(() => acName(r.string(o['name'], `${path}[${i}].name`)), `${path}[${i}].name`)
    const target = r.string(o['path'], `${path}[${i}].path`)
    requireAbsolute(r, target, `${path}[${i}].path`)
    const readOnly = o['readOnly'] === undefined ? false : r.boolean(o['readOnly'], `${path}[${i}].readOnly`)
    const optional = o['optional'] !== undefined && r.boolean(o['optional'], `${path}[${i}].optional`)
    return name === undefined ? [] : [{ name, path: target, readOnly, ...(optional && { optional }) }]
  })
}

/** Reads a list of isolators, of an app or of a pod. */
export function readIsolators(r: ShapeReader, value: unknown, path: string): Isolator[] {
  return r.list(value, path, MAX_ITEMS).map((v, i) => {
    const o = r.object(v, `${path}[${i}]`)
    if (!('value' in o)) r.complain(`${path}[${i}].value`, 'is missing')
    return { name: r.string(o['name'], `${path}[${i}].name`), value: o['value'] }
  })
}

/**
 * Notes a path that is not absolute or that climbs: it is joined to a root by code that must not have to think of it.
 */
export function requireAbsolute(r: ShapeReader, text: string, path: string): void {
  if (!text.startsWith('/') || text.split('/').includes('..')) r.complain(path, "must be absolute, without '..'")
}

import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { acName, parseJson, readTextMap, ShapeReader } from '../manifest/index.ts'
import { PodNetworkDir } from '../network/index.ts'
import { type AppState, readAppState, readReadyAt } from './app-status.ts'
import { PodError } from './errors.ts'
import { inDirectory } from './pod-directory.ts'
import { readPodText } from './pod-file.ts'
import type { Pod } from './pod-list.ts'
import { type PodProvenance, provenanceOf } from './pod-provenance.ts'
import { readShownManifest } from './shown-manifest.ts'

/** Why a pod was not started: JSON with `at`, `code` and `message`. */
export const REFUSED_FILE = 'refused.json'

const MAX_APPS = 64

/** An app of a pod and how it fares. */
export interface AppStatus extends AppState {
  readonly name: string
  /**
   * As the image was asked for, so that it can be asked for again; the manifest's own name of a pod that was never
   * launched.
   */
  readonly imageName: string
  readonly imageId: string
  readonly userAnnotations: Readonly<Record<string, string>>
  readonly userLabels: Readonly<Record<string, string>>
}

/** How a virtual machine ended, as its keeper saw it (flavours/kvm/README.md). */
export interface VmEnd {
  /** `poweroff` for one that ended in order. */
  readonly end: string
  /** Lines that the guest may have written; empty where there is nothing to say. */
  readonly message: string
}

/** Everything that the directory of a pod tells. */
export interface PodStatus {
  readonly pod: Pod
  readonly apps: readonly AppStatus[]
  /** When its directory was made. */
  readonly createdAt?: Date
  /** When it was handed to its stage1; absent for one that never was. */
  readonly startedAt?: Date
  /** When each of its apps had been executed. */
  readonly readyAt?: Date
  /** How the launch was let through; absent for one that was not. */
  readonly mode?: string
  /** `none`, `host`, or its networks with the addresses it has or had there, as `default:ip4=172.16.28.2`; absent before its launch. */
  readonly networks?: readonly string[]
  /** Where its parts came from, as measured; absent for a pod that was not launched. */
  readonly provenance?: PodProvenance
  /** Of a virtual machine that has ended. */
  readonly vmEnd?: VmEnd
  /** Why it was not started. */
  readonly refused?: { readonly code: string; readonly message: string }
}

/**
 * Reads what can be read; a pod that was abandoned half-made has no apps.
 * @throws PodError POD_FILE_BAD, POD_DIRECTORY_FAILED; ManifestError for a manifest that is not ours
 */
export function readPodStatus(pod: Pod): PodStatus {
  return inDirectory(pod.path, () => {
    const bytes = readShownManifest(pod.path)?.bytes
    const launch = readJson(pod, 'launch.json')
    const mode = launch?.['mode']
    const asked = object(launch?.['launch'])
    // nothing else was ever refused
    const refused = pod.directory.endsWith('garbage') ? readJson(pod, REFUSED_FILE) : undefined
    const provenance = provenanceOf(launch)
    return {
      pod,
      apps: bytes === undefined || bytes.length === 0 ? [] : appsOf(pod, bytes, imageNames(asked?.['images'])),
      ...optional('createdAt', modified(`${pod.path}/pod`)),
      ...optional('startedAt', modified(`${pod.path}/launch.json`)),
      ...optional('readyAt', readReadyAt(pod.path)),
      ...optional('mode', typeof mode === 'string' ? mode : undefined),
      ...optional('networks', networksOf(pod.path, asked?.['network'])),
      ...optional('provenance', provenance),
      ...optional('vmEnd', provenance?.accelerator === undefined ? undefined : vmEndOf(pod)),
      ...(refused === undefined
        ? {}
        : { refused: { code: String(refused['code']), message: String(refused['message']) } }),
    }
  })
}

/**
 * The app that a command is about: the named one, or the only one.
 * @throws PodError POD_APP_UNKNOWN
 */
export function chooseApp({ pod, apps }: PodStatus, name: string | undefined): string {
  const names = apps.map((a) => a.name)
  const [only] = names
  if (name === undefined && names.length === 1 && only !== undefined) return only
  if (name !== undefined && names.includes(name)) return name
  const what = name === undefined ? `has ${names.length} apps` : `has no app ${name}`
  throw new PodError('POD_APP_UNKNOWN', `pod ${pod.uuid} ${what}: ${names.join(', ') || 'none'}`, {
    hint: 'Name one of them: --app NAME.',
  })
}

/**
 * Of the manifest only what is shown is read: to launch or enter a pod all of it is, and held against what was measured.
 */
function appsOf(pod: Pod, bytes: Uint8Array, names: readonly string[]): AppStatus[] {
  const ended = pod.state !== 'running'
  const r = new ShapeReader('pod manifest')
  const apps = r.list(r.object(parseJson(bytes, 'pod manifest'), '$')['apps'], '$.apps', MAX_APPS).map((value, i) => {
    const o = r.object(value, `$.apps[${i}]`)
    const image = r.object(o['image'], `$.apps[${i}].image`)
    const app = r.object(o['app'], `$.apps[${i}].app`)
    return {
      name: r.checked(() => acName(r.string(o['name'], '$.name')), `$.apps[${i}].name`),
      imageName: r.string(image['name'], `$.apps[${i}].image.name`),
      imageId: r.string(image['id'], `$.apps[${i}].image.id`),
      userAnnotations: readTextMap(r, app['userAnnotations'], `$.apps[${i}].app.userAnnotations`),
      userLabels: readTextMap(r, app['userLabels'], `$.apps[${i}].app.userLabels`),
    }
  })
  r.finish()
  return apps.flatMap(({ name, ...app }, i) =>
    name === undefined
      ? []
      : [{ name, ...app, imageName: names[i] ?? app.imageName, ...readAppState(pod.path, name, ended) }],
  )
}

/** Only for a virtual machine: where apps share the host's kernel, what lies there is the pod's own doing. */
function vmEndOf(pod: Pod): VmEnd | undefined {
  const told = readJson(pod, 'status/_vm.json')
  const [end, message] = [told?.['end'], told?.['message']]
  return typeof end === 'string' && typeof message === 'string' ? { end, message } : undefined
}

/** One of the pod's own records; nothing where there is none, or where a crash cut it short. */
function readJson(pod: Pod, name: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const text = readPodText(pod.path, name)
    return text === undefined ? undefined : object(JSON.parse(text))
  } catch (err) {
    if (err instanceof SyntaxError || err instanceof TypeError) return undefined
    throw err
  }
}

function imageNames(images: unknown): string[] {
  return Array.isArray(images) ? images.map((image) => String(object(image)?.['name'])) : []
}

/** As the launch request has it: one word, or an object for each network. */
function networksOf(podPath: string, network: unknown): readonly string[] | undefined {
  if (typeof network !== 'string') return undefined
  if (network !== 'cni') return [network]
  return new PodNetworkDir(podPath).joined().map(({ name, addresses }) => {
    const shown = addresses.map((address) => `${address.includes(':') ? 'ip6' : 'ip4'}=${address.replace(/\/.*$/, '')}`)
    return [name, ...shown].join(':')
  })
}

function object(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? { ...value } : undefined
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const result: { [P in K]?: V } = {}
  if (value !== undefined) result[key] = value
  return result
}

/** When a file was last written; undefined where it is absent. */
export function modified(file: string): Date | undefined {
  try {
    return fs.lstatSync(file).mtime
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}

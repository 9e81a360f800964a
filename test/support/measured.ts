import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson } from '../../attestation/base/index.ts'
import type { LaunchLogContent } from '../../attestation/event-log/index.ts'
import type { LaunchRequest } from '../../attestation/protocol/index.ts'
import { treeDigestOf } from '../../stage1/image/index.ts'
import type { Deployment } from './deployment.ts'
import { PROJECT_ROOT } from './holdfast.ts'
import {
  BUSYBOX,
  busyboxTar,
  hostArchitecture,
  json,
  sha256,
  type TarEntrySpec,
  tar,
  writeOciLayout,
} from './images.ts'

/** An image as its author knows it, before anything of the product has seen it. */
export interface MadeImage {
  /** What to call it by: `oci:...`, `docker-archive:...` or the path of an ACI. */
  readonly name: string
  readonly id: string
  /** `sha256:<hex>` of the OCI manifest, where its author writes one. */
  readonly manifest?: string
  /** What /marker of the image holds. */
  readonly marker: string
}
export const FORMATS = ['oci', 'aci', 'docker'] as const
export type Format = (typeof FORMATS)[number]

/** A busybox with a marker of its own, in each format. */
export function writeImages(directory: string): Readonly<Record<Format, MadeImage>> {
  return { oci: writeOci(directory), aci: writeAci(directory), docker: writeDockerArchive(directory) }
}

const CONFIG = { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] }
const layerOf = (marker: string, more: readonly TarEntrySpec[] = []): Buffer =>
  busyboxTar([{ name: 'marker', data: `${marker}\n` }, ...more])

function writeOci(directory: string): MadeImage {
  const [layout, marker] = [join(directory, 'measured-layout'), 'of the layout']
  const written = writeOciLayout(layout, { layers: [{ tar: layerOf(marker) }], config: CONFIG })
  const id = written.configDigest.replace(':', '-')
  return { name: `oci:${layout}:latest`, id, manifest: written.manifestDigest, marker }
}

function writeDockerArchive(directory: string): MadeImage {
  const [file, marker] = [join(directory, 'measured.tar'), 'of the docker archive']
  const layer = layerOf(marker)
  const rootfs = { type: 'layers', diff_ids: [sha256(layer)] }
  const config = json({ os: 'linux', architecture: hostArchitecture(), config: CONFIG, rootfs })
  const manifest = json([{ Config: 'config.json', RepoTags: ['measured:1'], Layers: ['layer.tar'] }])
  const members = { 'manifest.json': manifest, 'config.json': config, 'layer.tar': layer }
  writeFileSync(file, tar(Object.entries(members).map(([name, data]) => ({ name, data }))))
  return { name: `docker-archive:${file}`, id: sha256(config).replace(':', '-'), marker }
}

function writeAci(directory: string): MadeImage {
  const [file, marker] = [join(directory, 'measured.aci'), 'of the ACI']
  const app = { exec: ['/bin/sh'], user: '0', group: '0', environment: [{ name: 'PATH', value: '/bin' }] }
  const labels = [
    { name: 'os', value: 'linux' },
    { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
  ]
  const manifest = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'test.invalid/measured', labels, app }
  const applets = 'cat echo grep sh'.split(' ').map((name) => ({ name: `rootfs/bin/${name}`, link: 'busybox' }))
  const aci = tar([
    { name: 'manifest', data: json(manifest) },
    ...['rootfs/', 'rootfs/bin/', 'rootfs/etc/', 'rootfs/tmp/'].map((name) => ({ name })),
    { name: 'rootfs/bin/busybox', mode: 0o755, data: readFileSync(BUSYBOX) },
    ...applets,
    { name: 'rootfs/marker', data: `${marker}\n` },
  ])
  writeFileSync(file, aci)
  return { name: file, id: aciId(aci), marker }
}

function aciId(aci: Uint8Array): string {
  return `sha512-${createHash('sha512').update(aci).digest('hex').slice(0, 64)}`
}

/** Of the program that all apps are. */
export const BUSYBOX_SHA256 = existsSync(BUSYBOX) ? hexOf(readFileSync(BUSYBOX)) : ''

/** What an app says of itself, in lines; it is root and may do nothing but CAP_CHOWN. */
export const TELL = [
  'cat /marker; busybox sha256sum /bin/busybox; busybox readlink /proc/self/ns/net',
  'grep -E "^(CapEff|Seccomp):" /proc/self/status; echo "$TOKEN"',
].join('; ')

/** What isolates the pods of a test, and what of it must be in the log. */
export interface MeasuredFlavour {
  readonly name: 'nspawn' | 'kvm'
  /** Skips where this machine cannot. */
  readonly require: (context: Mocha.Context) => void
  readonly options: readonly string[]
  /** Whether a cell of the table is walked: position of way and format, number of apps. */
  readonly takes: (way: number, format: number, apps: number) => boolean
  /** What else than none a pod's network can be. */
  readonly otherNetwork: 'none' | 'host'
  readonly ownKernel: boolean
  /** All that is on standard error. */
  readonly says: RegExp
  /** The plan as somebody would change it when the pod runs already: file and content. */
  readonly plan: readonly (readonly [file: string, content: string])[]
  /** Of the host, beside holdfast-stage1. */
  readonly hostPrograms: readonly string[]
  readonly machine?: () => LaunchRequest['stage1']['machine']
}

/** What such an app must have said. */
export interface Told {
  readonly flavour: MeasuredFlavour
  readonly image: MadeImage
  readonly hostNetwork: boolean
  readonly filtered: boolean
  readonly token: string
}

export function assertTold(stdout: string, apps: readonly Told[]): void {
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, apps.length * 6, stdout)
  // apps of a pod run at once: each line is asked for by itself
  for (const { flavour, image, hostNetwork, filtered, token } of apps) {
    const [network] = lines.filter((line) => line.startsWith('net:['))
    // numbers of namespaces mean nothing to another kernel
    if (!flavour.ownKernel) assert.equal(network === readlinkSync('/proc/self/ns/net'), hostNetwork)
    for (const line of [image.marker, `${BUSYBOX_SHA256}  /bin/busybox`, 'CapEff:\t0000000000000001', token]) {
      assert.ok(lines.includes(line), `${JSON.stringify(line)} is not in ${stdout}`)
    }
    assert.ok(lines.includes(`Seccomp:\t${filtered ? 2 : 0}`), stdout)
  }
}

/** What a launch must have left in the log. */
export interface Expected {
  readonly uuid: string
  readonly images: readonly MadeImage[]
  readonly network: 'none' | 'host'
  readonly relaxed: readonly string[]
  readonly isolators: LaunchRequest['isolators']
  readonly statuses: Readonly<Record<string, number>>
}

/**
 * Everything in the records of a pod is what its images are, what its directory holds, and what was asked for; digests
 * are made here anew, from the files and from what the images' author knows.
 */
export function assertRecorded(
  d: Deployment,
  flavour: MeasuredFlavour,
  records: readonly LaunchLogContent[],
  e: Expected,
): void {
  const at = records.findIndex((r) => r.record === 'pod' && r.uuid === e.uuid)
  const [pod, launch] = [records[at], records.find((r) => r.record === 'launch' && r.uuid === e.uuid)]
  assert.ok(pod?.record === 'pod' && launch?.record === 'launch')
  const directory = join(d.dataDirectory, 'pods/run', e.uuid)
  const { answer } = JSON.parse(readFileSync(join(directory, 'launch.json'), 'utf8'))
  const request: LaunchRequest = JSON.parse(answer.request)

  const requestSha256 = hexOf(Buffer.from(answer.request))
  const stage1Id = aciId(readFileSync(join(PROJECT_ROOT, `build/stage1-${flavour.name}.aci`)))
  assert.deepEqual(pod, {
    ...{ record: 'pod', uuid: e.uuid, request: requestSha256, manifest: redactedDigest(directory), stage1: stage1Id },
    images: e.images.map((i) => i.id),
    ...(request.guest === undefined ? {} : { guest: request.guest.archive }),
  })
  assert.deepEqual(request.stage1.machine, flavour.machine?.())
  assert.equal(request.guest !== undefined, flavour.machine !== undefined)
  assert.equal(request.pod.manifestSha256, pod.manifest)
  assert.equal(hexOf(Buffer.from(canonicalJson(request.pod.manifest))), pod.manifest)
  const { network, relaxed, isolators } = request
  assert.deepEqual({ network, relaxed, isolators }, { network: e.network, relaxed: e.relaxed, isolators: e.isolators })
  assert.equal(launch.request, requestSha256)
  assert.equal(launch.ticket, JSON.parse(Buffer.from(answer.ticket.split('.')[1], 'base64url').toString()).jti)
  const { stage1, images } = request
  assert.deepEqual(stage1.hostPrograms, [
    ...flavour.hostPrograms.map((path) => ({ path, sha256: hexOf(readFileSync(path)) })),
    { path: join(PROJECT_ROOT, 'build/holdfast-stage1'), sha256: helperSha256() },
  ])

  const before = records.slice(0, at)
  assert.equal(stage1.tree, treeOf(d, stage1.tree))
  assert.deepEqual(
    before.findLast((r) => r.record === 'stage1' && r.id === stage1Id),
    { record: 'stage1', ...stage1 },
  )
  assert.equal(images.length, e.images.length)
  for (const [i, made] of e.images.entries()) {
    const image = images[i]
    assert.ok(image !== undefined)
    assert.deepEqual([image.name, image.id, image.relaxed, image.signers], [made.name, made.id, [], []])
    if (made.manifest !== undefined) assert.equal(image.manifest, made.manifest)
    assert.equal(image.tree, treeOf(d, image.tree))
    const last = before.findLast((r) => r.record === 'image' && r.id === made.id && r.name === made.name)
    assert.deepEqual(last, { record: 'image', ...image })
  }
  const exited = records.filter((r) => r.record === 'exited' && r.uuid === e.uuid)
  assert.deepEqual(exited, [{ record: 'exited', uuid: e.uuid, reason: 'exited', statuses: e.statuses }])
}

/** The digest of the manifest in a pod's directory, its values redacted with the key that lies beside it. */
function redactedDigest(directory: string): string {
  const key = readFileSync(join(directory, 'redaction-key'))
  const pod = JSON.parse(readFileSync(join(directory, 'pod'), 'utf8'))
  for (const { name: app, app: settings } of pod.apps) {
    for (const variable of settings.environment) {
      const mac = createHmac('sha256', key).update([app, variable.name, variable.value].join('\0')).digest('hex')
      variable.value = `hmac-sha256:${mac}`
    }
  }
  return hexOf(Buffer.from(canonicalJson(pod)))
}

/** The digest of the file that is mounted for a tree digest, as it is now. */
function treeOf(d: Deployment, tree: string): string {
  const fd = openSync(treeFile(d, tree), 'r')
  try {
    return treeDigestOf(fd, fstatSync(fd).size)
  } finally {
    closeSync(fd)
  }
}

export function treeFile(d: Deployment, tree: string): string {
  return join(d.dataDirectory, 'trees', `${tree.split(':').at(-1)}.erofs`)
}

export function helperSha256(): string {
  return hexOf(readFileSync(join(PROJECT_ROOT, 'build/holdfast-stage1')))
}

export function hexOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Each program that was run inside an app is in the log, with what it was asked for by and confined by. */
export function assertEntered(
  d: Deployment,
  records: readonly LaunchLogContent[],
  uuid: string,
  app: string,
  commands: readonly (readonly string[])[],
): void {
  const pod = records.find((r) => r.record === 'pod' && r.uuid === uuid)
  assert.ok(pod?.record === 'pod')
  const directory = join(d.dataDirectory, 'pods/run', uuid)
  const { answer } = JSON.parse(readFileSync(join(directory, 'launch.json'), 'utf8'))
  const { node }: LaunchRequest = JSON.parse(answer.request)
  const key = readFileSync(join(directory, 'redaction-key'))
  const by = { uid: 0, gid: 0 }
  const entered = records.flatMap((r) => (r.record === 'enter' && r.uuid === uuid ? [r] : []))
  assert.equal(new Set(entered.map((r) => r.ticket)).size, commands.length, 'a ticket for each')
  const expected = commands.map((command, i) => {
    const mac = createHmac('sha256', key).update(command.map((word) => `${word}\0`).join(''))
    const asked = { app, program: command[0] ?? '', argv: `hmac-sha256:${mac.digest('hex')}` }
    const request = {
      ...{ v: 1, action: 'enter', pod: uuid, launch: pod.request, ...asked },
      ...{ helper: helperSha256(), node, mode: 'enforce', by },
    }
    const { ticket, verifierKey, policy } = entered[i] ?? {}
    return {
      ...{ record: 'enter', uuid, request: hexOf(Buffer.from(canonicalJson(request))), ...asked, by },
      ...{ ticket, verifierKey, policy, mode: 'enforce' },
    }
  })
  assert.deepEqual(entered, expected)
}

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** One entry of a tar to be made; names are bytes as latin1 text, numbers are written as they are, sense or not. */
export interface TarEntrySpec {
  readonly name: string
  /** Typeflag, '0' (file) unless there is a link or the name ends in '/'. */
  readonly type?: string
  readonly data?: Uint8Array | string
  /** Stated size, that of the data unless given. */
  readonly size?: number
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly link?: string
  readonly device?: readonly [major: number, minor: number]
  /** PAX records written before the entry. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>
}

/** A ustar archive with its two blocks of zeros. */
export function tar(entries: readonly TarEntrySpec[]): Buffer {
  return Buffer.concat([...entries.flatMap(tarBlocks), Buffer.alloc(1024)])
}

/** Header, data and padding of one entry, PAX header before it. */
export function tarBlocks(e: TarEntrySpec): Buffer[] {
  const data = Buffer.from(e.data ?? '')
  const type = e.type ?? (e.link !== undefined ? '2' : e.name.endsWith('/') ? '5' : '0')
  const blocks = e.pax ? tarBlocks({ name: 'PaxHeaders/x', type: 'x', data: paxRecords(e.pax) }) : []
  const h = Buffer.alloc(512)
  h.write(e.name, 0, 100, 'latin1')
  octal(h, 100, 8, e.mode ?? (type === '5' ? 0o755 : 0o644))
  octal(h, 108, 8, e.uid ?? 0)
  octal(h, 116, 8, e.gid ?? 0)
  octal(h, 124, 12, e.size ?? data.length)
  octal(h, 136, 12, e.mtime ?? 1_500_000_000)
  h.write(type, 156, 1, 'latin1')
  h.write(e.link ?? '', 157, 100, 'latin1')
  h.write('ustar\x0000', 257, 8, 'latin1')
  octal(h, 329, 8, e.device?.[0] ?? 0)
  octal(h, 337, 8, e.device?.[1] ?? 0)
  sealHeader(h)
  return [...blocks, h, data, Buffer.alloc((512 - (data.length % 512)) % 512)]
}

/** Puts the checksum into a header that was changed. */
export function sealHeader(h: Buffer): void {
  h.fill(' ', 148, 156)
  const sum = h.subarray(0, 512).reduce((a, b) => a + b, 0)
  h.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1')
}

/** PAX records, each with its own length in front. */
export function paxRecords(records: Readonly<Record<string, string | Uint8Array>>): Buffer {
  return Buffer.concat(
    Object.entries(records).map(([key, value]) => {
      const body = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), Buffer.from(value), Buffer.from('\n')])
      let length = body.length + 1
      while (String(length).length + body.length !== length) length = String(length).length + body.length
      return Buffer.concat([Buffer.from(String(length)), body])
    }),
  )
}

function octal(h: Buffer, at: number, length: number, value: number): void {
  h.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1')
}

/** A layer of an image to be made. */
export interface LayerSpec {
  readonly tar: Uint8Array
  /** 'gzip' unless given. */
  readonly compression?: 'none' | 'gzip'
}

/** What an image layout is made of. */
export interface LayoutSpec {
  readonly layers: readonly LayerSpec[]
  /** The configuration's `config` member. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly architecture?: string
  /** Ref name, 'latest' unless given. */
  readonly ref?: string
}

/** Descriptors of what was written; paths are `blobs/sha256/<hex>` below the layout's directory. */
export interface WrittenLayout {
  readonly manifestDigest: string
  readonly configDigest: string
  readonly layerDigests: readonly string[]
}

/** Writes an OCI image layout with one image. */
export function writeOciLayout(dir: string, spec: LayoutSpec): WrittenLayout {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true })
  const layers = spec.layers.map(({ tar: bytes, compression = 'gzip' }) => ({
    mediaType: `application/vnd.oci.image.layer.v1.tar${compression === 'gzip' ? '+gzip' : ''}`,
    ...writeBlob(dir, compression === 'gzip' ? gzipSync(bytes) : bytes),
  }))
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    ...writeBlob(
      dir,
      json({
        os: 'linux',
        architecture: spec.architecture ?? hostArchitecture(),
        config: spec.config ?? {},
        rootfs: { type: 'layers', diff_ids: spec.layers.map((l) => sha256(l.tar)) },
      }),
    ),
  }
  const manifestType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = writeBlob(dir, json({ schemaVersion: 2, mediaType: manifestType, config, layers }))
  const annotations = { 'org.opencontainers.image.ref.name': spec.ref ?? 'latest' }
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  writeFileSync(
    join(dir, 'index.json'),
    json({ schemaVersion: 2, manifests: [{ mediaType: manifestType, ...manifest, annotations }] }),
  )
  return { manifestDigest: manifest.digest, configDigest: config.digest, layerDigests: layers.map((l) => l.digest) }
}

/** Writes a blob of a layout and gives the digest and size for its descriptor. */
export function writeBlob(dir: string, bytes: Uint8Array): { readonly digest: string; readonly size: number } {
  const digest = sha256(bytes)
  writeFileSync(join(dir, 'blobs', digest.replace(':', '/')), bytes)
  return { digest, size: bytes.length }
}

/** `sha256:<hex>` of bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** JSON as bytes. */
export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** The architecture of this machine in the words of OCI. */
export function hostArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch
}

const APPLETS =
  'cat chmod cp date dd echo env false grep head hostname id kill ls mkdir mount mv ps rm sh sleep stat sync touch true uname wc'

/** Static busybox of Debian's package busybox-static. */
export const BUSYBOX = '/bin/busybox'

/** A small real root: static busybox and what a shell expects, the same bytes each time. */
export function busyboxTar(extra: readonly TarEntrySpec[] = []): Buffer {
  return tar([
    ...['bin/', 'dev/', 'etc/', 'proc/', 'root/', 'run/', 'sys/', 'usr/', 'var/'].map((name) => ({ name })),
    { name: 'tmp/', mode: 0o1777 },
    { name: 'bin/busybox', mode: 0o755, data: readFileSync(BUSYBOX) },
    ...APPLETS.split(' ').map((applet) => ({ name: `bin/${applet}`, link: 'busybox' })),
    { name: 'etc/passwd', data: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' },
    { name: 'etc/group', data: 'root:x:0:\nnogroup:x:65534:\n' },
    ...extra,
  ])
}

/** Writes an OCI layout of the busybox root. @throws when busybox-static is not installed */
export function writeBusyboxLayout(dir: string, options: Omit<LayoutSpec, 'layers'> = {}): WrittenLayout {
  const config = { Cmd: ['/bin/sh'], Env: ['PATH=/bin'], ...options.config }
  return writeOciLayout(dir, { ...options, config, layers: [{ tar: busyboxTar() }] })
}

let built: string | undefined

/** Path of the `holdfast-stage1` program, built on first use if its sources are newer. */
export function stage1Program(): string {
  if (built === undefined) {
    mkdirSync(join(ROOT, 'build'), { recursive: true })
    execFileSync('make', ['-s', '-C', join(ROOT, 'native/stage1')], { stdio: ['ignore', 'ignore', 'inherit'] })
    built = join(ROOT, 'build/holdfast-stage1')
  }
  return built
}

/** Why tests that make files of other owners, and mount, cannot run here; undefined where they can. */
export function cannotRender(): string | undefined {
  return process.geteuid?.() === 0 ? undefined : 'not root'
}

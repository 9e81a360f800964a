import { canonicalJson, utf8 } from '../../attestation/base/index.ts'
import type { ImageManifest, NameValue, PodManifest } from '../manifest/index.ts'

/** A request for the service, without the token. */
export interface MetadataRequest {
  readonly method: string
  /** Below the token: `/acMetadata/v1/...`. */
  readonly path: string
  /** Fields of a POST; empty otherwise. */
  readonly form: URLSearchParams
}

/** The pod that asks, and what it takes to answer it. */
export interface AskingPod {
  readonly uuid: string
  readonly manifest: PodManifest
  readonly imageOf: (imageId: string) => ImageManifest
  /** Signs as this pod. */
  readonly sign: (content: string) => string
  /** Whether the pod with this UUID, this one or another of this machine, has signed. */
  readonly verify: (uuid: string, content: string, signature: string) => boolean
}

export interface MetadataAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: Uint8Array
}

const TEXT = 'text/plain; charset=us-ascii'
const JSON_TYPE = 'application/json'
const BASE = '/acMetadata/v1'

/**
 * Answers as the App Container specification v0.8.11, "App Container Metadata Service", asks. What is asked for is the pod's
 * manifest as it was launched, secrets among it: it is the pod's own.
 *
 * @throws what `imageOf` throws
 */
export function answerMetadata(pod: AskingPod, { method, path, form }: MetadataRequest): MetadataAnswer {
  if (!path.startsWith(`${BASE}/`)) return refusal(404, `there is ${BASE}/pod/... and ${BASE}/apps/NAME/...`)
  const parts = path.slice(BASE.length + 1).split('/')
  const [area, name, ...rest] = parts
  const what = area === 'apps' ? `apps/${rest.join('/')}` : parts.join('/')
  const wanted = what === 'pod/hmac/sign' || what === 'pod/hmac/verify' ? 'POST' : 'GET'
  if (method !== wanted) return refusal(405, `${what} is for ${wanted}`)
  switch (what) {
    case 'pod/uuid':
      return text(pod.uuid)
    case 'pod/manifest':
      return json(pod.manifest)
    case 'pod/annotations':
      return json(pod.manifest.annotations)
    case 'pod/hmac/sign':
      return sign(pod, form)
    case 'pod/hmac/verify':
      return verify(pod, form)
  }
  const app = area === 'apps' ? pod.manifest.apps.find((a) => a.name === name) : undefined
  if (app === undefined) return refusal(404, 'the pod has nothing of this name')
  switch (what) {
    case 'apps/annotations':
      return json(overridden(pod.imageOf(app.image.id).annotations, app.annotations))
    case 'apps/image/manifest':
      return json(pod.imageOf(app.image.id))
    case 'apps/image/id':
      return text(app.image.id)
  }
  return refusal(404, 'an app has annotations, image/manifest and image/id')
}

/** For requests that do not come as far as a pod. */
export function refusal(status: number, why: string): MetadataAnswer {
  return { ...text(`${why}\n`), status }
}

function sign(pod: AskingPod, form: URLSearchParams): MetadataAnswer {
  const content = form.get('content')
  return content === null ? refusal(400, 'the form has no content') : text(pod.sign(content))
}

function verify(pod: AskingPod, form: URLSearchParams): MetadataAnswer {
  const [uuid, content, signature] = [form.get('uuid'), form.get('content'), form.get('signature')]
  if (uuid === null || content === null || signature === null) {
    return refusal(400, 'the form needs uuid, content and signature')
  }
  return pod.verify(uuid, content, signature) ? text('') : refusal(403, 'that pod has not signed this')
}

/** The image's annotations, in their order, with the pod's word where it has one; then what only the pod says. */
function overridden(image: readonly NameValue[], pod: readonly NameValue[]): NameValue[] {
  const own = new Map(pod.map((a) => [a.name, a]))
  const names = new Set(image.map((a) => a.name))
  return [...image.map((a) => own.get(a.name) ?? a), ...pod.filter((a) => !names.has(a.name))]
}

function text(body: string): MetadataAnswer {
  return { status: 200, contentType: TEXT, body: utf8(body) }
}

function json(value: unknown): MetadataAnswer {
  return { status: 200, contentType: JSON_TYPE, body: utf8(canonicalJson(value)) }
}

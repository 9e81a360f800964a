import { type HttpClient, readBody } from '../image/index.ts'
import { SignatureError } from './errors.ts'

/** What a page says of images: for names that begin like this, they, or the keys that sign them, are there. */
export interface DiscoveryTag {
  readonly prefix: string
  /** A URL; of images with `{name}`, `{version}`, `{os}`, `{arch}` and `{ext}` in it. */
  readonly template: string
}

/** A page with the tags is small; a longer one is cut here. */
const MAX_PAGE_BYTES = 512 * 1024
const MAX_TAGS = 64
const MAX_ATTRIBUTES = 32
const META = /<meta\s([^>]{0,4096})>/gi
const ATTRIBUTE = /([a-zA-Z-]{1,40})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/g

/**
 * Meta tags of appc discovery (App Container specification v0.8.11, "App Container Image Discovery"): `ac-discovery`,
 * and `ac-discovery-pubkeys`. The page is no more believed than the server that gave it.
 */
export function readDiscoveryTags(
  html: string,
  name: 'ac-discovery' | 'ac-discovery-pubkeys',
): readonly DiscoveryTag[] {
  const head = withoutComments(html.slice(0, MAX_PAGE_BYTES))
  const tags: DiscoveryTag[] = []
  for (const [, attributes = ''] of head.matchAll(META)) {
    if (tags.length === MAX_TAGS) break
    const found = new Map<string, string>()
    for (const [, key = '', double, single, bare] of attributes.matchAll(ATTRIBUTE)) {
      if (found.size === MAX_ATTRIBUTES) break
      found.set(key.toLowerCase(), unescaped(double ?? single ?? bare ?? ''))
    }
    if (found.get('name') !== name) continue
    const [prefix, template, ...rest] = (found.get('content') ?? '').trim().split(/\s+/)
    if (prefix !== undefined && template !== undefined && rest.length === 0) tags.push({ prefix, template })
  }
  return tags
}

/** By hand: a regular expression would look through the rest of the page for each comment that does not end. */
function withoutComments(html: string): string {
  const parts: string[] = []
  let at = 0
  for (let start = html.indexOf('<!--'); start >= 0; start = html.indexOf('<!--', at)) {
    parts.push(html.slice(at, start))
    const end = html.indexOf('-->', start + '<!--'.length)
    if (end < 0) return parts.join('')
    at = end + '-->'.length
  }
  return parts.join('') + html.slice(at)
}

/** Tags whose prefix an image's name has: the name itself, or something above it. */
export function tagsFor(tags: readonly DiscoveryTag[], imageName: string): readonly DiscoveryTag[] {
  return tags.filter(({ prefix }) => imageName === prefix || imageName.startsWith(`${prefix}/`))
}

/** Labels of an image that a template takes up; those that it does not name need no value. */
export type DiscoveryLabels = Readonly<Record<'version' | 'os' | 'arch', string>>

/** The URL that a template gives, undefined where it is none. */
export function fillTemplate(
  template: string,
  imageName: string,
  labels: DiscoveryLabels,
  ext: string,
): URL | undefined {
  const values: Readonly<Record<string, string>> = { ...labels, name: imageName, ext }
  const text = template.replace(/\{([a-z]{1,10})\}/g, (whole, key: string) => values[key] ?? whole)
  return /[{}]/.test(text) || !URL.canParse(text) ? undefined : new URL(text)
}

/**
 * Asks `https://NAME?ac-discovery=1`, and where that says nothing about the name, the same for each name above it.
 *
 * @param client says whether it is asked over plain HTTP instead
 * @returns the tags that are for this name, of the first page that has some
 * @throws SignatureError TRUST_DISCOVERY_FAILED with what each page answered
 */
export async function discover(
  client: HttpClient,
  imageName: string,
  tag: 'ac-discovery' | 'ac-discovery-pubkeys',
): Promise<readonly DiscoveryTag[]> {
  const parts = imageName.split('/')
  const faults: string[] = []
  for (let n = parts.length; n > 0; n--) {
    const place = parts.slice(0, n).join('/')
    const url = `${client.origin(parts[0] ?? '')}/${parts.slice(1, n).join('/')}?ac-discovery=1`
    if (!URL.canParse(url)) continue
    try {
      const answer = await client.follow(new URL(url), { accept: 'text/html' })
      if (answer.status !== 200) {
        answer.body.destroy()
        faults.push(`${place} answered ${answer.status}`)
        continue
      }
      const html = (await readBody(answer, MAX_PAGE_BYTES)).toString('utf8')
      const tags = tagsFor(readDiscoveryTags(html, tag), imageName)
      if (tags.length > 0) return tags
      faults.push(`${place} has no ${tag} tag for it`)
    } catch (err) {
      if (!(err instanceof Error)) throw err
      faults.push(err.message)
    }
  }
  throw new SignatureError('TRUST_DISCOVERY_FAILED', `${imageName} is not discovered: ${faults.join('; ')}`)
}

/** The entities that attributes of URLs have. */
function unescaped(text: string): string {
  return text.replace(/&(amp|quot|#39);/g, (_, entity: string) =>
    entity === 'amp' ? '&' : entity === 'quot' ? '"' : "'",
  )
}

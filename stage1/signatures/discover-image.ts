import { UsageError } from '../../attestation/base/index.ts'
import type { HttpClient } from '../image/index.ts'
import type { Dependency } from '../manifest/index.ts'
import { type DiscoveryLabels, discover, fillTemplate } from './discovery.ts'
import { SignatureError } from './errors.ts'

/** An image named as appc does: `example.com/app:1.0,os=linux`. */
export interface AppcName {
  readonly name: string
  readonly labels: DiscoveryLabels
}

/** The first part is a host, so it has a dot; a name of the store's own is not looked up in the network. */
const NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+(\/[a-z0-9]+([-._~][a-z0-9]+)*)+$/
const LABEL = /^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$/

/** What appc calls machines that Node calls otherwise. */
const APPC_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: 'i386', arm64: 'aarch64' }

/** The labels of images for this machine. */
export function machineLabels(): Omit<DiscoveryLabels, 'version'> {
  return { os: 'linux', arch: APPC_ARCHITECTURES[process.arch] ?? process.arch }
}

/**
 * @param machine its labels; the version is `latest` unless the text says another
 * @returns undefined for what is no such name
 * @throws UsageError for labels that cannot be
 */
export function parseAppcName(text: string, machine: Omit<DiscoveryLabels, 'version'>): AppcName | undefined {
  const [first = '', ...rest] = text.split(',')
  const colon = first.indexOf(':')
  const name = colon < 0 ? first : first.slice(0, colon)
  if (!NAME.test(name)) return undefined
  const labels: Record<keyof DiscoveryLabels, string> = {
    ...machine,
    version: colon < 0 ? 'latest' : first.slice(colon + 1),
  }
  for (const pair of rest) {
    const [key = '', value = '', ...more] = pair.split('=')
    if ((key !== 'version' && key !== 'os' && key !== 'arch') || more.length > 0) {
      throw new UsageError(`'${text}': labels are version=, os= and arch=`)
    }
    labels[key] = value
  }
  const bad = Object.values(labels).find((value) => !LABEL.test(value))
  if (bad !== undefined) throw new UsageError(`'${text}': '${bad}' is no label`)
  return { name, labels }
}

/**
 * The name of what an image depends on: what it says nothing of is of this machine, and the latest.
 * @returns undefined for a name that says no host
 * @throws SignatureError TRUST_DISCOVERY_FAILED for labels that would make another URL than a template means
 */
export function dependencyName(
  { imageName, labels: wanted }: Dependency,
  machine: Omit<DiscoveryLabels, 'version'>,
): AppcName | undefined {
  if (!NAME.test(imageName)) return undefined
  const labels: Record<keyof DiscoveryLabels, string> = { ...machine, version: 'latest' }
  for (const { name, value } of wanted) {
    if (name !== 'version' && name !== 'os' && name !== 'arch') continue
    if (!LABEL.test(value)) {
      throw new SignatureError('TRUST_DISCOVERY_FAILED', `${imageName} is not discovered: '${value}' is no ${name}`)
    }
    labels[name] = value
  }
  return { name: imageName, labels }
}

/**
 * Where an image is that is known by its name alone (appc "App Container Image Discovery").
 * @throws SignatureError TRUST_DISCOVERY_FAILED
 */
export async function discoverImage(client: HttpClient, { name, labels }: AppcName): Promise<URL> {
  const tags = await discover(client, name, 'ac-discovery')
  for (const { template } of tags) {
    const url = fillTemplate(template, name, labels, 'aci')
    if (url !== undefined && /^https?:$/.test(url.protocol)) return url
  }
  throw new SignatureError('TRUST_DISCOVERY_FAILED', `${name} is discovered, but no template of it gives a URL`)
}

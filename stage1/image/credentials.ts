import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { askCredentialHelper } from './credential-helper.ts'
import { ImageError } from './errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

const MAX_BYTES = 1024 * 1024
/** Docker Hub, by all the names it has had. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/**
 * The `user:password` for a repository: of $REGISTRY_AUTH_FILE alone where it is set, else of the first of podman's and
 * docker's own files that has some (containers-auth.json(5), `docker login`). In a file the most specific key wins; where
 * it names a credential helper for the registry, that is asked.
 *
 * @param environment variables of the process
 * @returns base64 of `user:password`, as Basic authentication sends it; undefined where there is none
 * @throws ImageError IMAGE_SOURCE_DENIED for a file that cannot be read or is malformed, or a helper that fails
 */
export async function credentialsFor(
  registry: string,
  repository: string,
  environment: Environment,
): Promise<string | undefined> {
  const known = remembered.get(`${registry}/${repository}`)
  if (known !== undefined) return known
  const named = environment['REGISTRY_AUTH_FILE']
  for (const file of named ? [named] : usualFiles(environment)) {
    const entry = readEntry(file, registry, repository, named !== undefined)
    if (entry === undefined) continue
    return entry.kind === 'auth' ? entry.basic : askCredentialHelper(entry.helper, entry.server, environment)
  }
  return undefined
}

/** By registry and repository; see remember-credentials.ts. */
const remembered = new Map<string, Promise<string | undefined>>()

/** Keeps an answer of credentialsFor, be it an error, and waits for it. */
export async function remember(
  registry: string,
  repository: string,
  answer: Promise<string | undefined>,
): Promise<void> {
  remembered.set(`${registry}/${repository}`, answer)
  await answer.catch(() => {}) // told when it is asked for
}

function usualFiles(environment: Environment): string[] {
  const home = environment['HOME']
  const at = (directory: string | undefined, ...names: string[]) => (directory ? [path.join(directory, ...names)] : [])
  return [
    ...at(environment['XDG_RUNTIME_DIR'], 'containers/auth.json'),
    ...(environment['XDG_RUNTIME_DIR'] ? [] : [`/run/containers/${process.geteuid?.()}/auth.json`]),
    ...at(environment['XDG_CONFIG_HOME'] || (home && path.join(home, '.config')), 'containers/auth.json'),
    ...at(environment['DOCKER_CONFIG'] || (home && path.join(home, '.docker')), 'config.json'),
  ]
}

type Entry =
  | { readonly kind: 'auth'; readonly basic: string }
  | { readonly kind: 'helper'; readonly helper: string; readonly server: string }

function readEntry(file: string, registry: string, repository: string, mustExist: boolean): Entry | undefined {
  try {
    if (fs.statSync(file).size > MAX_BYTES) throw new RangeError(`has more than ${MAX_BYTES} bytes`)
    const r = new ShapeReader(file)
    const o = r.object(parseJson(fs.readFileSync(file), file), '$')
    const helpers = r.optionalObject(o['credHelpers'], '$.credHelpers') ?? {}
    const auths = r.optionalObject(o['auths'], '$.auths') ?? {}
    const helperKey = keyFor(Object.keys(helpers), registry, '')
    const key = keyFor(Object.keys(auths), registry, repository)
    const entry = key === undefined ? {} : r.object(auths[key], `$.auths.${key}`)
    const basic = r.optionalString(entry['auth'], `$.auths.${key}.auth`)
    if (basic && !/^[A-Za-z0-9+/]+={0,2}$/.test(basic)) r.complain(`$.auths.${key}.auth`, 'must be base64')
    if (helperKey === undefined && !basic && entry['identitytoken']) {
      r.complain(`$.auths.${key}.identitytoken`, 'is not supported; log in with a password or an access token')
    }
    const helper =
      helperKey === undefined
        ? !basic
          ? r.optionalString(o['credsStore'], '$.credsStore')
          : undefined
        : r.string(helpers[helperKey], `$.credHelpers.${helperKey}`)
    r.finish()
    if (helper) return { kind: 'helper', helper, server: helperKey ?? key ?? registry }
    return basic ? { kind: 'auth', basic } : undefined
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (codeOf(cause) === 'ENOENT' && !mustExist) return undefined
    throw new ImageError('IMAGE_SOURCE_DENIED', `credentials in ${file} cannot be used: ${messageOf(cause)}`, { cause })
  }
}

/** Keys are hosts, perhaps with part of a repository's name behind, or URLs as old versions of docker wrote them. */
function keyFor(keys: readonly string[], registry: string, repository: string): string | undefined {
  const hosts = DOCKER_HUB.includes(registry) ? DOCKER_HUB : [registry]
  const wanted = hosts.flatMap((host) => prefixesOf(repository === '' ? host : `${host}/${repository}`))
  const found = keys
    .map((key) => ({ key, at: wanted.indexOf(key.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '')) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
  return found[0]?.key
}

/** `a/b/c`, `a/b`, `a` */
function prefixesOf(name: string): string[] {
  const parts = name.split('/')
  return parts.map((_, i) => parts.slice(0, parts.length - i).join('/'))
}

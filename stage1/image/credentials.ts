import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { ImageError } from './errors.ts'

const MAX_BYTES = 1024 * 1024

/**
 * The `user:password` for a registry from $REGISTRY_AUTH_FILE, or else $HOME/.docker/config.json: the `auths` member,
 * as docker, podman and skopeo write it. Credential helpers are not asked.
 *
 * @param environment variables of the process
 * @returns base64 of `user:password`, as Basic authentication sends it; undefined where there is none
 * @throws ImageError IMAGE_SOURCE_DENIED for a file that cannot be read or is malformed
 */
export function credentialsFor(
  registry: string,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const named = environment['REGISTRY_AUTH_FILE']
  const home = environment['HOME']
  const file = named || (home && path.join(home, '.docker/config.json'))
  if (!file) return undefined
  try {
    if (fs.statSync(file).size > MAX_BYTES) throw new RangeError(`has more than ${MAX_BYTES} bytes`)
    const r = new ShapeReader(file)
    const auths = r.optionalObject(r.object(parseJson(fs.readFileSync(file), file), '$')['auths'], '$.auths') ?? {}
    const key = Object.keys(auths).find((k) => k.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '') === registry)
    if (key === undefined) return undefined
    const auth = r.optionalString(r.object(auths[key], `$.auths.${key}`)['auth'], `$.auths.${key}.auth`)
    if (auth !== undefined && !/^[A-Za-z0-9+/]+={0,2}$/.test(auth)) r.complain(`$.auths.${key}.auth`, 'must be base64')
    r.finish()
    return auth
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' && !named) return undefined
    throw new ImageError('IMAGE_SOURCE_DENIED', `credentials in ${file} cannot be used: ${messageOf(cause)}`, { cause })
  }
}

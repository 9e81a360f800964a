import { UsageError } from '../../attestation/base/index.ts'
import { type AcName, acName, type Mount, type Volume } from '../manifest/index.ts'
import type { OptionSpec } from './option-table.ts'

export const VOLUME_OPTION: OptionSpec = {
  name: 'volume',
  value: 'NAME,kind=host|empty[,source=PATH][,readOnly=true]',
  several: true,
  of: 'pod',
  help: [
    'a directory or file of the host, or an empty directory that goes with the pod;',
    'an image with a mount point of this name has it there',
  ],
}

export const MOUNT_OPTION: OptionSpec = {
  name: 'mount',
  value: 'volume=NAME,target=PATH',
  several: true,
  of: 'app',
  everyApp: true,
  help: ['have a volume of the pod at this path of the app; before the first IMAGE: of all apps'],
}

/**
 * `--volume NAME,kind=host,source=/srv/data,readOnly=true`, as in rkt.
 * @throws UsageError
 */
export function parseVolume(text: string): Volume {
  const [first = '', ...pairs] = text.split(',')
  const name = parseName('--volume', first)
  const { kind, source, readOnly } = pairsOf('--volume', text, pairs, ['kind', 'source', 'readOnly'])
  if (kind === 'empty') {
    if (source !== undefined || readOnly !== undefined) throw bad('--volume', text, 'an empty volume has kind alone')
    return { name, kind }
  }
  if (kind !== 'host') throw bad('--volume', text, 'kind is host or empty')
  if (source === undefined) throw bad('--volume', text, 'a host volume wants source=PATH')
  return { name, kind, source: absolute('--volume', text, source), readOnly: parseBoolean('--volume', text, readOnly) }
}

/** `--mount volume=NAME,target=PATH`, as in rkt. @throws UsageError */
export function parseMount(text: string): Mount {
  const { volume, target } = pairsOf('--mount', text, text.split(','), ['volume', 'target'])
  if (volume === undefined || target === undefined) throw bad('--mount', text, 'it wants volume=NAME,target=PATH')
  return { volume: parseName('--mount', volume), path: absolute('--mount', text, target) }
}

function pairsOf<K extends string>(
  option: string,
  text: string,
  pairs: readonly string[],
  known: readonly K[],
): { readonly [P in K]?: string } {
  const found: { [P in K]?: string } = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const key = known.find((k) => k === pair.slice(0, at))
    if (at < 0 || key === undefined) throw bad(option, text, `'${pair.slice(0, 80)}' is none of ${known.join('=, ')}=`)
    if (found[key] !== undefined) throw bad(option, text, `${key} is there twice`)
    found[key] = pair.slice(at + 1)
  }
  return found
}

function parseName(option: string, text: string): AcName {
  try {
    return acName(text)
  } catch (err) {
    if (err instanceof RangeError) throw new UsageError(`${option}: ${err.message}`)
    throw err
  }
}

/** As manifests have it: no path climbs. */
function absolute(option: string, text: string, value: string): string {
  if (value.startsWith('/') && !value.split('/').includes('..')) return value
  throw bad(option, text, "paths are absolute, without '..'")
}

function parseBoolean(option: string, text: string, value: string | undefined): boolean {
  if (value === undefined || value === 'false') return false
  if (value === 'true') return true
  throw bad(option, text, 'readOnly is true or false')
}

function bad(option: string, text: string, why: string): UsageError {
  return new UsageError(`${option} ${text.slice(0, 120)}: ${why}`)
}

import { UsageError } from '../../attestation/base/index.ts'
import type { Relaxation } from '../image/index.ts'

/**
 * Checks that can be relaxed by name; whatever is, is measured. `http`, `tls` and `image` are kept with the image and
 * have to be named again at each launch of it.
 */
const CHECKS = {
  /** Plain HTTP on the way to an image. */
  http: 'fetch',
  /** Any certificate of a server. */
  tls: 'fetch',
  /** An image without the signature that the policy asks for, or of a name that it admits nothing of. */
  image: 'fetch',
  /** No system call filter. */
  seccomp: 'run',
} as const
export type InsecureOption = keyof typeof CHECKS

const GROUPS = {
  none: [],
  'all-fetch': ['fetch'],
  'all-run': ['run'],
  all: ['fetch', 'run'],
} as const

/** Of commands that take fewer. */
export const FETCH_CHECKS: readonly InsecureOption[] = ['http', 'tls', 'image']
/** What a launch relaxes, and what of a fetch it names again. */
export const RUN_CHECKS: readonly InsecureOption[] = ['seccomp', 'http', 'tls', 'image']

/** `http, tls, ...` with the names of groups, for help and messages. */
export function insecureNames(of: readonly InsecureOption[]): string {
  return [...of, ...Object.keys(GROUPS)].join(', ')
}

/**
 * The checks that a list of names relaxes; names of groups stand for what is in them.
 * @throws UsageError
 */
export function parseInsecureOptions(text: string, allowed: readonly InsecureOption[]): readonly InsecureOption[] {
  const names = text.split(',').filter((name) => name !== '')
  const relaxed = names.flatMap((name) => {
    if (Object.hasOwn(GROUPS, name)) {
      const kinds: readonly string[] = GROUPS[name as keyof typeof GROUPS] // hasOwn has just said so
      return allowed.filter((check) => kinds.includes(CHECKS[check]))
    }
    const check = allowed.find((c) => c === name)
    if (check === undefined) throw new UsageError(`--insecure-options ${name}: there are ${insecureNames(allowed)}`)
    return [check]
  })
  return [...new Set(relaxed)]
}

/** Those that are about fetching images. */
export function fetchRelaxations(relaxed: readonly string[]): Relaxation[] {
  return relaxed.flatMap((name) => (name === 'http' || name === 'tls' || name === 'image' ? [name] : []))
}

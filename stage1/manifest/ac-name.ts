import type { Brand } from '../../attestation/base/index.ts'

/** AC Name: lowercase letters and digits, with single hyphens between. Names apps, volumes and mount points. */
export type AcName = Brand<string, 'AcName'>
/** AC Identifier: as an AC Name, with `-`, `.`, `_`, `~` and `/` as separators. Names images and isolators. */
export type AcIdentifier = Brand<string, 'AcIdentifier'>

/** Longest name taken: app names become directory names and host names. */
export const MAX_NAME = 63
const MAX_IDENTIFIER = 512

/**
 * Source: App Container specification v0.8.11, "AC Name Type".
 * @throws RangeError for anything else
 */
export function acName(text: string): AcName {
  if (text.length > MAX_NAME || !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(text)) {
    throw new RangeError(`'${shown(text)}' is not an AC name (a-z, 0-9, single hyphens inside, at most ${MAX_NAME})`)
  }
  return text as AcName // the test above is the constructor's check
}

/**
 * Source: App Container specification v0.8.11, "AC Identifier Type".
 * @throws RangeError for anything else
 */
export function acIdentifier(text: string): AcIdentifier {
  if (text.length > MAX_IDENTIFIER || !/^[a-z0-9]+([-._~/][a-z0-9]+)*$/.test(text)) {
    throw new RangeError(`'${shown(text)}' is not an AC identifier (a-z, 0-9 and single - . _ ~ / inside)`)
  }
  return text as AcIdentifier // the test above is the constructor's check
}

/**
 * The AC Identifier nearest to any text: lowercase, each run of other characters one hyphen. Empty text gives 'image'.
 */
export function acIdentifierFrom(text: string): AcIdentifier {
  const parts = text
    .toLowerCase()
    .split('/')
    .map((part) => part.replaceAll(/[^a-z0-9._~]+/g, '-').replaceAll(/[-._~]{2,}/g, '-'))
    .map((part) => part.replaceAll(/^[-._~]+|[-._~]+$/g, ''))
    .filter((part) => part !== '')
  const joined = parts
    .join('/')
    .slice(0, MAX_IDENTIFIER)
    .replace(/[-._~/]+$/, '')
  return acIdentifier(joined === '' ? 'image' : joined)
}

/**
 * The AC Name nearest to an image's name: its last path component without a tag. Used when the user gives an app none.
 */
export function acNameFrom(text: string): AcName {
  const last = text.split('@')[0]?.split('/').at(-1)?.split(':')[0] ?? ''
  const name = last
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_NAME)
    .replaceAll(/^-+|-+$/g, '')
  return acName(name === '' ? 'app' : name)
}

function shown(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}...` : text
}

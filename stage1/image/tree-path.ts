import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'

/**
 * Splits a name of an archive into components. A leading slash means the image's root, as every tar program takes it;
 * empty and '.' components say nothing. '..' is refused even where it would stay inside: no tool that makes images
 * writes it.
 *
 * @returns no components for the root itself
 * @throws ImageError IMAGE_LAYER_BAD, IMAGE_TOO_LARGE
 */
export function pathComponents(path: string, what: string): string[] {
  if (path === '') throw unsafe(path, `an empty ${what}`)
  if (path.includes('\0')) throw unsafe(path, `NUL in a ${what}`)
  const parts = path.split('/').filter((p) => p !== '' && p !== '.')
  if (parts.includes('..')) throw unsafe(path, `'..' in a ${what}`)
  const long = parts.some((p) => p.length > LIMITS.nameBytes)
  if (long || parts.length > LIMITS.depth || parts.reduce((n, p) => n + p.length + 1, 0) > LIMITS.pathBytes) {
    const limits = `${LIMITS.nameBytes} bytes a component, ${LIMITS.pathBytes} in all, ${LIMITS.depth} components`
    throw new ImageError('IMAGE_TOO_LARGE', `${shownPath(path)}: ${what} is too long (limits: ${limits})`)
  }
  return parts
}

/** A hostile path for a message: quoted, escaped, cut. */
export function shownPath(path: string): string {
  return JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}...` : path)
}

/** The error for an entry that asks for something that is never done. */
export function unsafe(path: string, why: string): ImageError {
  return new ImageError('IMAGE_LAYER_BAD', `entry ${shownPath(path)}: ${why}`)
}

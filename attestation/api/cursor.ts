import { ApiError } from './problem.ts'

/** A key of the last thing that was listed: numbers and texts, as the list has them. */
export type CursorKey = readonly (string | number)[]

const MAX_CHARACTERS = 512

/** @returns text that says nothing to its bearer; which list it is of is in it, so that it fits no other */
export function encodeCursor(list: string, key: CursorKey): string {
  return Buffer.from(JSON.stringify([list, ...key])).toString('base64url')
}

/**
 * It comes back from a client and may have been written by it: it says where to go on, never what may be seen.
 *
 * @param shape the type of each part of the key
 * @throws ApiError INVALID_PARAMETER
 */
export function decodeCursor(list: string, text: string, shape: readonly ('string' | 'number')[]): CursorKey {
  const [of, ...key] = readParts(text)
  const fits =
    of === list && key.length === shape.length && key.every((part, i) => typeof part === shape[i] && isKeyPart(part))
  if (!fits) throw badCursor()
  return key as CursorKey // each part was looked at
}

function isKeyPart(part: unknown): boolean {
  return typeof part === 'string' ? /^[\x20-\x7e]*$/.test(part) : Number.isSafeInteger(part)
}

function readParts(text: string): readonly unknown[] {
  if (text.length > MAX_CHARACTERS || !/^[\w-]+$/.test(text)) throw badCursor()
  try {
    const parts: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64url')))
    return Array.isArray(parts) ? parts : []
  } catch {
    throw badCursor()
  }
}

function badCursor(): ApiError {
  const detail = 'is none of this list; take `next` of the answer before, or leave it out to begin anew'
  return new ApiError('INVALID_PARAMETER', 'a parameter does not fit', [{ parameter: 'cursor', detail }])
}

import { ImageError } from './errors.ts'

/**
 * A numeric field of a tar header: octal digits, spaces in front and NUL or space behind (POSIX), or GNU's base-256,
 * marked by the highest bit of the first byte and negative when all of them are set.
 *
 * @returns the value; an empty field is 0
 * @throws ImageError IMAGE_LAYER_BAD for anything else and for what does not fit a safe integer
 */
export function tarNumber(header: Buffer, at: number, length: number, what: string): number {
  const first = header[at] ?? 0
  if ((first & 0x80) !== 0) return base256(header, at, length, what)
  let i = at
  const end = at + length
  while (i < end && header[i] === 0x20) i++
  let value = 0
  for (; i < end; i++) {
    const c = header[i] ?? 0
    if (c === 0 || c === 0x20) break
    if (c < 0x30 || c > 0x37) throw malformed(`${what} is not octal`)
    value = value * 8 + (c - 0x30)
  }
  for (; i < end; i++) {
    if (header[i] !== 0 && header[i] !== 0x20) throw malformed(`${what} has something after its digits`)
  }
  return value // twelve octal digits are 36 bits: always safe
}

function base256(header: Buffer, at: number, length: number, what: string): number {
  const negative = header[at] === 0xff
  if (!negative && header[at] !== 0x80) throw malformed(`${what} is out of range`)
  let value = negative ? -1n : 0n
  for (let i = at + 1; i < at + length; i++) value = (value << 8n) | BigInt(header[i] ?? 0)
  const small = Number(value)
  if (!Number.isSafeInteger(small)) throw malformed(`${what} is out of range`)
  return small
}

/**
 * @throws ImageError IMAGE_LAYER_BAD for anything but decimal digits that make a safe integer, with '-' where `signed`
 */
export function decimal(text: string, what: string, signed = false): number {
  const value = Number(text)
  if (!(signed ? /^-?[0-9]{1,16}$/ : /^[0-9]{1,16}$/).test(text) || !Number.isSafeInteger(value)) {
    throw malformed(`${what} '${text.slice(0, 40)}' is not a number in range`)
  }
  return value
}

/**
 * A PAX time: decimal seconds since 1970, perhaps negative, perhaps with a fraction, cut to nanoseconds.
 * @returns seconds rounded towards minus infinity, and nanoseconds in 0..999999999
 */
export function paxTime(text: string, what: string): { readonly seconds: number; readonly nanoseconds: number } {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]{0,30}))?$/.exec(text)
  if (match === null) throw malformed(`${what} '${text.slice(0, 40)}' is not a time`)
  const whole = Number(match[2])
  const nanoseconds = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9))
  if (match[1] === '') return { seconds: whole, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -whole || 0, nanoseconds }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}

/** The error for an archive that is not well-formed. */
export function malformed(why: string): ImageError {
  return new ImageError('IMAGE_LAYER_BAD', `malformed archive: ${why}`)
}

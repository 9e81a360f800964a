/** What RFC 8785 can carry. Numbers are safe integers here: nothing that we hash has a fraction. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/**
 * RFC 8785 (JSON Canonicalization Scheme) text of a value: members sorted by UTF-16 code units, no white space, one
 * spelling of each string and number.
 *
 * @param value plain JSON data; members whose value is undefined are left out, as JSON.stringify does
 * @returns the canonical text; hash its UTF-8 bytes
 * @throws TypeError for a number that is not a safe integer, an unpaired surrogate, or a value JSON does not have
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'boolean':
      return String(value)
    case 'number':
      if (!Number.isSafeInteger(value)) throw new TypeError(`canonical JSON here has safe integers only, got ${value}`)
      return Object.is(value, -0) ? '0' : String(value)
    case 'string':
      if (!value.isWellFormed()) throw new TypeError('canonical JSON has no unpaired surrogates')
      return JSON.stringify(value)
    case 'object': {
      if (value === null) return 'null'
      if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
      const proto = Object.getPrototypeOf(value)
      if (proto !== Object.prototype && proto !== null) throw new TypeError('canonical JSON takes plain objects only')
      const members = Object.entries(value).filter(([, v]) => v !== undefined)
      members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)) // `<` on strings compares UTF-16 code units, as §3.2.3 asks
      return `{${members.map(([k, v]) => `${canonicalJson(k)}:${canonicalJson(v)}`).join(',')}}`
    }
    default:
      throw new TypeError(`canonical JSON has no ${typeof value}`)
  }
}

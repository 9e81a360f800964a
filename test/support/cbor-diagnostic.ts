import { type CborWritable, encodeCborItem } from '../../attestation/encoding/index.ts'

/** Tokens of diagnostic notation as far as vectors use it: maps, arrays, integers, text, h'..' bytes. */
const TOKEN = /\s*(h'[0-9A-Fa-f]*'|"(?:[^"\\]|\\.)*"|-?[0-9]+|[{}[\],:])/y

/** CBOR of its diagnostic notation (RFC 8949 §8). @throws Error for notation that is not read here */
export function cborOfDiagnostic(text: string): Uint8Array {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  for (let found = TOKEN.exec(text); found !== null; found = TOKEN.exec(text)) tokens.push(found[1] ?? '')
  const value = read(tokens)
  if (tokens.length > 0) throw new Error(`not read: ${tokens.join(' ')}`)
  return encodeCborItem(value)
}

function read(tokens: string[]): CborWritable {
  const token = tokens.shift()
  if (token === '{') {
    const entries: [string | number, CborWritable][] = []
    while (tokens[0] !== '}') {
      const key = read(tokens)
      if (typeof key !== 'string' && typeof key !== 'number') throw new Error('a key of another kind')
      if (tokens.shift() !== ':') throw new Error('a colon is missing')
      entries.push([key, read(tokens)])
      if (tokens[0] === ',') tokens.shift()
    }
    tokens.shift()
    return new Map(entries)
  }
  if (token === '[') {
    const entries: CborWritable[] = []
    while (tokens[0] !== ']') {
      entries.push(read(tokens))
      if (tokens[0] === ',') tokens.shift()
    }
    tokens.shift()
    return entries
  }
  if (token?.startsWith('h')) return new Uint8Array(Buffer.from(token.slice(2, -1), 'hex'))
  return token?.startsWith('"') ? String(JSON.parse(token)) : Number(token)
}

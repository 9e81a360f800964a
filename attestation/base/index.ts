export type { Brand } from './brand.ts'
export { concatBytes, equalBytes, fromHex, fromUtf8, toHex, utf8 } from './bytes.ts'
export { canonicalJson, type JsonValue } from './canonical-json.ts'
export { CodedError, codeOf, messageOf } from './errors.ts'

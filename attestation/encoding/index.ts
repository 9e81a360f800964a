export { BoundedTokenizer, STRICT_CBOR } from './bounded-tokenizer.ts'
export { EncodingError, type EncodingErrorCode, type EncodingLimits } from './errors.ts'
export {
  type CborOptions,
  type CborWritable,
  decodeCborFirst,
  decodeCborItem,
  encodeCborItem,
} from './strict-cbor.ts'
export { type JsonOptions, parseJson, parseJsonTexts } from './strict-json.ts'
export {
  asArray,
  asBoolean,
  asBytes,
  asInteger,
  asMap,
  asText,
  asU64,
  type Fail,
  type Float,
  isArray,
  isMap,
  isTagged,
  kindOf,
  optional,
  type Tagged,
  type Value,
  type ValueMap,
} from './value.ts'

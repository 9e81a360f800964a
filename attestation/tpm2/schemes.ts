import type { HashAlgorithm } from '../crypto/index.ts'
import { hashId, readHash } from './algorithms.ts'
import {
  TPM_ALG_AES,
  TPM_ALG_CAMELLIA,
  TPM_ALG_CBC,
  TPM_ALG_CFB,
  TPM_ALG_CTR,
  TPM_ALG_ECB,
  TPM_ALG_ECDAA,
  TPM_ALG_ECDH,
  TPM_ALG_ECDSA,
  TPM_ALG_ECMQV,
  TPM_ALG_ECSCHNORR,
  TPM_ALG_HMAC,
  TPM_ALG_KDF1_SP800_56A,
  TPM_ALG_KDF1_SP800_108,
  TPM_ALG_KDF2,
  TPM_ALG_NULL,
  TPM_ALG_OAEP,
  TPM_ALG_OFB,
  TPM_ALG_RSAES,
  TPM_ALG_RSAPSS,
  TPM_ALG_RSASSA,
  TPM_ALG_SM2,
  TPM_ALG_SM4,
  TPM_ALG_XOR,
} from './constants.ts'
import { hex, type WireReader, WireWriter } from './wire.ts'

/** A block cipher with its mode, or none. TPMT_SYM_DEF_OBJECT, and TPMT_SYM_DEF but for its XOR form. */
export type SymDef = { readonly alg: 'null' } | SymCipher
export interface SymCipher {
  readonly alg: 'aes' | 'sm4' | 'camellia'
  readonly keyBits: number
  readonly mode: 'ctr' | 'ofb' | 'cbc' | 'cfb' | 'ecb' | 'null'
}

/** TPMT_RSA_SCHEME. */
export type RsaScheme =
  | { readonly alg: 'null' }
  | { readonly alg: 'rsaes' }
  | { readonly alg: 'rsassa' | 'rsapss' | 'oaep'; readonly hash: HashAlgorithm }

/** TPMT_ECC_SCHEME. */
export type EccScheme =
  | { readonly alg: 'null' }
  | { readonly alg: 'ecdsa' | 'ecdh' | 'ecmqv' | 'sm2' | 'ecschnorr'; readonly hash: HashAlgorithm }
  | { readonly alg: 'ecdaa'; readonly hash: HashAlgorithm; readonly count: number }

/** TPMT_KDF_SCHEME; `kdf2` and the others are the algorithm identifiers of TPM 2.0 Part 2 r1.59 §6.3. */
export type KdfScheme =
  | { readonly alg: 'null' }
  | { readonly alg: 'kdf1-sp800-56a' | 'kdf2' | 'kdf1-sp800-108'; readonly hash: HashAlgorithm }

/** TPMT_KEYEDHASH_SCHEME. */
export type KeyedHashScheme =
  | { readonly alg: 'null' }
  | { readonly alg: 'hmac'; readonly hash: HashAlgorithm }
  | { readonly alg: 'xor'; readonly hash: HashAlgorithm; readonly kdf: KdfId }
export type KdfId = 'null' | 'kdf1-sp800-56a' | 'kdf2' | 'kdf1-sp800-108'

const CIPHERS = table({ aes: TPM_ALG_AES, sm4: TPM_ALG_SM4, camellia: TPM_ALG_CAMELLIA, null: TPM_ALG_NULL })
const MODES = table({
  ctr: TPM_ALG_CTR,
  ofb: TPM_ALG_OFB,
  cbc: TPM_ALG_CBC,
  cfb: TPM_ALG_CFB,
  ecb: TPM_ALG_ECB,
  null: TPM_ALG_NULL,
})
const RSA_SCHEMES = table({
  null: TPM_ALG_NULL,
  rsaes: TPM_ALG_RSAES,
  rsassa: TPM_ALG_RSASSA,
  rsapss: TPM_ALG_RSAPSS,
  oaep: TPM_ALG_OAEP,
})
const ECC_SCHEMES = table({
  null: TPM_ALG_NULL,
  ecdsa: TPM_ALG_ECDSA,
  ecdh: TPM_ALG_ECDH,
  ecdaa: TPM_ALG_ECDAA,
  sm2: TPM_ALG_SM2,
  ecschnorr: TPM_ALG_ECSCHNORR,
  ecmqv: TPM_ALG_ECMQV,
})
const KDFS = table({
  null: TPM_ALG_NULL,
  'kdf1-sp800-56a': TPM_ALG_KDF1_SP800_56A,
  kdf2: TPM_ALG_KDF2,
  'kdf1-sp800-108': TPM_ALG_KDF1_SP800_108,
})
const KEYED_HASH_SCHEMES = table({ null: TPM_ALG_NULL, hmac: TPM_ALG_HMAC, xor: TPM_ALG_XOR })

/** TPMT_SYM_DEF_OBJECT. Source: TPM 2.0 Part 2 r1.59 §11.1.7. */
export function readSymDef(r: WireReader, field: string): SymDef {
  const alg = CIPHERS.read(r, field)
  if (alg === 'null') return { alg }
  return { alg, keyBits: r.u16(`${field}.keyBits`), mode: MODES.read(r, `${field}.mode`) }
}

export function writeSymDef(w: WireWriter, sym: SymDef): void {
  w.u16(CIPHERS.id(sym.alg))
  if (sym.alg !== 'null') w.u16(sym.keyBits).u16(MODES.id(sym.mode))
}

/** TPMT_SYM_DEF (and TPMT_SYM_DEF_OBJECT, which looks alike) in wire form, e.g. for TPM2_StartAuthSession. */
export function encodeSymDef(sym: SymDef): Uint8Array {
  const w = new WireWriter()
  writeSymDef(w, sym)
  return w.finish()
}

/** TPMT_RSA_SCHEME. Source: §11.2.4.2. */
export function readRsaScheme(r: WireReader): RsaScheme {
  const alg = RSA_SCHEMES.read(r, 'scheme')
  if (alg === 'null' || alg === 'rsaes') return { alg }
  return { alg, hash: readHash(r, 'scheme.hashAlg') }
}

export function writeRsaScheme(w: WireWriter, scheme: RsaScheme): void {
  w.u16(RSA_SCHEMES.id(scheme.alg))
  if (scheme.alg !== 'null' && scheme.alg !== 'rsaes') w.u16(hashId(scheme.hash))
}

/** TPMT_ECC_SCHEME. Source: §11.2.5.6. */
export function readEccScheme(r: WireReader): EccScheme {
  const alg = ECC_SCHEMES.read(r, 'scheme')
  if (alg === 'null') return { alg }
  const hash = readHash(r, 'scheme.hashAlg')
  return alg === 'ecdaa' ? { alg, hash, count: r.u16('scheme.count') } : { alg, hash }
}

export function writeEccScheme(w: WireWriter, scheme: EccScheme): void {
  w.u16(ECC_SCHEMES.id(scheme.alg))
  if (scheme.alg === 'null') return
  w.u16(hashId(scheme.hash))
  if (scheme.alg === 'ecdaa') w.u16(scheme.count)
}

/** TPMT_KDF_SCHEME. Source: §11.2.3.3. */
export function readKdfScheme(r: WireReader): KdfScheme {
  const alg = KDFS.read(r, 'kdf')
  return alg === 'null' ? { alg } : { alg, hash: readHash(r, 'kdf.hashAlg') }
}

export function writeKdfScheme(w: WireWriter, kdf: KdfScheme): void {
  w.u16(KDFS.id(kdf.alg))
  if (kdf.alg !== 'null') w.u16(hashId(kdf.hash))
}

/** TPMT_KEYEDHASH_SCHEME. Source: §11.1.23. */
export function readKeyedHashScheme(r: WireReader): KeyedHashScheme {
  const alg = KEYED_HASH_SCHEMES.read(r, 'scheme')
  if (alg === 'null') return { alg }
  const hash = readHash(r, 'scheme.hashAlg')
  return alg === 'xor' ? { alg, hash, kdf: KDFS.read(r, 'scheme.kdf') } : { alg, hash }
}

export function writeKeyedHashScheme(w: WireWriter, scheme: KeyedHashScheme): void {
  w.u16(KEYED_HASH_SCHEMES.id(scheme.alg))
  if (scheme.alg === 'null') return
  w.u16(hashId(scheme.hash))
  if (scheme.alg === 'xor') w.u16(KDFS.id(scheme.kdf))
}

interface AlgorithmTable<Name extends string> {
  readonly read: (r: WireReader, field: string) => Name
  readonly id: (name: Name) => number
}

/** Names for one selector, both ways; an algorithm that is not in the table is refused. */
function table<const Name extends string>(ids: Readonly<Record<Name, number>>): AlgorithmTable<Name> {
  // The keys of `ids` are the union Name, which Object.entries widens to string.
  const names = new Map((Object.entries(ids) as [Name, number][]).map(([name, id]) => [id, name]))
  return {
    read(r, field) {
      const id = r.u16(field)
      const name = names.get(id)
      if (name === undefined) throw r.badValue(field, 2, `${hex(id, 4)} is none of ${[...names.values()].join(', ')}`)
      return name
    },
    id: (name) => ids[name],
  }
}

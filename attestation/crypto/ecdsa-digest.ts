/**
 * A curve y² = x³ + ax + b over p, with a base point of prime order n. SEC 2 v2 §2; P-… are those of FIPS 186-4 §D.1.2.
 */
export interface Curve {
  readonly name: string
  readonly bits: number
  readonly p: bigint
  readonly a: bigint
  readonly n: bigint
  readonly g: readonly [bigint, bigint]
}

const P256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n
const P384 = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n
const P521 = 2n ** 521n - 1n
const K256 = 2n ** 256n - 2n ** 32n - 977n

/** By their names in JWK (RFC 7518 §6.2.1.1, RFC 8812 §3.1). */
export const CURVES: Readonly<Record<string, Curve>> = {
  'P-256': {
    name: 'P-256',
    bits: 256,
    p: P256,
    a: P256 - 3n,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    g: [
      0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
      0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
    ],
  },
  'P-384': {
    name: 'P-384',
    bits: 384,
    p: P384,
    a: P384 - 3n,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    g: [
      0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
      0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
    ],
  },
  'P-521': {
    name: 'P-521',
    bits: 521,
    p: P521,
    a: P521 - 3n,
    n: 0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    g: [
      0x00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
      0x011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
    ],
  },
  secp256k1: {
    name: 'secp256k1',
    bits: 256,
    p: K256,
    a: 0n,
    n: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
    g: [
      0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
      0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
    ],
  },
}

/** In Jacobian coordinates: x/z², y/z³; z of 0 is the point at infinity. */
type Point = readonly [x: bigint, y: bigint, z: bigint]
const INFINITY: Point = [1n, 1n, 0n]
/** Bits of a scalar that are taken at once. */
const WINDOW = 4n

/**
 * ECDSA verification (FIPS 186-4 §6.4.2) of a digest: the platform hashes what it verifies, and of a measured file only
 * the digest is known. All inputs are public, so nothing here need take constant time. About 2 ms on P-256.
 *
 * @param q the public key, a point that is known to be on the curve
 */
export function verifyEcdsaDigest(
  curve: Curve,
  q: readonly [bigint, bigint],
  digest: Uint8Array,
  r: bigint,
  s: bigint,
): boolean {
  const { n, p } = curve
  if (r <= 0n || r >= n || s <= 0n || s >= n) return false
  const w = inverse(s, n)
  const sum = sumOfProducts(
    curve,
    [(messageNumber(digest, curve) * w) % n, baseTable(curve)],
    [(r * w) % n, multiples(curve, [q[0], q[1], 1n])],
  )
  const [x, , z] = sum
  if (z === 0n) return false
  const zz = (z * z) % p
  for (let candidate = r; candidate < p; candidate += n) if ((candidate * zz - x) % p === 0n) return true
  return false
}

/** The digest's leftmost bits, as many as the order has. */
function messageNumber(digest: Uint8Array, { bits }: Curve): bigint {
  let e = 0n
  for (const byte of digest) e = (e << 8n) | BigInt(byte)
  const surplus = 8 * digest.length - bits
  return surplus > 0 ? e >> BigInt(surplus) : e
}

/** k·P + l·Q, both scalars read from the top in windows, so that they share the doublings. */
function sumOfProducts(curve: Curve, ...terms: readonly (readonly [bigint, readonly Point[]])[]): Point {
  let sum = INFINITY
  for (let shift = BigInt(Math.ceil(curve.bits / 4) - 1) * WINDOW; shift >= 0n; shift -= WINDOW) {
    for (let i = 0n; i < WINDOW; i++) sum = double(curve, sum)
    for (const [scalar, table] of terms) {
      const digit = Number((scalar >> shift) & 15n)
      if (digit !== 0) sum = add(curve, sum, table[digit] as Point) // 16 entries
    }
  }
  return sum
}

const baseTables = new Map<string, readonly Point[]>()
function baseTable(curve: Curve): readonly Point[] {
  const table = baseTables.get(curve.name) ?? multiples(curve, [...curve.g, 1n])
  baseTables.set(curve.name, table)
  return table
}

/** 0·P to 15·P. */
function multiples(curve: Curve, point: Point): readonly Point[] {
  const table: Point[] = [INFINITY]
  for (let i = 1; i < 16; i++) table.push(add(curve, table[i - 1] as Point, point)) // just pushed
  return table
}

function double({ p, a }: Curve, [x, y, z]: Point): Point {
  if (z === 0n || y === 0n) return INFINITY
  const yy = (y * y) % p
  const s = (4n * x * yy) % p
  const zz = (z * z) % p
  const m = (3n * x * x + a * zz * zz) % p
  const x3 = modulo(m * m - 2n * s, p)
  return [x3, modulo(m * (s - x3) - 8n * yy * yy, p), (2n * y * z) % p]
}

function add(curve: Curve, left: Point, right: Point): Point {
  const { p } = curve
  const [x1, y1, z1] = left
  const [x2, y2, z2] = right
  if (z1 === 0n) return right
  if (z2 === 0n) return left
  const zz1 = (z1 * z1) % p
  const zz2 = (z2 * z2) % p
  const u1 = (x1 * zz2) % p
  const s1 = (y1 * zz2 * z2) % p
  const h = modulo(x2 * zz1 - u1, p)
  const r = modulo(y2 * zz1 * z1 - s1, p)
  if (h === 0n) return r === 0n ? double(curve, left) : INFINITY
  const hh = (h * h) % p
  const hhh = (h * hh) % p
  const v = (u1 * hh) % p
  const x3 = modulo(r * r - hhh - 2n * v, p)
  return [x3, modulo(r * (v - x3) - s1 * hhh, p), (h * z1 * z2) % p]
}

function modulo(value: bigint, p: bigint): bigint {
  const rest = value % p
  return rest < 0n ? rest + p : rest
}

/** By Euclid's algorithm; `value` is not 0 and the modulus prime. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [r0, r1] = [modulus, value]
  let [t0, t1] = [0n, 1n]
  while (r1 !== 0n) {
    const quotient = r0 / r1
    ;[r0, r1] = [r1, r0 - quotient * r1]
    ;[t0, t1] = [t1, t0 - quotient * t1]
  }
  return modulo(t0, modulus)
}

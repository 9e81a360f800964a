/** Odd primes to 167: their product divides the primorial of every size of key that the flawed generator made. */
const PRIMES = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
] as const
const GENERATOR = 65537

/**
 * Residues that a flawed modulus can have by each prime: the powers of 65537. Primes of which 65537 generates all tell
 * nothing.
 */
const RESIDUES: readonly (readonly [prime: number, powers: ReadonlySet<number>])[] = PRIMES.map(
  (prime): readonly [number, ReadonlySet<number>] => {
    const powers = new Set<number>()
    for (let p = 1; !powers.has(p); p = (p * GENERATOR) % prime) powers.add(p)
    return [prime, powers]
  },
).filter(([prime, powers]) => powers.size < prime - 1)

/**
 * Does this RSA modulus carry the fingerprint of the flawed key generator in Infineon's RSALib (ROCA, CVE-2017-15361)?
 * Its primes are k·M + (65537^a mod M), so the modulus is a power of 65537 by every small prime, which a sound one is
 * with a chance of about 2^-27. Such a 2048-bit key can be factored.
 * Source: Nemec, Sys, Svenda, Klinec, Matyas, "The Return of Coppersmith's Attack", CCS 2017, §2.
 *
 * @param modulus big-endian
 */
export function isRocaModulus(modulus: Uint8Array): boolean {
  return RESIDUES.every(([prime, powers]) => powers.has(remainder(modulus, prime)))
}

function remainder(modulus: Uint8Array, by: number): number {
  let rest = 0
  for (const octet of modulus) rest = (rest * 256 + octet) % by
  return rest
}

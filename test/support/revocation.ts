import { sign } from 'node:crypto'
import * as asn1 from '../../attestation/ca/asn1.ts'
import { type KeyPair, name, SCHEMES, type Scheme } from './certificates.ts'

export type CrlEntry = readonly [serial: Uint8Array, reason?: number]
/** An extension whose value is given as DER. */
export type RawExtension = readonly [oid: string, critical: boolean, der: Uint8Array]

export interface TestCrl {
  readonly issuer: string
  readonly issuerKey: KeyPair
  readonly scheme?: Scheme
  readonly outerScheme?: Scheme
  readonly version?: 1 | 2
  readonly thisUpdate?: Date
  /** null for none. */
  readonly nextUpdate?: Date | null
  readonly revoked?: readonly CrlEntry[]
  readonly entryExtensions?: readonly RawExtension[]
  readonly extensions?: readonly RawExtension[]
}

const algorithm = (scheme: Scheme): asn1.Asn1 => asn1.sequence(asn1.oid(SCHEMES[scheme][0]))
const extension = ([oid, critical, der]: RawExtension): asn1.Asn1 =>
  asn1.sequence(asn1.oid(oid), ...(critical ? [asn1.boolean(true)] : []), asn1.octetString(der))

/** DER of a CRL that may break any rule. */
export function makeCrl(c: TestCrl): Uint8Array {
  const scheme = c.scheme ?? 'sha256ECDSA'
  const entry = ([serial, reason]: CrlEntry): asn1.Asn1 => {
    const own: RawExtension[] = reason === undefined ? [] : [['2.5.29.21', false, Uint8Array.of(0x0a, 1, reason)]]
    const extensions = [...own, ...(c.entryExtensions ?? [])]
    return asn1.sequence(
      asn1.integer(serial),
      asn1.time(new Date('2026-02-01T00:00:00Z')),
      ...(extensions.length === 0 ? [] : [asn1.sequence(...extensions.map(extension))]),
    )
  }
  const { nextUpdate = new Date('2027-01-01T00:00:00Z'), revoked = [], extensions = [] } = c
  const tbs = asn1.sequence(
    ...(c.version === 1 ? [] : [asn1.integer(Uint8Array.of(1))]),
    algorithm(scheme),
    name(c.issuer),
    asn1.time(c.thisUpdate ?? new Date('2026-06-01T00:00:00Z')),
    ...(nextUpdate === null ? [] : [asn1.time(nextUpdate)]),
    ...(revoked.length === 0 ? [] : [asn1.sequence(...revoked.map(entry))]),
    ...(extensions.length === 0 ? [] : [asn1.explicit(0, asn1.sequence(...extensions.map(extension)))]),
  )
  const signature = sign(SCHEMES[scheme][1], asn1.toDer(tbs), c.issuerKey.privateKey)
  return asn1.toDer(asn1.sequence(tbs, algorithm(c.outerScheme ?? scheme), asn1.bitString(signature)))
}

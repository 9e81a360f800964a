import { sign } from 'node:crypto'
import * as asn1 from '../../attestation/ca/asn1.ts'
import { EXT, TCG } from '../../attestation/endorsement/index.ts'
import { type Extension, type KeyPair, name, SCHEMES, type Scheme } from './certificates.ts'

/** A GeneralName directoryName with the platform's attributes. */
export function platformName(manufacturer = 'Maker Ltd', model = 'Server 9', serial = 'SN-1'): asn1.Asn1 {
  const attribute = (id: string, value: string) => asn1.set(asn1.sequence(asn1.oid(id), asn1.utf8String(value)))
  return asn1.explicit(
    4,
    asn1.sequence(
      attribute(TCG.platformManufacturer, manufacturer),
      attribute(TCG.platformModel, model),
      attribute(TCG.platformVersion, '1.0'),
      attribute(TCG.platformSerial, serial),
    ),
  )
}

export const platformExtensions = (): Extension[] => [
  [EXT.subjectAltName, false, asn1.sequence(platformName())],
  [EXT.extKeyUsage, false, asn1.sequence(asn1.oid(TCG.platformCertificate))],
]

export interface TestAttributeCertificate {
  readonly holder: { readonly issuer: string; readonly serial: Uint8Array } | undefined
  readonly issuer: string
  readonly issuerKey: KeyPair
  readonly scheme?: Scheme
  readonly version?: number
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly extensions?: readonly Extension[]
}

/** DER of an attribute certificate (RFC 5755) that may break any rule. */
export function makeAttributeCertificate(c: TestAttributeCertificate): Uint8Array {
  const scheme = c.scheme ?? 'sha256ECDSA'
  const algorithm = asn1.sequence(asn1.oid(SCHEMES[scheme][0]))
  const directoryName = (cn: string): asn1.Asn1 => asn1.sequence(asn1.explicit(4, name(cn)))
  // [0] IssuerSerial; without one, [2] objectDigestInfo stands for the ways in which a holder is not named
  const holder = c.holder
    ? constructed(0, directoryName(c.holder.issuer), asn1.integer(c.holder.serial))
    : constructed(2, asn1.octetString(new Uint8Array(32)))
  const extensions = (c.extensions ?? platformExtensions()).map(([id, critical, value]) =>
    asn1.sequence(asn1.oid(id), ...(critical ? [asn1.boolean(true)] : []), asn1.octetString(asn1.toDer(value))),
  )
  const info = asn1.sequence(
    asn1.integer(Uint8Array.of(c.version ?? 1)),
    asn1.sequence(holder),
    constructed(0, directoryName(c.issuer)),
    algorithm,
    asn1.integer(Uint8Array.of(3)),
    asn1.sequence(
      asn1.time(c.notBefore ?? new Date('2021-01-01T00:00:00Z')),
      asn1.time(c.notAfter ?? new Date('2040-01-01T00:00:00Z')),
    ),
    asn1.sequence(),
    asn1.sequence(...extensions),
  )
  const signature = sign(SCHEMES[scheme][1], asn1.toDer(info), c.issuerKey.privateKey)
  return asn1.toDer(asn1.sequence(info, algorithm, asn1.bitString(signature)))
}

/** `[n]` around several values. */
function constructed(n: number, ...members: asn1.Asn1[]): asn1.Asn1 {
  const whole = asn1.explicit(n, members[0] ?? asn1.sequence())
  whole.value = members // explicit() takes one; the tree is node-forge's and holds a list
  return whole
}

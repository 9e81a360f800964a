import { KeyError, verifyCertificateSignature } from '../crypto/index.ts'
import { type Certificate, isSelfIssued } from './certificate.ts'
import { DerReader, oidText, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'
import { issuerKeyFault } from './issuer-rules.ts'
import { EXT, TCG } from './oids.ts'
import { importKey } from './public-key.ts'

/**
 * What a certificate is for, as it says itself. `device-id`: IDevID or IAK (verified TPM residency, or a hardware
 * module's name);
 * `signer`: signs, and is no CA, as whoever signs platform certificates.
 */
export type CertificatePurpose = 'ca' | 'ek' | 'ak' | 'device-id' | 'platform' | 'signer' | 'other'

export function certificatePurpose({ extensions }: Certificate): CertificatePurpose {
  const { basicConstraints, extKeyUsage = [], keyUsage } = extensions
  if (basicConstraints?.ca === true) return 'ca'
  const has = (oid: string): boolean => extKeyUsage.includes(oid)
  if (has(TCG.ekCertificate)) return 'ek'
  if (has(TCG.platformCertificate) || has(TCG.platformKeyCertificate)) return 'platform'
  const resident = policies(extensions.values.get(EXT.certificatePolicies)).includes(TCG.verifiedTpmResidency)
  if (resident || extensions.subjectAltName?.hardwareModule === true) return 'device-id'
  if (has(TCG.akCertificate)) return 'ak'
  const enciphers = keyUsage?.has('keyEncipherment') === true || keyUsage?.has('keyAgreement') === true
  return keyUsage?.has('digitalSignature') === true && !enciphers && extKeyUsage.length === 0 ? 'signer' : 'other'
}

/**
 * Object identifiers of CertificatePolicies; empty where they cannot be read, as they only serve to name a certificate.
 */
function policies(value: Uint8Array | undefined): readonly string[] {
  const found: string[] = []
  if (value === undefined) return found
  try {
    const list = new DerReader(value, 'certificatePolicies').sequence('value')
    while (!list.done && found.length < MAX_POLICIES) {
      found.push(oidText(list.sequence('policyInformation').expect('policyIdentifier', TAG.oid).content))
    }
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
  }
  return found
}

const MAX_POLICIES = 32

/** Does a self-issued certificate verify with its own key? False for a signature or key that is not accepted. */
export function isSelfSigned(c: Certificate): boolean {
  const { signatureScheme: scheme, publicKey: key } = c
  if (!isSelfIssued(c) || scheme === undefined || key.kind === 'unsupported' || issuerKeyFault(key) !== undefined)
    return false
  if ((key.kind === 'ec') !== (scheme.alg === 'ecdsa')) return false
  try {
    return verifyCertificateSignature(importKey(key), scheme, c.signedBytes, c.signature)
  } catch (err) {
    if (!(err instanceof KeyError)) throw err
    return false
  }
}

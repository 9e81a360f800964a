import { toHex } from '../base/index.ts'
import { decodePublic, nodeIdOf, type TpmPublic, WireError } from '../tpm2/index.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import { checkEkCertificate, type EndorsementFinding, type TpmIdentity } from './ek-certificate.ts'
import { EndorsementError, type EndorsementErrorCode } from './errors.ts'
import { isOfEkTemplate, keyMismatch } from './match.ts'
import { type EndorsementClaim, type PathEntry, pathEntry } from './verify.ts'

export type VouchedResult =
  | {
      /** Another node, whose word is good, has measured this certificate before the TPM was used. */
      readonly kind: 'host'
      readonly nodeId: string
      readonly identity: TpmIdentity
      /** The EK certificate alone: who issued it is the host, whose key nobody else vouches for. */
      readonly path: readonly [PathEntry]
      readonly findings: readonly EndorsementFinding[]
    }
  | { readonly kind: 'refused'; readonly code: EndorsementErrorCode; readonly message: string }

/**
 * Decides whether this is the EK that a host has made for a pod. The digest of the certificate binds all of it, the key
 * with it; a path to a CA of the host would add nothing to the host's own word.
 *
 * @param sha256 of the certificate, hex, as the host's proven launch log has it
 */
export function verifyVouchedEk(claim: EndorsementClaim, sha256: string): VouchedResult {
  let ek: TpmPublic
  let certificate: Certificate
  try {
    ek = decodePublic(claim.ekPublic)
    if (claim.ekCertificate === undefined) return refused('EK_NOT_ENDORSED', 'the TPM has no EK certificate')
    certificate = decodeCertificate(claim.ekCertificate)
  } catch (err) {
    if (err instanceof EndorsementError) return refused(err.code, `EK certificate: ${err.message}`)
    if (err instanceof WireError) return refused('EK_UNSUPPORTED', `EK public area cannot be read: ${err.message}`)
    throw err
  }
  const fingerprint = toHex(certificate.fingerprint)
  if (fingerprint !== sha256) {
    return refused('EK_NOT_ENDORSED', `the EK certificate is ${fingerprint}, its host has measured ${sha256}`)
  }
  const mismatch = keyMismatch(certificate.publicKey, ek)
  if (mismatch !== undefined) {
    return refused('EK_CERT_KEY_MISMATCH', `EK certificate is not about this TPM's EK: ${mismatch}`)
  }
  const { findings, identity } = checkEkCertificate(certificate)
  const faults = findings.filter((f) => f.tier === 'contraindicated')
  if (faults.length > 0) {
    const list = faults.map((f) => `${f.message} (${f.rule})`).join('; ')
    return refused('EK_CERT_PROFILE', `EK certificate breaks the TCG profile: ${list}`)
  }
  if (!isOfEkTemplate(ek)) {
    return refused('EK_TEMPLATE', 'EK public area is of no template of the TCG EK Credential Profile')
  }
  return { kind: 'host', nodeId: nodeIdOf(claim.ekPublic), identity, path: [pathEntry(certificate)], findings }
}

function refused(code: EndorsementErrorCode, message: string): VouchedResult {
  return { kind: 'refused', code, message }
}

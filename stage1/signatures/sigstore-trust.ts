import {
  importSigningKey,
  parseTrustedRoot,
  readCertificate,
  type SigningKey,
  SigstoreError,
  type TrustedLog,
  type TrustedRoot,
} from '../../attestation/sigstore/index.ts'
import { SignatureError } from './errors.ts'
import { materialName, pemBlocks, readMaterial } from './material.ts'
import type { Material, Requirement } from './policy.ts'

type CertificateRoots = Extract<Requirement, { type: 'sigstoreCertificate' }>['roots']

/** What certificates are verified with. @throws SignatureError IMAGE_POLICY_BAD */
export function loadTrustedRoot(roots: CertificateRoots): TrustedRoot {
  const bytes = readMaterial(roots.material)
  return usable(roots.material, () => {
    if (roots.kind === 'trusted-root') return parseTrustedRoot(bytes)
    const certificates = pemBlocks(bytes, 'CERTIFICATE', materialName(roots.material)).map(readCertificate)
    const [anchors, others] = [true, false].map((wanted) =>
      certificates.filter((c) => (c.issuer.key === c.subject.key) === wanted),
    )
    // a file of intermediates alone: each is trusted as it is
    const ends = anchors !== undefined && anchors.length > 0 ? anchors : certificates
    const between = ends === anchors ? (others ?? []) : []
    const authorities = ends.map((end) => {
      const [first = end, ...rest] = [...between, end]
      return { chain: [first, ...rest] as const, from: new Date(0) }
    })
    return { authorities, logs: loadLogs(roots.logKeys), certificateLogs: [], timestampAuthorities: [] }
  })
}

/** Logs by their keys alone. @throws SignatureError IMAGE_POLICY_BAD */
export function loadLogs(materials: readonly Material[]): readonly TrustedLog[] {
  return loadKeys(materials).map(({ key }) => ({ key, from: new Date(0) }))
}

/** Public keys of PEM files, each with where it came from. @throws SignatureError IMAGE_POLICY_BAD */
export function loadKeys(
  materials: readonly Material[],
): readonly { readonly key: SigningKey; readonly from: string }[] {
  return materials.flatMap((material) => {
    const from = materialName(material)
    return usable(material, () =>
      pemBlocks(readMaterial(material), 'PUBLIC KEY', from).map((spki) => ({ key: importSigningKey(spki), from })),
    )
  })
}

function usable<T>(material: Material, load: () => T): T {
  try {
    return load()
  } catch (cause) {
    if (!(cause instanceof SigstoreError)) throw cause
    throw new SignatureError('IMAGE_POLICY_BAD', `${materialName(material)}: ${cause.message}`, { cause })
  }
}

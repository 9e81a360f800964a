import { messageOf } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { SignatureError } from './errors.ts'
import { fingerprint, materialName, pemBlocks, readMaterial } from './material.ts'
import { parsePublicKeys } from './openpgp.ts'
import type { CertificateHolder, Material, Requirement, SignedIdentity } from './policy.ts'
import type { NamedImage } from './scope.ts'
import { type ConfigDirectories, trustedKeysFor } from './trust-store.ts'

/**
 * A requirement with what it names looked up now: which keys and anchors count. A removed key, or another policy, makes
 * another demand, so an image's recorded signers are held against it again at each launch.
 */
export type Demand =
  | { readonly type: 'accept' }
  | { readonly type: 'reject' }
  | { readonly type: 'openpgp'; readonly keys: ReadonlySet<string>; readonly whose: string }
  | {
      readonly type: 'public-key'
      readonly keys: ReadonlySet<string>
      /** Logs of which one must have it; none where it is empty. */
      readonly anchors: ReadonlySet<string>
      readonly identity: SignedIdentity
      readonly predicateType: string
    }
  | {
      readonly type: 'certificate'
      readonly anchors: ReadonlySet<string>
      readonly holder: CertificateHolder
      readonly identity: SignedIdentity
      readonly predicateType: string
    }

/** @throws SignatureError IMAGE_POLICY_BAD, TRUST_KEY_BAD, TRUST_STORE_FAILED */
export function demandOf(requirement: Requirement, image: NamedImage, config: ConfigDirectories): Demand {
  switch (requirement.type) {
    case 'insecureAcceptAnything':
      return { type: 'accept' }
    case 'reject':
      return { type: 'reject' }
    case 'signedByTrustedKey': {
      const keys = image.kind === 'aci' ? trustedKeysFor(config, image.manifestName) : []
      return {
        type: 'openpgp',
        keys: new Set(keys.map((k) => `openpgp:${k.fingerprint}`)),
        whose: `a key that is trusted for ${image.manifestName} (holdfast trust list)`,
      }
    }
    case 'signedBy': {
      const keys = requirement.keys.flatMap((m) => parsePublicKeys(readMaterial(m)))
      const whose = `a key of ${requirement.keys.map(materialName).join(', ')}`
      return { type: 'openpgp', keys: new Set(keys.map((k) => `openpgp:${k.fingerprint}`)), whose }
    }
    case 'sigstoreKey': {
      const { identity, predicateType } = requirement
      return {
        type: 'public-key',
        keys: publicKeys(requirement.keys),
        anchors: publicKeys(requirement.logKeys),
        identity,
        predicateType,
      }
    }
    case 'sigstoreCertificate': {
      const { roots, holder, identity, predicateType } = requirement
      const anchors =
        roots.kind === 'trusted-root'
          ? trustedRootAnchors(roots.material)
          : new Set([...fingerprints(roots.material, 'CERTIFICATE'), ...publicKeys(roots.logKeys)])
      return { type: 'certificate', anchors, holder, identity, predicateType }
    }
    default:
      return requirement satisfies never
  }
}

function publicKeys(materials: readonly Material[]): ReadonlySet<string> {
  return new Set(materials.flatMap((m) => fingerprints(m, 'PUBLIC KEY')))
}

function fingerprints(material: Material, label: 'PUBLIC KEY' | 'CERTIFICATE'): string[] {
  return pemBlocks(readMaterial(material), label, materialName(material)).map(fingerprint)
}

/** Fingerprints of all certificates and keys of a trusted root; what they are for was checked when they were used. */
function trustedRootAnchors(material: Material): ReadonlySet<string> {
  const what = materialName(material)
  try {
    const r = new ShapeReader(what)
    const o = r.object(parseJson(readMaterial(material), what), '$')
    const raw = (value: unknown, at: string): string => {
      const bytes = Buffer.from(r.string(r.object(value, at)['rawBytes'], `${at}.rawBytes`), 'base64')
      return fingerprint(bytes)
    }
    const anchors: string[] = []
    for (const member of ['tlogs', 'ctlogs']) {
      for (const [i, log] of r.list(o[member], member, 100).entries())
        anchors.push(raw(r.object(log, `${member}[${i}]`)['publicKey'], `${member}[${i}].publicKey`))
    }
    for (const member of ['certificateAuthorities', 'timestampAuthorities']) {
      for (const [i, ca] of r.list(o[member], member, 100).entries()) {
        const at = `${member}[${i}].certChain`
        const chain = r.object(r.object(ca, `${member}[${i}]`)['certChain'], at)
        for (const c of r.list(chain['certificates'], `${at}.certificates`, 16)) anchors.push(raw(c, at))
      }
    }
    r.finish()
    return new Set(anchors)
  } catch (cause) {
    if (cause instanceof SignatureError) throw cause
    throw new SignatureError('IMAGE_POLICY_BAD', `${what} is no trusted root: ${messageOf(cause)}`, { cause })
  }
}

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { copiedVectors, externalVectors, skipWithoutVectors, type VectorSet } from './support/vectors.ts'

/**
 * Which test asserts what the index says of which files. `*` is any name, and stands only where the test takes a folder as
 * it is, so that a file put there is tried; `{a,b}` is one of these. Everything else is read by its name.
 */
const CLAIMS: Readonly<Record<string, readonly string[]>> = {
  'attestation/event-log/cel/cel-libcel.test.ts': ['cel/json/*'],
  'attestation/event-log/cel/cel.test.ts': [
    'cel/tlv/*',
    'cel/attacks/{good,content-changed-digest-kept,cut-mid-record,duplicate-sha256-digest,length-overflow,recnum-gap}.cel',
    'cel/attacks/{tail-truncated,wrong-pcr}.cel',
    'cel/attacks/expected.json',
    'swtpm/node/{pods.cel,pods.cel.json}',
  ],
  'attestation/event-log/systemd/measure-log.test.ts': ['swtpm/node/pods.tpm2-measure.log'],
  'attestation/appraisal/boot/vectors.test.ts': ['keylime/bundles/swtpm-rhel9/pcrs.txt'],
  'attestation/endorsement/vectors.test.ts': [
    'certs/{ek,gce}/*',
    'keylime/ekcerts/*',
    'vendor-roots/{roots,intermediates}/*',
    'vendor-roots/tpm-roots.yaml',
    'swtpm/ek/{ek-rsa.der,ek-ecc384.der,issuercert.pem,swtpm-localca-rootca-cert.pem}',
    'vm/ca/{issuercert.pem,swtpm-localca-rootca-cert.pem}',
  ],
  'attestation/endorsement/certificate.test.ts': [
    'vendor-roots/{tpm-ca-certificates,tpm-intermediate-ca-certificates}.bundle.pem',
  ],
  'attestation/reference-values/corim.test.ts': ['corim/*'],
  'attestation/results/ear-vectors.test.ts': ['ear/*'],
  'attestation/event-log/firmware/vectors.test.ts': [
    'eventlogs/{attacks,ccel,go-attestation,google,ibmtss,tpm2-tss}/*',
    'eventlogs/tpm2-tools/*.bin',
    'eventlogs/replay-computed.json',
    'keylime/eventlogs-hw/*.bin',
    'quotes/*.eventlog.bin',
    'swtpm/node/eventlog.bin',
  ],
  'attestation/event-log/firmware/expected-parses.test.ts': [
    'eventlogs/tpm2-tools/*.yaml',
    'keylime/eventlogs-hw/*.{json,yml}',
  ],
  'attestation/event-log/ima/vectors.test.ts': [
    'ima/{ascii_runtime_measurements,ibmtss-sha512.log,imakvtpcr10.txt,imatest.log,libcel-binary_runtime_measurements.b64}',
    'ima/sml-ima-{ng-sha1-invalidated,ng-sha1,sha1,sig-sha256-invalidated,sig-sha256}.b64',
    'keylime/ima/{hpe-ima_log.txt,rust-ascii_runtime_measurements,keylime-test_ima_ast-lines.json}',
    'keylime/ima/keylime-{bad_signatures,keyrings,measurements,signatures}.txt',
    'keylime/ima/keylime-ima-log-{sha1,sha256,sha384,sha512,sm3_256,unknown}',
  ],
  'attestation/reference-values/keylime.test.ts': [
    'ima/{acs-imakey.der,acs-imasig.log}',
    'keylime/ima/{ima-allowlist-short.txt,ima-policy-keylime-tests,keylime-ima_keyring_string.txt}',
    'keylime/ima/keys/{rsa2048,rsa2048pub,secp256k1}.pem',
  ],
  'attestation/tpm2/quote-vectors.test.ts': [
    'keylime/bundles/swtpm-rhel9/*.{msg,pcrs,sig}',
    'keylime/bundles/swtpm-rhel9/{ak_ecc,ak_rsa}.{name,pub}',
    'keylime/bundles/swtpm-rhel9/{ek_rsa.pub,nonces.txt}',
    'quotes/*.{decoded.json,pb}',
    'quotes/trustee-tpm_evidence.json',
    'swtpm/{attack,node,quotes,reboot,tpm-restart}/*.{attest,pcrs,sig}',
    'swtpm/{node,quotes,reboot,tpm-restart}/nonce.hex',
    'swtpm/{attack/unrestricted-ak,node/ak,node/owner-hierarchy-ak,reboot/ak,tpm-restart/ak}.tpm2b_public',
    'swtpm/tpm-restart/expected.json',
  ],
  'attestation/tpm2/certify.test.ts': [
    'swtpm/nv/{nvpcr-certify.attest,nvpcr-certify.sig,nvpcr.public.yaml,nvpcr.value}',
    'swtpm/objects/{app,app2}.tpm2b_public',
    'swtpm/objects/app2.{creation_data,creation_hash}',
    'swtpm/objects/{app-certify,app2-certifycreation,gettime}.{attest,sig}',
    'swtpm/owner-gettime/{gettime,quote,quote-next-boot}.{attest,sig}',
    'swtpm/owner-gettime/{ak.tpm2b_public,expected.json}',
  ],
  'attestation/tpm2/credential.test.ts': ['swtpm/objects/{activated.out,mkcred-ekrsa-akrsa.blob,mkcred.secret}'],
  'attestation/tpm2/name.test.ts': ['swtpm/ak/{ak-ecc,ak-rsa}.name', 'swtpm/reboot/ak.name'],
  'attestation/tpm2/policy.test.ts': [
    'swtpm/launch-policy/{auth.digest,expected.json,ref.bin}',
    'swtpm/launch-policy/{v1,v2}-{approval.sig.der,approved.digest,sealed.tpm2b_public}',
    'swtpm/policy/{policyauthorize.digest,policypcr-0-7-15.digest,verifier.name,verifier.pub.pem}',
  ],
  'attestation/tpm2/tool-output.test.ts': [
    'keylime/bundles/swtpm-rhel9/{ak_ecc,ak_rsa}.pem',
    'swtpm/{ak/ak-ecc,ak/ak-rsa,ek/ek-rsa}.{pem,tpm2b_public}',
    'swtpm/node/{ek.der,pcrread.txt}',
    'swtpm/policy/verifier-TESTONLY.key.pem',
    'swtpm/quotes/{pcr15-before-reboot.bin,pod-events.txt}',
  ],
  'attestation/tpm2/ak.test.ts': ['swtpm/ek/ek-ecc256.tpm2b_public'],
  // compares each folder with the digests beside it
  'attestation/event-log/guest-files.test.ts': ['vm/{ovmf,seabios}-*/*', 'vm/{ovmf,seabios}-*/acpi/TPM2'],
  'attestation/transparency-log/vectors.test.ts': ['tlog/tessera/*'],
  'stage1/image/cases.test.ts': ['images/cases.json', 'images/{aci,layers,oci}/*'],
  'stage1/image/good-images.test.ts': ['images/good/*'],
}

/** Files that wait for their test. */
const UNCLAIMED: readonly string[] = ['sigstore/*']

/** Sets made for this project, of which test/vectors has copies under the same path. */
const COPIED = ['cel/attacks', 'images', 'swtpm', 'vm']

describe('the vectors of other projects', () => {
  const set = externalVectors('.')
  const files = set === undefined ? [] : filesOf(set).filter((file) => !/(^|\/)INDEX\.md$/.test(file))
  before(function () {
    if (set === undefined) skipWithoutVectors(this, '(all sets)')
  })

  it('have a test that claims each file', () => {
    const claims = [...Object.values(CLAIMS).flat(), ...UNCLAIMED].map(patternOf)
    assert.deepEqual(
      files.filter((file) => !claims.some((claim) => claim.test(file))),
      [],
      'new files: assert in a test what the index says of them, and claim them here',
    )
  })
  it('have no claim of files that are not there', () => {
    for (const claim of [...Object.values(CLAIMS).flat(), ...UNCLAIMED]) {
      const isThere = set?.has(claim.split('/')[0] ?? '') === true
      assert.ok(!isThere || files.some((file) => patternOf(claim).test(file)), claim)
    }
  })
  it('are claimed by tests that are there', () => {
    for (const test of Object.keys(CLAIMS)) {
      assert.ok(existsSync(fileURLToPath(new URL(test, import.meta.url))), test)
    }
  })
  it('that are hostile images belong to a case each', () => {
    const cases: unknown[][] = JSON.parse(set?.text('images/cases.json') ?? '[]')
    const inCases = new Set(cases.flatMap(([, , , , names]) => names as string[]))
    const images = files.filter((file) => /^images\/(aci|layers|oci)\//.test(file))
    assert.deepEqual(
      images.filter((file) => !inCases.has(file.slice('images/'.length))),
      [],
    )
  })
  it('that were copied are the same here as there', () => {
    for (const name of COPIED) {
      const copies = copiedVectors(name)
      const shared = filesOf(copies).filter((file) => set?.has(`${name}/${file}`))
      assert.ok(shared.length > 0, name)
      for (const file of shared) assert.deepEqual(copies.read(file), set?.read(`${name}/${file}`), `${name}/${file}`)
    }
  })
})

/** Paths of all files of a set, relative to it. */
function filesOf(set: VectorSet, below = ''): string[] {
  return set.list(below || '.').flatMap((name) => {
    const path = below === '' ? name : `${below}/${name}`
    return set.isDirectory(path) ? filesOf(set, path) : [path]
  })
}

function patternOf(claim: string): RegExp {
  const source = claim
    .replaceAll('.', '\\.')
    .replaceAll('*', '[^/]+')
    .replaceAll('{', '(?:')
    .replaceAll('}', ')')
    .replaceAll(',', '|')
  return new RegExp(`^${source}$`)
}

import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { decodeCertificate } from '../../../attestation/endorsement/index.ts'
import type { PodLaunch } from '../../../attestation/protocol/index.ts'
import { EK_TEMPLATES, encodePublic, nodeIdOf } from '../../../attestation/tpm2/index.ts'

/** What a launch request says of a pod's TPM. */
export type PodTpm = NonNullable<NonNullable<PodLaunch['guest']>['tpm']>

/** Files that swtpm_setup leaves; all that the TPM is, and the certificate of the EK by which the pod is known. */
export const TPM_STATE = 'tpm2-00.permall'
export const EK_CERTIFICATE = 'ek-secp384r1.crt'

/** Where keeper and swtpm agree: the state in swtpm's own root, and its end of the socketpair that QEMU has the other of. */
const STATE_DIRECTORY = '/state'
const CONTROL_FD = 4

/** Serial numbers are text for swtpm_cert, of 64 bits at most; it takes this even one, and the next for the other EK. */
export function serialNumber(random: Uint8Array): string {
  const view = new DataView(random.buffer, random.byteOffset, random.byteLength)
  return String(view.getBigUint64(0) & 0x3fff_ffff_ffff_fffen)
}

/** Files for swtpm_setup in `directory`, which also holds its programs, by name and text. @param authority file with key and certificate */
export function setupFiles(directory: string, authority: string, serial: string): ReadonlyMap<string, string> {
  return new Map([
    ['certserial', serial],
    ['localca.options', ''],
    [
      'localca.conf',
      `statedir = ${directory}\nsigningkey = ${authority}\nissuercert = ${authority}\ncertserial = ${directory}/certserial\n`,
    ],
    [
      'setup.conf',
      [
        `create_certs_tool = ${directory}/swtpm_localca`,
        `create_certs_tool_config = ${directory}/localca.conf`,
        `create_certs_tool_options = ${directory}/localca.options`,
        '',
      ].join('\n'),
    ],
  ])
}

/**
 * Arguments of swtpm_setup: a TPM 2.0 with a SHA-256 bank and EKs of the TCG templates L-1 and H-3 (RSA 2048 and P-384), each
 * with its certificate in NV, which only the platform hierarchy can take away.
 */
export function setupArguments(directory: string, podUuid: string): string[] {
  return [
    ...['--tpm2', '--tpm', `${directory}/swtpm socket`, '--tpmstate', `${directory}/state`, '--not-overwrite'],
    ...['--createek', '--create-ek-cert', '--lock-nvram', '--pcr-banks', 'sha256', '--vmid', podUuid],
    ...['--config', `${directory}/setup.conf`, '--write-ek-cert-files', directory, '--runas', 'root'],
  ]
}

/** Arguments of the swtpm that serves a pod. @param program absolute path, which becomes argv[0] */
export function tpmArguments(program: string): string[] {
  return [
    ...[program, 'socket', '--tpm2', '--tpmstate', `dir=${STATE_DIRECTORY},mode=0600`],
    ...['--ctrl', `type=unixio,clientfd=${CONTROL_FD}`, '--seccomp', 'action=kill'],
  ]
}

/**
 * The pod's TPM as verifiers will know it. The agent prefers an elliptic curve, so the EK is that of template H-3, and the
 * node ID is that of its public area: the template with the point that the certificate certifies.
 *
 * @param certificate DER, of the EK
 * @param authority SubjectPublicKeyInfo of who issued it, DER
 * @throws EndorsementError, RangeError for a certificate of another kind of key
 */
export function podTpm(certificate: Uint8Array, authority: Uint8Array): PodTpm {
  const { publicKey } = decodeCertificate(certificate)
  const template = EK_TEMPLATES.find(({ id }) => id === 'H-3')?.public
  if (publicKey.kind !== 'ec' || template?.type !== 'ecc' || publicKey.curve !== template.curve) {
    throw new RangeError('the certificate is for no EK on P-384')
  }
  const { x, y } = publicKey
  return {
    node: nodeIdOf(encodePublic({ ...template, unique: { x, y } })),
    certificate: toHex(digest('sha256', certificate)),
    authority: toHex(digest('sha256', authority)),
  }
}

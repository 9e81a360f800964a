import { bytesText } from '../../crypto/index.ts'
import type { ImaFieldValue } from './entry.ts'
import type { ImaField } from './templates.ts'

/** What the fields say of the measured file or buffer. Texts are binary strings: a path is any bytes but NUL. */
export interface ImaMeasurement {
  readonly digest?: ImaFileDigest
  /** Path of a file, name of a keyring or of critical data; in it the kernel writes `_` for a space. */
  readonly name?: string
  /** security.ima of the file, its type in front; or, where that is no signature, security.evm. */
  readonly signature?: Uint8Array
  /** What was measured where no file was: a key, a command line, a table of the device mapper. */
  readonly buffer?: Uint8Array
  readonly appended?: { readonly digest?: ImaFileDigest; readonly signature?: Uint8Array }
  readonly evmSignature?: Uint8Array
  readonly owner?: { readonly uid?: number; readonly gid?: number; readonly mode?: number }
}

/** Digest of a file's content; `verity`: of its fs-verity descriptor, which is another digest. */
export interface ImaFileDigest {
  readonly of: 'content' | 'verity'
  /** The kernel's name of it, sm3-256 for instance; absent in the oldest template, where it is SHA-1. */
  readonly algorithm: string
  readonly bytes: Uint8Array
}

/** Longest name of an algorithm with its kind in front; the kernel's longest is `verity:streebog512:`. */
const MAX_ALGORITHM_BYTES = 64

/** What fields say. A digest or number that has not its form is left out: it says nothing. Total. */
export function imaMeasurement(fields: readonly ImaFieldValue[]): ImaMeasurement {
  const of = (...names: ImaField[]): Uint8Array | undefined => {
    const bytes = fields.find(({ field }) => names.includes(field))?.bytes
    return bytes === undefined || bytes.length === 0 ? undefined : bytes
  }
  const oldDigest = of('d')
  const ng = of('d-ng')
  const v2 = of('d-ngv2')
  const digest =
    ng !== undefined
      ? fileDigest(ng)
      : v2 !== undefined
        ? fileDigest(v2)
        : oldDigest &&
          ({ of: 'content', algorithm: oldDigest.length === 16 ? 'md5' : 'sha1', bytes: oldDigest } as const)
  const name = of('n', 'n-ng')
  const appended = { digest: of('d-modsig'), signature: of('modsig') }
  const appendedDigest = appended.digest && fileDigest(appended.digest)
  const owner = { uid: number(of('iuid')), gid: number(of('igid')), mode: number(of('imode')) }
  const signature = of('sig')
  const buffer = of('buf')
  const evmSignature = of('evmsig')
  return {
    ...(digest && { digest }),
    ...(name && { name: withoutNul(name) }),
    ...(signature && { signature }),
    ...(buffer && { buffer }),
    ...((appendedDigest || appended.signature) && {
      appended: {
        ...(appendedDigest && { digest: appendedDigest }),
        ...(appended.signature && { signature: appended.signature }),
      },
    }),
    ...(evmSignature && { evmSignature }),
    ...((owner.uid ?? owner.gid ?? owner.mode) !== undefined && {
      owner: {
        ...(owner.uid !== undefined && { uid: owner.uid }),
        ...(owner.gid !== undefined && { gid: owner.gid }),
        ...(owner.mode !== undefined && { mode: owner.mode }),
      },
    }),
  }
}

/** `sha256:` NUL digest, or of the v2 fields `ima:sha256:` or `verity:sha256:` in front. */
function fileDigest(bytes: Uint8Array): ImaFileDigest | undefined {
  const end = bytes.subarray(0, MAX_ALGORITHM_BYTES).indexOf(0)
  if (end < 2 || bytes[end - 1] !== 0x3a) return undefined
  const parts = bytesText(bytes.subarray(0, end - 1)).split(':')
  const algorithm = parts.pop()
  if (algorithm === undefined || parts.length > 1) return undefined
  const kind = parts[0]
  if (kind !== undefined && kind !== 'ima' && kind !== 'verity') return undefined
  return { of: kind === 'verity' ? 'verity' : 'content', algorithm, bytes: bytes.subarray(end + 1) }
}

function withoutNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return bytesText(end < 0 ? bytes : bytes.subarray(0, end))
}

function number(bytes: Uint8Array | undefined): number | undefined {
  if (bytes === undefined || ![1, 2, 4].includes(bytes.length)) return undefined
  let value = 0
  for (let i = bytes.length - 1; i >= 0; i--) value = value * 256 + (bytes[i] as number) // i is inside
  return value
}

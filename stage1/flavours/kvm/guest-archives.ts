import { concatBytes, utf8 } from '../../../attestation/base/index.ts'
import type { PodInterface } from '../../network/index.ts'
import type { TarMember } from '../tar.ts'
import { cpioArchive } from './cpio.ts'
import { type GuestTree, WRITABLE_SERIAL } from './guest-disks.ts'

/** The plan directory in the guest, without the slash before it. */
const PLAN = 's1/plan'
const SALT_BYTES = 32

export interface PodArchiveSettings {
  /** The plan for the guest's init: relative path and content. */
  readonly files: ReadonlyMap<string, Uint8Array>
  readonly hostname: string
  /** 32 random bytes, of this pod alone. */
  readonly salt: Uint8Array
  readonly trees: readonly GuestTree[]
  /** Where the writable layers and empty volumes are, on memory or the disk for them. */
  readonly writable: 'memory' | 'disk'
  /** Most that layers on memory may hold together. */
  readonly memoryLayerBytes: number
  /** Whether there is a TPM that apps get, and that is told of this archive first. */
  readonly tpm: boolean
}

/**
 * `pod.cpio`: all that the guest is told and that is measured. Equal settings give equal bytes.
 * @throws RangeError for a salt of another size, or a text with a NUL
 */
export function podArchive(s: PodArchiveSettings): Uint8Array {
  if (s.salt.length !== SALT_BYTES) throw new RangeError(`a salt has ${SALT_BYTES} bytes, not ${s.salt.length}`)
  const trees = s.trees.flatMap((t) => [t.dataSerial, t.hashSerial, String(t.blocks), t.rootHash])
  return planArchive([
    ...s.files,
    ['salt', s.salt],
    ['hostname', list([s.hostname])],
    ['trees', list(trees)],
    ['writable', list([s.writable === 'memory' ? 'memory' : WRITABLE_SERIAL])],
    ['memory-layer-bytes', list([String(s.memoryLayerBytes)])],
    ['tpm', list([s.tpm ? 'own' : 'none'])],
  ])
}

/**
 * `addresses.cpio`: what is known only when the networks are up, and so is not measured.
 * @param files `resolv.conf` and `hosts`, as the plan of another flavour has them
 * @param podArchiveDigest SHA-256, hex, of the other archive, for a guest that tells its TPM: the kernel keeps nothing of the
 * archive that the guest could take it of
 * @throws RangeError for a text with a NUL
 */
export function addressesArchive(
  files: ReadonlyMap<string, Uint8Array>,
  interfaces: readonly PodInterface[],
  podArchiveDigest?: string,
): Uint8Array {
  const records = interfaces.flatMap(({ mac, name, mtu, addresses, routes }) => [
    ...[mac, name, mtu === undefined ? '' : String(mtu), addresses.join(' ')],
    routes.map((r) => (r.gateway === undefined ? r.destination : `${r.destination},${r.gateway}`)).join(' '),
    '',
  ])
  const told = podArchiveDigest === undefined ? [] : [['pod-archive', list([podArchiveDigest])] as const]
  return planArchive([...files, ['interfaces', list(records)], ...told])
}

/** Only PID 1 of the guest reads it: values of the environment are in it. */
function planArchive(files: readonly (readonly [name: string, content: Uint8Array])[]): Uint8Array {
  const directories = new Set(files.flatMap(([name]) => parents(name)))
  return cpioArchive([
    { name: 's1', kind: 'directory', mode: 0o755 },
    { name: PLAN, kind: 'directory', mode: 0o700 },
    ...[...directories].sort().map((name): TarMember => ({ name: `${PLAN}/${name}`, kind: 'directory', mode: 0o700 })),
    ...files.map(([name, content]): TarMember => ({ name: `${PLAN}/${name}`, kind: 'file', mode: 0o600, content })),
  ])
}

/** `a` and `a/b` of `a/b/c`. */
function parents(name: string): string[] {
  const parts = name.split('/').slice(0, -1)
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'))
}

/** As the C program reads it: items each end with a NUL. */
function list(items: readonly string[]): Uint8Array {
  if (items.some((item) => item.includes('\0'))) throw new RangeError('a text for the guest contains a NUL')
  return concatBytes(...items.map((item) => utf8(`${item}\0`)))
}

import { readFile, rename, writeFile } from 'node:fs/promises'
import { canonicalJson, utf8 } from '../../../attestation/base/index.ts'
import { AC_VERSION } from '../../manifest/index.ts'
import { INTERFACE_VERSION, STAGE1_ANNOTATIONS } from '../interface.ts'
import { tarArchive } from '../tar.ts'
import { SUPERVISOR } from './supervisor.ts'

// systemd-nspawn refuses a root without usr/ and mounts on the others; the last two are launch's.
const DIRECTORIES = ['apps', 'dev', 'etc', 'proc', 'run', 's1', 'sys', 'tmp', 'usr', 'var']

export interface Stage1BuildSettings {
  /** Path of the static holdfast-stage1. */
  readonly program: string
  /** Where the ACI is written, whole or not at all. */
  readonly output: string
  /** process.arch of the machine the program was built for; this machine's unless given. */
  readonly arch?: string
}

/**
 * Builds the stage1 image `nspawn`: an uncompressed ACI with equal bytes for an equal program.
 * @throws Error of the file system
 */
export async function buildNspawnStage1(settings: Stage1BuildSettings): Promise<void> {
  const aci = nspawnStage1Image(new Uint8Array(await readFile(settings.program)), settings.arch ?? process.arch)
  await writeFile(`${settings.output}.new`, aci)
  await rename(`${settings.output}.new`, settings.output)
}

/** @returns the bytes of the ACI around the static program */
export function nspawnStage1Image(program: Uint8Array, arch: string): Uint8Array {
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: AC_VERSION,
    name: 'holdfast/stage1-nspawn',
    labels: [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: arch === 'x64' ? 'amd64' : arch === 'arm64' ? 'aarch64' : arch },
    ],
    annotations: [
      { name: STAGE1_ANNOTATIONS.flavour, value: 'nspawn' },
      { name: STAGE1_ANNOTATIONS.hostPrograms, value: `${SUPERVISOR} holdfast-stage1` },
      { name: STAGE1_ANNOTATIONS.interfaceVersion, value: String(INTERFACE_VERSION) },
      { name: STAGE1_ANNOTATIONS.run, value: '/init init' },
    ],
  }
  return tarArchive([
    { name: 'manifest', kind: 'file', mode: 0o644, content: utf8(canonicalJson(manifest)) },
    { name: 'rootfs', kind: 'directory', mode: 0o755 },
    ...DIRECTORIES.map((d) => ({
      name: `rootfs/${d}`,
      kind: 'directory' as const,
      mode: d === 'tmp' ? 0o1777 : 0o755,
    })),
    { name: 'rootfs/init', kind: 'file', mode: 0o755, content: program },
  ])
}

import type { LaunchRequest } from '../../attestation/protocol/index.ts'

const hex64 = (digit: string): string => digit.repeat(64)

const IMAGE: LaunchRequest['images'][number] = {
  name: 'registry.example:5000/busybox:1.36',
  id: `sha256-${hex64('6')}`,
  manifest: `sha256:${hex64('7')}`,
  tree: `erofs-verity-2:sha256:${hex64('8')}`,
  verification: 'full-file',
  signers: [],
  relaxed: [],
}

/** A pod manifest that says what a request with these images and isolators says. */
export function podManifest(
  images: LaunchRequest['images'],
  isolators: LaunchRequest['isolators'] = [],
): LaunchRequest['pod']['manifest'] {
  const app = { exec: ['/bin/true'], user: '0', environment: [], workingDirectory: '/', mountPoints: [], isolators: [] }
  return {
    acKind: 'PodManifest',
    acVersion: '0.8.11',
    apps: images.map((image, i) => ({ name: `app-${i}`, image: { id: image.id, name: `app-${i}` }, app })),
    volumes: [],
    isolators: isolators.map(({ name, value }) => ({ name, value: JSON.parse(value) as unknown })),
    annotations: [],
  }
}

/** What a request has of a pod that is a virtual machine. */
export const VIRTUAL_MACHINE = {
  machine: {
    accelerator: 'tcg',
    kernel: hex64('a'),
    initramfs: hex64('b'),
    commandLine: 'console=ttyS0 -- guest',
    firmware: [{ path: '/usr/share/seabios/bios-256k.bin', sha256: hex64('c') }],
  },
  guest: { archive: hex64('d'), memoryMiB: 256, processors: 1 },
} satisfies { machine: LaunchRequest['stage1']['machine']; guest: LaunchRequest['guest'] }

/** A launch request that is valid in every field; give what matters to the test. */
export function launchRequest(over: Partial<LaunchRequest> = {}): LaunchRequest {
  return {
    v: 1,
    node: hex64('1'),
    mode: 'enforce',
    pod: {
      uuid: '6f9619ff-8b86-4d01-b42d-00c04fc964ff',
      manifestSha256: hex64('2'),
      manifest: podManifest(over.images ?? [IMAGE], over.isolators ?? []),
    },
    stage1: {
      flavour: 'nspawn',
      name: 'holdfast/stage1-nspawn',
      id: `sha512-${hex64('3')}`,
      tree: `erofs-verity-2:sha256:${hex64('4')}`,
      verification: 'full-file',
      interfaceVersion: 1,
      hostPrograms: [{ path: '/usr/bin/systemd-nspawn', sha256: hex64('5') }],
    },
    images: [IMAGE],
    network: 'none',
    volumes: [],
    isolators: [],
    relaxed: [],
    ...over,
  }
}

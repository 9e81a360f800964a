import type { EnterRequest, LaunchRequest } from '../protocol/index.ts'

/** The node as the verifier knows it at this moment. */
export interface NodeFacts {
  readonly id: string
  readonly tier: string
  readonly admittedBy: string
  readonly labels: Readonly<Record<string, string>>
  readonly kind: 'machine' | 'pod'
}

/** The JSON that Cedar takes as the attributes of an entity. */
export type CedarRecord = {
  [name: string]: string | number | boolean | CedarRecord | (string | number | CedarRecord)[]
}

/** Attributes of the principal. The mode is in the request, which the launch log has measured. */
export function nodeAttributes(node: NodeFacts, request: Pick<LaunchRequest, 'mode'>): CedarRecord {
  return {
    id: node.id,
    tier: node.tier,
    mode: request.mode,
    admittedBy: node.admittedBy,
    kind: node.kind,
    labels: Object.entries(node.labels).map(([key, value]) => `${key}=${value}`),
  }
}

/**
 * Attributes of the resource: everything that was measured for this pod, and sets over all images for policies to
 * compare with.
 */
export function podAttributes(request: LaunchRequest): CedarRecord {
  const { images, stage1, networks = [], ports = [] } = request
  const signersOf = images.map((image) => new Set(image.signers.map((s) => s.key)))
  const [first = new Set<string>(), ...others] = signersOf
  return {
    uuid: request.pod.uuid,
    flavour: stage1.flavour,
    stage1Name: stage1.name,
    stage1Id: stage1.id,
    stage1Tree: stage1.tree,
    stage1Verification: stage1.verification,
    interfaceVersion: stage1.interfaceVersion,
    hostPrograms: [...stage1.hostPrograms, ...networks.flatMap((n) => n.plugins)].map(({ path, sha256 }) => ({
      path,
      sha256,
    })),
    ...(stage1.machine !== undefined && {
      accelerator: stage1.machine.accelerator,
      kernel: stage1.machine.kernel,
      initramfs: stage1.machine.initramfs,
      kernelCommandLine: stage1.machine.commandLine,
      firmware: stage1.machine.firmware.map(({ path, sha256 }) => ({ path, sha256 })),
    }),
    ...(request.guest !== undefined && {
      memoryMiB: request.guest.memoryMiB,
      processors: request.guest.processors,
    }),
    images: images.map((image) => ({
      name: image.name,
      id: image.id,
      tree: image.tree,
      verification: image.verification,
      signers: image.signers.map((s) => s.key),
      relaxed: image.relaxed,
      ...(image.manifest !== undefined && { manifest: image.manifest }),
      ...(image.policy !== undefined && { policy: image.policy.sha256, policyScope: image.policy.scope }),
    })),
    imageCount: images.length,
    imageNames: images.map((image) => image.name),
    imageRepositories: images.map((image) => repository(image.name)),
    imageIds: images.map((image) => image.id),
    imageTrees: images.map((image) => image.tree),
    signers: [...first].filter((key) => others.every((keys) => keys.has(key))),
    imagePolicies: [...new Set(images.map((image) => image.policy?.sha256 ?? ''))],
    relaxed: [...new Set([...request.relaxed, ...images.flatMap((image) => image.relaxed)])],
    network: request.network,
    networks: networks.map((n) => n.name),
    networkConfigs: networks.map((n) => n.config),
    ports: ports.map(({ name, protocol, podPort, hostPort, hostIp = '' }) => ({
      name,
      protocol,
      podPort,
      hostPort,
      hostIp,
    })),
    hostPorts: ports.map((p) => p.hostPort),
    volumes: request.volumes.map(({ name, kind, readOnly, source }) => ({
      name,
      kind,
      readOnly,
      ...(source !== undefined && { source }),
    })),
    volumeSources: request.volumes.flatMap((v) => (v.source === undefined ? [] : [v.source])),
    isolators: request.isolators.map(({ name, value }) => ({ name, value })),
    isolatorNames: request.isolators.map((i) => i.name),
  }
}

/** A pod that runs, as the verifier knows it from the proven log. */
export interface RunningPodFacts {
  readonly uuid: string
  readonly stage1: string
  readonly images: readonly string[]
  readonly unticketed: boolean
}

/** Attributes of the resource of an enter. */
export function runningPodAttributes({ uuid, stage1, images, unticketed }: RunningPodFacts): CedarRecord {
  return { uuid, stage1Id: stage1, imageIds: [...images], unticketed }
}

/** The context of an enter. */
export function enterContext({ app, program, by }: EnterRequest): CedarRecord {
  return { app, program, uid: by.uid, gid: by.gid }
}

/**
 * An image name without its tag and digest: `registry.example:5000/busybox` of `registry.example:5000/busybox:1.36`.
 */
function repository(name: string): string {
  const plain = name.split('@', 1)[0] ?? name
  const colon = plain.lastIndexOf(':')
  return colon > plain.lastIndexOf('/') ? plain.slice(0, colon) : plain
}

/** Of an image: who vouched for it, and what it was, as it was measured. */
export interface ImageProvenance {
  readonly tree: string
  /** How the tree was verified for this launch. */
  readonly verification: string
  /** `sha256:<hex>` of the OCI manifest; absent for an ACI. */
  readonly manifest?: string
  readonly signers: readonly { readonly kind?: string; readonly key: string; readonly checkedAt: string }[]
  /** Absent where no image policy was asked when the image was fetched. */
  readonly policy?: { readonly sha256: string; readonly scope: string }
  /** Checks that were relaxed when it was fetched. */
  readonly relaxed: readonly string[]
}

/** What a launch request says of where the parts of a pod came from. */
export interface PodProvenance {
  readonly stage1: {
    readonly flavour: string
    readonly name: string
    readonly id: string
    readonly tree: string
    readonly verification: string
  }
  /** Of a virtual machine: `kvm` or `tcg`. */
  readonly accelerator?: string
  /** Node ID of the TPM that the pod has for itself. */
  readonly tpmNode?: string
  /** One for each app, in the manifest's order. */
  readonly images: readonly ImageProvenance[]
  /** Checks that were relaxed for the launch. */
  readonly relaxed: readonly string[]
}

type Members = Readonly<Record<string, unknown>>

/**
 * The provenance in a pod's `launch.json`: out of the request's bytes as they were measured, and not out of what was
 * asked for.
 *
 * @param record of launch.json
 * @returns undefined where no request was measured, or where it is none of ours
 */
export function provenanceOf(record: Members | undefined): PodProvenance | undefined {
  const request = parsed(members(record?.['answer'])['request'])
  if (request === undefined) return undefined
  const stage1 = members(request['stage1'])
  const { accelerator } = members(stage1['machine'])
  const { node } = members(members(request['guest'])['tpm'])
  return {
    stage1: {
      flavour: text(stage1['flavour']),
      name: text(stage1['name']),
      id: text(stage1['id']),
      tree: text(stage1['tree']),
      verification: text(stage1['verification']),
    },
    ...(accelerator !== undefined && { accelerator: text(accelerator) }),
    ...(node !== undefined && { tpmNode: text(node) }),
    images: list(request['images']).map((image) => imageProvenance(members(image))),
    relaxed: list(request['relaxed']).map(text),
  }
}

function imageProvenance(image: Members): ImageProvenance {
  const policy = image['policy'] === undefined ? undefined : members(image['policy'])
  return {
    tree: text(image['tree']),
    verification: text(image['verification']),
    ...(image['manifest'] !== undefined && { manifest: text(image['manifest']) }),
    signers: list(image['signers']).map((value) => {
      const { kind, key, checkedAt } = members(value)
      return { ...(kind !== undefined && { kind: text(kind) }), key: text(key), checkedAt: text(checkedAt) }
    }),
    ...(policy !== undefined && { policy: { sha256: text(policy['sha256']), scope: text(policy['scope']) } }),
    relaxed: list(image['relaxed']).map(text),
  }
}

function parsed(json: unknown): Members | undefined {
  if (typeof json !== 'string') return undefined
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch (err) {
    if (err instanceof SyntaxError) return undefined
    throw err
  }
}

function members(value: unknown): Members {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** It is shown to people, so a member that is no text is shown as none. */
function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

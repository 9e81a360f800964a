import type { ImageProvenance, PodProvenance } from '../pod/pod-provenance.ts'
import type { PodStatus, VmEnd } from '../pod/pod-status.ts'

/** A pod as `list` and `status` print it with `--format=json`: times are RFC 3339 in UTC, what is not known is null. */
export interface PodJson {
  readonly uuid: string
  readonly state: string
  readonly mode: string | null
  readonly networks: readonly string[] | null
  readonly createdAt: string | null
  readonly startedAt: string | null
  readonly readyAt: string | null
  readonly stage1: PodProvenance['stage1'] | null
  /** Of a virtual machine, as it was measured. */
  readonly accelerator: string | null
  /** Node ID of the TPM that the pod has for itself. */
  readonly tpmNode: string | null
  /** Of a virtual machine that has ended: `poweroff` for one that ended in order. */
  readonly vmEnd: VmEnd | null
  /** Checks that were relaxed for the launch. */
  readonly relaxed: readonly string[] | null
  readonly refused: { readonly code: string; readonly message: string } | null
  readonly apps: readonly {
    readonly name: string
    readonly imageName: string
    readonly imageId: string
    /** As it was measured. */
    readonly provenance: ProvenanceJson | null
    readonly state: string | null
    readonly startedAt: string | null
    readonly finishedAt: string | null
    readonly exitStatus: number | null
    readonly signal: number | null
    readonly reason: string | null
    readonly restarts: number
    readonly oomKills: number
    readonly userAnnotations: Readonly<Record<string, string>>
    readonly userLabels: Readonly<Record<string, string>>
  }[]
}

/** Who vouched for an image, and what it was. */
export interface ProvenanceJson {
  readonly tree: string
  readonly verification: string
  readonly manifest: string | null
  readonly signers: readonly { readonly kind: string | null; readonly key: string; readonly checkedAt: string }[]
  readonly policy: { readonly sha256: string; readonly scope: string } | null
  readonly relaxed: readonly string[]
}

function provenanceJson(image: ImageProvenance | undefined): ProvenanceJson | null {
  if (image === undefined) return null
  return {
    tree: image.tree,
    verification: image.verification,
    manifest: image.manifest ?? null,
    signers: image.signers.map(({ kind = null, key, checkedAt }) => ({ kind, key, checkedAt })),
    policy: image.policy ?? null,
    relaxed: image.relaxed,
  }
}

/** Members in a stable order. */
export function podJson(s: PodStatus): PodJson {
  return {
    uuid: s.pod.uuid,
    state: s.pod.state,
    mode: s.mode ?? null,
    networks: s.networks ?? null,
    createdAt: s.createdAt?.toISOString() ?? null,
    startedAt: s.startedAt?.toISOString() ?? null,
    readyAt: s.readyAt?.toISOString() ?? null,
    stage1: s.provenance?.stage1 ?? null,
    accelerator: s.provenance?.accelerator ?? null,
    tpmNode: s.provenance?.tpmNode ?? null,
    vmEnd: s.vmEnd ?? null,
    relaxed: s.provenance?.relaxed ?? null,
    refused: s.refused ?? null,
    apps: s.apps.map((app, i) => ({
      name: app.name,
      imageName: app.imageName,
      imageId: app.imageId,
      provenance: provenanceJson(s.provenance?.images[i]),
      state: app.phase ?? null,
      startedAt: app.startedAt?.toISOString() ?? null,
      finishedAt: app.finishedAt?.toISOString() ?? null,
      exitStatus: app.exitStatus ?? null,
      signal: app.signal ?? null,
      reason: app.reason ?? null,
      restarts: app.restarts,
      oomKills: app.oomKills,
      userAnnotations: app.userAnnotations,
      userLabels: app.userLabels,
    })),
  }
}

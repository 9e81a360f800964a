import type { PodStatus } from '../pod/pod-status.ts'

/** A pod as `list` and `status` print it with `--format=json`: times are RFC 3339 in UTC, what is not known is null. */
export interface PodJson {
  readonly uuid: string
  readonly state: string
  readonly mode: string | null
  readonly networks: readonly string[] | null
  readonly createdAt: string | null
  readonly startedAt: string | null
  readonly readyAt: string | null
  readonly refused: { readonly code: string; readonly message: string } | null
  readonly apps: readonly {
    readonly name: string
    readonly imageName: string
    readonly imageId: string
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
    refused: s.refused ?? null,
    apps: s.apps.map((app) => ({
      name: app.name,
      imageName: app.imageName,
      imageId: app.imageId,
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

import type { PodStatus } from '../pod/index.ts'

/** A pod as `list` and `status` print it with `--format=json`: times are RFC 3339 in UTC, what is not known is null. */
export interface PodJson {
  readonly uuid: string
  readonly state: string
  readonly mode: string | null
  readonly createdAt: string | null
  readonly startedAt: string | null
  readonly apps: readonly {
    readonly name: string
    readonly imageName: string
    readonly imageId: string
    readonly exitStatus: number | null
  }[]
}

/** Members in a stable order. */
export function podJson(s: PodStatus): PodJson {
  return {
    uuid: s.pod.uuid,
    state: s.pod.state,
    mode: s.mode ?? null,
    createdAt: s.createdAt?.toISOString() ?? null,
    startedAt: s.startedAt?.toISOString() ?? null,
    apps: s.apps.map(({ name, imageName, imageId, exitStatus }) => ({
      name,
      imageName,
      imageId,
      exitStatus: exitStatus ?? null,
    })),
  }
}

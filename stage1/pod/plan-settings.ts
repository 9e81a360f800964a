import type { CgroupMounts } from './cgroup-layout.ts'
import type { MachineFacts } from './machine-facts.ts'
import type { PodUuid } from './uuid.ts'

/**
 * Where the standard streams of apps go. `pass`: where those of `holdfast run` go; standard input too, where the pod has
 * one app. `terminal`: the one app has the caller's terminal, by a pseudo-terminal of its own. `log`: to files in the
 * pod's `log` directory, at most `files` of `maxBytes` for each app, and nothing comes in.
 */
export type Streams =
  | { readonly kind: 'pass' | 'terminal' }
  | { readonly kind: 'log'; readonly maxBytes: number; readonly files: number }

/** What the part of a plan that init carries out needs to know besides the manifest. */
export interface InsideSettings {
  readonly uuid: PodUuid
  /** Those that init sees. */
  readonly cgroups: CgroupMounts
  readonly arch: string
  /** False only when the user said so by `--insecure-options=seccomp`. */
  readonly seccomp: boolean
  /** `pass` unless given. */
  readonly streams?: Streams
  readonly machine: MachineFacts
  /** Of a pod with private users: what its user 0 is outside. */
  readonly firstUser?: number
}

/** What a plan of the flavour nspawn needs to know besides the manifest. */
export interface PlanSettings extends InsideSettings {
  /** Absolute, where the pod will run. */
  readonly podPath: string
  /** `none`, `host`, or the absolute path of a network namespace. */
  readonly network: string
  /** Absolute path of the supervisor's program. */
  readonly supervisor: string
  /** PID 1 and its arguments. */
  readonly run: readonly string[]
}

import type { Static, TSchema } from '@sinclair/typebox'
import type { AppraisalPolicySet } from '../appraisal-policy/index.ts'
import type { LaunchPolicySet } from '../launch-policy/index.ts'
import type { Store } from '../store/index.ts'
import type { Permission, Principal, Subject } from './permissions.ts'

/** What routes answer from. */
export interface ApiSources {
  readonly store: Store
  readonly now: () => Date
  readonly launchPolicies: () => LaunchPolicySet
  readonly appraisalPolicies: () => AppraisalPolicySet | undefined
  /** The store tells the verifier of what other programs write, not of what it has written itself. */
  readonly operatorActed: () => void
  /** What the verifier counts, in Prometheus's text format. */
  readonly metrics: () => Promise<TextAnswer>
}

/** An answer that is text of its own kind. */
export interface TextAnswer {
  readonly type: string
  readonly text: string
}

/** An answer that is not JSON. Named by a digest of itself, it never changes. */
export class ImmutableBytes {
  readonly type: string
  readonly bytes: Uint8Array
  readonly sha256: string
  constructor(type: string, bytes: Uint8Array, sha256: string) {
    this.type = type
    this.bytes = bytes
    this.sha256 = sha256
  }
}

export interface RouteRequest<Params, Query, Body> {
  readonly principal: Principal
  readonly params: Params
  readonly query: Query
  readonly body: Body
}

/** One resource and method of the API: what it is called, who may use it, what it takes and gives. */
export interface RouteDescription<
  P extends TSchema = TSchema,
  Q extends TSchema = TSchema,
  B extends TSchema = TSchema,
> {
  readonly method: 'GET' | 'POST'
  /** As OpenAPI writes it: /v1/nodes/{id} */
  readonly path: string
  readonly permission: Permission
  readonly subject: Subject
  readonly summary: string
  readonly params: P
  readonly query: Q
  /** Of a POST. */
  readonly body?: B
  /** What it answers as JSON. */
  readonly answers?: TSchema
  /** What it answers that is not described further. */
  readonly media?: readonly string[]
}

export interface Route<P extends TSchema = TSchema, Q extends TSchema = TSchema, B extends TSchema = TSchema>
  extends RouteDescription<P, Q, B> {
  /** A method, so that routes of different parameters are routes all the same. */
  handle(request: RouteRequest<Static<P>, Static<Q>, Static<B>>, sources: ApiSources): Promise<unknown>
}

/** Types a route by its schemas. */
export function route<P extends TSchema, Q extends TSchema, B extends TSchema>(r: Route<P, Q, B>): Route {
  return r
}

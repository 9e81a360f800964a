import { STANDINGS, type Standing } from '../appraisal/index.ts'
import type { MapNode } from '../store/index.ts'

/** Bytes of a node ID that the map has: two nodes that share them are told apart when one is asked for. */
export const MAP_ID_BYTES = 6

/**
 * All nodes of a fleet in about nine bytes each: groups by the value of one label, in each the nodes in order of ID.
 */
export interface FleetMap {
  readonly total: number
  /** Label that nodes are grouped by; null where they are not. */
  readonly by: string | null
  /** Keys of labels that there are, and how many values each has. */
  readonly keys: readonly { readonly key: string; readonly values: number }[]
  readonly groups: readonly {
    /** Null for nodes without this label. */
    readonly value: string | null
    readonly count: number
    /** One digit a node: position in `standings`. */
    readonly standing: string
    /** Base64 of the first bytes of each node's ID. */
    readonly ids: string
  }[]
  readonly standings: readonly Standing[]
  readonly idBytes: number
}

const DIGIT = new Map(STANDINGS.map((standing, i) => [standing, String(i)]))
/** Values of a label that are counted; one with more of them is no group. */
const MAX_VALUES = 1000

/** Takes nodes part by part, so that a large fleet is never read at once. */
export class FleetMapBuilder {
  readonly #by: string | undefined
  readonly #read = new Map<string, Readonly<Record<string, string>>>()
  readonly #values = new Map<string, Set<string>>()
  readonly #groups = new Map<string | undefined, { standing: string[]; ids: string[] }>()
  #total = 0

  constructor(by: string | undefined) {
    this.#by = by
  }

  add(nodes: readonly MapNode[]): void {
    for (const { nodeId, standing, labels } of nodes) {
      const read = this.#labels(labels)
      const value = this.#by !== undefined && Object.hasOwn(read, this.#by) ? read[this.#by] : undefined
      let group = this.#groups.get(value)
      if (group === undefined) {
        group = { standing: [], ids: [] }
        this.#groups.set(value, group)
      }
      group.standing.push(DIGIT.get(standing) ?? '')
      group.ids.push(nodeId.slice(0, 2 * MAP_ID_BYTES))
      this.#total++
    }
  }

  #labels(text: string): Readonly<Record<string, string>> {
    const known = this.#read.get(text)
    if (known !== undefined) return known
    const labels: Record<string, string> = JSON.parse(text)
    this.#read.set(text, labels)
    for (const [key, value] of Object.entries(labels)) {
      const values = this.#values.get(key) ?? new Set()
      if (values.size < MAX_VALUES) values.add(value)
      this.#values.set(key, values)
    }
    return labels
  }

  build(): FleetMap {
    const groups = [...this.#groups]
      .sort(([a], [b]) => compareValues(a, b))
      .map(([value, { standing, ids }]) => ({
        value: value ?? null,
        count: ids.length,
        standing: standing.join(''),
        ids: Buffer.from(ids.join(''), 'hex').toString('base64'),
      }))
    const keys = [...this.#values]
      .map(([key, { size }]) => ({ key, values: size }))
      .sort((a, b) => a.key.localeCompare(b.key, 'en'))
    return { total: this.#total, by: this.#by ?? null, keys, groups, standings: STANDINGS, idBytes: MAP_ID_BYTES }
  }
}

/** r2 before r10; nodes without the label last. */
function compareValues(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return a.localeCompare(b, 'en', { numeric: true })
}

import type { SelectorText } from './schema.ts'

/** Labels that an operator gave a node: one value each. */
export type Labels = Readonly<Record<string, string>>

type Condition = readonly [label: string, values: ReadonlySet<string>]

/** Which nodes are meant. */
export interface Selector {
  /** Every one of these labels has one of the values. */
  readonly all: readonly Condition[]
  /** One of these labels, at least, has one of the values; none given asks nothing. */
  readonly any: readonly Condition[]
  /** None of these labels has one of the values. */
  readonly none: readonly Condition[]
}

export function selectorOf(text: SelectorText): Selector {
  const conditions = (labels: SelectorText['all']): Condition[] =>
    Object.entries(labels ?? {}).map(([label, values]) => [
      label,
      new Set(typeof values === 'string' ? [values] : values),
    ])
  return { all: conditions(text.all), any: conditions(text.any), none: conditions(text.none) }
}

export function selects(selector: Selector, labels: Labels): boolean {
  const holds = ([label, values]: Condition): boolean => Object.hasOwn(labels, label) && values.has(labels[label] ?? '')
  return (
    selector.all.every(holds) && (selector.any.length === 0 || selector.any.some(holds)) && !selector.none.some(holds)
  )
}

/**
 * Whether a node can be meant by both: decided for all labels there could be, not only for those that nodes have today.
 *
 * @returns labels of such a node; undefined where there can be none
 */
export function commonNode(a: Selector, b: Selector): Labels | undefined {
  const choices = (s: Selector): readonly (readonly Condition[])[] =>
    s.any.length === 0 ? [[]] : s.any.map((c) => [c])
  for (const x of choices(a)) {
    for (const y of choices(b)) {
      const found = labelsFor([...a.all, ...b.all, ...x, ...y], [...a.none, ...b.none])
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** Labels for which every one of `wanted` holds and none of `unwanted`. */
function labelsFor(wanted: readonly Condition[], unwanted: readonly Condition[]): Labels | undefined {
  const labels: Record<string, string> = {}
  for (const label of new Set(wanted.map(([name]) => name))) {
    const of = (conditions: readonly Condition[]) => conditions.filter(([name]) => name === label).map(([, set]) => set)
    const [first, ...others] = of(wanted)
    const value = [...(first ?? [])].find(
      (v) => others.every((set) => set.has(v)) && !of(unwanted).some((set) => set.has(v)),
    )
    if (value === undefined) return undefined
    labels[label] = value
  }
  return labels
}

/** e.g. `role=worker zone=a`. */
export function labelsText(labels: Labels): string {
  const words = Object.entries(labels).map(([label, value]) => `${label}=${value}`)
  return words.length === 0 ? 'no labels' : words.join(' ')
}

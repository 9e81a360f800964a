import { SimulatorError } from './errors.ts'

/** Ways in which a simulated node can be worse than it says. */
export const MISBEHAVIOURS = ['wrong-nonce', 'log-fork', 'reset-replay', 'silent', 'slow', 'flood'] as const
export type Misbehaviour = (typeof MISBEHAVIOURS)[number]
export type Behaviour = 'healthy' | Misbehaviour

/**
 * How a verifier has to end up with a node. `trusted`: every result is affirming. `contraindicated`: every result is,
 * once it has misbehaved. `refused`: the connection ends with one of these codes. `unheard`: there is no result once it
 * has gone silent; that its standing is `stale` then, only the verifier can tell.
 */
export type Desert =
  | { readonly verdict: 'trusted' }
  | { readonly verdict: 'contraindicated' }
  | { readonly verdict: 'refused'; readonly codes: readonly string[] }
  | { readonly verdict: 'unheard' }

export const DESERTS: Readonly<Record<Behaviour, Desert>> = {
  healthy: { verdict: 'trusted' },
  slow: { verdict: 'trusted' },
  'wrong-nonce': { verdict: 'refused', codes: ['ATTEST_EXTRA_DATA_MISMATCH'] },
  'log-fork': { verdict: 'contraindicated' },
  'reset-replay': { verdict: 'contraindicated' },
  silent: { verdict: 'unheard' },
  flood: { verdict: 'refused', codes: ['SESSION_TOO_MANY_MESSAGES', 'NODE_OVER_BUDGET'] },
}

/** Share of all nodes by kind, in percent. */
export type Shares = ReadonlyMap<Misbehaviour, number>

/**
 * @param text `KIND=PERCENT%,...`, each kind once at most, 100 % together at most
 * @throws SimulatorError SIMULATE_SHARES_INVALID
 */
export function parseShares(text: string): Shares {
  const shares = new Map<Misbehaviour, number>()
  for (const part of text.split(',')) {
    const [, name = '', digits] = /^([a-z-]+)=(\d{1,3}(?:\.\d{1,4})?)%$/.exec(part.trim()) ?? []
    if (digits === undefined) throw invalid(`'${part.slice(0, 64)}' is no KIND=PERCENT%, such as silent=0.5%`)
    const kind = MISBEHAVIOURS.find((known) => known === name)
    if (kind === undefined) throw invalid(`there is no kind '${name}'; the kinds are ${MISBEHAVIOURS.join(', ')}`)
    if (shares.has(kind)) throw invalid(`'${kind}' is named twice`)
    shares.set(kind, Number(digits))
  }
  const total = [...shares.values()].reduce((sum, percent) => sum + percent, 0)
  if (total > 100) throw invalid(`the shares are ${total} % together, which is more than all nodes`)
  return shares
}

/**
 * How each node behaves: as many of each kind as its share of `nodes` is, at least one where the share is not 0, spread
 * over the fleet by `random`.
 *
 * @param random 0 to 1, the same sequence for the same fleet
 * @throws SimulatorError SIMULATE_SHARES_INVALID when so few nodes have no room for every kind
 */
export function assignBehaviours(nodes: number, shares: Shares, random: () => number): Behaviour[] {
  const bad = [...shares].flatMap(([kind, percent]) =>
    Array<Behaviour>(percent === 0 ? 0 : Math.max(1, Math.floor((nodes * percent) / 100))).fill(kind),
  )
  if (bad.length > nodes) throw invalid(`${nodes} nodes are too few: by these shares ${bad.length} misbehave`)
  const all = [...bad, ...Array<Behaviour>(nodes - bad.length).fill('healthy')]
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const [a, b] = [all[i] ?? 'healthy', all[j] ?? 'healthy']
    all[i] = b
    all[j] = a
  }
  return all
}

/** Mulberry32: repeatable, and good enough to spread nodes with. @returns numbers from 0 to below 1 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

function invalid(message: string): SimulatorError {
  return new SimulatorError('SIMULATE_SHARES_INVALID', `--misbehaving: ${message}`)
}

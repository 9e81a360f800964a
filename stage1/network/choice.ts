import { UsageError } from '../../attestation/base/index.ts'

/** A network of the configuration that a pod is to join. */
export interface NetworkWish {
  readonly name: string
  /** CNI_ARGS for it, as `NAME=VALUE`. */
  readonly args: readonly string[]
}

/** What `--net` asks for. */
export type NetworkChoice =
  /** Nothing but loopback. */
  | { readonly kind: 'none' }
  /** The host's own interfaces. */
  | { readonly kind: 'host' }
  /** These, in this order: eth0, eth1, ... */
  | { readonly kind: 'named'; readonly networks: readonly [NetworkWish, ...NetworkWish[]] }
  /** Every network that is configured. */
  | { readonly kind: 'all' }

const MAX_NETWORKS = 16

/**
 * Reads `--net`: `none`, `host`, `all`, or names separated by commas, each with arguments where it is wanted
 * (`default:IP=172.16.28.9;GATEWAY=172.16.28.1,lan`).
 *
 * @param values of each time that the option was given; without any, no network
 * @throws UsageError
 */
export function parseNetworkChoice(values: readonly string[]): NetworkChoice {
  const items = values.flatMap((v) => v.split(','))
  const [first, ...others] = items
  if (first === undefined) return { kind: 'none' }
  if (first === 'none' || first === 'host' || first === 'all') {
    if (others.length > 0) throw new UsageError(`--net ${first} goes with no other network`)
    return { kind: first }
  }
  if (items.length > MAX_NETWORKS) throw new UsageError(`--net: at most ${MAX_NETWORKS} networks`)
  const rest = others.map(parseWish)
  const networks: [NetworkWish, ...NetworkWish[]] = [parseWish(first), ...rest]
  const names = networks.map((n) => n.name)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined) throw new UsageError(`--net: ${twice} is there twice`)
  return { kind: 'named', networks }
}

function parseWish(text: string): NetworkWish {
  const colon = text.indexOf(':')
  const name = colon < 0 ? text : text.slice(0, colon)
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name)) {
    throw new UsageError(`--net: '${name.slice(0, 40)}' is no name of a network`)
  }
  if (name === 'none' || name === 'host' || name === 'all')
    throw new UsageError(`--net ${name} goes with no other network`)
  const args = colon < 0 ? [] : text.slice(colon + 1).split(';')
  const wrong = args.find((arg) => !/^[A-Za-z0-9_]{1,64}=[\x21-\x2b\x2d-\x3a\x3c-\x7e]{0,256}$/.test(arg))
  if (wrong !== undefined) {
    throw new UsageError(`--net ${name}: '${wrong.slice(0, 40)}' is no argument; write NAME=VALUE, and ; between two`)
  }
  return { name, args }
}

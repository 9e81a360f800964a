import { userInfo } from 'node:os'
import { Option } from 'commander'
import { UsageError } from '../base/index.ts'
import { openStore, type Store } from '../store/index.ts'
import { readVerifierConfig, storePlace } from '../verifier/config/index.ts'

export const DEFAULT_CONFIG = '/etc/holdfast/verifier.yaml'

export function configOption(): Option {
  return new Option('--config <file>', "the verifier's configuration").default(DEFAULT_CONFIG)
}

export function formatOption(): Option {
  return new Option('--format <format>', 'how to print').choices(['table', 'json']).default('table')
}

/** Opens the store that the configuration names, beside a running verifier, and closes it whatever happens. */
export async function withStore<T>(config: string, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(storePlace(readVerifierConfig(config), process.env), {
    exclusive: false,
    create: false,
  })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

/** Who does it, for the record of operators' acts. */
export function operatorName(): string {
  const sudo = process.env['SUDO_USER']
  const { username } = userInfo()
  return sudo === undefined ? username : `${sudo} (as ${username})`
}

/** `KEY=VALUE` arguments, and `KEY-` for one to remove, as in `kubectl label`. */
export function parseLabels(words: readonly string[]): { set: Record<string, string>; remove: string[] } {
  const set: Record<string, string> = {}
  const remove: string[] = []
  for (const word of words) {
    const match = /^([A-Za-z0-9][A-Za-z0-9._/-]{0,62})=([\x21-\x7e]{0,128})$/.exec(word)
    const gone = /^([A-Za-z0-9][A-Za-z0-9._/-]{0,62})-$/.exec(word)
    if (match?.[1] !== undefined && match[2] !== undefined) set[match[1]] = match[2]
    else if (gone?.[1] !== undefined) remove.push(gone[1])
    else throw new UsageError(`'${word}' is no label; write KEY=VALUE to set one, KEY- to remove one`)
  }
  return { set, remove }
}

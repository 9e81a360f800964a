import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const COPIED = join(ROOT, 'test/vectors')
/** Where vectors lie that are not ours to copy; absent in a plain clone. */
const EXTERNAL = process.env['HOLDFAST_VECTORS'] ?? join(ROOT, '../shared/vectors')

/** A directory of test vectors. All paths are relative to it. */
export interface VectorSet {
  /** e.g. 'swtpm/quotes' */
  readonly name: string
  readonly read: (path: string) => Uint8Array
  readonly text: (path: string) => string
  readonly has: (path: string) => boolean
  readonly isDirectory: (path: string) => boolean
  /** Names in it, or in a directory below, sorted. */
  readonly list: (below?: string) => readonly string[]
}

/** A set of test/vectors. @throws when it is not there: the clone is broken */
export function copiedVectors(name: string): VectorSet {
  return open(COPIED, name)
}

/**
 * A set that belongs to other projects and is read where it lies: $HOLDFAST_VECTORS, else ../shared/vectors beside the
 * project.
 *
 * @returns undefined when it is absent; tests then skip with skipWithoutVectors()
 */
export function externalVectors(name: string): VectorSet | undefined {
  return existsSync(join(EXTERNAL, name)) ? open(EXTERNAL, name) : undefined
}

/** Skips the running test, saying why. */
export function skipWithoutVectors(test: Mocha.Context, name: string): never {
  console.log(`      skipped: no vectors ${name}; set HOLDFAST_VECTORS to the directory that has them`)
  return test.skip()
}

function open(root: string, name: string): VectorSet {
  const at = (path: string): string => join(root, name, path)
  return {
    name,
    read: (path) => new Uint8Array(readFileSync(at(path))),
    text: (path) => readFileSync(at(path), 'utf8'),
    has: (path) => existsSync(at(path)),
    isDirectory: (path) => statSync(at(path)).isDirectory(),
    list: (below = '.') => readdirSync(at(below)).sort(),
  }
}

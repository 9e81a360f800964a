import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from 'mocha'

const PROJECT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
/** Vectors that come from other projects and are never copied here. */
const SHARED = process.env['HOLDFAST_VECTORS'] ?? resolve(PROJECT, '../shared/vectors')

/** Bytes of a vector of our own, under test/vectors. */
export function ownVector(...path: readonly string[]): Uint8Array {
  return new Uint8Array(readFileSync(join(PROJECT, 'test/vectors', ...path)))
}

/** Path of a vector that is read where it lies; undefined in a clone without it. */
export function sharedVectorPath(...path: readonly string[]): string | undefined {
  const full = join(SHARED, ...path)
  return existsSync(full) ? full : undefined
}

/** Path of a vector that is read where it lies; skips the test, with the reason printed, in a clone without it. */
export function needSharedVector(test: Context, ...path: readonly string[]): string {
  const full = sharedVectorPath(...path)
  if (full === undefined) {
    console.log(`      skipped: no ${path.join('/')} in ${SHARED} (set HOLDFAST_VECTORS)`)
    return test.skip()
  }
  return full
}

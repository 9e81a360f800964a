import { concatBytes, utf8 } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'

/** Relative path and content of each file of the plan directory (native/stage1/README.md). */
export type PlanFiles = ReadonlyMap<string, Uint8Array>

/** A list as the C program reads it: items each end with a NUL. @throws PodError POD_UNSUPPORTED for a NUL in an item */
export function planList(items: readonly string[]): Uint8Array {
  for (const item of items) {
    if (item.includes('\0')) throw new PodError('POD_UNSUPPORTED', 'a text of the pod manifest contains a NUL')
  }
  return concatBytes(...items.map((item) => utf8(`${item}\0`)))
}

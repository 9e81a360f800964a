import assert from 'node:assert/strict'
import path from 'node:path'
import { readCgroupMounts, removeCgroups } from '../../stage1/pod/cgroups.ts'

/** Removes what a pod without stage0 leaves in the control groups, when its processes are gone. */
export async function removePodCgroups(uuid: string): Promise<void> {
  const { v1, named, v2 } = readCgroupMounts()
  const roots = [...Object.values(v1), named, v2].filter((root) => root !== undefined)
  const groups = roots.map((root) => path.join(root, 'holdfast', uuid))
  assert.ok(await removeCgroups(groups, 2_000), `processes of pod ${uuid} are left`)
}

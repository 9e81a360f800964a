import fs from 'node:fs'
import path from 'node:path'
import { readCgroupMounts, removeCgroup } from '../../stage1/pod/cgroups.ts'

/** Removes what a pod without stage0 leaves in the control groups, when its processes are gone. */
export async function removePodCgroups(uuid: string): Promise<void> {
  const { v1, named, v2 } = readCgroupMounts()
  for (const root of [...Object.values(v1), named, v2]) {
    if (root === undefined) continue
    const group = path.join(root, 'holdfast', uuid)
    for (let tries = 0; fs.existsSync(group); tries++) {
      try {
        removeCgroup(group)
      } catch (err) {
        if (tries > 200) throw err
        await new Promise((resolve) => setTimeout(resolve, 10)) // the kernel still takes processes apart
      }
    }
  }
}

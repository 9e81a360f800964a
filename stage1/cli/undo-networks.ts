import { tearDownNetworks } from '../network/index.ts'
import type { UndoNetworks } from '../pod/index.ts'
import { installation } from './installation.ts'

/** How this installation undoes what a pod's networks left on the host. */
export function undoNetworks(): UndoNetworks {
  const { stage1Program } = installation()
  return (podPath) => tearDownNetworks(podPath, stage1Program)
}

import fs from 'node:fs'
import { printable } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { NetworkError } from './errors.ts'
import { PodNetworkDir } from './pod-network-dir.ts'
import { runProgram } from './run-program.ts'

/** Longer than all the steps of a pod may take, each of which has a deadline of its own. */
const UNDO_DEADLINE_MS = 35 * 60_000

/**
 * Sees to it that the networks of a pod are undone: its janitor may have done it, or be at it, or have been killed. Can
 * be called again and again; a pod that never had a network needs nothing.
 *
 * @param podPath of a pod that does not run: the caller holds its lock, or has found it free
 * @throws NetworkError NETWORK_UNDO_FAILED, with what is left in `<pod>/network/undo`
 */
export async function tearDownNetworks(podPath: string, stage1Program: string): Promise<void> {
  const directory = new PodNetworkDir(podPath)
  if (!directory.needsUndo()) return
  const args = ['network-undo', podPath]
  const { status, stderr } = await runProgram(stage1Program, { args, environment: [], deadlineMs: UNDO_DEADLINE_MS })
  if (status === 0) return
  const said = printable(new TextDecoder().decode(stderr).trim().replaceAll('\n', '; '), 1000)
  throw new NetworkError(
    'NETWORK_UNDO_FAILED',
    `the network of the pod in ${podPath} could not be undone: ${said || 'it took too long'}`,
    { hint: `Try again when that is mended. Removing ${directory.path} gives up what is still held there.` },
  )
}

/** As tearDownNetworks, of a pod that may run, or have a janitor at work: then there is nothing to do. */
export async function tearDownAbandoned(podPath: string, stage1Program: string): Promise<void> {
  const directory = new PodNetworkDir(podPath)
  if (directory.needsUndo() && isUnlocked(podPath) && isUnlocked(directory.path)) {
    await tearDownNetworks(podPath, stage1Program)
  }
}

function isUnlocked(directory: string): boolean {
  const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW)
  try {
    return tryFlock(fd, 'shared')
  } finally {
    fs.closeSync(fd)
  }
}

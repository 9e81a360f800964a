import fs from 'node:fs'
import { printable } from '../../attestation/base/index.ts'
import { tryFlock, waitForFlock } from '../../native/process/index.ts'
import { NetworkError } from './errors.ts'
import { PodNetworkDir } from './pod-network-dir.ts'
import { runProgram } from './run-program.ts'

/** Longer than all the steps of a pod may take, each of which has a deadline of its own. */
const UNDO_DEADLINE_MS = 35 * 60_000

/**
 * Waits until the networks of a pod that has ended are undone, and undoes them where its janitor was killed. Can be
 * called again and again; a pod that never had a network needs nothing.
 *
 * @param podPath of a pod whose lock is free: it waits for ever for one that runs
 * @throws NetworkError NETWORK_UNDO_FAILED, with what is left in `<pod>/network/undo`
 */
export async function tearDownNetworks(podPath: string, stage1Program: string): Promise<void> {
  const directory = new PodNetworkDir(podPath)
  if (!directory.needsUndo()) return
  const fd = directory.open()
  if (fd === undefined) return
  try {
    await waitForFlock(fd, 'exclusive')
  } finally {
    fs.closeSync(fd)
  }
  if (directory.needsUndo()) await undo(directory, podPath, stage1Program)
}

/** As tearDownNetworks, for whoever has other things to do: a pod whose janitor is at work is left to it. */
export async function tearDownAbandoned(podPath: string, stage1Program: string): Promise<void> {
  const directory = new PodNetworkDir(podPath)
  const fd = directory.open()
  if (fd === undefined) return
  try {
    if (!tryFlock(fd, 'exclusive')) return
  } finally {
    fs.closeSync(fd)
  }
  if (directory.needsUndo()) await undo(directory, podPath, stage1Program)
}

async function undo(directory: PodNetworkDir, podPath: string, stage1Program: string): Promise<void> {
  const args = ['network-undo', podPath]
  const { status, stderr } = await runProgram(stage1Program, { args, environment: [], deadlineMs: UNDO_DEADLINE_MS })
  if (status === 0) return
  const said = printable(new TextDecoder().decode(stderr).trim().replaceAll('\n', '; '), 1000)
  throw new NetworkError(
    'NETWORK_UNDO_FAILED',
    `the network of the pod in ${podPath} could not be undone: ${said || 'it took too long'}`,
    {
      hint: `Try again when that is mended. Removing ${directory.path} gives up what is still held there.`,
    },
  )
}

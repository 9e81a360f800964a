import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { printable } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'
import type { AuthorisedLaunch } from './launch.ts'
import { readPodFile } from './pod-file.ts'
import { waitUntilReady } from './wait.ts'

/** What stage1 itself has to say, as nobody listens to it. */
const STAGE1_LOG = 'log/_stage1.log'
const TOLD = 2000

/**
 * Starts the pod as a child that goes on without this process, and waits until all its apps have been executed.
 *
 * @returns its UUID
 * @throws PodError POD_NOT_STARTED with what stage1 said, when it ended before that
 */
export async function startDetached(launch: AuthorisedLaunch): Promise<string> {
  const { uuid, podPath, program, argv, fds, close, abandon } = launch
  const [argv0, ...args] = argv
  const log = fs.openSync(path.join(podPath, STAGE1_LOG), 'a', 0o600)
  try {
    // numbered from 3, as they stand in the list; the program is opened by the child before it has any of its own
    const child = spawn(`/proc/${process.pid}/fd/${program}`, [...args, ...fds.map((_, i) => String(3 + i))], {
      argv0: argv0 ?? '',
      stdio: ['ignore', log, log, ...fds],
      env: {},
      cwd: '/',
      detached: true,
    })
    await once(child, 'spawn') // rejects with what kept it
    child.unref()
  } catch (err) {
    abandon()
    throw err
  } finally {
    fs.closeSync(log)
    close() // the pod's lock is its own from here on
  }
  try {
    await waitUntilReady({ uuid, directory: 'run', path: podPath, state: 'running' })
  } catch (cause) {
    const said = printable(
      new TextDecoder().decode(readPodFile(podPath, STAGE1_LOG)).trim().replaceAll('\n', '; '),
      TOLD,
    )
    throw new PodError(
      'POD_NOT_STARTED',
      `pod ${uuid} ended before all its apps ran${said === '' ? '' : `: ${said}`}`,
      {
        cause,
        hint: `holdfast status ${uuid.slice(0, 8)} and holdfast logs tell more.`,
      },
    )
  }
  return uuid
}

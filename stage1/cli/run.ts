import fs from 'node:fs'
import path from 'node:path'
import {
  type AuthorisedLaunch,
  authoriseLaunch,
  becomePod,
  type LaunchOptions,
  nodeTrust,
  startDetached,
} from '../pod/index.ts'
import { configAt } from './config-options.ts'
import { fetchInChild } from './fetch-in-child.ts'
import type { PodLaunchOptions } from './launch-options.ts'
import { networkRequest } from './network-options.ts'
import { requestPod } from './pod-request.ts'
import type { RunContext } from './run-context.ts'
import { parseRunOptions, RUN_OPTION_NAMES, runHelp } from './run-options.ts'

export { RUN_OPTION_NAMES }

/**
 * Of all that stage0 makes without saying otherwise; an app's root directory would be closed to its users under 077.
 */
export const STAGE0_UMASK = 0o022

/**
 * `holdfast run` in a process of its own. On the way of every launch, so it parses its options itself: commander alone
 * would take as long to load as all of this. Does not return after a launch.
 */
export async function runCommand(argv: readonly string[]): Promise<void> {
  const launch = await prepareRun(argv, ownContext())
  if (launch !== undefined) await goOn(launch)
}

/** Becomes the pod, or has it go on by itself where it was detached. @throws PodError, ProcessError */
export async function goOn(launch: AuthorisedLaunch): Promise<void> {
  if (!launch.detached) becomePod(launch)
  process.stdout.write(`${await startDetached(launch)}\n`)
}

/** The context of this very process, whose mask becomes stage0's own. */
export function ownContext(): RunContext {
  const cwd = process.cwd()
  return {
    cwd,
    umask: process.umask(STAGE0_UMASK),
    environment: () => process.env,
    writeOutput: (text) => fs.writeSync(1, text),
    writeError: (text) => fs.writeSync(2, text),
    fetch: (store, name, settings) => fetchInChild(store, { name, cwd, ...settings }),
  }
}

/**
 * All of `holdfast run` but becoming the pod, for a process of its own and for the stage0 server alike.
 *
 * @returns undefined where only help was asked for
 * @throws UsageError, PodError, ImageError, ManifestError: nothing was started
 */
export async function prepareRun(argv: readonly string[], context: RunContext): Promise<AuthorisedLaunch | undefined> {
  const o = parseRunOptions(argv)
  if (o === 'help') {
    context.writeOutput(runHelp())
    return undefined
  }
  const { installed, ...pod } = await requestPod(o, context)
  const { stage1Program } = installed
  return authoriseLaunch({
    ...pod,
    ...launchSettings('run', o, context),
    dir: path.resolve(context.cwd, o.dir),
    stage1Program,
    config: configAt(o.config, context.cwd),
    relaxed: o.relaxed,
  })
}

/** What the options of a launch say to it, for `run` and `run-prepared`. */
export function launchSettings(
  command: string,
  o: PodLaunchOptions,
  { cwd, writeError, signal }: RunContext,
): Pick<
  LaunchOptions,
  'network' | 'streams' | 'accelerator' | 'agentSocket' | 'trust' | 'onMode' | 'onWarning' | 'onLeft' | 'signal'
> {
  return {
    network: networkRequest(o.network, cwd),
    streams: o.streams,
    accelerator: o.accelerator,
    agentSocket: path.resolve(cwd, o.agent),
    trust: nodeTrust(path.resolve(cwd, o.trust), path.resolve(cwd, o.agentConfig)),
    onMode: (mode) =>
      writeError(`holdfast ${command}: warning: the agent does not enforce (mode ${mode}): started without a ticket\n`),
    onWarning: (message) => writeError(`holdfast ${command}: warning: ${message}\n`),
    onLeft: (message) => writeError(`holdfast ${command}: warning: ${message}\n`),
    ...(signal === undefined ? {} : { signal }),
  }
}

import { randomUUID } from 'node:crypto'
import { closeSync, constants, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LaunchBody } from '../../../agent/local-api/index.ts'
import { canonicalJson, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import type { PodLaunch } from '../../../attestation/protocol/index.ts'
import { flock } from '../../../native/process/index.ts'
import { launchRequest, podManifest } from '../../support/launch-request.ts'

/** A pod directory as stage0 makes it, locked by this process instead of a running pod. */
export interface TestPod {
  readonly uuid: string
  readonly directory: string
  readonly body: LaunchBody
  /** What the app ends with; written by init in a real pod. */
  exit(app: string, status: number): void
  /** stage0 hands the pod over to its stage1. */
  handOver(): void
  /** The pod is over: its lock falls. */
  unlock(): void
}

export function makePod(dataDirectory: string, over: Partial<PodLaunch> = {}): TestPod {
  const uuid = randomUUID()
  const directory = join(dataDirectory, 'pods', 'run', uuid)
  mkdirSync(join(directory, 'status'), { recursive: true })
  const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  flock(fd, 'exclusive')
  let open = true
  return {
    uuid,
    directory,
    body: { ...podLaunch(uuid, over), podDirectory: directory },
    exit: (app, status) => writeFileSync(join(directory, 'status', app), String(status)),
    handOver: () => writeFileSync(join(directory, 'launch.json'), '{}'),
    unlock: () => {
      if (open) closeSync(fd)
      open = false
    },
  }
}

/** The part of a launch request that stage0 makes. */
export function podLaunch(uuid: string, over: Partial<PodLaunch> = {}): PodLaunch {
  const { node: _node, mode: _mode, ...launch } = launchRequest()
  const manifest = podManifest(over.images ?? launch.images, over.isolators)
  const manifestSha256 = toHex(digest('sha256', utf8(canonicalJson(manifest))))
  return { ...launch, pod: { uuid, manifest, manifestSha256 }, ...over }
}

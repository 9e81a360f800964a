import { canonicalJson, toHex, utf8 } from '../attestation/base/index.ts'
import { digest } from '../attestation/crypto/index.ts'
import type {
  ImageRecord,
  LaunchLogContent,
  LaunchRecord,
  PodRecord,
  Stage1Record,
} from '../attestation/event-log/index.ts'
import {
  encodeLaunchRequest,
  type LaunchRequest,
  type PodLaunch,
  parsePodLaunch,
} from '../attestation/protocol/index.ts'
import type { EnforcementMode } from './config/index.ts'
import { LaunchError } from './launch-error.ts'
import type { LogSummary } from './launch-log/index.ts'
import type { LaunchBody } from './local-api/index.ts'

/** A launch as it is measured, sent and answered. */
export interface MeasuredRequest {
  readonly request: LaunchRequest
  readonly bytes: Uint8Array
  readonly sha256: string
  /** Where the pod is going to be; not part of the request. */
  readonly podDirectory: string
}

/**
 * @param body parsed JSON of POST /v1/launches
 * @throws LaunchRequestError, LaunchError LAUNCH_BODY_INVALID
 */
export function parseLaunchBody(body: unknown): LaunchBody {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new LaunchError('LAUNCH_BODY_INVALID', 'the body is not a JSON object')
  }
  const { podDirectory, ...rest }: { podDirectory?: unknown } = body
  const launch = parsePodLaunch(rest)
  if (typeof podDirectory !== 'string' || podDirectory.length > 4096 || !isPodPath(podDirectory, launch.pod.uuid)) {
    throw new LaunchError(
      'LAUNCH_BODY_INVALID',
      `podDirectory must be an absolute path that ends in /${launch.pod.uuid}`,
    )
  }
  checkManifestDigest(launch)
  return { ...launch, podDirectory }
}

function isPodPath(path: string, uuid: string): boolean {
  return path.startsWith('/') && path.endsWith(`/${uuid}`) && !path.includes('\0') && !/(^|\/)\.{1,2}(\/|$)/.test(path)
}

/** The digest is what policies and logs go by; one that is not of the manifest beside it would make them talk of another pod. */
function checkManifestDigest(launch: PodLaunch): void {
  const { manifest, manifestSha256 } = launch.pod
  const made = toHex(digest('sha256', utf8(canonicalJson(manifest))))
  if (made !== manifestSha256) {
    throw new LaunchError(
      'LAUNCH_BODY_INVALID',
      `pod.manifestSha256 is ${manifestSha256}, the manifest's digest is ${made}`,
    )
  }
}

/** The launch request of this node, and its digest. */
export function measuredRequest(body: LaunchBody, node: string, mode: EnforcementMode): MeasuredRequest {
  const { podDirectory, ...launch } = body
  const request: LaunchRequest = { ...launch, node, mode }
  const bytes = encodeLaunchRequest(request)
  return { request, bytes, sha256: toHex(digest('sha256', bytes)), podDirectory }
}

/** What goes into the log before the verifier is asked: stage1 and images where they are new or changed, then the pod. */
export function recordsBeforeLaunch(summary: LogSummary, { request, sha256 }: MeasuredRequest): LaunchLogContent[] {
  const { flavour, name, id, tree, verification, interfaceVersion, hostPrograms, machine } = request.stage1
  const stage1: Stage1Record = {
    ...{ record: 'stage1', flavour, name, id, tree, verification, interfaceVersion },
    hostPrograms: hostPrograms.map((p) => ({ path: p.path, sha256: p.sha256 })),
    ...(machine === undefined ? {} : { machine }),
  }
  const images = new Map<string, ImageRecord>() // two apps of one image are one record, unless they name it differently
  for (const i of request.images) {
    const record: ImageRecord = {
      ...{ record: 'image', name: i.name, id: i.id, tree: i.tree, verification: i.verification },
      ...(i.manifest === undefined ? {} : { manifest: i.manifest }),
      signers: i.signers.map(({ kind, key, checkedAt }) => ({ ...(kind && { kind }), key, checkedAt })),
      ...(i.policy && { policy: { sha256: i.policy.sha256, scope: i.policy.scope } }),
      relaxed: [...i.relaxed],
    }
    images.set(`${i.id} ${i.name}`, record)
  }
  const pod: PodRecord = {
    record: 'pod',
    uuid: request.pod.uuid,
    request: sha256,
    manifest: request.pod.manifestSha256,
    stage1: request.stage1.id,
    images: request.images.map((i) => i.id),
    ...(request.guest === undefined ? {} : { guest: request.guest.archive }),
  }
  return [...[stage1, ...images.values()].filter((r) => summary.needsRecord(r)), pod]
}

/** The launch record of a pod that no verifier allowed, in mode audit or off. */
export function launchRecordWithoutTicket(measured: MeasuredRequest): LaunchRecord {
  const { request, sha256 } = measured
  return { record: 'launch', uuid: request.pod.uuid, request: sha256, mode: request.mode }
}

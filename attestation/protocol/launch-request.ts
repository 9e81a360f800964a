import { canonicalJson, fromUtf8, utf8 } from '../base/index.ts'
import { checkRequestSize, LaunchRequestError } from './launch-request-error.ts'
import type { LaunchRequest, PodLaunch } from './launch-request-schema.ts'

// stage0 is on the way of every launch and loads this file, not the schema beside it: that one brings TypeBox.

/** The bytes that are hashed, sent and kept. */
export function encodeLaunchRequest(request: LaunchRequest): Uint8Array {
  return utf8(canonicalJson(request))
}

/**
 * stage0's check of its agent's answer: the request that was authorised is the launch that stage0 asked for, byte for
 * byte, with the two fields that only the agent knows.
 *
 * @param bytes the launch request as the agent answered it
 * @param launch what stage0 sent, from the files it holds open
 * @returns the node and mode that the agent filled in
 * @throws LaunchRequestError LAUNCH_REQUEST_TOO_LARGE, LAUNCH_REQUEST_INVALID, LAUNCH_REQUEST_DIFFERS
 */
export function matchLaunchRequest(bytes: Uint8Array, launch: PodLaunch): Pick<LaunchRequest, 'node' | 'mode'> {
  checkRequestSize(bytes)
  let value: unknown
  let text: string
  try {
    text = fromUtf8(bytes)
    value = JSON.parse(text)
  } catch (cause) {
    throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', 'the launch request is not UTF-8 JSON', { cause })
  }
  const fields = typeof value === 'object' && value !== null ? (value as { node?: unknown; mode?: unknown }) : {} // read below
  const { node, mode } = fields
  if (typeof node !== 'string' || !/^[0-9a-f]{64}$/.test(node) || !isMode(mode)) {
    throw new LaunchRequestError('LAUNCH_REQUEST_INVALID', 'the launch request has no valid node or mode')
  }
  if (canonicalJson({ ...launch, node, mode }) !== text) {
    throw new LaunchRequestError(
      'LAUNCH_REQUEST_DIFFERS',
      `the agent had another launch authorised than that of pod ${launch.pod.uuid}, which it was asked for`,
    )
  }
  return { node, mode }
}

function isMode(mode: unknown): mode is LaunchRequest['mode'] {
  return mode === 'enforce' || mode === 'audit' || mode === 'off'
}

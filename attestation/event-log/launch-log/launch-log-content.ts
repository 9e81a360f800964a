import { canonicalJson, utf8 } from '../../base/index.ts'
import { digest, type HashAlgorithm } from '../../crypto/index.ts'
import { CEL_ALG, CEL_CONTENT, type CelRecord } from '../cel/cel.ts'
import { LAUNCH_LOG_VERSION, type LaunchLogContent } from './launch-log.ts'

/**
 * @returns the exact bytes of a record's content, which every bank's digest is taken over: UTF-8 JSON in RFC 8785 form
 * @throws TypeError for a number or text that canonical JSON does not have
 */
export function encodeLaunchLogContent(content: LaunchLogContent): Uint8Array {
  return utf8(canonicalJson({ ...content, holdfast: LAUNCH_LOG_VERSION }))
}

/** The record to extend and append: digests of all `banks` over the content's bytes. */
export function launchLogRecord(
  recnum: number,
  pcr: number,
  banks: readonly HashAlgorithm[],
  content: Uint8Array,
): CelRecord {
  const digests = banks.map((bank) => ({ alg: CEL_ALG[bank], bank, bytes: digest(bank, content) }))
  return { recnum, index: { kind: 'pcr', value: pcr }, digests, contentType: CEL_CONTENT.holdfast, content }
}

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import {
  type AppraisalPolicy,
  type AppraisalPolicySet,
  appraisalPolicySet,
  parseAppraisalPolicy,
} from '../appraisal-policy/index.ts'
import { fromUtf8, messageOf } from '../base/index.ts'
import { VerifierError } from './config/index.ts'

const MAX_FILES = 1000
const MAX_POLICY_BYTES = 4 << 20
/** Digest lists of whole distributions have some tens of megabytes. */
const MAX_REFERENCED_BYTES = 256 << 20

/**
 * Reads every `*.yaml` and `*.yml` of a directory as one appraisal policy each, or one file. What policies name lies
 * beside them.
 *
 * @throws AppraisalPolicyError with what is wrong in them; VerifierError VERIFIER_CONFIG_UNREADABLE
 */
export function loadAppraisalPolicies(path: string): AppraisalPolicySet {
  const files = appraisalPolicyFiles(path)
  if (files.length === 0) throw unreadable(path, new RangeError('there is no *.yaml in it'))
  return appraisalPolicySet(files.map(readAppraisalPolicy))
}

/**
 * @returns the path itself where it is a file; of a directory its `*.yaml` and `*.yml`, in order of name
 * @throws VerifierError VERIFIER_CONFIG_UNREADABLE
 */
export function appraisalPolicyFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter((name) => /\.ya?ml$/.test(name))
    if (names.length > MAX_FILES) throw new RangeError(`more than ${MAX_FILES} policy files`)
    return names.sort().map((name) => join(path, name))
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

/** @throws AppraisalPolicyError with what is wrong in it; VerifierError VERIFIER_CONFIG_UNREADABLE */
export function readAppraisalPolicy(file: string): AppraisalPolicy {
  let text: string
  try {
    text = fromUtf8(readBounded(file, MAX_POLICY_BYTES))
  } catch (cause) {
    throw unreadable(file, cause)
  }
  return parseAppraisalPolicy(text, file, (name) => {
    if (basename(name) !== name) throw new RangeError('only files beside the policy can be named')
    return readBounded(join(dirname(file), name), MAX_REFERENCED_BYTES)
  })
}

function readBounded(file: string, maxBytes: number): Uint8Array {
  if (statSync(file).size > maxBytes) throw new RangeError(`more than ${maxBytes} bytes`)
  return new Uint8Array(readFileSync(file))
}

function unreadable(what: string, cause: unknown): VerifierError {
  const message =
    `appraisal policies: ${what}: ${messageOf(cause)}; ` +
    'name a readable file, or a directory of *.yaml files such as a copy of config/appraisal'
  return new VerifierError('VERIFIER_CONFIG_UNREADABLE', message, { cause })
}

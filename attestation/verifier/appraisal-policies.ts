import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
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

/**
 * Reads every `*.yaml` and `*.yml` of a directory as one appraisal policy each. Files that policies name lie beside them.
 *
 * @throws AppraisalPolicyError with what is wrong in them; VerifierError VERIFIER_CONFIG_UNREADABLE
 */
export function loadAppraisalPolicies(directory: string): AppraisalPolicySet {
  const policies: AppraisalPolicy[] = []
  for (const name of policyNames(directory)) {
    policies.push(parseAppraisalPolicy(policyText(join(directory, name)), name, (file) => referenced(directory, file)))
  }
  return appraisalPolicySet(policies)
}

function policyNames(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => /\.ya?ml$/.test(name))
    if (names.length > MAX_FILES) throw new RangeError(`more than ${MAX_FILES} policy files`)
    if (names.length === 0) throw new RangeError('there is no *.yaml in it')
    return names.sort()
  } catch (cause) {
    throw unreadable(directory, cause)
  }
}

function policyText(file: string): string {
  try {
    if (statSync(file).size > MAX_POLICY_BYTES) throw new RangeError(`more than ${MAX_POLICY_BYTES} bytes`)
    return fromUtf8(readFileSync(file))
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

/** A policy names files beside it, and none elsewhere. */
function referenced(directory: string, file: string): Uint8Array {
  if (basename(file) !== file) throw new RangeError('only files beside the policy can be named')
  return new Uint8Array(readFileSync(join(directory, file)))
}

function unreadable(what: string, cause: unknown): VerifierError {
  const message = `appraisal policies: ${what}: ${messageOf(cause)}; name a readable directory of *.yaml files, such as a copy of config/appraisal`
  return new VerifierError('VERIFIER_CONFIG_UNREADABLE', message, { cause })
}

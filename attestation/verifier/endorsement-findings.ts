import { type Finding, finding } from '../appraisal/index.ts'
import type { NodeEndorsement } from '../store/index.ts'

/** What the findings need to know of a node. */
export interface EndorsedNode {
  readonly ekCertified: boolean
  /** Absent for a node that was bound before this was kept. */
  readonly endorsement: NodeEndorsement | undefined
}

/**
 * What was proved when the node enrolled: EK and AK belong together since then, by activation. What the settings took with a
 * warning (expired, SHA-1) is told, and does not make the node worse: the operator has decided that.
 */
export function endorsementFindings({ ekCertified, endorsement }: EndorsedNode): Finding[] {
  if (endorsement === undefined) {
    const why = ekCertified ? 'its EK certificate led to a trusted root at enrolment' : 'an operator listed its EK'
    return [finding('enrolment.ek', 'affirming', 'hardware', why)]
  }
  const platform = platformFinding(endorsement)
  return [
    finding('enrolment.ek', 'affirming', 'hardware', ekMessage(endorsement)),
    ...(platform === undefined ? [] : [platform]),
  ]
}

function ekMessage({ kind, at, path, tpm, validity, findings, platform, host }: NodeEndorsement): string {
  const notes = findings.map((f) => `; ${f.rule}: ${f.message}`)
  if (isUnchecked(platform)) notes.push(`; its platform certificate proves nothing: ${platform.message}`)
  const day = at.slice(0, 10)
  if (kind === 'listed') return `an operator listed its EK, as of ${day}${notes.join('')}`
  if (kind === 'host') {
    const { node = '', pod = '' } = host ?? {}
    return `it is the TPM of pod ${pod}, a program of its host ${node.slice(0, 12)}, which measured it before the pod was started${notes.join('')}`
  }
  const root = path[path.length - 1]
  const names = [tpm?.vendor ?? tpm?.manufacturer, tpm?.model, tpm?.version].filter((name) => name !== undefined)
  const maker = names.length === 0 ? 'a TPM that names no maker' : names.join(' ')
  const anchor = `${root?.subject ?? '?'} (${root?.fingerprint.slice(0, 16) ?? '?'})`
  return `EK certificate of ${maker} led to root ${anchor} on ${day}, validity policy ${validity}${notes.join('')}`
}

function platformFinding({ platform }: NodeEndorsement): Finding | undefined {
  if (platform === undefined || isUnchecked(platform)) return undefined
  if (platform.state === 'refused') {
    const why = `its platform certificate was not believed: ${platform.code}: ${platform.message}`
    return finding('enrolment.platform', 'warning', 'hardware', why)
  }
  const { manufacturer, model, version, serial, root } = platform
  const names = [manufacturer, model, version, serial && `serial number ${serial}`].filter((name) => name !== undefined)
  const what = names.length === 0 ? 'a machine without name' : names.join(' ')
  const why = `platform certificate binds this TPM to ${what}; its root is ${root.subject} (${root.fingerprint.slice(0, 16)})`
  return finding('enrolment.platform', 'affirming', 'hardware', why)
}

/**
 * Nothing is wrong with it so far as anybody can tell: the operator has no root of that maker, or it is about another EK, of which
 * a TPM may have several. It gives no facts then, and takes nothing away.
 */
function isUnchecked(
  platform: NodeEndorsement['platform'],
): platform is { state: 'refused'; code: string; message: string } {
  return platform?.state === 'refused' && UNCHECKED.has(platform.code)
}

const UNCHECKED: ReadonlySet<string> = new Set(['EK_CHAIN_ISSUER_UNKNOWN', 'PLATFORM_NOT_BOUND'])

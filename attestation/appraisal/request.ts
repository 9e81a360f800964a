import {
  ManifestError,
  manifestIsolators,
  manifestPorts,
  manifestVolumes,
  type PodManifest,
  parsePodManifest,
} from '../../stage1/manifest/index.ts'
import { canonicalJson, toHex, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import type { LaunchRequest, TicketSubject } from '../protocol/index.ts'
import { registerSwap, ticketedLaunchRecord } from '../protocol/index.ts'
import { type Finding, finding } from './finding.ts'
import type { BootProof } from './launch-log.ts'
import { imageKey } from './launch-log-state.ts'
import type { NodeState } from './node-state.ts'

/** A launch request beside what the same quote has proved. */
export interface RequestInput {
  readonly request: LaunchRequest
  /** The bytes that were parsed: their digest is what log and ticket name. */
  readonly bytes: Uint8Array
  readonly nodeId: string
  /** Proof by the quote that came with the request; undefined when it proved nothing. */
  readonly boot: BootProof | undefined
  /** Records sent that the quote did not reach. */
  readonly unprovenRecords: number
}

/**
 * Holds a launch request against the proven log: everything it names must have been measured in this TPM start, just as
 * it says, and the log must end where the quote does, for a ticket names the register it starts from.
 *
 * @returns one finding per rule; the launch may only be put to policy when all are affirming
 */
export function appraiseRequest(input: RequestInput): readonly Finding[] {
  const { request, boot } = input
  const findings = [
    check('request.node', request.node === input.nodeId, 'instance-identity', `the request is of node ${request.node}`),
    manifestFinding(request),
  ]
  if (boot === undefined) {
    return [...findings, check('request.log', false, 'executables', 'no log of this TPM start is proven')]
  }
  const { log } = boot
  return [
    ...findings,
    check(
      'request.log',
      input.unprovenRecords === 0,
      'executables',
      `${input.unprovenRecords} records lie behind the proven log`,
    ),
    check(
      'request.mode',
      request.mode === log.agent.mode,
      'configuration',
      `the request says mode ${request.mode}, the log ${log.agent.mode}`,
    ),
    podFinding(input, boot),
    measuredFinding('request.stage1', 'stage1', log.stage1s, [request.stage1]),
    measuredFinding('request.images', 'image', log.images, request.images),
  ]
}

/** What a ticket for this request says; the caller adds the times (ticketClaims) and signs. */
export function ticketSubject(
  input: RequestInput,
  state: NodeState & { readonly boot: BootProof },
  ticket: {
    readonly verifierId: string
    /** 16 random bytes, hex. */
    readonly id: string
    readonly akName: string
    readonly policy: TicketSubject['policy']
  },
): TicketSubject {
  const { resetCount, restartCount } = state.clock
  const named = {
    iss: ticket.verifierId,
    jti: ticket.id,
    pod: input.request.pod.uuid,
    request: sha256Hex(input.bytes),
    policy: ticket.policy,
  }
  const banks = registerSwap(state.boot.replay.banks, ticketedLaunchRecord(named, input.request.mode))
  return {
    ...named,
    sub: input.nodeId,
    cnf: { akName: ticket.akName },
    resetCount,
    restartCount,
    register: { pcr: state.pcr, banks },
  }
}

/**
 * Policies decide by what stands beside the manifest, and the pod is started by the manifest: they must say the same.
 */
function manifestFinding(request: LaunchRequest): Finding {
  const wrong = manifestMisfit(request)
  return check('request.manifest', wrong === undefined, 'executables', wrong ?? '')
}

function manifestMisfit({
  pod,
  stage1,
  guest,
  images,
  isolators,
  volumes,
  network,
  networks,
  ports,
}: LaunchRequest): string | undefined {
  if ((network === 'cni') !== (networks !== undefined))
    return `the request names networks that do not go with '${network}'`
  if ((stage1.machine === undefined) !== (guest === undefined))
    return 'the request has a guest without a machine, or a machine without one'
  const bytes = utf8(canonicalJson(pod.manifest))
  const got = sha256Hex(bytes)
  if (got !== pod.manifestSha256) return `the manifest's digest is ${got}, the request says ${pod.manifestSha256}`
  let manifest: PodManifest
  try {
    manifest = parsePodManifest(bytes)
  } catch (err) {
    if (err instanceof ManifestError) return err.message
    throw err
  }
  if (manifest.apps.map((a) => a.image.id).join() !== images.map((i) => i.id).join()) {
    return "the request names other images than the manifest's apps"
  }
  if (canonicalJson(manifestIsolators(manifest)) !== canonicalJson(isolators)) {
    return 'the request names other isolators than the manifest'
  }
  if (canonicalJson(manifestPorts(manifest)) !== canonicalJson(ports ?? [])) {
    return 'the request names other ports than the manifest'
  }
  const same = canonicalJson(manifestVolumes(manifest)) === canonicalJson(volumes)
  return same ? undefined : 'the request names other volumes than the manifest'
}

function podFinding({ request, bytes }: RequestInput, { log }: BootProof): Finding {
  const { uuid, manifestSha256 } = request.pod
  const measured = log.pods.get(uuid)
  const wrong = (() => {
    if (measured === undefined) return 'was not measured'
    if (measured.launched) return 'runs already'
    if (measured.request !== sha256Hex(bytes)) return 'was measured for another request'
    if (measured.manifest !== manifestSha256) return 'was measured with another manifest'
    if (measured.stage1 !== request.stage1.id) return 'was measured with another stage1'
    if (measured.guest !== request.guest?.archive) return 'was measured with another guest'
    if (measured.images.join() !== request.images.map((i) => i.id).join()) return 'was measured with other images'
    return undefined
  })()
  return check('request.pod', wrong === undefined, 'executables', `pod ${uuid} ${wrong}`)
}

/**
 * Everything asked for must be what the last record of that image says, in every field: tree, signers, what was
 * relaxed.
 */
function measuredFinding<W extends { readonly id: string; readonly name: string }>(
  rule: string,
  kind: 'stage1' | 'image',
  measured: ReadonlyMap<string, unknown>,
  wanted: readonly W[],
): Finding {
  for (const image of wanted) {
    const record = measured.get(imageKey(image))
    if (record === undefined) {
      return check(rule, false, 'file-system', `${kind} ${image.name} ${image.id} was not measured in this boot`)
    }
    if (canonicalJson({ ...image, record: kind }) !== canonicalJson(record)) {
      return check(
        rule,
        false,
        'file-system',
        `${kind} ${image.name} ${image.id} was measured with other contents or provenance`,
      )
    }
  }
  return check(rule, true, 'file-system', '')
}

function check(rule: string, ok: boolean, claim: Finding['claim'], wrong: string): Finding {
  return ok ? finding(rule, 'affirming', claim, 'as measured') : finding(rule, 'contraindicated', claim, wrong)
}

function sha256Hex(bytes: Uint8Array): string {
  return toHex(digest('sha256', bytes))
}

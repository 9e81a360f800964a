import { canonicalJson } from '../../attestation/base/index.ts'
import type {
  BreakRecord,
  ImageRecord,
  LaunchLogContent,
  LaunchRecord,
  PodRecord,
  Stage1Record,
} from '../../attestation/event-log/index.ts'

/** What the records of one TPM start say, as far as later records depend on it. It only ever grows by `add`. */
export class LogSummary {
  readonly #measured = new Map<string, string>() // RFC 8785 text of the last record, by kind, image id and name
  readonly #pods = new Set<string>()
  readonly #undecided = new Map<string, PodRecord>()
  readonly #open = new Map<string, LaunchRecord>()
  readonly #breaks: BreakRecord[] = []
  #records = 0
  #launches = 0
  #denials = 0

  add(c: LaunchLogContent): void {
    this.#records++
    switch (c.record) {
      case 'agent':
        break
      case 'stage1':
      case 'image':
        this.#measured.set(measuredKey(c), canonicalJson(c))
        break
      case 'pod':
        this.#pods.add(c.uuid)
        this.#undecided.set(c.uuid, c)
        break
      case 'launch':
        this.#undecided.delete(c.uuid)
        this.#open.set(c.uuid, c)
        this.#launches++
        break
      case 'denied':
        if (c.action === 'enter') break // its pod goes on as it is
        this.#undecided.delete(c.uuid)
        this.#denials++
        break
      case 'enter':
        break
      case 'exited':
        this.#open.delete(c.uuid)
        break
      case 'break':
        this.#breaks.push(c)
        break
      default:
        c satisfies never
    }
  }

  get records(): number {
    return this.#records
  }
  get launches(): number {
    return this.#launches
  }
  get denials(): number {
    return this.#denials
  }
  /** Times that log and register did not add up. */
  get breaks(): readonly BreakRecord[] {
    return this.#breaks
  }
  /** Pods that were allowed to start and whose end is not recorded. */
  get open(): ReadonlyMap<string, LaunchRecord> {
    return this.#open
  }
  /** Pods that were measured and neither launched nor denied: the agent stopped in between. */
  get undecided(): ReadonlyMap<string, PodRecord> {
    return this.#undecided
  }
  hasPod(uuid: string): boolean {
    return this.#pods.has(uuid)
  }
  /** Whether a stage1 or image has to be recorded: it is new in this boot, or something about it changed. */
  needsRecord(record: Stage1Record | ImageRecord): boolean {
    return this.#measured.get(measuredKey(record)) !== canonicalJson(record)
  }
}

/** The name belongs to it: policies decide by names, so the verifier asks for a record of each. */
function measuredKey(record: Stage1Record | ImageRecord): string {
  return `${record.record} ${record.id} ${record.name}`
}

import type { BootFacts, DigestTexts, Fact, KeyList } from '../appraisal/boot/index.ts'
import type { LaunchLogState } from '../appraisal/index.ts'
import { codeOf, toHex } from '../base/index.ts'
import { checkEkCertificate, decodeCertificate } from '../endorsement/index.ts'
import type { Proof } from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import {
  type ClaimedQuote,
  decodeQuoteAttest,
  formatPcrSelections,
  nodeIdOf,
  objectName,
  WireError,
} from '../tpm2/index.ts'
import type { Examined } from './examine.ts'
import type { JudgedQuote } from './quote-rules.ts'

/** One line of what a file says; `proof` where a quote can speak for it. Texts are as they stand in the file: escape before showing. */
export interface SummaryLine {
  readonly section: 'machine' | 'quote' | 'boot' | 'files' | 'launches' | 'log'
  readonly what: string
  readonly text: string
  readonly proof?: Proof
}

const SHOWN_DIGITS = 16
/** Of each kind of thing, so that a summary stays one. */
const MAX_EACH = 12

/** Who the machine says it is. */
export function machineLines(file: EvidenceFile): SummaryLine[] {
  const line = (what: string, text: string | undefined): SummaryLine[] =>
    text === undefined || text === '' ? [] : [{ section: 'machine', what, text }]
  return [
    ...line('host', file.hostname),
    ...line('collected', `${file.collectedAt} by ${file.collector}`),
    ...line('node', readable(() => nodeIdOf(file.ekPublic)) ?? 'its EK is no public area'),
    ...line('TPM', tpmText(file.ekCertificate)),
    ...line(
      'EK',
      readable(() => toHex(objectName(file.ekPublic))),
    ),
    ...line(
      'AK',
      readable(() => toHex(objectName(file.akPublic))),
    ),
  ]
}

function tpmText(certificate: Uint8Array | undefined): string {
  if (certificate === undefined) return 'no EK certificate came along'
  try {
    const { vendor, manufacturerName, manufacturer, model, version } = checkEkCertificate(
      decodeCertificate(certificate),
    ).identity
    const names = [vendor ?? manufacturerName ?? manufacturer, model, version].filter((name) => name !== undefined)
    return `${names.join(' ') || 'of no maker'}, as its EK certificate says`
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    return 'its EK certificate cannot be read'
  }
}

/** What the quote says of the TPM, and whether it is one. */
export function quoteLines(file: EvidenceFile, judged: JudgedQuote): SummaryLine[] {
  const line = (what: string, text: string): SummaryLine => ({ section: 'quote', what, text })
  const claimed = readable((): ClaimedQuote => decodeQuoteAttest(file.attest))
  const wrong = judged.findings.filter((f) => f.tier === 'contraindicated')
  const verdict =
    wrong.length === 0
      ? 'signed by the AK of this file, and everything in it holds together'
      : `refused, so that nothing is proved: ${wrong.map((f) => `${f.message} [${f.rule}]`).join('; ')}`
  if (claimed === undefined) return [line('verdict', verdict)]
  const { resetCount, restartCount, clockMs, safe } = claimed.clockInfo
  return [
    line('verdict', verdict),
    line('registers', formatPcrSelections(claimed.pcrSelections)),
    line('nonce', `${toHex(file.nonce) || 'none'}${judged.challenge === 'nonce' ? ', quoted as it is' : ''}`),
    line(
      'TPM start',
      `${resetCount} resets, ${restartCount} restarts since; clock ${clockText(clockMs)}${safe ? '' : ', not safe'}`,
    ),
    line('TPM firmware', `0x${claimed.firmwareVersion.toString(16).padStart(16, '0')}`),
  ]
}

const MS_PER_DAY = 86_400_000n

function clockText(ms: bigint): string {
  const time = new Date(Number(ms % MS_PER_DAY)).toISOString().slice(11, 19)
  return `${ms / MS_PER_DAY} days ${time}`
}

/**
 * How the machine was booted, as its logs tell it.
 * @param quoted whether there is a quote that could prove it; without one nothing is said of proofs
 */
export function bootLines(facts: BootFacts, quoted: boolean): SummaryLine[] {
  const lines: SummaryLine[] = []
  const add = (what: string, text: string, proof?: Proof): void => {
    lines.push({ section: 'boot', what, text, ...(quoted && proof !== undefined && { proof }) })
  }
  const each = <T>(what: string, items: readonly Fact<T>[], text: (value: T) => string): void => {
    for (const item of items.slice(0, MAX_EACH)) add(what, text(item.value), item.proof)
    if (items.length > MAX_EACH) add(what, `and ${items.length - MAX_EACH} more`)
  }
  const { secureBoot } = facts
  add('firmware', facts.firmware === 'uefi' ? 'UEFI' : 'BIOS')
  if (facts.crtmVersion !== undefined)
    add('firmware version', facts.crtmVersion.value || '(empty)', facts.crtmVersion.proof)
  if (quoted) add('Secure Boot', `${secureBoot.state}: ${secureBoot.why}`)
  else if (secureBoot.variable !== undefined)
    add('Secure Boot', secureBoot.variable.value ? 'on, it says' : 'off, it says')
  for (const name of ['pk', 'kek', 'db', 'dbx'] as const) {
    const list = secureBoot[name]
    if (list !== undefined)
      add(name === 'pk' || name === 'kek' ? name.toUpperCase() : name, keysText(list.value), list.proof)
  }
  each(
    'authority',
    secureBoot.authorities,
    ({ list, kind, id, subject }) => `${list}: ${subject ?? `${kind} ${short(id)}`}`,
  )
  each('driver', facts.drivers, (image) => `${image.file ?? image.path} ${digestText(image.digests)}`)
  each(
    'started',
    facts.applications,
    ({ file, path, digests }) => `${file ?? (path || '(no path)')} ${digestText(digests)}`,
  )
  if (quoted && !facts.bootMeasured) add('started', 'no image by a boot option: what runs may not have been measured')
  each('command line', facts.commandLines, ({ writer, text, digests }) => `${writer}: ${text ?? digestText(digests)}`)
  each('initrd', facts.initrds, ({ name, digests }) => `${name} ${digestText(digests)}`)
  each('kernel image', facts.unifiedKernel.sections, ({ name, digests }) => `${name} ${digestText(digests)}`)
  each('phase', facts.unifiedKernel.phases, (phase) => phase)
  each('systemd', facts.systemd, ({ type, text }) => `${type} ${text}`)
  return lines
}

function keysText({ count, sha256, entries }: KeyList): string {
  const subjects = entries.slice(0, 3).flatMap((entry) => entry.subject ?? [])
  const named = subjects.length === 0 ? '' : `, ${subjects.join('; ')}${count > subjects.length ? ' and others' : ''}`
  return `${count} ${count === 1 ? 'entry' : 'entries'}${named} (${short(sha256)})`
}

/** What IMA's list comes to. */
export function imaLines({ ima }: Examined): SummaryLine[] {
  if (ima === undefined) return []
  return ima.findings.map(({ rule, message }) => ({
    section: 'files',
    what: rule.replace('ima.', 'IMA '),
    text: message,
  }))
}

/** What was launched. */
export function launchLines({ launch }: Examined): SummaryLine[] {
  if (launch === undefined) return []
  const line = (what: string, text: string): SummaryLine => ({ section: 'launches', what, text })
  const replay = launch.findings
    .filter(({ rule, tier }) => rule === 'launch-log.replay' || tier === 'contraindicated')
    .map(({ message }) => line('launch log', message))
  return [...replay, ...(launch.state === undefined ? [] : stateLines(launch.state).map(([a, b]) => line(a, b)))]
}

function stateLines({ agent, stage1s, images, pods }: LaunchLogState): [string, string][] {
  const keys = agent.verifierKeys.map(short).join(', ') || 'no verifier'
  return [
    ['agent', `version ${agent.version}, mode ${agent.mode}, obeys ${keys}`],
    ['measured', `${stage1s.size} stage1, ${images.size} images`],
    ['running', `${pods.size} ${pods.size === 1 ? 'pod' : 'pods'}, as far as the log says`],
  ]
}

function digestText(digests: DigestTexts): string {
  return short(digests['sha256'] ?? digests['sha384'] ?? digests['sha512'] ?? digests['sha1'] ?? '')
}

function short(hex: string): string {
  return hex.length > SHOWN_DIGITS ? `${hex.slice(0, SHOWN_DIGITS)}…` : hex
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (err) {
    if (err instanceof WireError) return undefined
    throw err
  }
}

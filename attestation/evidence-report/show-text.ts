import { printable, toHex } from '../base/index.ts'
import { banksOf, type EventDigests, type Register, registerName, type TimelineEvent } from '../event-log/index.ts'
import { type Paint, PROOF_TONES, PROOF_WORDS } from './paint.ts'
import type { RegisterRow } from './register-table.ts'
import type { EventOptions, ShownEvidence } from './shown.ts'
import type { SummaryLine } from './summary.ts'

export interface ShowOptions extends EventOptions {
  readonly by: 'register' | 'time' | 'source'
  readonly paint: Paint
  /** Also why each proof is what it is, and whole digests. */
  readonly verbose: boolean
  /** Columns of the terminal; texts are cut there. Undefined: never. */
  readonly width?: number
}

/** The whole of it as text, in pieces of whole lines; made while it is read. */
export function* showText(shown: ShownEvidence, options: ShowOptions): Generator<string> {
  yield `${headline(shown, options.paint)}\n`
  yield* summaryText(shown.summary, options)
  yield* registersText(shown, options)
  yield* eventsText(shown, options)
  if (shown.imaEntries > 0 && !options.ima && options.source === undefined && options.register === undefined) {
    yield `\n${shown.imaEntries} entries of IMA's list are not shown: --ima shows them\n`
  }
}

function headline({ detected, sizeBytes, quote }: ShownEvidence, paint: Paint): string {
  const what = `${paint('strong', detected)}, ${sizeBytes} bytes`
  switch (quote.state) {
    case 'absent':
      return `${what}\n${paint('open', 'no quote: nothing in it is proved')}`
    case 'refused':
      return `${what}\n${paint('bad', 'the quote is refused: nothing in it is proved')}`
    case 'verified':
      return `${what}\nwhat is proved is proved by the key that it names: whose key that is, holdfast evidence verify --ak says`
  }
}

const SECTIONS: Readonly<Record<SummaryLine['section'], string>> = {
  machine: 'MACHINE',
  quote: 'QUOTE',
  boot: 'BOOT',
  files: 'FILES RUN',
  launches: 'LAUNCHES',
  log: 'LOG',
}
const LABEL_COLUMNS = 20

function* summaryText(lines: readonly SummaryLine[], options: ShowOptions): Generator<string> {
  let section: SummaryLine['section'] | undefined
  let what: string | undefined
  for (const line of lines) {
    if (line.section !== section) yield `\n${options.paint('strong', SECTIONS[line.section])}\n`
    const label = line.section === section && line.what === what ? '' : line.what
    ;({ section, what } = line)
    const proof = line.proof === undefined ? '' : `[${PROOF_WORDS[line.proof]}] `
    const room = options.width === undefined ? undefined : options.width - LABEL_COLUMNS - 2 - proof.length
    const said = proof === '' || line.proof === undefined ? '' : options.paint(PROOF_TONES[line.proof], proof)
    yield `  ${label.padEnd(LABEL_COLUMNS)}${said}${cut(printable(line.text), room)}\n`
  }
}

const STATE_WORDS: Readonly<Record<RegisterRow['state'], string>> = {
  replays: 'replays',
  refuted: 'refuted',
  'not-quoted': 'not quoted',
  untouched: 'untouched',
  unexplained: 'unexplained',
}
const STATE_TONES = {
  replays: 'good',
  refuted: 'bad',
  'not-quoted': 'open',
  untouched: 'faint',
  unexplained: 'bad',
} as const

function* registersText({ registers, registerUnknown, quote }: ShownEvidence, options: ShowOptions): Generator<string> {
  const rows = registers.filter((row) => isWanted(row.register, options))
  if (rows.length === 0) return
  yield title(quote.state === 'absent' ? 'REGISTERS, if a TPM was given these events' : 'REGISTERS', options)
  for (const { register, events, state, why, banks } of rows) {
    const name = registerUnknown ? 'not named' : register
    const counted =
      events === undefined ? ' '.repeat(14) : `${String(events).padStart(6)} ${events === 1 ? 'event ' : 'events'} `
    const word = quote.state === 'absent' ? '' : options.paint(STATE_TONES[state], STATE_WORDS[state].padEnd(12))
    const values = state === 'untouched' ? [] : banks.flatMap(bankValues)
    const [first = '', ...others] = values
    const before = `  ${name.padEnd(9)}${counted} ${word}`
    const reason = quote.state === 'absent' || why === '' ? '' : `${values.length === 0 ? '' : '  '}${why}`
    yield `${before}${first}${reason}\n`
    const indent = ' '.repeat(26 + (quote.state === 'absent' ? 0 : 12))
    for (const value of others) yield `${indent}${value}\n`
  }
}

/** The replayed value is shown where it is another, or where none is quoted. */
function bankValues({ bank, quoted, replayed }: RegisterRow['banks'][number]): string[] {
  if (quoted === undefined) return replayed === undefined ? [] : [`${bank} ${replayed}`]
  return replayed === undefined ? [`${bank} ${quoted}`] : [`${bank} ${quoted} quoted`, `${bank} ${replayed} replayed`]
}

function isWanted(name: string, { register }: EventOptions): boolean {
  return register === undefined || registerName(register) === name
}

function* eventsText(shown: ShownEvidence, options: ShowOptions): Generator<string> {
  if (options.by === 'register') {
    const registers = options.register === undefined ? shown.eventRegisters : [options.register]
    for (const register of registers) {
      const title = shown.registerUnknown ? 'a register that the log does not name' : registerName(register)
      yield* groupText(title, shown.events({ ...options, register }), { ...options, named: false })
    }
    return
  }
  let source: string | undefined
  let titled = false
  for (const told of shown.events(options)) {
    if (options.by === 'source' && told.event.source !== source) {
      source = told.event.source
      yield title(`from ${SOURCES[told.event.source]}`, options)
    } else if (!titled && options.by === 'time')
      yield title('EVENTS, in the order in which the logs were begun', options)
    titled = true
    yield eventText(told, { ...options, named: !shown.registerUnknown })
  }
}

const SOURCES: Readonly<Record<TimelineEvent['event']['source'], string>> = {
  firmware: "the firmware's log",
  systemd: "systemd's log",
  ima: "IMA's list",
  'launch-log': 'the launch log',
  cel: 'the canonical event log',
  aael: "the attestation agent's log",
}

const title = (text: string, { paint }: ShowOptions): string => `\n${paint('strong', text)}\n`

function* groupText(
  heading: string,
  events: Iterable<TimelineEvent>,
  options: ShowOptions & { readonly named: boolean },
): Generator<string> {
  let first = true
  for (const told of events) {
    if (first) yield title(heading, options)
    first = false
    yield eventText(told, options)
  }
}

const SHOWN_DIGITS = 12
const TYPE_COLUMNS = 32
const PROOF_COLUMNS = 13

/** `#  proof  type  digest  text`, and with `verbose` what more is known in lines below. */
function eventText(
  { event, proof, why }: TimelineEvent,
  { paint, verbose, width, named, by }: ShowOptions & { readonly named: boolean },
): string {
  const { source, index, register, type, text, digests } = event
  const where = [named ? registerName(register).padEnd(8) : '', by === 'time' ? source.padEnd(11) : ''].join('')
  const before = `  ${String(index).padStart(4)}  ${where}`
  const kind = printable(type).slice(0, TYPE_COLUMNS).padEnd(TYPE_COLUMNS)
  const between = ` ${kind} ${shortDigest(digests)}  `
  const room = width === undefined || verbose ? undefined : width - before.length - PROOF_COLUMNS - between.length
  const word = paint(PROOF_TONES[proof], PROOF_WORDS[proof].padEnd(PROOF_COLUMNS))
  const line = `${before}${word}${between}${cut(printable(text), room)}`.trimEnd()
  if (!verbose) return `${line}\n`
  const more = banksOf(digests).map((bank) => `        ${bank} ${toHex(digests[bank] as Uint8Array)}\n`) // banksOf gives those with a value
  return `${line}\n        ${paint('faint', `why: ${printable(why)}`)}\n${more.join('')}`
}

/** Of the usual bank. */
function shortDigest(digests: EventDigests): string {
  const bytes = digests.sha256 ?? digests.sha384 ?? digests.sha512 ?? digests.sha1
  return (bytes === undefined ? '-' : toHex(bytes.subarray(0, SHOWN_DIGITS / 2))).padEnd(SHOWN_DIGITS)
}

function cut(text: string, room: number | undefined): string {
  if (room === undefined || text.length <= room) return text
  return `${text.slice(0, Math.max(room - 1, 8)).toWellFormed()}…`
}

/** For those who name a register in an option: `7`, `PCR7`, `RTMR2`. */
export function parseRegister(text: string): Register | undefined {
  const [, kind = 'pcr', number] = /^(pcr|rtmr)?\s*([0-9]{1,2})$/i.exec(text.trim()) ?? []
  const index = Number(number)
  if (number === undefined) return undefined
  if (kind.toLowerCase() === 'rtmr') return index <= 3 ? { kind: 'rtmr', index } : undefined
  return index <= 23 ? { kind: 'pcr', index } : undefined
}

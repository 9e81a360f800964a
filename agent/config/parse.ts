import type { TSchema } from '@sinclair/typebox'
import { Value, type ValueError, ValueErrorType } from '@sinclair/typebox/value'
import { type Document, isMap, isNode, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import { type PcrIndex, pcrIndex } from '../../attestation/tpm2/index.ts'
import { AgentConfigError } from './errors.ts'
import { type AgentConfigFile, AgentConfigSchema } from './schema.ts'

/** A configuration is a page of text; more than this is some other file. */
export const MAX_CONFIG_BYTES = 64 << 10
const MAX_PROBLEMS = 50

export type EnforcementMode = 'enforce' | 'audit' | 'off'

/** The verifier as the file names it; `trust.ts` reads what the paths lead to. */
export interface VerifierSettings {
  readonly url: string
  readonly trust?: string
  readonly tlsSpkiSha256: readonly string[]
  readonly ca?: string
  readonly ticketKeys: readonly string[]
}

export interface AgentConfig {
  readonly tcti: string
  /** Extends, quotes and register reads in a salted session too, not only what carries a secret. */
  readonly protectTpmBus: boolean
  readonly pcr: PcrIndex
  /** What the operator expects the TPM to have allocated; absent: whatever is allocated. All allocated banks are extended. */
  readonly banks?: readonly HashAlgorithm[]
  readonly mode: EnforcementMode
  readonly dataDirectory: string
  readonly runDirectory: string
  readonly socketGroup: string
  /** Present unless the mode is off. */
  readonly verifier?: VerifierSettings
  readonly enrolmentToken?: string
  readonly enrolmentTokenFile?: string
  readonly launchTimeoutMs: number
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'
}

/**
 * @param text the YAML of config/agent.yaml
 * @param file its name, for messages
 * @returns the settings, with defaults filled in
 * @throws AgentConfigError AGENT_CONFIG_INVALID with every mistake at once, one `file:line:col: message` a line
 */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  const problems = new Problems(file)
  if (text.length > MAX_CONFIG_BYTES) {
    problems.at(0, `the file has more than ${MAX_CONFIG_BYTES} characters; this is no agent configuration`)
    return problems.raise()
  }
  const doc = parseDocument(text, { lineCounter: problems.lines, prettyErrors: false, uniqueKeys: true, merge: false })
  for (const e of doc.errors) problems.at(e.pos[0], e.message)
  if (problems.any) return problems.raise()
  let value: unknown
  try {
    value = doc.toJS({ maxAliasCount: 0 }) ?? {}
  } catch (err) {
    problems.at(0, `aliases are not read here (${messageOf(err)}); write the value out`)
    return problems.raise()
  }
  for (const e of Value.Errors(AgentConfigSchema, value)) {
    if (isConsequence(e)) continue
    problems.at(offsetOf(doc, e), sentence(e))
    if (problems.full) break
  }
  checkPcr(doc, value, problems)
  if (!Value.Check(AgentConfigSchema, value)) return problems.raise()
  checkMeaning(doc, value, problems)
  if (problems.any) return problems.raise()
  return withDefaults(value)
}

/** TypeBox reports a missing member twice: as missing, and as an undefined value of the wrong type. Once is enough. */
function isConsequence(e: ValueError): boolean {
  return e.value === undefined && e.type !== ValueErrorType.ObjectRequiredProperty
}

function sentence(e: ValueError): string {
  const name = e.path.split('/').slice(1).join('.')
  switch (e.type) {
    case ValueErrorType.ObjectAdditionalProperties: {
      const known = nearest(e.path.split('/').at(-1) ?? '', membersAround(e))
      return `there is no setting '${name}'${known === undefined ? '' : `; did you mean '${known}'?`}`
    }
    case ValueErrorType.ObjectRequiredProperty:
      return `the setting '${name}' is missing; it is ${e.schema.description ?? 'required'}`
    default:
      return `${name === '' ? 'the file' : `'${name}'`} wants ${e.schema.description ?? e.message}, got ${shown(e.value)}`
  }
}

/** The names that would have been right where `e` names one that is not. */
function membersAround(e: ValueError): readonly string[] {
  // The error of an unknown member carries the schema of the object that has no such member.
  const properties: unknown = (e.schema as TSchema & { properties?: unknown }).properties // TypeBox types it as unknown
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : []
}

function nearest(got: string, known: readonly string[]): string | undefined {
  const plain = (s: string) => s.toLowerCase().replace(/[^a-z0-9]/g, '')
  return known.find((k) => plain(k) === plain(got)) ?? known.find((k) => plain(k).startsWith(plain(got).slice(0, 4)))
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 57)}...` : json
}

/** Apart from the rest of what a schema cannot say, so that it is found together with mistakes of form. */
function checkPcr(doc: Document, value: unknown, problems: Problems): void {
  if (typeof value !== 'object' || value === null || !('pcr' in value) || typeof value.pcr !== 'number') return
  const refused = whyNotPcr(value.pcr)
  if (refused === undefined) return
  problems.at(offsetAt(doc, ['pcr']), `PCR ${value.pcr} cannot hold the launch log: ${refused}`)
}

/** Which settings need each other. */
function checkMeaning(doc: Document, c: AgentConfigFile, problems: Problems): void {
  const mode = c.mode ?? 'enforce'
  const v = c.verifier
  if (v === undefined) {
    if (mode !== 'off')
      problems.at(0, `the setting 'verifier' is missing; mode ${mode} asks a verifier before each launch`)
  } else {
    const where = offsetAt(doc, ['verifier'])
    if (!URL.canParse(v.url)) problems.at(offsetAt(doc, ['verifier', 'url']), `'verifier.url' is not a URL: ${v.url}`)
    if (v.trust === undefined && v.ticketKeys === undefined) {
      problems.at(where, "'verifier' names neither 'trust' nor 'ticketKeys': no ticket could be believed")
    }
    if (v.trust === undefined && v.tlsSpkiSha256 === undefined && v.ca === undefined) {
      problems.at(where, "'verifier' names none of 'trust', 'tlsSpkiSha256', 'ca': no verifier could be recognised")
    }
  }
  if (c.enrolmentToken !== undefined && c.enrolmentTokenFile !== undefined) {
    problems.at(
      offsetAt(doc, ['enrolmentTokenFile']),
      "'enrolmentToken' and 'enrolmentTokenFile' are both set; keep one",
    )
  }
}

/** @returns the reason why a PCR cannot carry the launch log; undefined where it can */
function whyNotPcr(pcr: number): string | undefined {
  if (pcr < 0 || pcr > 23) return undefined // the schema has said so
  if (pcr <= 7) return 'it belongs to the firmware, and extending it would lock keys that are sealed to the boot'
  if (pcr === 10) return 'the kernel (IMA) extends it'
  if (pcr === 16 || pcr === 23) return 'anyone on the node may reset it, so it proves nothing; use 15'
  if (pcr >= 17) return 'it belongs to a dynamic launch (DRTM) and cannot be extended from the operating system; use 15'
  return undefined
}

function withDefaults(c: AgentConfigFile): AgentConfig {
  const { verifier: v, banks, enrolmentToken, enrolmentTokenFile } = c
  return {
    tcti: c.tcti,
    protectTpmBus: c.protectTpmBus ?? false,
    pcr: pcrIndex(c.pcr ?? 15),
    ...(banks === undefined ? {} : { banks }),
    mode: c.mode ?? 'enforce',
    dataDirectory: c.dataDirectory ?? '/var/lib/holdfast',
    runDirectory: c.runDirectory ?? '/run/holdfast',
    socketGroup: c.socketGroup ?? 'holdfast',
    ...(v === undefined
      ? {}
      : {
          verifier: {
            url: v.url,
            ...(v.trust === undefined ? {} : { trust: v.trust }),
            ...(v.ca === undefined ? {} : { ca: v.ca }),
            tlsSpkiSha256: (v.tlsSpkiSha256 ?? []).map((pin) => pin.toLowerCase()),
            ticketKeys: v.ticketKeys ?? [],
          },
        }),
    ...(enrolmentToken === undefined ? {} : { enrolmentToken }),
    ...(enrolmentTokenFile === undefined ? {} : { enrolmentTokenFile }),
    launchTimeoutMs: Math.round((c.launchTimeoutSeconds ?? 10) * 1000),
    logLevel: c.logLevel ?? 'info',
  }
}

function offsetOf(doc: Document, e: ValueError): number {
  const path = e.path.split('/').slice(1)
  return e.type === ValueErrorType.ObjectRequiredProperty ? offsetAt(doc, path.slice(0, -1)) : offsetAt(doc, path)
}

/** Where a setting's key stands (for an item of a list: the item); for the whole file, its first character. */
function offsetAt(doc: Document, path: readonly string[]): number {
  let node: unknown = doc.contents
  let at = startOf(node) ?? 0
  for (const key of path) {
    if (isMap(node)) {
      const pair = node.items.find((p) => isNode(p.key) && String(p.key) === key)
      if (pair === undefined) return at
      at = startOf(pair.key) ?? at
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(key)]
      at = startOf(node) ?? at
    } else {
      return at
    }
  }
  return at
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? ((node as Node).range?.[0] ?? undefined) : undefined // isNode narrows to a union without `range`
}

/** Gathers mistakes so that an operator sees them all at once, in the order of the file. */
class Problems {
  readonly lines = new LineCounter()
  readonly #file: string
  readonly #found: { offset: number; message: string }[] = []

  constructor(file: string) {
    this.#file = file
  }

  get any(): boolean {
    return this.#found.length > 0
  }
  get full(): boolean {
    return this.#found.length >= MAX_PROBLEMS
  }

  at(offset: number, message: string): void {
    this.#found.push({ offset, message })
  }

  raise(): never {
    const lines = this.#found
      .sort((a, b) => a.offset - b.offset)
      .map(({ offset, message }) => {
        const { line, col } = this.lines.linePos(offset)
        return `${this.#file}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${message}`
      })
    throw new AgentConfigError('AGENT_CONFIG_INVALID', lines.join('\n'))
  }
}

/** @returns an error that says which file could not be read and why */
export function unreadable(what: string, file: string, cause: unknown): AgentConfigError {
  const reason = codeOf(cause) === 'ENOENT' ? 'there is no such file' : messageOf(cause)
  return new AgentConfigError('AGENT_CONFIG_UNREADABLE', `${what} ${file}: ${reason}`, { cause })
}

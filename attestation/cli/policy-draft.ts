import { writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { appraiseBoot } from '../appraisal/boot/index.ts'
import { appraiseIma, compileImaPolicy, EMPTY_IMA_POLICY, imaStateStart } from '../appraisal/ima/index.ts'
import {
  type DraftMachine,
  type DraftOptions,
  type DraftReferences,
  digestListText,
  draftPolicy,
  parseAppraisalPolicy,
} from '../appraisal-policy/index.ts'
import { fromUtf8, toHex, utf8 } from '../base/index.ts'
import { digest, type HashAlgorithm } from '../crypto/index.ts'
import { banksOf, IMA_PCR, imaEntries, imaMeasurement } from '../event-log/index.ts'
import type { TriedQuote } from './policy-evidence.ts'

const LAUNCH_PCR = 15
/** Reference values are of SHA-256 or better. */
const MIN_DIGEST_BYTES = 32

export interface CreateOptions extends Pick<DraftOptions, 'name' | 'owner' | 'mode'> {
  /** Where to; without it the policy alone is given back, and the list of files is left out. */
  readonly out?: string
}

/** @returns the policy's text, written to `options.out` too where that is given, with the files that it names beside it */
export function createPolicy(
  quotes: readonly TriedQuote[],
  references: DraftReferences,
  { out, ...options }: CreateOptions,
): string {
  const machines = quotes.map(draftMachine)
  const beside = new Map<string, Uint8Array>()
  const file = (suffix: string, content: Uint8Array | undefined) => {
    if (out === undefined || content === undefined || content.length === 0) return undefined
    const name = `${basename(out).replace(/\.ya?ml$/, '')}.${suffix}`
    beside.set(name, content)
    return { file: name, sha256: toHex(digest('sha256', content)) }
  }
  const digests = file('digests', utf8(digestListText(machines, references)))
  const keys = file('keys', references.files?.keys)
  const text = draftPolicy(
    machines,
    { ...options, ...(digests !== undefined && { digests }), ...(keys !== undefined && { keys }) },
    references,
  )
  // a mistake here is ours, and must not reach a file
  parseAppraisalPolicy(text, 'the policy just made', (name) => beside.get(name) ?? new Uint8Array())
  if (out !== undefined) {
    for (const [name, content] of beside) writeFileSync(join(dirname(out), name), content)
    writeFileSync(out, text)
  }
  return text
}

function draftMachine({ from, quote, pieces, launch, manufacturer }: TriedQuote): DraftMachine {
  const log = (source: string): Uint8Array | undefined =>
    pieces.find((p) => p.source === source && p.offset === 0)?.bytes
  const [firmware, systemd, ima] = [log('firmware'), log('systemd'), log('ima')]
  const boot = appraiseBoot({
    ...(firmware !== undefined && { firmware }),
    ...(systemd !== undefined && { systemd: { offset: 0, bytes: systemd } }),
    quoted: quote.pcrs,
    elsewhere: new Set([launch?.pcr ?? LAUNCH_PCR, IMA_PCR]),
  })
  return {
    from,
    registers: quote.pcrs,
    boot: boot.facts,
    findings: boot.findings,
    tpm: { ...(manufacturer !== undefined && { manufacturer }), firmwareVersion: quote.firmwareVersion },
    files: ima === undefined ? undefined : provedFiles(ima, quote),
  }
}

/** Files of the part of a list that the quote proves. */
function provedFiles(list: Uint8Array, quote: TriedQuote['quote']): Map<string, string[]> | undefined {
  const registers: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const { bank, pcr, value } of quote.pcrs) if (pcr === IMA_PCR) registers[bank] = value
  if (banksOf(registers).length === 0) return undefined
  const appraised = appraiseIma(imaStateStart(banksOf(registers)), list, registers, compileImaPolicy(EMPTY_IMA_POLICY))
  if (appraised.outcome !== 'proved') return undefined
  const files = new Map<string, string[]>()
  for (const entry of imaEntries(list)) {
    if (entry.index >= appraised.state.replay.entries) break
    const { name, digest: of } = imaMeasurement(entry.fields)
    const path = name === undefined ? undefined : pathText(name)
    if (path === undefined || of === undefined || of.bytes.length < MIN_DIGEST_BYTES) continue
    const known = files.get(path) ?? []
    const value = `${of.of === 'verity' ? 'verity:' : ''}${toHex(of.bytes)}`
    if (!known.includes(value)) files.set(path, [...known, value])
  }
  return files
}

/** A path as a line of the list can hold it; undefined for one that it cannot. */
function pathText(binary: string): string | undefined {
  if (!binary.startsWith('/') || /[\r\n]/.test(binary)) return undefined
  try {
    return fromUtf8(Uint8Array.from(binary, (c) => c.charCodeAt(0)))
  } catch {
    return undefined // a path that is no UTF-8 cannot be written into a text
  }
}

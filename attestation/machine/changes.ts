import type { BootFacts, BootImage, CommandLine, Fact } from '../appraisal/boot/index.ts'

/** A boot in few words, by what is said: for comparing one boot with another. Bounded. */
export type BootSummary = { readonly [what: string]: string }

const MAX_ENTRIES = 96
const MAX_TEXT = 300
const SHOWN_DIGITS = 16

/** What a person would compare of two boots; only what is proved, by digest at least. */
export function bootSummary(facts: BootFacts): BootSummary {
  const lines: [string, string][] = []
  const add = (what: string, text: string | undefined): void => {
    if (text !== undefined) lines.push([what, text.slice(0, MAX_TEXT)])
  }
  const { secureBoot } = facts
  add('Secure Boot', secureBoot.state)
  add('firmware version', proved(facts.crtmVersion))
  for (const [name, list] of [
    ['PK', secureBoot.pk],
    ['KEK', secureBoot.kek],
    ['db', secureBoot.db],
    ['dbx', secureBoot.dbx],
  ] as const) {
    if (isProved(list)) add(`Secure Boot ${name}`, `${list.value.count} entries, ${short(list.value.sha256)}`)
  }
  for (const [i, blob] of facts.firmwareBlobs.entries()) {
    add(`firmware blob ${i + 1}`, isProved(blob) ? digests(blob.value.digests) : undefined)
  }
  for (const [i, image] of facts.drivers.entries()) add(`driver ${i + 1}`, imageText(image))
  for (const [i, image] of facts.applications.entries()) add(`boot application ${i + 1}`, imageText(image))
  for (const line of facts.commandLines) add(`kernel command line (${line.value.writer})`, commandLineText(line))
  for (const [i, file] of facts.initrds.entries()) {
    add(`initrd ${i + 1}`, isProved(file) ? digests(file.value.digests) : undefined)
  }
  for (const section of facts.unifiedKernel.sections) {
    if (isProved(section)) add(`kernel image section ${section.value.name}`, digests(section.value.digests))
  }
  add('shim SBAT level', proved(facts.shim.sbatLevel))
  for (const variable of facts.shim.variables) {
    if (isProved(variable)) add(`shim ${variable.value.name}`, digests(variable.value.digests))
  }
  return Object.fromEntries(lines.slice(0, MAX_ENTRIES))
}

/** What differs, one sentence each: `Secure Boot was enabled, is disabled`. */
export function bootChanges(before: BootSummary, now: BootSummary): string[] {
  const changes: string[] = []
  for (const [what, text] of Object.entries(now)) {
    const was = Object.hasOwn(before, what) ? before[what] : undefined
    if (was === undefined) changes.push(`${what} is new: ${text}`)
    else if (was !== text) changes.push(`${what} was ${was}, is ${text}`)
  }
  for (const [what, was] of Object.entries(before)) {
    if (!Object.hasOwn(now, what)) changes.push(`${what} is gone: it was ${was}`)
  }
  return changes
}

function isProved<T>(fact: Fact<T> | undefined): fact is Fact<T> {
  return fact !== undefined && (fact.proof === 'data' || fact.proof === 'digest')
}

function proved(fact: Fact<string> | undefined): string | undefined {
  return fact !== undefined && fact.proof === 'data' ? fact.value : undefined
}

function imageText(image: Fact<BootImage>): string | undefined {
  return isProved(image) ? `${image.value.file ?? image.value.path}, ${digests(image.value.digests)}` : undefined
}

function commandLineText(line: Fact<CommandLine>): string | undefined {
  if (!isProved(line)) return undefined
  return line.proof === 'data' && line.value.text !== undefined ? line.value.text : digests(line.value.digests)
}

function digests(of: { readonly [bank: string]: string }): string {
  return short(of['sha256'] ?? of['sha384'] ?? of['sha512'] ?? of['sha1'] ?? '')
}

function short(hex: string): string {
  return hex.length > SHOWN_DIGITS ? `${hex.slice(0, SHOWN_DIGITS)}…` : hex
}

import type { ReferenceImage } from '../reference-values/index.ts'
import { commandLineArguments } from './checks/command-line.ts'
import { digestSources } from './draft-boot.ts'
import { comment, listBlock, quoted, ruleLines, type ValueSource, valueSources } from './draft-text.ts'
import type { Booted } from './draft-types.ts'
import { globLiteral } from './glob.ts'
import type { Mode } from './policy.ts'

/** As many patterns as a policy can have, and as long as one can be. */
const MAX_ARGUMENTS = 256
const MAX_PATTERN = 1024

interface Lines {
  readonly texts: readonly string[]
  readonly digests: readonly ValueSource[]
  /** A command line is known by its digest only, on one machine at least. */
  readonly textless: boolean
}

/**
 * What kernel command lines have in common. Of unified kernel images both are known: the text, and the digests that
 * stand in a log in its place. An image with a profile that leaves its command line to the boot loader says nothing.
 */
export function commandLineRule(boots: readonly Booted[], images: readonly ReferenceImage[], mode: Mode): string[] {
  const lines = [measuredLines(boots), imageLines(images)]
  const texts = lines.flatMap((l) => l.texts)
  // where a digest is asked for at all, every command line without text needs its own
  const sources = lines.some((l) => l.textless) ? valueSources(lines.flatMap((l) => l.digests)) : []
  const named = sources.length === 0 ? [] : ['  digests:', ...listBlock(sources, 4)]
  const all = texts.map(commandLineArguments)
  const common = [...new Set(all[0] ?? [])].filter((arg) => all.every((args) => args.includes(arg))).filter(isPattern)
  const ofImagesOnly = boots.length === 0 && texts.length > 0
  if (common.length > 0 || ofImagesOnly) {
    return ruleLines('command-line', mode, 'What every kernel command line has, and what none has.', [
      ...texts.slice(0, 4).map((text) => `# ${comment(text)}`),
      'commandLine:',
      ...(common.length === 0 ? [] : ['  mustContain:', ...patterns(common.slice(0, MAX_ARGUMENTS))]),
      ...forbidden(all),
      ...(ofImagesOnly ? allowed(all) : []),
      ...named,
    ])
  }
  if (sources.length === 0) return []
  const why =
    'Their text is not in the log, so each one needs its digest here; one that differs from machine to machine cannot be enforced.'
  return ruleLines('command-line', 'observe', why, ['commandLine:', ...named])
}

function measuredLines(boots: readonly Booted[]): Lines {
  const texts: string[] = []
  const digests: ValueSource[] = []
  let textless = false
  for (const booted of boots) {
    let read = false
    for (const line of booted.boot.commandLines) {
      const { text } = line.value
      if (line.proof === 'data' && text !== undefined) {
        texts.push(text)
        read = true
      } else digests.push(...digestSources(line, booted))
    }
    textless ||= !read
  }
  return { texts, digests, textless }
}

function imageLines(images: readonly ReferenceImage[]): Lines {
  const profiles = images.flatMap((image) => image.profiles)
  if (profiles.some(({ commandLine }) => commandLine === undefined)) return { texts: [], digests: [], textless: false }
  return {
    texts: profiles.flatMap(({ commandLine }) => commandLine?.text ?? []),
    digests: profiles.flatMap(({ from, commandLine }) =>
      (commandLine?.digests ?? []).map((value) => ({ value, from })),
    ),
    textless: profiles.length > 0,
  }
}

/** Nothing that a boot loader adds is of the image. */
function allowed(all: readonly (readonly string[])[]): string[] {
  const args = [...new Set(all.flat())].filter((arg) => arg !== '')
  const isSayable = args.length > 0 && args.length <= MAX_ARGUMENTS && args.every(isPattern)
  return isSayable ? ['  allowed:', ...patterns(args)] : []
}

/** Ways around what was booted that none of the machines uses. */
function forbidden(all: readonly (readonly string[])[]): string[] {
  const unused = ['init=', 'rdinit=', 'systemd.debug-shell'].filter(
    (start) => !all.flat().some((arg) => arg.startsWith(start)),
  )
  return unused.length === 0 ? [] : ['  mustNotContain:', ...unused.map((start) => `    - ${quoted(`${start}*`)}`)]
}

function isPattern(arg: string): boolean {
  return arg !== '' && globLiteral(arg).length <= MAX_PATTERN
}

function patterns(args: readonly string[]): string[] {
  return args.map((arg) => `    - ${quoted(globLiteral(arg))}`)
}

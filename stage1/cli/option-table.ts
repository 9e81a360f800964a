import { UsageError } from '../../attestation/base/index.ts'

/** One option of a command that makes pods. Parser, help and completion all come from a table of these. */
export interface OptionSpec {
  /** Without its hyphens. */
  readonly name: string
  /** How its value is shown in help; a flag has none, and takes `=true` and `=false`. */
  readonly value?: string
  /** May be given several times, and each counts; of others the last one does. */
  readonly several?: true
  /** Whose it is: `app` options stand behind their image. */
  readonly of: 'app' | 'pod' | 'command'
  /** Of an app, and before the first image of all apps. */
  readonly everyApp?: true
  /** Lines of help. */
  readonly help: readonly [string, ...string[]]
}

/** What was given, by names of options. */
export class OptionValues {
  readonly #values = new Map<string, string[]>()

  add(name: string, value: string): void {
    const values = this.#values.get(name)
    if (values === undefined) this.#values.set(name, [value])
    else values.push(value)
  }

  /** As if these had been given before all others. */
  addFirst(early: OptionValues): void {
    for (const [name, values] of early.#values) this.#values.set(name, [...values, ...this.all(name)])
  }

  /** In the order they were given. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }

  /** @throws UsageError for an empty one */
  last(name: string): string | undefined {
    const value = this.#values.get(name)?.at(-1)
    if (value === '') throw new UsageError(`--${name} is empty`)
    return value
  }

  flag(name: string): boolean {
    return this.#values.get(name)?.at(-1) === 'true'
  }

  /** Names, each once. */
  names(): string[] {
    return [...this.#values.keys()]
  }
}

/** An image with what was said of it. */
export interface ImageWords {
  readonly image: string
  readonly options: OptionValues
  /** What stood between `--` and `---`; absent where there was no `--`. */
  readonly args?: readonly string[]
}

export interface PodWords {
  readonly options: OptionValues
  readonly images: readonly ImageWords[]
}

/** rkt's marks: arguments of an app begin with the one and end, where another image follows, with the other. */
const ARGUMENTS = '--'
const END = '---'

/**
 * Takes a command line apart by rkt's grammar: `[options] IMAGE [app options] [-- ARGUMENTS] [--- IMAGE ...]`.
 * Options of the pod and the command may stand anywhere but among the arguments. Those of an app may stand before its
 * image as well where it is the only one.
 *
 * @returns 'help' where it was asked for
 * @throws UsageError
 */
export function parsePodWords(words: readonly string[], table: readonly OptionSpec[]): PodWords | 'help' {
  const options = new OptionValues()
  const early = new OptionValues()
  const images: { image: string; options: OptionValues; args?: string[] }[] = []
  /** Of the image that options behind it are for; none behind `---`. */
  let current: (typeof images)[number] | undefined
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '--help' || word === '-h') return 'help'
    if (word === END) {
      if (images.length === 0) throw new UsageError('--- ends what is said of an image, and none was given before it')
      current = undefined
    } else if (word === ARGUMENTS) {
      if (current === undefined)
        throw new UsageError(`${images.length === 0 ? 'no image given' : 'no image before --'}`)
      const end = words.indexOf(END, at)
      current.args = words.slice(at + 1, end < 0 ? words.length : end)
      current = undefined
      at = end < 0 ? words.length : end
    } else if (word.startsWith('-') && word !== '-') {
      const { spec, value, used } = parseOption(word, words[at + 1], table)
      at += used
      if (spec.of !== 'app' || (spec.everyApp && images.length === 0)) options.add(spec.name, value)
      else if (current !== undefined) current.options.add(spec.name, value)
      else if (images.length === 0) early.add(spec.name, value)
      else throw new UsageError(`${word} stands before an image; write it behind the image that it is for`)
    } else {
      const [ofAll] = early.names()
      if (images.length > 0 && ofAll !== undefined) {
        throw new UsageError(`--${ofAll} would be for every app of the pod; write it behind the image that it is for`)
      }
      current = { image: word, options: new OptionValues() }
      images.push(current)
    }
  }
  const [only] = images
  if (only !== undefined) only.options.addFirst(early)
  return { options, images }
}

/** How many words are no arguments of apps: each may be an image. */
export function wordsBesideArguments(words: readonly string[]): number {
  let count = 0
  let inArguments = false
  for (const word of words) {
    if (word === END) inArguments = false
    else if (word === ARGUMENTS) inArguments = true
    else if (!inArguments) count++
  }
  return count
}

function parseOption(
  word: string,
  next: string | undefined,
  table: readonly OptionSpec[],
): { readonly spec: OptionSpec; readonly value: string; readonly used: 0 | 1 } {
  const equals = word.indexOf('=')
  const name = word.slice(2, equals < 0 ? undefined : equals)
  const spec = word.startsWith('--') ? table.find((o) => o.name === name) : undefined
  if (spec === undefined) throw new UsageError(`there is no option ${word.slice(0, equals < 0 ? 80 : equals)}`)
  const attached = equals < 0 ? undefined : word.slice(equals + 1)
  if (spec.value === undefined) {
    if (attached !== undefined && attached !== 'true' && attached !== 'false') {
      throw new UsageError(`--${name} is a flag: write --${name}, or --${name}=false`)
    }
    return { spec, value: attached ?? 'true', used: 0 }
  }
  if (attached !== undefined) return { spec, value: attached, used: 0 }
  if (next === undefined || next === ARGUMENTS || next === END)
    throw new UsageError(`--${name} wants a value: ${spec.value}`)
  return { spec, value: next, used: 1 }
}

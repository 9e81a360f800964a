import { Lexer } from 'yaml'

/**
 * Nesting that a settings file can need; the YAML reader itself recurses, and deep enough nesting kills the process.
 */
const MAX_NESTING = 32
/** Blanks before a setting: each level of a block needs one. */
const MAX_INDENT = 128

/** What the lexer puts between the pieces of text: document start, end of a flow collection, "a scalar follows". */
const MARKS: ReadonlySet<string> = new Set(['\u0002', '\u0018'])
const SCALAR_FOLLOWS = '\u001f'

/**
 * Looks for what settings do not use and what would cost the YAML reader unbounded time or stack: deep nesting, `?`
 * keys, anchors, aliases, tags, directives, control characters. Linear in the text, and nothing is built.
 *
 * @returns where and what, of the first such place; undefined for plain YAML
 */
export function notPlain(text: string): { readonly offset: number; readonly message: string } | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.exec(text)
  if (control !== null) return { offset: control.index, message: 'a control character; write plain text' }
  let offset = 0
  let flows = 0
  let dashes = 0
  let colons = 0
  let lineStart = true
  let scalar = false
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme === SCALAR_FOLLOWS) {
      scalar = true
      continue
    }
    if (MARKS.has(lexeme)) continue
    if (lexeme === '[' || lexeme === '{') flows += 1
    else if (lexeme === ']' || lexeme === '}') flows -= 1
    else if (lexeme === '-' && !scalar) dashes += 1
    else if (lexeme === ':' && !scalar && flows === 0 && ++colons > 1) {
      return { offset, message: "a second ':' in one line; quote text that has one" }
    } else if (lexeme === '\n' || lexeme === '\r\n') {
      dashes = 0
      colons = 0
    }
    const deep =
      flows > MAX_NESTING || dashes > MAX_NESTING || (lineStart && isBlank(lexeme) && lexeme.length > MAX_INDENT)
    if (deep) return { offset, message: `nested more than ${MAX_NESTING} deep; this is no configuration` }
    const message = scalar ? undefined : refusal(lexeme)
    if (message !== undefined) return { offset, message }
    lineStart = lexeme.endsWith('\n')
    scalar = false
    offset += lexeme.length
  }
  return undefined
}

function isBlank(lexeme: string): boolean {
  return lexeme.startsWith(' ')
}

function refusal(lexeme: string): string | undefined {
  switch (lexeme[0]) {
    case '?':
      return "keys are single words here; a '?' key is not read"
    case '&':
    case '*':
      return 'aliases are not read here; write the value out'
    case '!':
      return 'tags are not read here; write the plain value'
    case '%':
      return 'directives are not read here; remove the line'
    default:
      return undefined
  }
}

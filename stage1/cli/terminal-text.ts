import { printable } from '../../attestation/base/index.ts'

/** Colours and the like (ECMA-48 §8.3.117, SGR), and tabs: they change how the text looks and not where it stands. */
const ESCAPE = '\x1b'
const HARMLESS = new RegExp(`(${ESCAPE}\\[[0-9;:]{0,64}m|\t)`)
const PLAIN = `${ESCAPE}[0m`

/**
 * A line of an app's output for a terminal. An app is not trusted with the terminal of whoever reads its log: a
 * terminal can be made to write the clipboard, to answer as if it were typed, or to hide what else is on the screen.
 *
 * @param line without its line feed; bytes that are no UTF-8 become U+FFFD
 */
export function terminalText(line: Uint8Array): string {
  const text = new TextDecoder().decode(line).replace(/\r$/, '')
  const parts = text.split(HARMLESS).map((part, i) => (i % 2 === 1 ? part : printable(part)))
  return parts.some((part, i) => i % 2 === 1 && part !== '\t') ? parts.join('') + PLAIN : parts.join('')
}

import assert from 'node:assert/strict'
import { terminalText } from '../../../stage1/cli/terminal-text.ts'

describe('a line of a log at a terminal', () => {
  for (const [what, line, shown] of [
    ['text as it is', 'é 日本 a\tb', 'é 日本 a\tb'],
    ['colours, which end with the line', '\x1b[1;31mred', '\x1b[1;31mred\x1b[0m'],
    ['no writing of the clipboard', '\x1b]52;c;cm0gLXJm\x07', '\\x1b]52;c;cm0gLXJm\\x07'],
    ['no question that the terminal answers', '\x1b[c\x1b[6n\x1bP$qm\x1b\\', '\\x1b[c\\x1b[6n\\x1bP$qm\\x1b\\'],
    ['no moving of the cursor', 'a\rb\x1b[2J\b\x1b[8', 'a\\x0db\\x1b[2J\\x08\\x1b[8'],
    ['no C1 controls, no turned direction', '\u009b2J\u202e', '\\x9b2J\\u{202e}'],
    ['no carriage return at the end', 'line\r', 'line'],
  ] as const) {
    it(what, () => assert.equal(terminalText(new TextEncoder().encode(line)), shown))
  }
  it('nothing but U+FFFD of bytes that are no text, C1 among them', () => {
    assert.equal(terminalText(Uint8Array.of(0x61, 0x9b, 0x32, 0x4a, 0xff)), 'a\ufffd2J\ufffd')
  })
})

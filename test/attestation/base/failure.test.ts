import assert from 'node:assert/strict'
import { CodedError, codeOf, failureText, messageOf, UsageError } from '../../../attestation/base/index.ts'

describe('a failure as a person reads it', () => {
  it('has command, message, code and hint', () => {
    const err = Object.assign(new CodedError('DISK_FULL', 'no space left'), { hint: 'Free some.' })
    assert.equal(failureText('run', err), 'holdfast run: no space left (DISK_FULL)\n  Free some.\n')
  })
  it('has no line for a hint that there is none of', () => {
    const err = Object.assign(new CodedError('DISK_FULL', 'no space left'), { hint: undefined })
    assert.equal(failureText('run', err), 'holdfast run: no space left (DISK_FULL)\n')
  })
  it('points to the help after a command line that cannot be carried out', () => {
    assert.equal(
      failureText('rm', new UsageError('no pod given')),
      'holdfast rm: no pod given\n  holdfast rm --help shows the options.\n',
    )
  })
  it('has a stack trace only where nobody expected the error', () => {
    assert.match(failureText('run', new TypeError('oops')), /^holdfast run: oops\nTypeError: oops\n {4}at /)
    assert.equal(failureText('run', new CodedError('A', 'b')), 'holdfast run: b (A)\n')
    assert.equal(failureText('run', 'text'), 'holdfast run: text\n')
  })
  it('does not steer the terminal with what others have sent, and keeps its lines', () => {
    const sent = 'refused\n  member \x1b[2J\u009b8m\u202e'
    const shown = 'refused\n  member \\x1b[2J\\x9b8m\\u{202e}'
    assert.equal(failureText('run', new CodedError('A', sent)), `holdfast run: ${shown} (A)\n`)
    assert.ok(failureText('run', new UsageError(sent)).startsWith(`holdfast run: ${shown}\n`))
    assert.ok(failureText('run', Object.assign(new CodedError('A', 'b'), { hint: sent })).endsWith(`${shown}\n`))
  })
  it('is described without throwing, whatever was thrown', () => {
    for (const thrown of [undefined, null, 7, 'x', {}, { code: 7 }, []]) {
      assert.equal(codeOf(thrown), undefined)
      assert.equal(typeof messageOf(thrown), 'string')
    }
  })
})

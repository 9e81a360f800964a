import assert from 'node:assert/strict'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeLogger } from '../../agent/logging.ts'
import { CodedError } from '../../attestation/base/index.ts'
import { tempDir } from '../support/temp-dir.ts'

describe('the log of the agent', () => {
  it('is one JSON object a line with stable keys, and holds no secret', () => {
    const dir = tempDir()
    const fd = openSync(join(dir.path, 'log'), 'w')
    try {
      const logger = makeLogger('info', fd)
      logger.debug('below the level')
      logger.info({ podUuid: 'u', hello: { token: 'sesame' }, token: 'sesame', secret: 'sesame' }, 'two\nlines')
      logger.error({ err: new CodedError('X_FAILED', 'it failed'), code: 'X_FAILED' }, 'failed')
      const text = readFileSync(join(dir.path, 'log'), 'utf8')
      assert.doesNotMatch(text, /sesame/)
      const lines = text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      assert.equal(lines.length, 2)
      assert.deepEqual([lines[0].level, lines[0].name, lines[0].podUuid], ['info', 'holdfast-agent', 'u'])
      assert.match(lines[0].time, /^\d{4}-\d\d-\d\dT.*Z$/)
      assert.equal(lines[1].err.code, 'X_FAILED')
    } finally {
      closeSync(fd)
      dir.remove()
    }
  })
})

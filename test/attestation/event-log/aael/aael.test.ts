import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { aaelEvents, EventLogError, readAael, replayRegister } from '../../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

const PULL = 'github.com/confidential-containers PullImage {"digest":"sha256:ab","image":"docker.io/library/nginx"}'
const START = '11'.repeat(32)
const LOG = `INIT/sha256 ${START}\n${PULL}\nexample.org Event text with spaces\n`
const register = { kind: 'pcr', index: 17 } as const

describe('readAael', () => {
  it('reads lines, whose hash is what was extended', () => {
    const log = readAael(utf8(LOG))
    assert.equal(log.bank, 'sha256')
    assert.deepEqual(log.start, new Uint8Array(32).fill(0x11))
    assert.deepEqual(
      log.events.map(({ domain, operation, content }) => [domain, operation, content]),
      [
        ['github.com/confidential-containers', 'PullImage', '{"digest":"sha256:ab","image":"docker.io/library/nginx"}'],
        ['example.org', 'Event', 'text with spaces'],
      ],
    )
    const events = [...aaelEvents(log, register)]
    assert.deepEqual(events[0]?.digests, { sha256: digest('sha256', utf8(PULL)) })
    assert.equal(events[0]?.coverage, 'data')
    assert.match(events[0]?.text ?? '', /PullImage/)
    const value = events.reduce<Uint8Array>(
      (old, e) => digest('sha256', concatBytes(old, e.digests.sha256 ?? old)),
      log.start,
    )
    const replay = replayRegister(
      { sha256: log.start },
      events.map((e) => e.digests),
      { sha256: value },
    )
    assert.equal(replay.proven, 2)
  })

  it('reads the other hashes', () => {
    assert.equal(readAael(utf8(`INIT/sha384 ${'00'.repeat(48)}\n`)).bank, 'sha384')
  })

  it('shows text in one bounded line', () => {
    const log = readAael(utf8(`INIT/sha256 ${START}\nd o \u001b[2J${'x'.repeat(10_000)}\n`))
    const [event] = aaelEvents(log, register)
    assert.match(event?.text ?? '', /^d o \\x1b\[2Jx+…$/)
    assert.ok((event?.text.length ?? 0) < 300)
  })

  const refused: readonly { name: string; text: string; code: string }[] = [
    { name: 'no bytes', text: '', code: 'EVENT_LOG_UNKNOWN_FORMAT' },
    { name: 'no INIT line', text: `${PULL}\n`, code: 'EVENT_LOG_UNKNOWN_FORMAT' },
    { name: 'a hash that is not known', text: `INIT/sm3 ${START}\n`, code: 'EVENT_LOG_UNKNOWN_FORMAT' },
    { name: 'a register of another length', text: `INIT/sha384 ${START}\n`, code: 'EVENT_LOG_BAD_DIGEST' },
    { name: 'a line of one word', text: `INIT/sha256 ${START}\nword\n`, code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'an empty line', text: `INIT/sha256 ${START}\n\n`, code: 'EVENT_LOG_BAD_CONTENT' },
    { name: 'a line cut off', text: LOG.slice(0, -1), code: 'EVENT_LOG_TRUNCATED' },
    {
      name: 'a line of more than a MiB',
      text: `INIT/sha256 ${START}\na b ${'x'.repeat(1 << 20)}\n`,
      code: 'EVENT_LOG_TOO_LONG',
    },
  ]
  for (const { name, text, code } of refused) {
    it(`refuses ${name} with ${code}`, () => assert.throws(() => readAael(utf8(text)), { code }))
  }

  it('refuses bytes that are not UTF-8', () => {
    const bytes = concatBytes(utf8(`INIT/sha256 ${START}\na b `), Uint8Array.of(0xff, 0x0a))
    assert.throws(() => readAael(bytes), { code: 'EVENT_LOG_BAD_CONTENT' })
  })

  it('reads or refuses every prefix and every mutation', () => {
    const bytes = utf8(LOG)
    const read = (some: Uint8Array) => {
      try {
        for (const event of aaelEvents(readAael(some), register)) assert.ok(event.text.length < 1000)
      } catch (err) {
        if (!(err instanceof EventLogError)) throw err
      }
    }
    for (let n = 0; n <= bytes.length; n++) read(bytes.subarray(0, n))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const changed = Uint8Array.from(bytes)
          for (const [at, value] of changes) changed[at] = value
          read(changed)
        },
      ),
      { numRuns: fuzzRuns(1500) },
    )
  })
})

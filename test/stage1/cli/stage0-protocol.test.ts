import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { codeOf, concatBytes, utf8 } from '../../../attestation/base/index.ts'
import {
  becomePayload,
  DEFAULT_STAGE0_SOCKET,
  decodeRunRequest,
  frame,
  MAX_REQUEST_BYTES,
  STAGE0_PROTOCOL,
} from '../../../stage1/cli/stage0-protocol.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { PROJECT_ROOT } from '../../support/holdfast.ts'

const GOOD = utf8('/srv\x000022\x00--net\x00host\x00\x00web\x00')

describe('requests to the stage0 server', () => {
  it('hold working directory, umask and arguments, empty ones too', () => {
    assert.deepEqual(decodeRunRequest(GOOD), { cwd: '/srv', umask: 0o022, args: ['--net', 'host', '', 'web'] })
    assert.deepEqual(decodeRunRequest(utf8('/\x000777\x00')), { cwd: '/', umask: 0o777, args: [] })
  })

  const refused = [
    { name: 'nothing', bytes: new Uint8Array(0) },
    { name: 'no NUL at the end', bytes: utf8('/srv\x000022\x00web') },
    { name: 'a relative directory', bytes: utf8('srv\x000022\x00web\x00') },
    { name: 'an empty directory', bytes: utf8('\x000022\x00web\x00') },
    { name: 'no umask', bytes: utf8('/srv\x00') },
    { name: 'a umask that is not octal', bytes: utf8('/srv\x000029\x00web\x00') },
    { name: 'a umask beyond 0777', bytes: utf8('/srv\x001000\x00web\x00') },
    { name: 'text that is not UTF-8', bytes: concatBytes(GOOD, Uint8Array.of(0xff, 0)) },
  ]
  for (const { name, bytes } of refused) {
    it(`are refused for ${name}`, () => {
      assert.throws(() => decodeRunRequest(bytes), { code: 'STAGE0_REQUEST_BAD' })
    })
  }

  it('are refused or read whatever comes', () => {
    const total = (bytes: Uint8Array): void => {
      try {
        decodeRunRequest(bytes)
      } catch (err) {
        assert.equal(codeOf(err), 'STAGE0_REQUEST_BAD')
      }
    }
    for (let n = 0; n < GOOD.length; n++) total(GOOD.subarray(0, n))
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), total), { numRuns: fuzzRuns(500) })
    fc.assert(
      fc.property(fc.nat({ max: GOOD.length - 1 }), fc.nat({ max: 255 }), (at, byte) => total(GOOD.with(at, byte))),
      { numRuns: fuzzRuns(500) },
    )
  })

  it('come back as they were written', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 30 }).map((s) => s.replaceAll('\0', ''))
    fc.assert(
      fc.property(fc.array(text), fc.nat({ max: 0o777 }), (args, umask) => {
        const written = ['/a', `0${umask.toString(8).padStart(3, '0')}`, ...args].map((s) => `${s}\0`).join('')
        assert.deepEqual(decodeRunRequest(utf8(written)), { cwd: '/a', umask, args })
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
})

describe('frames of the stage0 server', () => {
  it('have a type, a length of 32 bits, little-endian, and that many bytes', () => {
    assert.deepEqual(frame('cold'), Uint8Array.of(0x63, 0, 0, 0, 0))
    assert.deepEqual(frame('exit', Uint8Array.of(254)), Uint8Array.of(0x78, 1, 0, 0, 0, 254))
    assert.deepEqual([...frame('error', new Uint8Array(0x010203)).subarray(0, 5)], [0x65, 3, 2, 1, 0])
  })
  it('hold arguments with a NUL at the end of each', () => {
    assert.deepEqual(becomePayload(['a', '', 'é']), utf8('a\0\0é\0'))
  })
  it('are those that native/stage0 knows', () => {
    const source = (name: string): string => readFileSync(`${PROJECT_ROOT}native/stage0/${name}`, 'utf8')
    assert.ok(source('run.c').includes(`#define PROTOCOL "${STAGE0_PROTOCOL}"`))
    assert.ok(source('run.c').includes(`#define DEFAULT_SOCKET "${DEFAULT_STAGE0_SOCKET}"`))
    assert.ok(source('request.c').includes(`MAX_REQUEST = ${MAX_REQUEST_BYTES >> 10} << 10`))
  })
})

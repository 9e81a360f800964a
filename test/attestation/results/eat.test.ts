import assert from 'node:assert/strict'
import fc from 'fast-check'
import { fromHex, utf8 } from '../../../attestation/base/index.ts'
import { encodeCborItem } from '../../../attestation/encoding/index.ts'
import { ResultError, readEatCbor, readEatJson, toBase64url } from '../../../attestation/results/index.ts'
import { cborOfDiagnostic } from '../../support/cbor-diagnostic.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const UEID = fromHex(`01${'ab'.repeat(16)}`)
const SEED = new Uint8Array(32).fill(7)
const b64 = toBase64url

/** Every claim of RFC 9711 once, in JSON. */
const JSON_CLAIMS = {
  eat_nonce: ['nonce-one', 'nonce-two'],
  ueid: b64(UEID),
  sueids: { mac: b64(fromHex('02aabbccddeeff')), imei: b64(fromHex(`03${'31'.repeat(14)}`)) },
  oemid: b64(fromHex('02ff01')),
  hwmodel: b64(fromHex('7c962a')),
  hwversion: ['1.2.5', 16384],
  uptime: 60,
  oemboot: true,
  dbgstat: 'disabled-since-boot',
  location: { latitude: 52.5, longitude: 13, altitude: 34.5, timestamp: 1700000000, age: 2 },
  eat_profile: 'https://example.org/profile',
  submods: {
    tee: { eat_nonce: 'nonce-three', swname: 'tee' },
    jwt: ['JWT', 'a.b.c'],
    cbor: ['CBOR', b64(fromHex('d2'))],
    digest: ['DIGEST', ['sha-256', b64(SEED)]],
    bundle: ['BUNDLE', ['a', {}]],
  },
  bootcount: 5,
  bootseed: b64(SEED),
  dloas: [['https://example.org', 'platform', 'app']],
  swname: 'os',
  swversion: ['12'],
  manifests: [[258, b64(utf8('m'))]],
  measurements: [[258, b64(utf8('n'))]],
  measres: [
    [
      'tee',
      [
        ['app', 'success'],
        ['lib', 'not-run'],
      ],
    ],
  ],
  intuse: 'provisioning',
  iss: 'i',
  sub: 's',
  aud: ['a', 'b'],
  exp: 3,
  nbf: 2,
  iat: 1,
  secboot: true,
}
const json = (over: object) => readEatJson(JSON.stringify({ ...JSON_CLAIMS, ...over }))

describe('the claims of an EAT', () => {
  it('are read from JSON, each to its type', () => {
    const eat = json({})
    assert.deepEqual(eat.nonces, ['nonce-one', 'nonce-two'])
    assert.deepEqual(eat.ueid, { kind: 'random', bytes: UEID })
    assert.deepEqual(
      [...eat.sueids].map(([k, u]) => [k, u.kind]),
      [
        ['mac', 'eui'],
        ['imei', 'imei'],
      ],
    )
    assert.deepEqual(eat.oemId, { kind: 'ieee', bytes: fromHex('02ff01') })
    assert.deepEqual(eat.hwVersion, { version: '1.2.5', scheme: 16384 })
    assert.deepEqual([eat.uptimeS, eat.bootCount, eat.oemBoot, eat.debugStatus], [60, 5, true, 'disabled-since-boot'])
    assert.deepEqual(eat.location, { latitude: 52.5, longitude: 13, altitude: 34.5, timestamp: 1700000000, age: 2 })
    assert.deepEqual(
      [...eat.submods].map(([k, s]) => [k, s.kind]),
      [
        ['tee', 'claims'],
        ['jwt', 'token'],
        ['cbor', 'token'],
        ['digest', 'digest'],
        ['bundle', 'bundle'],
      ],
    )
    const tee = eat.submods.get('tee')
    assert.ok(tee?.kind === 'claims')
    assert.deepEqual([tee.claims.swName, tee.claims.nonces], ['tee', ['nonce-three']])
    assert.deepEqual(eat.measurementResults, [
      {
        system: 'tee',
        results: [
          { id: 'app', result: 'success' },
          { id: 'lib', result: 'not-run' },
        ],
      },
    ])
    assert.deepEqual(eat.manifests, [{ contentType: 258, body: utf8('m') }])
    assert.deepEqual(eat.dloas, [{ registrar: 'https://example.org', platform: 'platform', application: 'app' }])
    assert.deepEqual(
      [eat.issuer, eat.subject, eat.audience, eat.issuedAt, eat.notBefore, eat.expiresAt],
      ['i', 's', ['a', 'b'], 1, 2, 3],
    )
    assert.deepEqual([...eat.others], [['secboot', true]])
  })

  it('are read from CBOR by their keys', () => {
    const eat = readEatCbor(
      cborOfDiagnostic(`{
      10: h'948f8860d13a463e', 256: h'0198f50a4ff6c05861c8860d13a638ea00', 258: 64242,
      259: h'ee80f5a66c1fb9742999a8fdab930893', 260: ["1.2.5", 16384], 263: 3, 265: h'2b0601', 275: 2,
      274: [["tee", [["app", 4], [h'01', 1]]]],
      266: { "claims": { 270: "tee" }, "jwt": "a.b.c", "cwt": h'd2', "digest": [-16, h'${'00'.repeat(32)}'] },
      4: 9, -75008: "private"
    }`),
    )
    assert.deepEqual(eat.nonces, [fromHex('948f8860d13a463e')])
    assert.deepEqual(eat.oemId, { kind: 'pen', number: 64242 })
    assert.deepEqual([eat.debugStatus, eat.intendedUse, eat.expiresAt], ['disabled-permanently', 2, 9])
    assert.deepEqual(
      eat.measurementResults[0]?.results.map((r) => r.result),
      ['absent', 'success'],
    )
    assert.deepEqual(
      [...eat.submods].map(([k, s]) => [k, s.kind]),
      [
        ['cwt', 'token'],
        ['jwt', 'token'],
        ['claims', 'claims'],
        ['digest', 'digest'],
      ],
    )
    assert.deepEqual(eat.profile, fromHex('2b0601'))
    assert.deepEqual([...eat.others], [[-75008, 'private']])
  })

  it('are few in an empty set', () => {
    const eat = readEatJson('{}')
    assert.deepEqual([eat.nonces, eat.submods.size, eat.ueid], [[], 0, undefined])
  })

  it('of the TEEP extension in an EAR are read as the claims they are', function () {
    const set = externalVectors('ear')
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const teep = JSON.parse(set.text('draft03-ext-teep-json-1.diag')).submods.PSA.ear_teep_claims
    const eat = readEatJson(JSON.stringify(teep))
    assert.deepEqual([eat.ueid?.kind, eat.oemId?.kind, eat.hwVersion?.version], ['random', 'ieee', '1.2.5'])
  })

  const refused: [string, object][] = [
    ['a nonce of 7 characters', { eat_nonce: '1234567' }],
    ['a nonce of 89 characters', { eat_nonce: '1'.repeat(89) }],
    ['an array with one nonce', { eat_nonce: ['12345678'] }],
    ['a UEID of a type that is not known', { ueid: b64(fromHex(`04${'ab'.repeat(16)}`)) }],
    ['a random UEID of 15 bytes', { ueid: b64(UEID.subarray(0, 15)) }],
    ['a UEID of 6 bytes', { ueid: b64(UEID.subarray(0, 6)) }],
    ['a UEID of 34 bytes', { ueid: b64(fromHex(`01${'ab'.repeat(33)}`)) }],
    ['a UEID with padding', { ueid: `${b64(UEID)}=` }],
    ['an OEM ID of 4 bytes', { oemid: b64(new Uint8Array(4)) }],
    ['a negative OEM ID', { oemid: -1 }],
    ['a hardware model of 33 bytes', { hwmodel: b64(new Uint8Array(33)) }],
    ['a version of three parts', { hwversion: ['1', 2, 3] }],
    ['a negative uptime', { uptime: -1 }],
    ['an uptime with a fraction', { uptime: 1.5 }],
    ['oemboot as a number', { oemboot: 1 }],
    ['a debug status that is no status', { dbgstat: 'off' }],
    ['a debug status as a number', { dbgstat: 1 }],
    ['a location without longitude', { location: { latitude: 1 } }],
    ['a location off the globe', { location: { latitude: 91, longitude: 0 } }],
    ['no submodule in submods', { submods: {} }],
    ['a submodule of another type', { submods: { a: ['XML', ''] } }],
    ['a submodule that is text', { submods: { a: 'a.b.c' } }],
    ['a submodule digest of 4 bytes', { submods: { a: ['DIGEST', ['sha-256', 'AAAAAA']] } }],
    ['a submodule with a bad claim', { submods: { a: { dbgstat: 'off' } } }],
    ['an empty list of manifests', { manifests: [] }],
    ['a manifest of format 65536', { manifests: [[65536, '']] }],
    ['a measurement result that is none', { measres: [['a', [['b', 'maybe']]]] }],
    ['no measurement result', { measres: [['a', []]] }],
    ['iat with a fraction', { iat: 1.5 }],
    ['exp as text', { exp: '1' }],
    ['an audience that is a number', { aud: 1 }],
  ]
  for (const [name, over] of refused) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => json(over), { name: 'ResultError', code: 'RESULT_BAD_CLAIM' }))
  }

  it('are refused with nonces of CBOR that are too short, too long or text', () => {
    for (const nonce of [new Uint8Array(7), new Uint8Array(65), 'nonce-nonce']) {
      assert.throws(() => readEatCbor(encodeCborItem(new Map([[10, nonce]]))), { code: 'RESULT_BAD_CLAIM' })
    }
  })

  it('are refused when a claim stands twice, and when submodules nest without end', () => {
    assert.throws(() => readEatJson('{"swname":"a","swname":"b"}'), { code: 'RESULT_NOT_JSON' })
    assert.throws(() => readEatCbor(fromHex('a2190 10e61611 9010e6162'.replaceAll(' ', ''))), {
      code: 'RESULT_NOT_CBOR',
    })
    assert.throws(() => readEatJson(`${'{"submods":{"a":'.repeat(20)}{}${'}}'.repeat(20)}`), {
      code: 'RESULT_TOO_LONG',
    })
  })

  it('give a value or a ResultError for any bytes', () => {
    const total = (bytes: Uint8Array, read: (bytes: Uint8Array) => unknown) => {
      try {
        read(bytes)
      } catch (err) {
        assert.ok(err instanceof ResultError, String(err))
      }
    }
    const text = utf8(JSON.stringify(JSON_CLAIMS))
    const cbor = encodeCborItem(
      new Map<number, Uint8Array | number | string>([
        [10, SEED],
        [256, UEID],
        [258, 1],
        [263, 2],
        [270, 'x'],
      ]),
    )
    for (let n = 0; n < text.length; n++) total(text.subarray(0, n), readEatJson)
    for (let n = 0; n < cbor.length; n++) total(cbor.subarray(0, n), readEatCbor)
    fc.assert(
      fc.property(fc.boolean(), fc.nat(), fc.nat(255), (isText, at, byte) => {
        const bytes = Uint8Array.from(isText ? text : cbor)
        bytes[at % bytes.length] = byte
        total(bytes, isText ? readEatJson : readEatCbor)
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})

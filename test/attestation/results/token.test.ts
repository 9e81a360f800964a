import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { CompactSign } from 'jose/jws/compact/sign'
import { CodedError, concatBytes, utf8 } from '../../../attestation/base/index.ts'
import { encodeCborItem } from '../../../attestation/encoding/index.ts'
import { encodeCelCbor, encodeCelJson, encodeCelRecord } from '../../../attestation/event-log/index.ts'
import {
  EAR_PROFILE,
  EAR_PROFILE_VERAISON,
  type Ear,
  looksLikeResultToken,
  readResultToken,
  signEar,
  toBase64url,
  verifyEarJwt,
  verifyEatJwt,
  writeEarCbor,
  writeEarJson,
} from '../../../attestation/results/index.ts'
import { LOG } from '../../support/cel.ts'
import { FILES } from '../../support/evidence.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { encodeList } from '../../support/ima-log.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const SECONDS = NOW.getTime() / 1000
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const EAR: Ear = {
  dialect: 'draft-03',
  profile: EAR_PROFILE,
  issuedAt: SECONDS,
  nonces: [],
  verifier: { developer: 'example', build: '1' },
  submods: new Map([['node', { status: 'affirming', vector: { hardware: 2 }, policyIds: [], nonces: [] }]]),
}
const DOTTED: Ear = { ...EAR, dialect: 'dotted', profile: EAR_PROFILE_VERAISON }

const jwt = (claims: object) =>
  new CompactSign(utf8(JSON.stringify(claims))).setProtectedHeader({ alg: 'ES256' }).sign(privateKey)

describe('a token that says what somebody found', () => {
  it('is an EAR in both dialects, signed or bare, or else an EAT', async () => {
    const kinds: [Uint8Array, string, string][] = [
      [utf8(await signEar(EAR, privateKey)), 'ear', 'jwt'],
      [utf8(`${await signEar(DOTTED, privateKey)}\n`), 'ear', 'jwt'],
      [utf8(writeEarJson(EAR)), 'ear', 'json'],
      [utf8(writeEarJson(DOTTED)), 'ear', 'json'],
      [writeEarCbor(EAR), 'ear', 'cbor'],
      [utf8(await jwt({ ueid: toBase64url(Uint8Array.of(2, 1, 2, 3, 4, 5, 6)) })), 'eat', 'jwt'],
      [utf8('{"iss": "someone", "dbgstat": "enabled"}'), 'eat', 'json'],
      [encodeCborItem(new Map([[10, new Uint8Array(8)]])), 'eat', 'cbor'],
    ]
    for (const [bytes, kind, form] of kinds) {
      assert.equal(looksLikeResultToken(bytes), true, kind)
      const read = readResultToken(bytes)
      assert.deepEqual([read.kind, read.form], [kind, form])
    }
  })

  it('is told apart from logs and from what is neither', () => {
    const others = [
      ...[encodeCelCbor(LOG), encodeCelJson(LOG), concatBytes(...LOG.map(encodeCelRecord)), encodeList(FILES)],
      ...LOG.map((record) => encodeCelJson([record]).subarray(1, -1)),
      ...['', '{}', '{"a": 1}', 'eyJ', 'hello.world.', 'eyJhbGciOiJFUzI1NiJ9'].map(utf8),
      encodeCborItem(new Map([[99, 1]])),
      new Uint8Array(100),
    ]
    for (const bytes of others) assert.equal(looksLikeResultToken(bytes), false)
  })

  it('of another project is read', function () {
    const set = externalVectors('ear')
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    for (const file of ['trustee-example.token.json', 'veraison-ear-claims.json']) {
      const read = readResultToken(set.read(file))
      assert.ok(looksLikeResultToken(set.read(file)))
      assert.deepEqual([read.kind, read.kind === 'ear' && read.ear.dialect], ['ear', 'dotted'], file)
    }
  })

  it('is verified by signature and times, an EAT as an EAR', async () => {
    const good = await jwt({ iss: 'a', iat: SECONDS - 10, exp: SECONDS + 10 })
    assert.equal((await verifyEatJwt(good, publicKey, NOW)).issuer, 'a')
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    await assert.rejects(verifyEatJwt(good, other, NOW), { code: 'RESULT_SIGNATURE' })
    for (const times of [{ iat: SECONDS + 100 }, { nbf: SECONDS + 100 }, { exp: SECONDS - 100 }]) {
      await assert.rejects(verifyEatJwt(await jwt({ iss: 'a', ...times }), publicKey, NOW), { code: 'RESULT_EXPIRED' })
    }
    await assert.rejects(verifyEarJwt(good, publicKey, NOW), { code: 'RESULT_BAD_CLAIM' })
  })

  const refused: readonly [name: string, text: string, code: string][] = [
    ['a payload that is no JSON', `eyJhbGciOiJFUzI1NiJ9.${toBase64url(utf8('[}'))}.x`, 'RESULT_NOT_JSON'],
    ['a payload that is not base64url', 'eyJhbGciOiJFUzI1NiJ9.abcde.x', 'RESULT_NOT_JSON'],
    ['a header without an algorithm', `eyJhIjoxfQ.${toBase64url(utf8('{}'))}.x`, 'RESULT_BAD_CLAIM'],
    [
      'an EAR that contradicts itself',
      writeEarJson(EAR).replace('"hardware":2', '"hardware":96'),
      'RESULT_CONTRADICTION',
    ],
    ['an EAR without a verifier', JSON.stringify({ eat_profile: EAR_PROFILE, iat: 1 }), 'RESULT_BAD_CLAIM'],
  ]
  for (const [name, text, code] of refused) {
    it(`is refused with ${code}: ${name}`, () => assert.throws(() => readResultToken(utf8(text)), { code }))
  }

  it('cut or changed anywhere is read, or refused with a code, or not one', () => {
    const seeds = [
      utf8(writeEarJson(EAR)),
      writeEarCbor(EAR),
      utf8(`eyJhbGciOiJFUzI1NiJ9.${toBase64url(utf8(writeEarJson(DOTTED)))}.x`),
    ]
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.nat(400), changes, (seed, length, all) => {
        const bytes = seed.slice(0, length)
        for (const [at, value] of all) if (bytes.length > 0) bytes[at % bytes.length] = value
        if (!looksLikeResultToken(bytes)) return
        try {
          readResultToken(bytes)
        } catch (err) {
          assert.ok(err instanceof CodedError, String(err))
        }
      }),
      { numRuns: fuzzRuns(400) },
    )
  })
})

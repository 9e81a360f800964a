import assert from 'node:assert/strict'
import fc from 'fast-check'
import { CompactSign, generateKeyPair, importJWK, type JWK } from 'jose'
import { utf8 } from '../../../attestation/base/index.ts'
import {
  EAR_PROFILE,
  EAR_PROFILE_TRUSTEE,
  EAR_PROFILE_VERAISON,
  type Ear,
  type EarAppraisal,
  earTier,
  ResultError,
  readEarCbor,
  readEarJson,
  signEar,
  type Tier,
  tierOfValue,
  toBase64url,
  VECTOR_CLAIMS,
  verifyEarJwt,
  writeEarCbor,
  writeEarJson,
} from '../../../attestation/results/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const set = externalVectors('ear')
const SUBMOD: EarAppraisal = {
  status: 'affirming',
  vector: { 'instance-identity': 2, executables: 3, hardware: 2 },
  policyIds: ['policy/1'],
  nonces: [],
}
const EAR: Ear = {
  dialect: 'draft-03',
  profile: EAR_PROFILE,
  issuedAt: 1_666_529_184,
  verifier: { developer: 'https://example.org', build: '1' },
  nonces: [],
  submods: new Map([['PSA', SUBMOD]]),
}
/** draft-03 JSON of EAR, changed before it is read. */
function changed(edit: (claims: Record<string, never>, submod: Record<string, never>) => void): string {
  const claims = JSON.parse(writeEarJson(EAR))
  edit(claims, claims.submods.PSA)
  return JSON.stringify(claims)
}

describe('an EAR', () => {
  const full: Ear = {
    ...EAR,
    expiresAt: 1_666_529_484,
    issuer: 'verifier',
    subject: 'node',
    nonces: ['nonce-nonce'],
    rawEvidence: utf8('evidence'),
    status: 'affirming',
    submods: new Map<string, EarAppraisal>([
      ['PSA', { ...SUBMOD, profile: 'urn:x', nonces: ['12345678', '87654321'], attestedKey: utf8('key') }],
      [
        'findings',
        {
          status: 'warning',
          policyIds: [],
          nonces: [],
          findings: [
            {
              rule: 'boot.secure-boot',
              tier: 'warning',
              claim: 'configuration',
              message: 'Secure Boot is off',
              value: 36,
              expected: 'on',
              seen: 'off',
              event: { source: 'firmware', index: 3, register: { kind: 'pcr', index: 7 } },
              changed: 'was on at the last good boot',
              policy: { rule: 'secure-boot', mode: 'warn' },
            },
          ],
        },
      ],
    ]),
  }
  const worse: Ear = { ...full, status: 'warning' }

  it('comes back as it was from JSON and from CBOR', () => {
    assert.deepEqual(readEarJson(writeEarJson(worse)), worse)
    const bytes = (text: string) => utf8(text)
    const submods = new Map(
      [...worse.submods].map(([k, s]) => [k, { ...s, nonces: s.nonces.map((n) => bytes(String(n))) }]),
    )
    const cbor = { ...worse, nonces: [utf8('nonce-nonce')], submods }
    assert.deepEqual(readEarCbor(writeEarCbor(cbor)), cbor)
  })

  it('comes back from the older names, which have one policy and no status of the whole', () => {
    for (const profile of [EAR_PROFILE_VERAISON, EAR_PROFILE_TRUSTEE]) {
      const { status: _, ...rest } = worse
      const dotted: Ear = { ...rest, dialect: 'dotted', profile }
      assert.deepEqual(readEarJson(writeEarJson(dotted)), dotted)
    }
  })

  it('is not written when it contradicts itself, or its profile is not its dialect', () => {
    assert.throws(() => writeEarJson(full), { code: 'RESULT_CONTRADICTION' })
    assert.throws(() => writeEarJson({ ...EAR, dialect: 'dotted' }), RangeError)
    assert.throws(() => writeEarJson({ ...EAR, submods: new Map() }), RangeError)
    assert.throws(() => writeEarJson({ ...EAR, nonces: ['short'] }), RangeError)
    assert.throws(() => writeEarCbor({ ...EAR, nonces: ['text nonce'] }), RangeError)
  })

  const refused: [string, string, string][] = [
    ['no profile', changed((c) => delete c['eat_profile']), 'RESULT_BAD_CLAIM'],
    ['another profile', changed((c) => Object.assign(c, { eat_profile: 'tag:x' })), 'RESULT_UNKNOWN_PROFILE'],
    ['no iat', changed((c) => delete c['iat']), 'RESULT_BAD_CLAIM'],
    ['iat as a float', writeEarJson(EAR).replace('1666529184', '1666529184.0'), 'RESULT_BAD_CLAIM'],
    ['iat with an exponent', writeEarJson(EAR).replace('1666529184', '1666529184e0'), 'RESULT_BAD_CLAIM'],
    ['exp as text', changed((c) => Object.assign(c, { exp: '1' })), 'RESULT_BAD_CLAIM'],
    ['iat twice', writeEarJson(EAR).replace('"iat"', '"iat":1,"iat"'), 'RESULT_NOT_JSON'],
    ['no verifier id', changed((c) => delete c['ear_verifier_id']), 'RESULT_BAD_CLAIM'],
    [
      'a verifier id without build',
      changed((c) => Object.assign(c, { ear_verifier_id: { developer: '' } })),
      'RESULT_BAD_CLAIM',
    ],
    ['no submodule', changed((c) => Object.assign(c, { submods: {} })), 'RESULT_BAD_CLAIM'],
    ['a submodule that is no map', changed((c) => Object.assign(c, { submods: { a: 1 } })), 'RESULT_BAD_CLAIM'],
    ['a submodule without status', changed((_, s) => delete s['ear_status']), 'RESULT_BAD_CLAIM'],
    ['a status that is no tier', changed((_, s) => Object.assign(s, { ear_status: 'good' })), 'RESULT_BAD_CLAIM'],
    ['a status number between tiers', changed((_, s) => Object.assign(s, { ear_status: 3 })), 'RESULT_BAD_CLAIM'],
    [
      'a vector entry of 128',
      changed((_, s) => Object.assign(s, { ear_trustworthiness_vector: { hardware: 128 } })),
      'RESULT_BAD_CLAIM',
    ],
    [
      'a vector entry of no name',
      changed((_, s) => Object.assign(s, { ear_trustworthiness_vector: { soul: 2 } })),
      'RESULT_BAD_CLAIM',
    ],
    ['an empty vector', changed((_, s) => Object.assign(s, { ear_trustworthiness_vector: {} })), 'RESULT_BAD_CLAIM'],
    [
      'an empty list of policies',
      changed((_, s) => Object.assign(s, { ear_appraisal_policy_ids: [] })),
      'RESULT_BAD_CLAIM',
    ],
    [
      'the older names under the new profile',
      writeEarJson(EAR).replaceAll('ear_verifier_id', 'ear.verifier-id'),
      'RESULT_BAD_CLAIM',
    ],
    ['a nonce of 7 characters', changed((c) => Object.assign(c, { eat_nonce: '1234567' })), 'RESULT_BAD_CLAIM'],
    ['a nonce of 89 characters', changed((c) => Object.assign(c, { eat_nonce: '1'.repeat(89) })), 'RESULT_BAD_CLAIM'],
    ['a list of one nonce', changed((c) => Object.assign(c, { eat_nonce: ['12345678'] })), 'RESULT_BAD_CLAIM'],
    ['evidence with padding', changed((c) => Object.assign(c, { ear_raw_evidence: 'AA==' })), 'RESULT_BAD_CLAIM'],
    ['evidence with bits left over', changed((c) => Object.assign(c, { ear_raw_evidence: 'AB' })), 'RESULT_BAD_CLAIM'],
    [
      'a key attestation without a key',
      changed((_, s) => Object.assign(s, { ear_veraison_key_attestation: {} })),
      'RESULT_BAD_CLAIM',
    ],
    [
      'a finding whose value is of another tier',
      changed((_, s) =>
        Object.assign(s, {
          ear_holdfast_findings: {
            findings: [{ rule: 'r', tier: 'affirming', claim: 'hardware', message: '', value: 96 }],
          },
        }),
      ),
      'RESULT_BAD_CLAIM',
    ],
    [
      'a status better than an entry',
      changed((_, s) => Object.assign(s, { ear_trustworthiness_vector: { hardware: 33 } })),
      'RESULT_CONTRADICTION',
    ],
    [
      'affirming beside unexpected evidence',
      changed((_, s) => Object.assign(s, { ear_trustworthiness_vector: { hardware: 1 } })),
      'RESULT_CONTRADICTION',
    ],
    [
      'a status of the whole better than a part',
      changed((c, s) => {
        Object.assign(c, { ear_status: 'affirming' })
        Object.assign(s, { ear_status: 'none' })
      }),
      'RESULT_CONTRADICTION',
    ],
    ['text that is not JSON', '{', 'RESULT_NOT_JSON'],
    ['arrays in arrays', '['.repeat(100), 'RESULT_TOO_LONG'],
  ]
  for (const [name, text, code] of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => readEarJson(text), { name: 'ResultError', code }))
  }

  it('is read with claims that are not known, which draft-03 says to ignore, and with a status as a number', () => {
    const text = changed((c, s) => {
      Object.assign(c, { jti: 'x', 'ear.status': 'contraindicated', depth: { a: [1.5] } })
      Object.assign(s, { ear_new: {}, ear_status: 2 })
    })
    assert.deepEqual(readEarJson(text), EAR)
  })

  it('contradicts itself whenever a status is better than any entry that makes a claim, and never otherwise', () => {
    const rank: readonly Tier[] = ['affirming', 'none', 'warning', 'contraindicated']
    fc.assert(
      fc.property(
        fc.constantFrom<Tier>(...rank),
        fc.array(fc.tuple(fc.constantFrom(...VECTOR_CLAIMS), fc.integer({ min: -128, max: 127 })), { minLength: 1 }),
        (status, entries) => {
          const vector = Object.fromEntries(entries)
          const text = changed((_, s) => Object.assign(s, { ear_status: status, ear_trustworthiness_vector: vector }))
          const worst = Math.max(...Object.values(vector).map((v) => (v === 0 ? 0 : rank.indexOf(tierOfValue(v)))))
          if (rank.indexOf(status) < worst) assert.throws(() => readEarJson(text), { code: 'RESULT_CONTRADICTION' })
          else assert.equal(readEarJson(text).submods.get('PSA')?.status, status)
        },
      ),
    )
  })
})

describe('the worth of an appraisal', () => {
  it('is none at best where a needed entry is absent or 0', () => {
    assert.equal(earTier(SUBMOD, ['hardware', 'executables']), 'affirming')
    assert.equal(earTier(SUBMOD, ['hardware', 'configuration']), 'none')
    assert.equal(earTier({ ...SUBMOD, vector: { hardware: 0 } }, ['hardware']), 'none')
    const { vector: _, ...bare } = SUBMOD
    assert.equal(earTier(bare, ['hardware']), 'none')
    assert.equal(earTier({ ...SUBMOD, status: 'warning' }, []), 'warning')
    assert.equal(earTier({ ...SUBMOD, status: 'contraindicated' }, ['configuration']), 'contraindicated')
  })

  it('has the tiers at the bounds of AR4SI', () => {
    const tiers: [Tier, number[]][] = [
      ['none', [-1, 0, 1]],
      ['affirming', [2, 31, -2, -32]],
      ['warning', [32, 95, -33, -96]],
      ['contraindicated', [96, 127, -97, -128]],
    ]
    for (const [tier, values] of tiers)
      for (const value of values) assert.equal(tierOfValue(value), tier, String(value))
    for (const value of [128, -129, 1.5]) assert.throws(() => tierOfValue(value), RangeError)
  })
})

describe('a signed EAR', () => {
  const now = new Date('2026-03-01T12:00:00Z')
  const iat = now.getTime() / 1000
  const keys = () => generateKeyPair('ES256')
  const at = (seconds: number) => new Date(1000 * (iat + seconds))

  it('is believed under its key, in its time', async () => {
    const { privateKey, publicKey } = await keys()
    const ear = { ...EAR, issuedAt: iat, expiresAt: iat + 300, issuer: 'v' }
    const token = await signEar(ear, privateKey)
    assert.deepEqual(await verifyEarJwt(token, publicKey, now), ear)
    await assert.rejects(verifyEarJwt(token, publicKey, at(361)), {
      code: 'RESULT_EXPIRED',
      message: /ask for a new one/,
    })
    await assert.rejects(verifyEarJwt(token, publicKey, at(-61)), { code: 'RESULT_EXPIRED' })
    await assert.rejects(verifyEarJwt(token, (await keys()).publicKey, now), { code: 'RESULT_SIGNATURE' })
    await assert.rejects(verifyEarJwt(`${token}A`, publicKey, now), { code: 'RESULT_SIGNATURE' })
    await assert.rejects(verifyEarJwt('x'.repeat(7 << 20), publicKey, now), { code: 'RESULT_TOO_LONG' })
  })

  it('is not believed without a signature, nor under a shared secret', async () => {
    const { publicKey } = await keys()
    const none = `${toBase64url(utf8('{"alg":"none"}'))}.${toBase64url(utf8(writeEarJson(EAR)))}.`
    await assert.rejects(verifyEarJwt(none, publicKey, now), { code: 'RESULT_SIGNATURE' })
    const secret = new Uint8Array(32)
    const mac = await new CompactSign(utf8(writeEarJson(EAR))).setProtectedHeader({ alg: 'HS256' }).sign(secret)
    const shared: JWK = { kty: 'oct', k: toBase64url(secret) }
    await assert.rejects(verifyEarJwt(mac, shared, now), { code: 'RESULT_SIGNATURE' })
  })

  it('is made and believed with the keys of veraison', async function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const [secret, pub] = [
      JSON.parse(set.text('veraison-skey.json')),
      JSON.parse(set.text('veraison-pkey.json')),
    ] as JWK[]
    assert.ok(secret && pub)
    const key = await importJWK(secret, 'ES256')
    assert.ok(!(key instanceof Uint8Array))
    const ear = { ...EAR, issuedAt: iat }
    assert.deepEqual(await verifyEarJwt(await signEar(ear, key), { ...pub, alg: 'ES256' }, now), ear)
  })
})

describe('any bytes', () => {
  it('give an EAR or a ResultError', () => {
    const seeds: [Uint8Array, boolean][] = [
      [utf8(writeEarJson({ ...EAR, expiresAt: 1, nonces: ['nonce-nonce'], rawEvidence: utf8('x') })), false],
      [writeEarCbor({ ...EAR, expiresAt: 1, nonces: [utf8('nonce-nonce')], rawEvidence: utf8('x') }), true],
    ]
    for (const [seed, cbor] of seeds) for (let n = 0; n < seed.length; n++) total(seed.subarray(0, n), cbor)
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        ([seed, cbor], edits) => {
          const bytes = Uint8Array.from(seed)
          for (const [at, value] of edits) bytes[at % bytes.length] = value
          total(bytes, cbor)
        },
      ),
      { numRuns: fuzzRuns(500) },
    )
  })
})

function total(bytes: Uint8Array, cbor: boolean): void {
  try {
    if (cbor) readEarCbor(bytes)
    else readEarJson(bytes)
  } catch (err) {
    assert.ok(err instanceof ResultError, String(err))
  }
}

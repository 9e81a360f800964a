import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { jwtVerify } from 'jose'
import {
  appraisalResult,
  EAR_SUBMOD,
  type EarContext,
  earClaims,
  type Finding,
  finding,
  REQUIRED_CLAIMS,
} from '../../../attestation/appraisal/index.ts'
import {
  AR4SI,
  AR4SI_ANY,
  earTier,
  readEarJson,
  signEar,
  type Tier,
  tierOfValue,
  worstTier,
  writeEarJson,
} from '../../../attestation/results/index.ts'

const TIERS: Tier[] = ['affirming', 'none', 'warning', 'contraindicated']
const good = REQUIRED_CLAIMS.map((claim) => finding(`rule.${claim}`, 'affirming', claim, 'as it should be'))

describe('an appraisal result', () => {
  it('is affirming when every required claim is, and nothing says otherwise', () => {
    const result = appraisalResult(good)
    assert.equal(result.tier, 'affirming')
    assert.deepEqual(result.vector, { 'instance-identity': 2, hardware: 2, executables: 2, configuration: 2 })
  })

  it('is none without findings, and none when a required claim is missing', () => {
    assert.equal(appraisalResult([]).tier, 'none')
    for (const claim of REQUIRED_CLAIMS) {
      const result = appraisalResult(good.filter((f) => f.claim !== claim))
      assert.deepEqual([result.tier, result.vector[claim]], ['none', 0])
    }
  })

  for (const tier of TIERS.slice(1)) {
    it(`is ${tier} when one finding is, whatever its claim`, () => {
      const result = appraisalResult([...good, finding('r', tier, 'file-system', '')])
      assert.deepEqual(
        [result.tier, result.vector['file-system']],
        [tier, { none: 0, warning: 32, contraindicated: 96 }[tier as 'none']],
      )
    })
  }

  it('is never better than any finding, nor than the worst entry of its vector', () => {
    const anyFinding: fc.Arbitrary<Finding> = fc
      .tuple(fc.constantFrom(...TIERS), fc.constantFrom(...REQUIRED_CLAIMS, 'file-system' as const))
      .map(([tier, claim]) => finding('r', tier, claim, ''))
    fc.assert(
      fc.property(fc.array(anyFinding), (findings) => {
        const { tier, vector } = appraisalResult(findings)
        const rank = (t: Tier) => TIERS.indexOf(t)
        for (const f of findings) assert.ok(rank(tier) >= rank(f.tier))
        const entries = Object.values(vector).map((v) => ({ 2: 0, 0: 1, 32: 2, 96: 3 })[v] ?? 9)
        assert.equal(rank(tier), Math.max(...entries))
      }),
    )
  })

  it('orders tiers so that what could not be appraised is below affirming', () => {
    assert.equal(worstTier(['affirming', 'none']), 'none')
    assert.equal(worstTier(['none', 'warning']), 'warning')
    assert.equal(worstTier([]), 'none')
  })

  it('bounds its messages, and leaves no half of a character', () => {
    const { message } = finding('r', 'none', 'hardware', `${'a'.repeat(1023)}😀`)
    assert.equal(message.length, 1024)
    assert.ok(message.isWellFormed())
  })
})

describe('a finding', () => {
  it('names its entry of the vector by the AR4SI value it was given, and the graver one stays', () => {
    const say = (...values: number[]) =>
      appraisalResult([
        ...good,
        ...values.map((value) => finding('r', tierOfValue(value), 'executables', '', { value })),
      ]).vector.executables
    assert.equal(say(AR4SI.executables.approvedAtBoot), 3)
    assert.equal(say(AR4SI.executables.knownBug, AR4SI.executables.unrecognised), 33)
    assert.equal(say(AR4SI.executables.contraindicated, AR4SI_ANY.cryptoFailed, AR4SI.executables.unrecognised), 99)
    assert.equal(say(AR4SI_ANY.unexpectedEvidence), 1)
    assert.equal(say(AR4SI_ANY.verifierMalfunction, 2), -1)
    assert.equal(say(), 2)
  })

  it('cannot have a value of another tier', () => {
    assert.throws(() => finding('r', 'affirming', 'hardware', '', { value: AR4SI.hardware.unrecognised }), RangeError)
    assert.throws(() => finding('r', 'warning', 'hardware', '', { value: 300 }), RangeError)
  })

  it('bounds what it says beside its message', () => {
    const long = 'x'.repeat(10_000)
    const { expected, seen, changed } = finding('r', 'none', 'hardware', '', {
      expected: long,
      seen: long,
      changed: long,
    })
    assert.deepEqual([expected?.length, seen?.length, changed?.length], [512, 512, 512])
  })
})

describe('an attestation result as EAR', () => {
  const context: EarContext = {
    verifierId: 'ab'.repeat(32),
    nodeId: 'cd'.repeat(32),
    nonce: new Uint8Array(32),
    issuedAt: new Date('2026-03-01T12:00:00.900Z'),
    validForS: 300,
    verifier: { developer: 'https://holdfast.example', build: '0.1.0' },
    policyIds: ['sha256:00'],
  }
  const ear = earClaims(appraisalResult(good), context)

  it('has the names of draft-03, whole seconds, the profile, and what each rule said', () => {
    const findings = good.map(({ rule, tier, claim, message }) => ({ rule, tier, claim, message }))
    assert.deepEqual(JSON.parse(writeEarJson(ear)), {
      eat_profile: 'tag:ietf.org,2026:rats/ear#03',
      iat: 1772366400,
      exp: 1772366700,
      iss: context.verifierId,
      sub: context.nodeId,
      eat_nonce: 'A'.repeat(43),
      ear_verifier_id: context.verifier,
      submods: {
        [EAR_SUBMOD]: {
          ear_status: 'affirming',
          ear_trustworthiness_vector: { 'instance-identity': 2, hardware: 2, executables: 2, configuration: 2 },
          ear_appraisal_policy_ids: ['sha256:00'],
          ear_holdfast_findings: { findings, omitted: 0 },
        },
      },
    })
  })

  it('has the older names on request', () => {
    const claims = JSON.parse(writeEarJson(earClaims(appraisalResult(good), { ...context, dialect: 'dotted' })))
    assert.equal(claims.eat_profile, 'tag:github.com,2023:veraison/ear')
    assert.equal(claims.submods[EAR_SUBMOD]['ear.status'], 'affirming')
    assert.equal(claims.submods[EAR_SUBMOD]['ear.appraisal-policy-id'], 'sha256:00')
    assert.deepEqual(claims['ear.verifier-id'], context.verifier)
  })

  it('is none when a required claim is missing, for whoever reads it', () => {
    const part = earClaims(appraisalResult(good.slice(1)), context)
    const read = readEarJson(writeEarJson(part)).submods.get(EAR_SUBMOD)
    assert.ok(read)
    assert.deepEqual([read.status, earTier(read, REQUIRED_CLAIMS)], ['none', 'none'])
  })

  it('keeps to the room of a message, and says how many findings it left out', () => {
    const many = Array.from({ length: 300 }, (_, i) =>
      finding(`rule.${i}`, i === 299 ? 'contraindicated' : 'warning', 'executables', 'm'.repeat(500)),
    )
    const claims = JSON.parse(writeEarJson(earClaims(appraisalResult(many), context)))
    const { findings, omitted } = claims.submods[EAR_SUBMOD].ear_holdfast_findings
    assert.equal(findings.length + omitted, 300)
    assert.equal(findings[0].rule, 'rule.299')
    assert.ok(JSON.stringify(findings).length < 40_000)
  })

  it('is not made with a nonce that EAT cannot carry', () => {
    for (const size of [0, 5, 67]) {
      assert.throws(() => earClaims(appraisalResult(good), { ...context, nonce: new Uint8Array(size) }), RangeError)
    }
  })

  it('is signed so that any JWT library verifies it, and not under another key', async () => {
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwt = await signEar(ear, key.privateKey)
    const options = { algorithms: ['ES256'], typ: 'eat+jwt', currentDate: context.issuedAt }
    const { payload } = await jwtVerify(jwt, key.publicKey, options)
    assert.deepEqual(payload, JSON.parse(writeEarJson(ear)))
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    await assert.rejects(jwtVerify(jwt, other.publicKey, options))
  })
})

import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import {
  COLOURED,
  PLAIN,
  type ResultSignature,
  resultJson,
  resultText,
  uncheckedSignature,
} from '../../../attestation/evidence-report/index.ts'
import {
  EAR_PROFILE,
  type Ear,
  readResultToken,
  VECTOR_CLAIMS,
  writeEarJson,
} from '../../../attestation/results/index.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const EAR: Ear = {
  dialect: 'draft-03',
  profile: EAR_PROFILE,
  issuedAt: 1_770_000_000,
  nonces: [],
  verifier: { developer: 'example', build: '1' },
  submods: new Map([
    [
      'node',
      {
        status: 'warning',
        vector: { hardware: 2, executables: 33, configuration: 0 },
        policyIds: ['p1'],
        nonces: [],
        findings: [{ rule: 'a.b', tier: 'warning', claim: 'executables', message: 'evil\u001b[31m' }],
      },
    ],
  ]),
}
const GREEN = '\u001b[32m'

function text(claims: string, signature?: ResultSignature, paint = PLAIN): string {
  const result = readResultToken(utf8(claims))
  return resultText({ result, sizeBytes: claims.length }, signature ?? uncheckedSignature(result), paint)
}

describe('an attestation result, shown', () => {
  it('says that nobody verified it, and each entry of the vector, also those that it does not have', () => {
    const shown = text(writeEarJson(EAR))
    assert.match(
      shown,
      /^attestation result \(EAR, draft-03; bare claims in JSON\), \d+ bytes\nnot verified: nobody signed/,
    )
    assert.match(shown, /ATTESTER NODE\n {2}status +warning\n/)
    assert.match(shown, / hardware +affirming \(2, genuine\)\n/)
    assert.match(shown, / executables +warning \(33, unrecognised\)\n/)
    assert.match(shown, / configuration +no claim \(0\)\n/)
    for (const claim of VECTOR_CLAIMS) assert.match(shown, new RegExp(` ${claim} `))
    assert.match(shown, / file-system +no claim: the result does not have it\n/)
    assert.match(shown, / finding +warning {2}a\.b: evil\\x1b\[31m/)
  })

  it('is green only where somebody verified it, and never where there is no claim', () => {
    assert.ok(!text(writeEarJson(EAR), 'none', COLOURED).includes(GREEN))
    const green = text(writeEarJson(EAR), 'verified', COLOURED)
      .split('\n')
      .filter((line) => line.includes(GREEN))
    assert.deepEqual(
      green.map((line) => line.replaceAll(GREEN, '').replaceAll('\u001b[0m', '').trim().split(/\s+/)[0]),
      ['signed', 'hardware'],
    )
    for (const vector of [undefined, { hardware: 0 }]) {
      const appraisal = { status: 'affirming' as const, policyIds: [], nonces: [], ...(vector && { vector }) }
      const bare = text(writeEarJson({ ...EAR, submods: new Map([['n', appraisal]]) }), 'verified', COLOURED)
      assert.equal(bare.split('\n').filter((line) => line.includes(GREEN)).length, 1, 'the headline')
      assert.match(bare, /affirming, and no entry of the vector says why/)
    }
  })

  it('of an EAT says what is not claimed, what is bad, and what nobody verified', () => {
    const claims = {
      iss: 'maker\u202e',
      dbgstat: 'enabled',
      swname: 'fw',
      private: { deep: [1, 'x'] },
      submods: { tee: { oemboot: true }, more: ['JWT', 'eyJhbGciOiJub25lIn0.e30.'] },
    }
    const shown = text(JSON.stringify(claims))
    assert.match(shown, /^entity attestation token \(EAT; bare claims in JSON\)/)
    assert.match(shown, / issuer +maker\\u/)
    assert.match(shown, / debugging +enabled\n/)
    assert.match(shown, / maker's boot +not claimed\n/)
    assert.match(shown, / claim private +\{"deep":\[1,"x"\]\}\n/)
    assert.match(shown, /TOKEN \/ TEE\n {2}entity +not claimed\n {2}maker's boot +true\n {2}debugging +not claimed\n/)
    assert.match(shown, / submodule more +a token of its own \(JWT\), which nobody verified\n/)
    assert.ok(!text(JSON.stringify(claims), 'none', COLOURED).includes(GREEN))
  })

  it('is JSON with all eight entries, null where there is no claim', () => {
    const result = readResultToken(utf8(writeEarJson(EAR)))
    const json = JSON.parse(resultJson({ result, sizeBytes: 1 }, 'none'))
    assert.deepEqual([json.v, json.kind, json.signature], [1, 'result', 'none'])
    const { vector } = json.ear.submods.node
    assert.deepEqual(Object.keys(vector), [...VECTOR_CLAIMS])
    assert.deepEqual([vector.hardware, vector.configuration, vector['file-system']], [2, 0, null])
    const eat = readResultToken(utf8('{"iss":"a","eat_nonce":"12345678","__proto__":{"x":1}}'))
    assert.deepEqual(JSON.parse(resultJson({ result: eat, sizeBytes: 1 }, 'none')).eat.issuer, 'a')
  })

  it('of another project is shown', function () {
    const set = externalVectors('ear')
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    assert.match(text(set.text('trustee-example.token.json')), /ATTESTER CPU0\n {2}status +\w+\n/)
  })
})

import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import {
  type Ear,
  type EarAppraisal,
  type EarDialect,
  earTier,
  ResultError,
  readEarCbor,
  readEarJson,
  type Tier,
  VECTOR_CLAIMS,
  writeEarJson,
} from '../../../attestation/results/index.ts'
import { cborOfDiagnostic } from '../../support/cbor-diagnostic.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const set = externalVectors('ear')

describe('EARs of others', () => {
  interface Expected {
    readonly dialect: EarDialect
    readonly submods: Readonly<Record<string, readonly [Tier, EarAppraisal['vector'] | undefined, readonly string[]]>>
    readonly more?: Partial<Ear>
  }
  const VERAISON_POLICY = ['https://veraison.example/policy/1/60a0068d']
  const BAD = { 'instance-identity': 2, executables: 96, hardware: 2 }
  const GOOD = { 'instance-identity': 2, executables: 2, hardware: 2 }
  const good: Readonly<Record<string, Expected>> = {
    'draft03-ear-cbor-1.diag': {
      dialect: 'draft-03',
      submods: { PSA: ['contraindicated', BAD, VERAISON_POLICY] },
      more: { rawEvidence: utf8('lifeboatman'), issuedAt: 1666529184 },
    },
    'draft03-ear-json-1.diag': {
      dialect: 'draft-03',
      submods: { PSA: ['contraindicated', BAD, VERAISON_POLICY] },
      more: {
        verifier: { developer: 'https://veraison-project.org', build: 'vts 0.0.1' },
        rawEvidence: utf8('74726973656374\n'),
      },
    },
    'draft03-ear-json-2.diag': {
      dialect: 'draft-03',
      submods: {
        'CCA Platform': ['affirming', GOOD, VERAISON_POLICY],
        'CCA Realm': ['affirming', { 'instance-identity': 2 }, VERAISON_POLICY],
      },
    },
    'draft03-ext-teep-json-1.diag': {
      dialect: 'draft-03',
      submods: { PSA: ['contraindicated', BAD, VERAISON_POLICY] },
    },
    'draft03-ext-veraison-json-1.diag': {
      dialect: 'draft-03',
      submods: { PSA_IOT: ['contraindicated', BAD, VERAISON_POLICY] },
    },
    'draft03-ext-veraison-json-2.diag': {
      dialect: 'draft-03',
      submods: { PARSEC_TPM: ['affirming', GOOD, VERAISON_POLICY] },
    },
    'trustee-example.token.json': {
      dialect: 'dotted',
      submods: {
        cpu0: [
          'contraindicated',
          { ...Object.fromEntries(VECTOR_CLAIMS.map((c) => [c, 0])), configuration: 36, executables: 33, hardware: 97 },
          ['default'],
        ],
      },
      more: { expiresAt: 1760426434, issuedAt: 1760426134 },
    },
    'veraison-ear-claims-extension-ok.json': {
      dialect: 'dotted',
      submods: { test: ['affirming', undefined, ['policy://test/01234']] },
    },
    'veraison-ear-claims-key-attestation-ok.json': {
      dialect: 'dotted',
      submods: { PARSEC_TPM: ['affirming', GOOD, ['policy://parsec/60a0068d']] },
    },
    'veraison-ear-claims-tv-ok.json': {
      dialect: 'dotted',
      submods: {
        test: [
          'affirming',
          { ...Object.fromEntries(VECTOR_CLAIMS.map((c) => [c, 2])), executables: 3 },
          VERAISON_POLICY,
        ],
      },
    },
    'veraison-ear-claims.json': { dialect: 'dotted', submods: { test: ['affirming', undefined, VERAISON_POLICY] } },
  }
  const KO = 'veraison-ear-claims-key-attestation-ko.json'

  const read = (file: string, text: string): Ear =>
    file.includes('cbor') ? readEarCbor(cborOfDiagnostic(text)) : readEarJson(text)

  it('have an expectation here for every file', function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const keys = ['veraison-pkey.json', 'veraison-skey.json']
    assert.deepEqual(set.list(), [...Object.keys(good), KO, ...keys].sort())
  })

  for (const [file, { dialect, submods, more }] of Object.entries(good)) {
    it(`${file} is read`, function () {
      if (set === undefined) return skipWithoutVectors(this, 'ear')
      const ear = read(file, set.text(file))
      assert.equal(ear.dialect, dialect)
      const got = [...ear.submods].map(([k, s]) => [k, [s.status, s.vector, s.policyIds]])
      assert.deepEqual(Object.fromEntries(got), submods)
      for (const [name, value] of Object.entries(more ?? {})) assert.deepEqual(ear[name as keyof Ear], value, name)
      // what is known of it comes back, in its own dialect
      if (!file.includes('cbor')) assert.deepEqual(readEarJson(writeEarJson(ear)), ear)
    })
  }

  it('have the key that the attester proved', function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const key = (file: string) => readEarJson(set.text(file)).submods.get('PARSEC_TPM')?.attestedKey
    assert.equal(key('veraison-ear-claims-key-attestation-ok.json')?.length, 91)
    assert.equal(key('draft03-ext-veraison-json-2.diag')?.length, 21)
  })

  it(`${KO} is refused: it says that a key was proved, and has none`, function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    assert.throws(() => readEarJson(set.text(KO)), { code: 'RESULT_BAD_CLAIM', message: /akpub/ })
  })

  it('are affirming only for the entries that they speak of', function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const bare = readEarJson(set.text('veraison-ear-claims.json')).submods.get('test')
    assert.ok(bare)
    assert.deepEqual([earTier(bare, []), earTier(bare, ['hardware'])], ['affirming', 'none'])
  })

  it('give an EAR or a ResultError for every prefix, and when damaged', function () {
    if (set === undefined) return skipWithoutVectors(this, 'ear')
    const files = set.list().filter((name) => !name.includes('key.json'))
    for (const file of files.filter((name) => !name.includes('trustee'))) {
      const cbor = file.includes('cbor')
      const bytes = cbor ? cborOfDiagnostic(set.text(file)) : set.read(file)
      for (let n = 0; n < bytes.length; n++) total(bytes.subarray(0, n), cbor)
    }
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

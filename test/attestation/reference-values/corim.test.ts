import assert from 'node:assert/strict'
import { encode } from 'cborg'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../attestation/base/index.ts'
import {
  type CorimDocument,
  CorimError,
  PROFILE_PARSEC_TPM,
  readCorim,
  referencePcrs,
} from '../../../attestation/reference-values/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

const set = externalVectors('corim')
const D256 = new Uint8Array(32).fill(0x11)
const D384 = new Uint8Array(48).fill(0x22)
const UUID = fromHex('cd1f0e5526f9460db9d8f7fde171787c')

class Tag {
  readonly tag: number
  readonly value: unknown
  constructor(tag: number, value: unknown) {
    this.tag = tag
    this.value = value
  }
}
const tag = (number: number, value: unknown) => new Tag(number, value)
/** CBOR with tags, as cborg writes them. */
function cbor(value: unknown): Uint8Array {
  if (value instanceof Tag) {
    const n = value.tag
    const head = n < 24 ? [0xc0 + n] : n < 256 ? [0xd8, n] : [0xd9, n >> 8, n & 0xff]
    return Buffer.concat([Uint8Array.from(head), cbor(value.value)])
  }
  if (value instanceof Map) {
    const parts = [...value].flatMap(([k, v]) => [cbor(k), cbor(v)])
    return Buffer.concat([Uint8Array.of(0xa0 + value.size), ...parts])
  }
  if (Array.isArray(value)) return Buffer.concat([Uint8Array.of(0x80 + value.length), ...value.map(cbor)])
  return encode(value)
}
const map = (...entries: [unknown, unknown][]) => new Map(entries)
const environment = map([0, map([0, tag(37, UUID)], [1, 'maker'])])
const digests = [
  [1, D256],
  [7, D384],
]
const measurement = (key: unknown, values: unknown = map([2, digests])) => map([0, key], [1, values])
const comid = (triples: unknown) => map([1, map([0, 'id'], [1, 2])], [4, triples])
const corim = (tags: unknown[], ...more: [unknown, unknown][]) => tag(501, map([0, 'corim'], [1, tags], ...more))
const one = (triples: unknown, ...more: [unknown, unknown][]) => corim([tag(506, cbor(comid(triples)))], ...more)
const reference = (...measurements: unknown[]) => map([0, [[environment, measurements]]])
const read = (value: unknown): CorimDocument => readCorim(new Uint8Array(cbor(value)))
const parsec = [tag(32, PROFILE_PARSEC_TPM)]

describe('a CoRIM', () => {
  it('gives reference values with their environment, key and digests', () => {
    const document = read(
      one(reference(measurement(4)), [3, tag(32, 'https://example.org/p')], [4, map([0, tag(1, 5)], [1, tag(1, 9)])]),
    )
    assert.equal(document.signature, 'none')
    assert.deepEqual(document.corim, {
      id: { kind: 'text', value: 'corim' },
      profiles: [{ kind: 'uri', value: 'https://example.org/p' }],
      validity: { notBefore: 5, notAfter: 9 },
      comids: [
        {
          id: { kind: 'text', value: 'id' },
          version: 2,
          referenceValues: [
            {
              environment: {
                class: { id: { kind: 'uuid', value: 'cd1f0e55-26f9-460d-b9d8-f7fde171787c' }, vendor: 'maker' },
              },
              measurement: {
                key: { kind: 'integer', value: '4' },
                digests: [
                  { algorithm: 1, bank: 'sha256', bytes: D256 },
                  { algorithm: 7, bank: 'sha384', bytes: D384 },
                ],
                registers: new Map(),
                otherConditions: [],
              },
            },
          ],
          endorsedValues: [],
          identityKeys: [],
          attestationKeys: [],
          otherTriples: [],
        },
      ],
      otherTags: [],
    })
  })

  it('gives values of PCRs from integrity registers, and from keys only where the profile says that they are PCRs', () => {
    const registers = measurement(
      'boot',
      map([14, map([0, digests], [7, [[1, D256]]], ['name', [[1, D256]]], [99, [[1, D256]]])]),
    )
    const pcrs = (value: unknown) => referencePcrs(read(value).corim).map((p) => [p.pcr, p.digests.length])
    assert.deepEqual(pcrs(one(reference(registers))), [
      [0, 2],
      [7, 1],
    ])
    assert.deepEqual(pcrs(one(reference(measurement(4)))), [])
    assert.deepEqual(pcrs(one(reference(measurement(4)), [3, parsec])), [[4, 2]])
  })

  it('names what it does not read: tags, triples, and conditions of a measurement', () => {
    const values = map([2, digests], [3, map([3, true])], [11, 'kernel'], [1, tag(553, 3)], [0, map([0, '1.2'])])
    const triples = map(...reference(map([1, values], [2, []])), [6, []])
    const document = read(corim([tag(505, Uint8Array.of(0xa0)), tag(506, cbor(comid(triples)))]))
    assert.deepEqual(document.corim.otherTags, [505])
    assert.deepEqual(document.corim.comids[0]?.otherTriples, [6])
    const got = document.corim.comids[0]?.referenceValues[0]?.measurement
    assert.deepEqual(got?.otherConditions, [3, 'authorized-by'])
    assert.deepEqual([got?.name, got?.version, got?.svn], ['kernel', '1.2', { kind: 'minimum', value: 3 }])
  })

  it('that is signed is read with its signature marked as not checked', () => {
    const payload = new Uint8Array(cbor(one(reference(measurement(4)))))
    const header = new Uint8Array(cbor(map([1, -7])))
    for (const outer of [(v: unknown) => tag(18, v), (v: unknown) => tag(500, tag(502, tag(18, v)))]) {
      const document = read(outer([header, map(), payload, new Uint8Array(64)]))
      assert.equal(document.signature, 'not checked')
      assert.equal(document.corim.comids.length, 1)
    }
  })

  const good = reference(measurement(4))
  const refused: [string, unknown, string][] = [
    ['another tag', tag(37, UUID), 'CORIM_NOT_CORIM'],
    ['no tag', map([0, 'corim']), 'CORIM_NOT_CORIM'],
    ['a bare CoMID', tag(506, cbor(comid(good))), 'CORIM_NOT_CORIM'],
    ['no id', tag(501, map([1, [tag(506, cbor(comid(good)))]])), 'CORIM_BAD_VALUE'],
    ['no tags', corim([]), 'CORIM_BAD_VALUE'],
    ['a tag of another kind', corim([tag(32, 'x')]), 'CORIM_BAD_VALUE'],
    ['a CoMID that is no CBOR', corim([tag(506, Uint8Array.of(0xff))]), 'CORIM_NOT_CBOR'],
    ['no triples', one(map()), 'CORIM_BAD_VALUE'],
    ['an empty list of triples', one(map([0, []])), 'CORIM_BAD_VALUE'],
    ['an empty environment', one(map([0, [[map(), [measurement(4)]]]])), 'CORIM_BAD_VALUE'],
    ['no measurement', one(reference()), 'CORIM_BAD_VALUE'],
    ['a measurement without values', one(reference(measurement(4, map()))), 'CORIM_BAD_VALUE'],
    ['an empty list of digests', one(reference(measurement(4, map([2, []])))), 'CORIM_BAD_VALUE'],
    ['a SHA-256 digest of 48 bytes', one(reference(measurement(4, map([2, [[1, D384]]])))), 'CORIM_BAD_VALUE'],
    [
      'one digest twice',
      one(
        reference(
          measurement(
            4,
            map([
              2,
              [
                [1, D256],
                [1, D256],
              ],
            ]),
          ),
        ),
      ),
      'CORIM_BAD_VALUE',
    ],
    ['a key of another kind', one(reference(measurement(true))), 'CORIM_BAD_VALUE'],
    ['a UUID of 15 bytes', one(reference(measurement(tag(37, UUID.subarray(1))))), 'CORIM_BAD_VALUE'],
    ['a masked raw value', one(reference(measurement(4, map([4, tag(563, [UUID, UUID])])))), 'CORIM_BAD_VALUE'],
    ['a key without a tag', one(map([3, [[environment, ['key']]]])), 'CORIM_BAD_VALUE'],
    [
      'a PCR without a key, under a profile of PCRs',
      one(reference(map([1, map([2, digests])])), [3, parsec]),
      'CORIM_BAD_PROFILE',
    ],
    ['PCR 24, under a profile of PCRs', one(reference(measurement(24)), [3, parsec]), 'CORIM_BAD_PROFILE'],
    ['no end of validity', one(good, [4, map([0, tag(1, 5)])]), 'CORIM_BAD_VALUE'],
    ['three parts of a signed one', tag(18, [Uint8Array.of(0xa0), map(), Uint8Array.of(0xa0)]), 'CORIM_BAD_VALUE'],
    ['a signed payload that is no CoRIM', tag(18, [cbor(map([1, -7])), map(), cbor(map()), D256]), 'CORIM_NOT_CORIM'],
    [
      'a signed one without algorithm',
      tag(18, [cbor(map([4, D256])), map(), cbor(one(good)), D256]),
      'CORIM_BAD_VALUE',
    ],
    ['a signed one without payload', tag(18, [cbor(map([1, -7])), map(), null, D256]), 'CORIM_BAD_VALUE'],
  ]
  for (const [name, value, code] of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => read(value), { name: 'CorimError', code }))
  }

  it('is refused with a key twice, and when it nests without end', () => {
    assert.throws(() => readCorim(fromHex('d901f5a2006161006162')), { code: 'CORIM_NOT_CBOR' })
    assert.throws(() => readCorim(fromHex(`${'81'.repeat(40)}00`)), { code: 'CORIM_TOO_LONG' })
  })

  it('gives a document or a CorimError for every prefix, and when damaged', () => {
    const bytes = new Uint8Array(
      cbor(one(reference(measurement(4), measurement('x', map([14, map([0, digests])]))), [3, parsec])),
    )
    everyPrefix(bytes)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 }), (edits) => {
        const damaged = Uint8Array.from(bytes)
        for (const [at, value] of edits) damaged[at % damaged.length] = value
        total(damaged)
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})

describe('CoRIMs of veraison', () => {
  it('have an expectation here for every file', function () {
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    const files = [
      'comid-parsec-tpm-refval.json',
      'corim-enacttrust-valid.cbor',
      'corim-parsec-tpm-bad-no-pcr.cbor',
      'corim-parsec-tpm-valid.cbor',
    ]
    assert.deepEqual(set.list(), files)
  })

  it('corim-parsec-tpm-valid.cbor has the PCRs of the JSON that it was made of', function () {
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    const { signature, corim } = readCorim(set.read('corim-parsec-tpm-valid.cbor'))
    assert.equal(signature, 'none')
    assert.deepEqual(corim.profiles, [{ kind: 'uri', value: PROFILE_PARSEC_TPM }])
    const source = JSON.parse(set.text('comid-parsec-tpm-refval.json')).triples['reference-values'][0]
    const expected = source.measurements.map(
      (m: { key: { value: number }; value: { digests: [number, string][] } }) => [
        m.key.value,
        m.value.digests.map(([alg, bytes]) => [alg, Buffer.from(bytes, 'base64url').toString('hex')]),
      ],
    )
    const got = referencePcrs(corim).map((p) => [p.pcr, p.digests.map((d) => [d.algorithm, toHex(d.bytes)])])
    assert.deepEqual(got, expected)
    assert.deepEqual(corim.comids[0]?.id.value, '99019224-57aa-44bc-bef8-d36bdd6bd035')
    assert.equal(
      corim.comids[0]?.referenceValues[0]?.environment.class?.id?.value,
      source.environment.class.id.value.toLowerCase(),
    )
    const [keys] = corim.comids[1]?.attestationKeys ?? []
    assert.match(String(keys?.keys[0]), /^-----BEGIN PUBLIC KEY-----/)
    assert.equal(keys?.environment.instance?.kind, 'bytes')
  })

  it('corim-enacttrust-valid.cbor has one digest for a node, and its key', function () {
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    const { corim } = readCorim(set.read('corim-enacttrust-valid.cbor'))
    const [reference] = corim.comids[0]?.referenceValues ?? []
    assert.deepEqual(reference?.environment, {
      instance: { kind: 'uuid', value: '7df7714e-aa04-4638-bcbf-434b1dd720f1' },
    })
    assert.deepEqual(
      reference?.measurement.digests.map((d) => [d.bank, toHex(d.bytes).slice(0, 8)]),
      [['sha256', '87428fc5']],
    )
    assert.equal(corim.comids[1]?.attestationKeys.length, 1)
    assert.deepEqual(referencePcrs(corim), [])
  })

  it('corim-parsec-tpm-bad-no-pcr.cbor is refused: nobody can tell which PCR is meant', function () {
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    assert.throws(() => readCorim(set.read('corim-parsec-tpm-bad-no-pcr.cbor')), { code: 'CORIM_BAD_PROFILE' })
  })

  it('give a document or a CorimError for every prefix', function () {
    if (set === undefined) return skipWithoutVectors(this, 'corim')
    for (const file of set.list().filter((name) => name.endsWith('.cbor'))) everyPrefix(set.read(file))
  })
})

function everyPrefix(bytes: Uint8Array): void {
  for (let n = 0; n < bytes.length; n++) total(bytes.subarray(0, n))
}

function total(bytes: Uint8Array): void {
  try {
    readCorim(bytes)
  } catch (err) {
    assert.ok(err instanceof CorimError, String(err))
  }
}

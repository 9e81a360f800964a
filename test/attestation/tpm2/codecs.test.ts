import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, toHex } from '../../../attestation/base/index.ts'
import { type HashAlgorithm, hashSize } from '../../../attestation/crypto/index.ts'
import * as tpm2 from '../../../attestation/tpm2/index.ts'
import { copiedVectors } from '../../support/vectors.ts'

type Arb<T> = fc.Arbitrary<T>
const oneOf = <const T extends readonly unknown[]>(...values: T): Arb<T[number]> => fc.constantFrom(...values)
const bytes = (maxLength: number): Arb<Uint8Array> => fc.uint8Array({ maxLength })
const record = <T>(shape: { [K in keyof T]: Arb<T[K]> }): Arb<T> => fc.record(shape, { noNullPrototype: true })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const hash: Arb<HashAlgorithm> = oneOf('sha1', 'sha256', 'sha384', 'sha512')
const pcrs = fc
  .uniqueArray(fc.integer({ min: 0, max: 23 }), { maxLength: 24 })
  .map((list) => list.sort((a, b) => a - b).map(tpm2.pcrIndex))
const selections = fc.array(record({ bank: hash, pcrs }), { maxLength: 16 })
const clockInfo = record({ clockMs: u64, resetCount: u32, restartCount: u32, safe: fc.boolean() })
const header = { qualifiedSigner: bytes(66), extraData: bytes(66), clockInfo, firmwareVersion: u64 }
const timeInfo = record({ timeMs: u64, clockInfo })

const nothing = fc.constant({ alg: 'null' } as const)
const symmetric: Arb<tpm2.SymDef> = fc.oneof(
  nothing,
  record({
    alg: oneOf('aes', 'sm4', 'camellia'),
    keyBits: u16,
    mode: oneOf('ctr', 'ofb', 'cbc', 'cfb', 'ecb', 'null'),
  }),
)
const kdfId = oneOf('kdf1-sp800-56a', 'kdf2', 'kdf1-sp800-108')
const attributes = fc
  .subarray(Object.values(tpm2.TPMA_OBJECT))
  .map((bits) => bits.reduce((all: number, bit) => all | bit, 0))
const common = { nameAlg: hash, attributes, authPolicy: bytes(64) }
const publics: Arb<tpm2.TpmPublic> = fc.oneof(
  record({
    type: fc.constant('rsa' as const),
    ...common,
    symmetric,
    scheme: fc.oneof(
      nothing,
      fc.constant({ alg: 'rsaes' } as const),
      record({ alg: oneOf('rsassa', 'rsapss', 'oaep'), hash }),
    ),
    keyBits: u16,
    exponent: u32,
    unique: bytes(512),
  }),
  record({
    type: fc.constant('ecc' as const),
    ...common,
    symmetric,
    scheme: fc.oneof(
      nothing,
      record({ alg: oneOf('ecdsa', 'ecdh', 'ecmqv', 'sm2', 'ecschnorr'), hash }),
      record({ alg: fc.constant('ecdaa' as const), hash, count: u16 }),
    ),
    curve: oneOf('P-256', 'P-384', 'P-521'),
    kdf: fc.oneof(nothing, record({ alg: kdfId, hash })),
    unique: record({ x: bytes(128), y: bytes(128) }),
  }),
  record({
    type: fc.constant('keyedhash' as const),
    ...common,
    scheme: fc.oneof(
      nothing,
      record({ alg: fc.constant('hmac' as const), hash }),
      record({ alg: fc.constant('xor' as const), hash, kdf: fc.oneof(kdfId, fc.constant('null' as const)) }),
    ),
    unique: bytes(64),
  }),
  record({ type: fc.constant('symcipher' as const), ...common, symmetric, unique: bytes(64) }),
)

interface Codec<T> {
  readonly name: string
  readonly arb: Arb<T>
  readonly encode: (value: T) => Uint8Array
  readonly decode: (bytes: Uint8Array) => T
}
/** Forgets the type after having checked that the three belong together. */
const codec = <T>(name: string, arb: Arb<T>, encode: Codec<T>['encode'], decode: Codec<T>['decode']): Codec<unknown> =>
  ({ name, arb, encode, decode }) as Codec<unknown> // used with values of its own arbitrary only

const codecs: readonly Codec<unknown>[] = [
  codec('TPMT_PUBLIC', publics, tpm2.encodePublic, tpm2.decodePublic),
  codec('TPM2B_PUBLIC', publics, tpm2.encodeSizedPublic, tpm2.decodeSizedPublic),
  codec('TPML_PCR_SELECTION', selections, tpm2.encodePcrSelections, tpm2.decodePcrSelections),
  codec(
    'TPMS_ATTEST of a quote',
    record({ ...header, pcrSelections: selections, pcrDigest: bytes(64) }),
    tpm2.encodeQuoteAttest,
    tpm2.decodeQuoteAttest,
  ),
  codec(
    'TPMS_ATTEST of a certified key',
    record({ ...header, name: bytes(66), qualifiedName: bytes(66) }),
    tpm2.encodeCertifyAttest,
    tpm2.decodeCertifyAttest,
  ),
  codec(
    'TPMS_ATTEST of a creation',
    record({ ...header, objectName: bytes(66), creationHash: bytes(64) }),
    tpm2.encodeCreationAttest,
    tpm2.decodeCreationAttest,
  ),
  codec(
    'TPMS_ATTEST of a time',
    record({ ...header, time: timeInfo, attestedFirmwareVersion: u64 }),
    tpm2.encodeTimeAttest,
    tpm2.decodeTimeAttest,
  ),
  codec(
    'TPMS_ATTEST of an NV index',
    record({ ...header, indexName: bytes(66), offset: u16, contents: bytes(2048) }),
    tpm2.encodeNvAttest,
    tpm2.decodeNvAttest,
  ),
  codec<tpm2.TpmSignature>(
    'TPMT_SIGNATURE',
    fc.oneof(
      record({ alg: oneOf('rsassa', 'rsapss'), hash, sig: bytes(512) }),
      record({ alg: fc.constant('ecdsa' as const), hash, r: bytes(128), s: bytes(128) }),
    ),
    tpm2.encodeSignature,
    tpm2.decodeSignature,
  ),
  codec('TPMS_TIME_INFO', timeInfo, tpm2.encodeTimeInfo, tpm2.decodeTimeInfo),
  codec('TPML_DIGEST', fc.array(bytes(64), { maxLength: 8 }), tpm2.encodeDigestList, tpm2.decodeDigestList),
  ...(
    [
      ['TPMS_NV_PUBLIC', tpm2.encodeNvPublic, tpm2.decodeNvPublic],
      ['TPM2B_NV_PUBLIC', tpm2.encodeSizedNvPublic, tpm2.decodeSizedNvPublic],
    ] as const
  ).map(([name, encode, decode]) =>
    codec(
      name,
      record({
        index: fc.integer({ min: 0x01000000, max: 0x01ffffff }),
        nameAlg: hash,
        attributes: u32,
        authPolicy: bytes(64),
        dataSizeBytes: u16,
      }),
      encode,
      decode,
    ),
  ),
  codec<tpm2.CreationData>(
    'TPMS_CREATION_DATA',
    record({
      pcrSelections: selections,
      pcrDigest: bytes(64),
      locality: fc.integer({ min: 0, max: 255 }),
      parentNameAlg: fc.oneof(hash, fc.constant('null' as const)),
      parentName: bytes(66),
      parentQualifiedName: bytes(66),
      outsideInfo: bytes(66),
    }),
    tpm2.encodeCreationData,
    tpm2.decodeCreationData,
  ),
  codec(
    'TPM2B_ID_OBJECT',
    record({ integrityHmac: bytes(64), encIdentity: bytes(66) }),
    tpm2.encodeIdObject,
    tpm2.decodeIdObject,
  ),
  codec('TPM2B_ENCRYPTED_SECRET', bytes(512), tpm2.encodeEncryptedSecret, tpm2.decodeEncryptedSecret),
  codec('TPMS_ECC_POINT', record({ x: bytes(128), y: bytes(128) }), tpm2.encodeEccPoint, tpm2.decodeEccPoint),
]

for (const { name, arb, encode, decode } of codecs) {
  describe(`codec of ${name}`, () => {
    it('decodes what it encodes', () => {
      fc.assert(fc.property(arb, (value) => assert.deepEqual(decode(encode(value)), value)))
    })

    it('refuses every strict prefix, and a byte more', () => {
      fc.assert(
        fc.property(arb, fc.nat(), (value, cut) => {
          const whole = encode(value)
          assert.throws(() => decode(whole.slice(0, cut % whole.length)), tpm2.WireError)
          assert.throws(() => decode(concatBytes(whole, Uint8Array.of(0))), tpm2.WireError)
        }),
      )
    })

    it('gives a value or a WireError for any bytes', () => {
      const total = (input: Uint8Array): void => {
        try {
          decode(input)
        } catch (err) {
          assert.ok(err instanceof tpm2.WireError, String(err))
        }
      }
      fc.assert(fc.property(bytes(400), total))
      fc.assert(
        fc.property(arb, fc.nat(), fc.nat(255), (value, at, byte) => {
          const changed = encode(value)
          changed[at % changed.length] = byte
          total(changed)
        }),
      )
      total(new Uint8Array(70_000))
    })
  })
}

describe('codecs, value by value', () => {
  const refused: readonly { name: string; hex: string; decode: (bytes: Uint8Array) => unknown; field: string }[] = [
    { name: 'a magic of another structure', hex: '00c080188018', decode: tpm2.decodeQuoteAttest, field: 'magic' },
    { name: 'an attest structure of another type', hex: 'ff5443478017', decode: tpm2.decodeQuoteAttest, field: 'type' },
    { name: 'an object type that is none', hex: '0002', decode: tpm2.decodePublic, field: 'type' },
    { name: 'a name algorithm that is no hash', hex: '00010006', decode: tpm2.decodePublic, field: 'nameAlg' },
    {
      name: 'reserved object attributes',
      hex: '0001000b80000000',
      decode: tpm2.decodePublic,
      field: 'objectAttributes',
    },
    {
      name: 'an ECC scheme in an RSA key',
      hex: '0001000b00000000000000100018',
      decode: tpm2.decodePublic,
      field: 'scheme',
    },
    { name: 'a scheme that signs with a shared key', hex: '0005000b', decode: tpm2.decodeSignature, field: 'sigAlg' },
    { name: 'an ECDAA signature', hex: '001a000b', decode: tpm2.decodeSignature, field: 'sigAlg' },
    { name: 'a signature over no hash', hex: '00140010', decode: tpm2.decodeSignature, field: 'hash' },
    {
      name: 'a bank of an unknown hash',
      hex: '00000001001203000000',
      decode: tpm2.decodePcrSelections,
      field: 'pcrSelections[0].hash',
    },
    {
      name: 'a sizeofSelect of 2',
      hex: '00000001000b020000',
      decode: tpm2.decodePcrSelections,
      field: 'pcrSelections[0].sizeofSelect',
    },
    {
      name: 'a sizeofSelect of 5',
      hex: '00000001000b050000000000',
      decode: tpm2.decodePcrSelections,
      field: 'pcrSelections[0].sizeofSelect',
    },
    {
      name: 'a register above 23',
      hex: '00000001000b0400000001',
      decode: tpm2.decodePcrSelections,
      field: 'pcrSelections[0].sizeofSelect',
    },
    { name: 'an NV index that is no NV handle', hex: '81010001', decode: tpm2.decodeNvPublic, field: 'nvIndex' },
    {
      name: 'a parent name algorithm that is none',
      hex: `00000000${'0000'}01${'0012'}`,
      decode: tpm2.decodeCreationData,
      field: 'parentNameAlg',
    },
  ]
  for (const { name, hex, decode, field } of refused) {
    it(`refuses ${name} with WIRE_BAD_VALUE in ${field}`, () => {
      assert.throws(() => decode(fromHex(hex)), { name: 'WireError', code: 'WIRE_BAD_VALUE', field })
    })
  }

  it('refuses lists above their limits before reading them', () => {
    for (const [decode, hex] of [
      [tpm2.decodePcrSelections, '00000011'],
      [tpm2.decodePcrSelections, 'ffffffff'],
      [tpm2.decodeDigestList, '00000009'],
    ] as const) {
      assert.throws(() => decode(fromHex(hex)), { code: 'WIRE_TOO_LONG' })
    }
  })

  it('puts PCR 0 into bit 0 of byte 0, and accepts a fourth empty byte', () => {
    const selection = [{ bank: 'sha256', pcrs: [0, 7, 15].map(tpm2.pcrIndex) }] as const
    assert.equal(toHex(tpm2.encodePcrSelections(selection)), '00000001000b03818000')
    assert.deepEqual(tpm2.decodePcrSelections(fromHex('00000001000b0481800000')), selection)
  })

  it('lists banks of unknown hashes apart where the TPM tells its allocation', () => {
    const allocation = tpm2.decodePcrAllocation(fromHex('00000003000403000000000b03ffffff001203010000'))
    assert.deepEqual(
      allocation.selections.map((s) => [s.bank, s.pcrs.length]),
      [
        ['sha1', 0],
        ['sha256', 24],
      ],
    )
    assert.deepEqual(allocation.unknownBanks, [{ algId: 0x0012, pcrs: [0] }])
  })

  it('refuses to write registers out of order, repeated, or too many banks', () => {
    const select = (...list: number[]) => [{ bank: 'sha256', pcrs: list.map(tpm2.pcrIndex) }] as const
    assert.throws(() => tpm2.encodePcrSelections(select(7, 0)), RangeError)
    assert.throws(() => tpm2.encodePcrSelections(select(7, 7)), RangeError)
    assert.throws(() => tpm2.encodePcrSelections(Array.from({ length: 17 }, () => select(0)[0])), RangeError)
    assert.throws(() => tpm2.encodeDigestList(Array.from({ length: 9 }, () => new Uint8Array(32))), RangeError)
  })

  it('refuses attest structures, publics and signatures above any that a TPM makes', () => {
    for (const [decode, size] of [
      [tpm2.decodeQuoteAttest, tpm2.MAX_ATTEST_BYTES],
      [tpm2.decodePublic, tpm2.MAX_PUBLIC_BYTES],
      [tpm2.decodeSignature, tpm2.MAX_SIGNATURE_BYTES],
    ] as const) {
      assert.throws(() => decode(new Uint8Array(size + 1)), { code: 'WIRE_TOO_LONG' })
    }
  })
})

describe('public areas that TPMs made', () => {
  const set = copiedVectors('swtpm')
  const vm = copiedVectors('vm')
  const all = [
    ...set
      .list()
      .filter((d) => !d.includes('.'))
      .flatMap((d) => set.list(d).map((f) => ({ set, path: `${d}/${f}` }))),
    ...vm.list().flatMap((d) => vm.list(d).map((f) => ({ set: vm, path: `${d}/${f}` }))),
  ].filter(({ path }) => /\.tpm2b_public$|\.pub\.tss$/.test(path))
  for (const { set: from, path } of all) {
    it(`come out of ${from.name}/${path} and go back the same`, () => {
      const sized = from.read(path)
      const value = tpm2.decodeSizedPublic(sized)
      assert.deepEqual(tpm2.encodeSizedPublic(value), sized)
      assert.deepEqual(tpm2.encodePublic(value), sized.slice(2))
      const nameFile = path.replace(/\.(tpm2b_public|pub\.tss)$/, '.name')
      if (from.has(nameFile)) assert.deepEqual(tpm2.objectName(sized.slice(2)), from.read(nameFile))
      assert.equal(tpm2.nameHash(tpm2.objectName(sized.slice(2))), value.nameAlg)
      assert.equal(tpm2.objectName(sized.slice(2)).length, 2 + hashSize(value.nameAlg))
    })
  }
})

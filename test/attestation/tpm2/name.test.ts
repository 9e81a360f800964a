import assert from 'node:assert/strict'
import { concatBytes, fromHex, toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  bindingDigest,
  decodeCreationData,
  encodePublic,
  handleName,
  nameHash,
  nodeIdOf,
  nvName,
  objectName,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  TPMA_NV,
  unwrapCreationData,
} from '../../../attestation/tpm2/index.ts'
import { copiedVectors } from '../../support/vectors.ts'

const swtpm = copiedVectors('swtpm')
const ek = swtpm.read('ek/ek-rsa.tpm2b_public').slice(2)

describe('names', () => {
  it('are the name algorithm and the hash of the public area', () => {
    assert.equal(toHex(objectName(ek)), `000b${toHex(digest('sha256', ek))}`)
    const named = encodePublic({ ...AK_TEMPLATE_P256, nameAlg: 'sha384' })
    assert.equal(toHex(objectName(named)), `000c${toHex(digest('sha384', named))}`)
    assert.deepEqual(objectName(swtpm.read('ak/ak-ecc.tpm2b_public').slice(2)), swtpm.read('ak/ak-ecc.name'))
    assert.deepEqual(objectName(swtpm.read('reboot/ak.tpm2b_public').slice(2)), swtpm.read('reboot/ak.name'))
  })

  it('refuse bytes that are no public area', () => {
    assert.throws(() => objectName(ek.slice(1)), { name: 'WireError' })
    assert.throws(() => nodeIdOf(concatBytes(ek, Uint8Array.of(0))), { code: 'WIRE_TRAILING_BYTES' })
  })

  it('of a node are the SHA-256 of its EK, in hexadecimal', () => {
    assert.match(nodeIdOf(ek), /^[0-9a-f]{64}$/)
    assert.equal(`000b${nodeIdOf(ek)}`, toHex(objectName(ek)))
  })

  it('of handles are the handles', () => assert.equal(toHex(handleName(TPM_RH_ENDORSEMENT)), '4000000b'))

  it('of an NV index change when it is written', () => {
    const index = { index: 0x01d10210, nameAlg: 'sha256', authPolicy: new Uint8Array(0), dataSizeBytes: 32 } as const
    const written = nvName({ ...index, attributes: 0x20060046 })
    assert.equal(toHex(written), '000baa1661d2384bdfbfabdf0c829f4d11591252c6bb5525b6227042d8d3b63fb8eb')
    assert.notDeepEqual(nvName({ ...index, attributes: 0x20060046 & ~TPMA_NV.WRITTEN }), written)
  })

  it('are qualified by all that is above, as a TPM wrote into creation data', () => {
    const { parentName, parentQualifiedName } = decodeCreationData(
      unwrapCreationData(swtpm.read('objects/app2.creation_data')),
    )
    assert.deepEqual(qualifiedName({ hierarchy: 0x40000001 }, parentName), parentQualifiedName)
    assert.notDeepEqual(qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, parentName), parentQualifiedName)
    assert.throws(() => qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, handleName(1)), RangeError)
  })

  it('have a form that tells their hash', () => {
    for (const [alg, hex] of [
      ['sha1', `0004${'00'.repeat(20)}`],
      ['sha256', `000b${'00'.repeat(32)}`],
      ['sha384', `000c${'00'.repeat(48)}`],
      ['sha512', `000d${'00'.repeat(64)}`],
      [undefined, `000b${'00'.repeat(31)}`],
      [undefined, `000c${'00'.repeat(32)}`],
      [undefined, ''],
      [undefined, '4000000b'],
    ] as const) {
      assert.equal(nameHash(fromHex(hex)), alg, hex)
    }
  })
})

describe('bindingDigest', () => {
  const part = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
  const binding = { verifierId: part(1), nonce: part(2), exporter: part(3), messageDigest: part(4) }

  it('is the SHA-256 of label, NUL and the four parts', () => {
    const octets = concatBytes(new TextEncoder().encode('holdfast/test/v1\0'), part(1), part(2), part(3), part(4))
    assert.deepEqual(bindingDigest('holdfast/test/v1', binding), digest('sha256', octets))
  })

  it('changes with each part and with the label', () => {
    const all = [
      bindingDigest('a', binding),
      bindingDigest('b', binding),
      ...Object.keys(binding).map((key) => bindingDigest('a', { ...binding, [key]: part(9) })),
    ]
    assert.equal(new Set(all.map(toHex)).size, all.length)
  })

  it('refuses parts of another size, and labels that could run into them', () => {
    for (const key of Object.keys(binding)) {
      for (const size of [0, 31, 33]) {
        assert.throws(() => bindingDigest('a', { ...binding, [key]: new Uint8Array(size) }), RangeError)
      }
    }
    for (const label of ['', 'a\0b', 'a b', 'ä', 'a\n']) assert.throws(() => bindingDigest(label, binding), RangeError)
  })
})

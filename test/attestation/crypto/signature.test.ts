import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import fc from 'fast-check'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import {
  type DetachedSignature,
  ecdsaDer,
  importSpki,
  verifySignature,
  verifySignatureInPool,
} from '../../../attestation/crypto/index.ts'

const message = utf8('what was signed')
const imported = (key: KeyObject) => importSpki(new Uint8Array(key.export({ format: 'der', type: 'spki' })))
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PSS = constants.RSA_PKCS1_PSS_PADDING

const cases: readonly { name: string; key: KeyObject; signature: DetachedSignature }[] = [
  {
    name: 'ecdsa',
    key: ec.publicKey,
    signature: { alg: 'ecdsa', hash: 'sha256', bytes: new Uint8Array(sign('sha256', message, ec.privateKey)) },
  },
  {
    name: 'rsassa',
    key: rsa.publicKey,
    signature: { alg: 'rsassa', hash: 'sha384', bytes: new Uint8Array(sign('sha384', message, rsa.privateKey)) },
  },
  ...([constants.RSA_PSS_SALTLEN_DIGEST, constants.RSA_PSS_SALTLEN_MAX_SIGN, 0] as const).map((saltLength) => ({
    name: `rsapss with salt length ${saltLength}`,
    key: rsa.publicKey,
    signature: {
      alg: 'rsapss' as const,
      hash: 'sha256' as const,
      bytes: new Uint8Array(sign('sha256', message, { key: rsa.privateKey, padding: PSS, saltLength })),
    },
  })),
]

describe('verifySignature', () => {
  for (const { name, key, signature } of cases) {
    it(`accepts ${name}, in the pool too, and nothing near it`, async () => {
      const k = imported(key)
      assert.equal(verifySignature(k, signature, message), true)
      assert.equal(await verifySignatureInPool(k, signature, message), true)
      const wrong: DetachedSignature[] = [
        { ...signature, hash: 'sha512' },
        { ...signature, bytes: new Uint8Array(0) },
        { ...signature, bytes: signature.bytes.slice(1) },
        { ...signature, bytes: signature.bytes.with(40, (signature.bytes[40] as number) ^ 1) },
        { ...signature, bytes: new Uint8Array(signature.bytes.length) },
      ]
      for (const w of wrong) {
        assert.equal(verifySignature(k, w, message), false)
        assert.equal(await verifySignatureInPool(k, w, message), false)
      }
      assert.equal(verifySignature(k, signature, utf8('what was not')), false)
    })
  }

  it('does not take one RSA scheme for the other', () => {
    const [, rsassa, rsapss] = cases
    assert.ok(rsassa && rsapss)
    const key = imported(rsa.publicKey)
    assert.equal(verifySignature(key, { ...rsassa.signature, alg: 'rsapss' }, message), false)
    assert.equal(verifySignature(key, { ...rsapss.signature, alg: 'rsassa' }, message), false)
  })

  it('takes a key of another kind for our own mistake', async () => {
    const [ecdsa, rsassa] = cases
    assert.ok(ecdsa && rsassa)
    assert.throws(() => verifySignature(imported(rsa.publicKey), ecdsa.signature, message), TypeError)
    assert.throws(() => verifySignature(imported(ec.publicKey), rsassa.signature, message), TypeError)
    await assert.rejects(verifySignatureInPool(imported(ec.publicKey), rsassa.signature, message), TypeError)
  })
})

describe('ecdsaDer', () => {
  it('writes what OpenSSL writes, whatever zeros are in front', () => {
    for (const [namedCurve, size] of [
      ['P-256', 32],
      ['P-384', 48],
      ['P-521', 66],
    ] as const) {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
      const key = imported(publicKey)
      for (let i = 0; i < 40; i++) {
        const rs = new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
        const padded = new Uint8Array(2 + size)
        padded.set(rs.subarray(0, size), 2)
        const bytes = ecdsaDer(padded, rs.subarray(size))
        assert.equal(verifySignature(key, { alg: 'ecdsa', hash: 'sha256', bytes }, message), true)
      }
    }
  })

  it('is canonical DER', () => {
    for (const [r, s, der] of [
      ['01', '02', '3006020101020102'],
      ['80', '00', '3007020200800201' + '00'],
      ['0000ff', '', '3007020200ff020100'],
    ] as const) {
      assert.equal(toHex(ecdsaDer(Buffer.from(r, 'hex'), Buffer.from(s, 'hex'))), der)
    }
  })

  it('takes the long form of a length for P-521, and refuses what would need more', () => {
    const big = new Uint8Array(66).fill(0xff)
    assert.equal(toHex(ecdsaDer(big, big).slice(0, 3)), '30818a')
    assert.throws(() => ecdsaDer(new Uint8Array(121).fill(1), big), RangeError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 120 }), (r, s) => {
        const der = ecdsaDer(r, s)
        const [, first, second] = der
        const size = first === 0x81 ? (second as number) + 3 : (first as number) + 2
        assert.equal(der.length, size)
      }),
    )
  })
})

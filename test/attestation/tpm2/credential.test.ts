import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { hashSize } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  CREDENTIAL_ERRORS,
  decodeEncryptedSecret,
  decodeIdObject,
  decodePublic,
  type EccPublic,
  EK_TEMPLATES,
  encodePublic,
  kdfa,
  kdfe,
  makeCredential,
  objectName,
  openCredential,
  type RsaPublic,
  type TpmPublic,
} from '../../../attestation/tpm2/index.ts'
import { type SoftwareKey, softwareKey } from '../../support/software-ak.ts'
import { copiedVectors } from '../../support/vectors.ts'

const random = (size: number): Uint8Array => new Uint8Array(randomBytes(size))
const name = objectName(softwareKey(AK_TEMPLATE_P256).public)
const keys = new Map<string, SoftwareKey>()
/** One key for each template: RSA-4096 takes seconds to make, so H-7 is left to H-6, which differs in size only. */
const ekOf = (id: string): SoftwareKey => {
  const template = EK_TEMPLATES.find((t) => t.id === id)
  assert.ok(template)
  const key = keys.get(id) ?? softwareKey(template.public)
  keys.set(id, key)
  return key
}
const provoked = new Set<string>()

describe('makeCredential', () => {
  for (const id of ['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6']) {
    it(`makes for an EK of template ${id} what that EK opens`, () => {
      const ek = ekOf(id)
      const size = hashSize(decodePublic(ek.public).nameAlg)
      for (const secret of [random(1), random(32), random(size)]) {
        const credential = makeCredential(ek.public, name, secret, random)
        assert.deepEqual(openCredential(ek.public, ek.privateKey, name, credential), secret)
        assert.equal(decodeIdObject(credential.idObject).encIdentity.length, 2 + secret.length)
      }
    })
  }

  const refuses = (what: string, code: keyof typeof CREDENTIAL_ERRORS, act: () => unknown): void => {
    provoked.add(code)
    it(`refuses ${what} with ${code}`, () => assert.throws(act, { name: 'CredentialError', code }))
  }
  const l2 = decodePublic(ekOf('L-2').public) as EccPublic // from that template
  const l1 = decodePublic(ekOf('L-1').public) as RsaPublic // likewise
  const forEk = (ek: TpmPublic) => () => makeCredential(encodePublic(ek), name, random(32), random)
  refuses('an attestation key as EK', 'CREDENTIAL_EK_UNSUITABLE', forEk(AK_TEMPLATE_P256))
  refuses(
    'an unrestricted key as EK',
    'CREDENTIAL_EK_UNSUITABLE',
    forEk({ ...l2, attributes: l2.attributes & ~0x10000 }),
  )
  refuses('a key without cipher as EK', 'CREDENTIAL_EK_UNSUITABLE', forEk({ ...l2, symmetric: { alg: 'null' } }))
  refuses(
    'a key with another mode as EK',
    'CREDENTIAL_EK_UNSUITABLE',
    forEk({ ...l2, symmetric: { alg: 'aes', keyBits: 128, mode: 'ctr' } }),
  )
  refuses(
    'a key with a cipher of odd size as EK',
    'CREDENTIAL_EK_UNSUITABLE',
    forEk({ ...l2, symmetric: { alg: 'aes', keyBits: 0, mode: 'cfb' } }),
  )
  refuses('a key named by SHA-1 as EK', 'CREDENTIAL_EK_UNSUITABLE', forEk({ ...l2, nameAlg: 'sha1' }))
  refuses('RSA-1024 as EK', 'CREDENTIAL_EK_UNSUITABLE', forEk({ ...l1, keyBits: 1024, unique: l1.unique.slice(128) }))
  refuses(
    'a sealed blob as EK',
    'CREDENTIAL_EK_UNSUITABLE',
    forEk({ ...l2, type: 'keyedhash', scheme: { alg: 'null' }, unique: new Uint8Array(32) }),
  )

  it('refuses an EK whose point is not on its curve, and bytes that are no EK', () => {
    assert.throws(forEk({ ...l2, unique: { ...l2.unique, x: l2.unique.y } }), { code: 'KEY_INVALID' })
    assert.throws(() => makeCredential(new Uint8Array(3), name, random(32), random), { name: 'WireError' })
  })

  it('takes a secret of no or too many bytes, or a Name that is none, for our own mistake', () => {
    const { public: ek } = ekOf('L-2')
    assert.throws(() => makeCredential(ek, name, new Uint8Array(0), random), RangeError)
    assert.throws(() => makeCredential(ek, name, new Uint8Array(33), random), RangeError)
    assert.throws(() => makeCredential(ek, name.slice(1), random(32), random), RangeError)
    assert.throws(() => makeCredential(ek, name, random(32), () => new Uint8Array(32)), RangeError)
    assert.throws(() => makeCredential(ek, name, random(32), () => random(31)), RangeError)
  })

  for (const id of ['L-1', 'L-2', 'H-3']) {
    const ek = ekOf(id)
    const secret = random(32)
    const credential = makeCredential(ek.public, name, secret, random)
    const open =
      (over: Partial<typeof credential>, forName = name) =>
      () =>
        openCredential(ek.public, ek.privateKey, forName, { ...credential, ...over })
    const other = softwareKey(AK_TEMPLATE_P256).public

    refuses(`a credential for another object, EK ${id},`, 'CREDENTIAL_INTEGRITY', open({}, objectName(other)))
    refuses(
      `the encrypted secret of another credential, EK ${id},`,
      'CREDENTIAL_INTEGRITY',
      open({ encryptedSecret: makeCredential(ek.public, name, secret, random).encryptedSecret }),
    )

    it(`refuses every changed or cut byte of a credential, EK ${id}`, () => {
      for (const part of ['idObject', 'encryptedSecret'] as const) {
        for (let i = 0; i < credential[part].length; i++) {
          const changed = Uint8Array.from(credential[part])
          changed[i] = (changed[i] as number) ^ 0x40
          assert.throws(open({ [part]: changed }), { name: /^(CredentialError|WireError|KeyError)$/ }, `${part} ${i}`)
          assert.throws(open({ [part]: credential[part].slice(0, i) }), { name: 'WireError' }, `${part} ${i}`)
        }
      }
    })
  }

  refuses("another RSA key's credential", 'CREDENTIAL_NOT_OURS', () =>
    openCredential(
      ekOf('L-1').public,
      ekOf('L-1').privateKey,
      name,
      makeCredential(ekOf('H-1').public, name, random(8), random),
    ),
  )

  it('provokes each code somewhere above', () => {
    assert.deepEqual([...provoked].sort(), Object.keys(CREDENTIAL_ERRORS).sort())
  })
})

describe('the credential that tpm2-tools made and swtpm activated', () => {
  const swtpm = copiedVectors('swtpm')
  it('has the two parts that ours have, and gave the secret', () => {
    const file = swtpm.read('objects/mkcred-ekrsa-akrsa.blob')
    // The tools' own frame: magic badcc0de, version 1, then the two TPM2B.
    assert.equal(toHex(file.slice(0, 8)), 'badcc0de00000001')
    const idSize = 2 + ((file[8] as number) << 8) + (file[9] as number)
    const { integrityHmac, encIdentity } = decodeIdObject(file.slice(8, 8 + idSize))
    const seed = decodeEncryptedSecret(file.slice(8 + idSize))
    const ours = makeCredential(
      swtpm.read('ek/ek-rsa.tpm2b_public').slice(2),
      swtpm.read('ak/ak-rsa.name'),
      swtpm.read('objects/mkcred.secret'),
      random,
    )
    assert.equal(integrityHmac.length, decodeIdObject(ours.idObject).integrityHmac.length)
    assert.equal(encIdentity.length, decodeIdObject(ours.idObject).encIdentity.length)
    assert.equal(seed.length, decodeEncryptedSecret(ours.encryptedSecret).length)
    assert.deepEqual(swtpm.read('objects/activated.out'), swtpm.read('objects/mkcred.secret'))
  })
})

describe('kdfa and kdfe', () => {
  const NONE = new Uint8Array(0)

  it('are HMAC and hash of counter, label with NUL, contexts', () => {
    // Computed with Python's hmac and hashlib from the formulas of Part 1 §11.4.10.
    assert.equal(
      toHex(kdfa('sha256', utf8('key'), 'STORAGE', utf8('name'), NONE, 128)),
      'f326323083f0cc07d4b962f7f32d91b3',
    )
    assert.equal(
      toHex(kdfa('sha384', utf8('key'), 'INTEGRITY', NONE, utf8('v'), 512)),
      '28ef7604355d8f96874a3f7883c6106d0ea80b8bd3c9f8927143324a1f6cbd968b2c11eab502e8f74c8b4317ebc6e8c273bc695c4ab3b0415afe029b65baf0d6',
    )
    assert.equal(
      toHex(kdfe('sha256', utf8('z'), 'IDENTITY', utf8('u'), utf8('v'), 521)),
      '00f6befd5f2d84835f0ac9b584ea8bb71655b1fc7b8857cfcfaa1c858ce8aba1633ef9bbe67726b79f508a56f535f426fd531064ec0f8447437b2c67eaea3382ffef',
    )
  })

  it('give as many bits as asked for, with the excess cleared', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4096 }), (bits) => {
        for (const out of [
          kdfa('sha256', utf8('k'), 'L', NONE, NONE, bits),
          kdfe('sha384', utf8('k'), 'L', NONE, NONE, bits),
        ]) {
          assert.equal(out.length, Math.ceil(bits / 8))
          if (bits % 8 !== 0) assert.equal((out[0] as number) >> (bits % 8), 0)
        }
      }),
    )
  })

  it('refuse no bits, too many, and a label with a NUL', () => {
    for (const bits of [0, -8, 4097, 1.5]) {
      assert.throws(() => kdfa('sha256', NONE, 'L', NONE, NONE, bits), RangeError)
      assert.throws(() => kdfe('sha256', NONE, 'L', NONE, NONE, bits), RangeError)
    }
    assert.throws(() => kdfa('sha256', NONE, 'L\0', NONE, NONE, 8), RangeError)
  })
})

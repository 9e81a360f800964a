import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { fromHex, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest, ecPoint, importSpki, type PublicKey, verifySignature } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  decodeQuoteAttest,
  decodeSizedPublic,
  EK_POLICY_A_SHA256,
  EK_POLICY_B_SHA256,
  EK_POLICY_B_SHA384,
  EK_POLICY_B_SHA512,
  encodePublic,
  handleName,
  objectAttributes,
  objectName,
  type PcrSelection,
  type PcrValue,
  pcrIndex,
  policyAuthorizeMessage,
  policySignedMessage,
  startPolicy,
  TIME_INFO_OFFSET,
  TPM_EO_EQ,
  TPM_EO_UNSIGNED_LE,
  TPM_RH_ENDORSEMENT,
} from '../../../attestation/tpm2/index.ts'
import { copiedVectors } from '../../support/vectors.ts'

const swtpm = copiedVectors('swtpm')
const select = (...pcrs: number[]): PcrSelection[] => [{ bank: 'sha256', pcrs: pcrs.map(pcrIndex) }]
const u32 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)

describe('policy digests that swtpm computed', () => {
  const keyName = swtpm.read('policy/verifier.name')
  const pem = Buffer.from(swtpm.read('policy/verifier.pub.pem'))
  const verifier: PublicKey = importSpki(createPublicKey(pem).export({ format: 'der', type: 'spki' }))

  it("come out for PolicyPCR over PCR 0, 7 and 15 as in the pod's quote", () => {
    const { pcrSelections } = decodeQuoteAttest(swtpm.read('quotes/good-rsa-pod.attest'))
    const raw = swtpm.read('quotes/good-rsa-pod.pcrs')
    const values = pcrSelections[0]?.pcrs.map(
      (pcr, i): PcrValue => ({ bank: 'sha256', pcr, value: raw.slice(32 * i, 32 * i + 32) }),
    )
    const read = values?.filter((v) => [0, 7, 15].includes(v.pcr)) ?? []
    const policy = startPolicy('sha256').pcr(select(0, 7, 15), read)
    assert.deepEqual(policy.digest, swtpm.read('policy/policypcr-0-7-15.digest'))
  })

  it("come out for PolicyAuthorize by the verifier's key, whose Name is that of the loaded public area", () => {
    const external = encodePublic({
      ...AK_TEMPLATE_P256,
      attributes: objectAttributes('userWithAuth', 'sign', 'decrypt'), // what tpm2_loadexternal sets
      scheme: { alg: 'null' },
      unique: ecPoint(verifier),
    })
    assert.deepEqual(objectName(external), keyName)
    assert.deepEqual(startPolicy('sha256').authorize(keyName).digest, swtpm.read('policy/policyauthorize.digest'))
  })

  const launch = JSON.parse(swtpm.text('launch-policy/expected.json'))
  const policyRef = digest('sha256', utf8('tpm-pods/launch/v1'), Uint8Array.of(0), utf8(launch.podId))
  const after = digest('sha256', fromHex(launch.pcr15_before), fromHex(launch.eventDigest))

  it('come out for a launch: the reference, the register after the event, and the authorised policy', () => {
    assert.equal(toHex(policyRef), launch.policyRef)
    assert.deepEqual(policyRef, swtpm.read('launch-policy/ref.bin'))
    assert.equal(toHex(after), launch.pcr15_expected_after)
    const authorised = startPolicy('sha256').commandCode(1).authorize(keyName, policyRef)
    assert.equal(toHex(authorised.digest), launch.authPolicy)
    assert.deepEqual(authorised.digest, swtpm.read('launch-policy/auth.digest'))
  })

  const terms = {
    v1: startPolicy('sha256').counterTimer(u32(1), TIME_INFO_OFFSET.resetCount, TPM_EO_EQ),
    v2: startPolicy('sha256')
      .counterTimer(u32(1), TIME_INFO_OFFSET.resetCount, TPM_EO_EQ)
      .counterTimer(u32(0), TIME_INFO_OFFSET.restartCount, TPM_EO_EQ),
  }
  for (const [version, policy] of Object.entries(terms)) {
    it(`come out for the approved policy ${version}, which the verifier signed and an object carries`, () => {
      const approved = policy.pcr(select(15), [{ bank: 'sha256', pcr: pcrIndex(15), value: after }]).digest
      assert.equal(toHex(approved), launch[version].approvedPolicy)
      assert.deepEqual(approved, swtpm.read(`launch-policy/${version}-approved.digest`))
      const bytes = swtpm.read(`launch-policy/${version}-approval.sig.der`)
      const signature = { alg: 'ecdsa', hash: 'sha256', bytes } as const
      assert.ok(verifySignature(verifier, signature, policyAuthorizeMessage(approved, policyRef)))
      assert.ok(!verifySignature(verifier, signature, policyAuthorizeMessage(approved)))
      const sealed = decodeSizedPublic(swtpm.read(`launch-policy/${version}-sealed.tpm2b_public`))
      assert.equal(toHex(sealed.authPolicy), launch.authPolicy)
    })
  }
})

describe('policy digests of the TCG EK templates', () => {
  // PolicyC of each hash: PolicyAuthorizeNV of the TCG's index (EK Credential Profile 2.5, annex B.6.4).
  const POLICY_C = {
    sha256: '3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde',
    sha384: 'd6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165',
    sha512:
      '589ee1e146544716e8deafe6db247b01b81e9f9c7dd16b814aa159138749105fba5388dd1dea702f35240c184933121e2c61b8f50d3ef91393a49a38c3f73fc8',
  } as const
  const POLICY_B = { sha256: EK_POLICY_B_SHA256, sha384: EK_POLICY_B_SHA384, sha512: EK_POLICY_B_SHA512 }

  it('come out for PolicyA: PolicySecret of the endorsement hierarchy', () => {
    assert.deepEqual(startPolicy('sha256').secret(handleName(TPM_RH_ENDORSEMENT)).digest, EK_POLICY_A_SHA256)
  })

  for (const alg of ['sha256', 'sha384', 'sha512'] as const) {
    it(`come out for PolicyB in ${alg}: PolicyOR of A and C`, () => {
      const a = startPolicy(alg).secret(handleName(TPM_RH_ENDORSEMENT))
      assert.deepEqual(a.or([a.digest, fromHex(POLICY_C[alg])]).digest, POLICY_B[alg])
    })
  }
})

describe('startPolicy', () => {
  const start = startPolicy('sha256')

  it('begins with zeros and leaves each step as it was', () => {
    const before = Uint8Array.from(start.digest)
    start.commandCode(0x15e).secret(handleName(TPM_RH_ENDORSEMENT), utf8('x'))
    assert.deepEqual(start.digest, before)
    assert.deepEqual(before, new Uint8Array(32))
  })

  it('tells apart: order, references, operators, offsets, names, keys', () => {
    const name = handleName(TPM_RH_ENDORSEMENT)
    const value = new Uint8Array(8)
    const digests = [
      start.commandCode(1).commandCode(2),
      start.commandCode(2).commandCode(1),
      start.secret(name),
      start.secret(name, utf8('a')),
      start.signed(name),
      start.signed(name, utf8('a')),
      start.authorize(name),
      start.authorize(name, utf8('a')),
      start.nv(value, 0, TPM_EO_EQ, name),
      start.nv(value, 1, TPM_EO_EQ, name),
      start.nv(value, 0, TPM_EO_UNSIGNED_LE, name),
      start.nv(value, 0, TPM_EO_EQ, utf8('other')),
      start.counterTimer(value, 0, TPM_EO_EQ),
      start.counterTimer(value, 8, TPM_EO_EQ),
    ].map((p) => toHex(p.digest))
    assert.equal(new Set(digests).size, digests.length)
  })

  it('forgets with PolicyAuthorize and PolicyOR how it came there', () => {
    const [a, b] = [start.commandCode(1), start.commandCode(2)]
    assert.deepEqual(a.authorize(utf8('k')).digest, b.authorize(utf8('k')).digest)
    assert.deepEqual(a.or([a.digest, b.digest]).digest, b.or([a.digest, b.digest]).digest)
  })

  it('refuses branches that a TPM refuses', () => {
    const a = start.commandCode(1)
    const other = new Uint8Array(32)
    assert.throws(() => a.or([a.digest]), RangeError)
    assert.throws(() => a.or(Array.from({ length: 9 }, () => a.digest)), RangeError)
    assert.throws(() => a.or([other, other]), RangeError)
    assert.throws(() => a.or([a.digest, new Uint8Array(20)]), RangeError)
  })

  it('refuses values that are not those of the selection, and numbers that are no UINT16', () => {
    const value = (pcr: number): PcrValue => ({ bank: 'sha256', pcr: pcrIndex(pcr), value: new Uint8Array(32) })
    for (const values of [[], [value(1)], [value(0), value(0)], [value(0), value(1)]]) {
      assert.throws(() => start.pcr(select(0), values), RangeError)
    }
    assert.throws(() => start.counterTimer(new Uint8Array(4), 65536, TPM_EO_EQ), RangeError)
    assert.throws(() => start.counterTimer(new Uint8Array(4), -1, TPM_EO_EQ), RangeError)
  })

  it('signs a negative expiration as two’s complement, and refuses what is no INT32', () => {
    assert.equal(
      toHex(policySignedMessage(Uint8Array.of(1), -60, Uint8Array.of(2), Uint8Array.of(3))),
      '01ffffffc40203',
    )
    assert.throws(() => policySignedMessage(new Uint8Array(0), 2 ** 31, new Uint8Array(0)), RangeError)
    assert.throws(() => policySignedMessage(new Uint8Array(0), 0.5, new Uint8Array(0)), RangeError)
  })
})

import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { fromHex, toHex } from '../../../attestation/base/index.ts'
import {
  ed25519PublicKeyOf,
  importEd25519PublicKey,
  signEd25519,
  verifyEd25519,
} from '../../../attestation/crypto/index.ts'
import { ed25519PrivateKey } from '../../support/log-keys.ts'

// RFC 8032 §7.1, TEST 1: the empty message
const SEED = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
const PUBLIC = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
const SIGNATURE = fromHex(
  'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
)
const EMPTY = new Uint8Array(0)

describe('Ed25519', () => {
  it('signs and verifies as RFC 8032 has it', () => {
    assert.equal(toHex(ed25519PublicKeyOf(ed25519PrivateKey(SEED)).bytes), toHex(PUBLIC))
    assert.equal(toHex(signEd25519(ed25519PrivateKey(SEED), EMPTY)), toHex(SIGNATURE))
    assert.equal(verifyEd25519(importEd25519PublicKey(PUBLIC), EMPTY, SIGNATURE), true)
  })
  it('verifies nothing else', () => {
    const key = importEd25519PublicKey(PUBLIC)
    assert.equal(verifyEd25519(key, Uint8Array.of(0), SIGNATURE), false)
    for (const length of [0, 1, 63]) assert.equal(verifyEd25519(key, EMPTY, SIGNATURE.subarray(0, length)), false)
    assert.equal(verifyEd25519(key, EMPTY, new Uint8Array([...SIGNATURE, 0])), false)
    for (let bit = 0; bit < 8 * SIGNATURE.length; bit++) {
      const changed = SIGNATURE.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      assert.equal(verifyEd25519(key, EMPTY, changed), false, `bit ${bit}`)
    }
    assert.equal(verifyEd25519(importEd25519PublicKey(new Uint8Array(32).fill(0xff)), EMPTY, SIGNATURE), false)
  })
  it('is not asked of other keys', () => {
    for (const length of [0, 31, 33]) {
      assert.throws(() => importEd25519PublicKey(new Uint8Array(length)), { code: 'KEY_INVALID' })
    }
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    assert.throws(() => ed25519PublicKeyOf(privateKey), { code: 'KEY_UNSUPPORTED' })
  })
})

import assert from 'node:assert/strict'
import * as asn1 from '../../../attestation/ca/asn1.ts'
import { EXT, findPath, makeRootStore } from '../../../attestation/endorsement/index.ts'
import {
  aki,
  caExtensions,
  type Extension,
  ecKey,
  ekExtensions,
  type KeyPair,
  rsaKey,
  type Scheme,
  skid,
} from '../../support/certificates.ts'
import {
  assertCode,
  direct,
  find,
  leaf,
  leafKey,
  lengthOf,
  make,
  mid,
  NOW,
  otherKey,
  root,
  rootKey,
  STRICT,
} from '../../support/ek-path.ts'

describe('path from an EK certificate to a root', () => {
  it('goes over supplied or stored intermediates', () => {
    assert.equal(lengthOf(find(leaf(), [mid()], [root()])), 3)
    const store = makeRootStore([root()], [mid()])
    assert.equal(lengthOf(findPath(leaf(), [], store, STRICT, NOW)), 3)
  })
  it('ends at an anchor that is not self-signed, if the operator trusts it', () => {
    assert.equal(lengthOf(find(leaf(), [], [mid()])), 2)
  })
  const schemes: readonly (readonly [Scheme, KeyPair])[] = [
    ['sha256WithRSA', rsaKey()],
    ['sha384WithRSA', rsaKey()],
    ['sha512WithRSA', rsaKey()],
    ['sha256ECDSA', ecKey('P-256')],
    ['sha384ECDSA', ecKey('P-384')],
    ['sha512ECDSA', ecKey('P-521')],
  ]
  for (const [scheme, key] of schemes) {
    it(`checks ${scheme}`, () => {
      const ca = root({ key, issuerKey: key, scheme })
      assert.equal(lengthOf(find(direct({ issuerKey: key, scheme }), [], [ca])), 2)
      const forged = direct({ issuerKey: scheme.endsWith('RSA') ? rsaKey() : ecKey(), scheme })
      assertCode(find(forged, [], [ca]), 'EK_CHAIN_SIGNATURE_INVALID', /does not verify with the key of "CN=Root"/)
    })
  }
  it('flags SHA-1 signatures, and refuses MD5', () => {
    const key = rsaKey()
    const ca = root({ key, issuerKey: key, scheme: 'sha1WithRSA' })
    const result = find(direct({ issuerKey: key, scheme: 'sha1WithRSA' }), [], [ca])
    assert.ok(result.kind === 'path')
    assert.deepEqual(
      result.findings.map((f) => `${f.tier} ${f.rule}`),
      ['warning ek-chain.sha1'], // the root's own signature is not relied on
    )
    const md5 = direct({ issuerKey: key, scheme: 'md5WithRSA' })
    assertCode(find(md5, [], [ca]), 'EK_CHAIN_ALGORITHM', /1\.2\.840\.113549\.1\.1\.4, which is not accepted/)
  })
  it('names the missing CA by name and key identifier, and says what to do', () => {
    const wanted = /CA certificate missing: CN=Mid, key identifier (01){20}, which issued .*holdfast roots import/
    assertCode(find(leaf(), [], [root()]), 'EK_CHAIN_ISSUER_UNKNOWN', wanted)
    assertCode(
      find(leaf(), [mid()], []),
      'EK_CHAIN_ISSUER_UNKNOWN',
      /CA certificate missing: CN=Root, key identifier (02){20}/,
    )
  })
  it('says where the missing CA is published, if the certificate does, and shows nothing else of that address', () => {
    const access = (method: string, uri: string) =>
      asn1.sequence(asn1.oid(method), asn1.implicit(6, new Uint8Array(Buffer.from(uri))))
    const withAddress = (...descriptions: asn1.Asn1[]) =>
      leaf({
        extensions: [
          ...Object.values(ekExtensions()),
          [EXT.authorityInfoAccess, false, asn1.sequence(...descriptions)],
        ],
      })
    const caIssuers = '1.3.6.1.5.5.7.48.2'
    const good = withAddress(
      access('1.3.6.1.5.5.7.48.1', 'http://ocsp.example/'),
      access(caIssuers, 'ldap://x/'),
      access(caIssuers, 'http://pki.example/mid.crt'),
    )
    assertCode(
      find(good, [], [root()]),
      'EK_CHAIN_ISSUER_UNKNOWN',
      /is at http:\/\/pki\.example\/mid\.crt: fetch it, make sure/,
    )
    for (const uri of ['javascript:x', 'http://a\u001b[2J', `http://${'a'.repeat(600)}`]) {
      assertCode(
        find(withAddress(access(caIssuers, uri)), [], [root()]),
        'EK_CHAIN_ISSUER_UNKNOWN',
        /get it from the manufacturer/,
      )
    }
    const broken = leaf({
      extensions: [...Object.values(ekExtensions()), [EXT.authorityInfoAccess, false, asn1.set()]],
    })
    assertCode(find(broken, [], [root()]), 'EK_CHAIN_ISSUER_UNKNOWN', /get it from the manufacturer/)
  })
  it('takes another path of the same CA, cross-signed, when one does not hold', () => {
    const expiredRoot = root({ notAfter: new Date('2021-01-01T00:00:00Z'), key: rootKey })
    const otherRoot = make({
      subject: 'Other',
      key: otherKey,
      issuer: 'Other',
      issuerKey: otherKey,
      extensions: caExtensions({ keyId: 5 }),
    })
    const cross = mid({ issuer: 'Other', issuerKey: otherKey, extensions: caExtensions({ keyId: 1, authorityId: 5 }) })
    const result = find(leaf(), [mid(), cross], [expiredRoot, otherRoot])
    assert.ok(result.kind === 'path', result.kind === 'no-path' ? result.message : '')
    assert.deepEqual(
      result.path.slice(1).map((c) => c.issuer.text),
      ['CN=Other', 'CN=Other'],
    )
  })
  it('refuses SHA-1 where the policy says so', () => {
    const key = rsaKey()
    const ca = root({ key, issuerKey: key, scheme: 'sha1WithRSA' })
    const old = direct({ issuerKey: key, scheme: 'sha1WithRSA' })
    const result = findPath(old, [], makeRootStore([ca]), { validity: 'strict', sha1: 'refuse' }, NOW)
    assertCode(result, 'EK_CHAIN_ALGORITHM', /over SHA-1, which the settings refuse/)
    const fresh = direct({ issuerKey: key, scheme: 'sha256WithRSA' }) // the root's own signature is not relied on
    assert.equal(findPath(fresh, [], makeRootStore([ca]), { validity: 'strict', sha1: 'refuse' }, NOW).kind, 'path')
  })
  it('does not trust a root that came with the certificate', () => {
    assertCode(
      find(leaf(), [mid(), root()], []),
      'EK_CHAIN_ISSUER_UNKNOWN',
      /"CN=Root" is its own issuer and is not in the root store/,
    )
  })
  it('does not trust a self-signed EK certificate', () => {
    const own = leaf({ subject: 'EK', issuer: 'EK', issuerKey: leafKey })
    assertCode(find(own, [], [root()]), 'EK_CHAIN_ISSUER_UNKNOWN', /its own issuer/)
    assertCode(find(own, [own], [root()]), 'EK_CHAIN_ISSUER_UNKNOWN', /its own issuer/)
  })
  it('does not take a CA of the same name with another key', () => {
    const impostor = root({ key: otherKey, issuerKey: otherKey })
    assertCode(find(leaf(), [mid()], [impostor]), 'EK_CHAIN_SIGNATURE_INVALID', /"CN=Mid" does not verify/)
  })
  it('finds the right one of several CAs of one name', () => {
    const impostors = Array.from({ length: 5 }, () => {
      const key = ecKey()
      return root({ key, issuerKey: key })
    })
    assert.equal(lengthOf(find(leaf(), [mid()], [...impostors, root()])), 3)
  })
  it('passes over a CA whose key identifier contradicts', () => {
    const contradicting = root({ extensions: caExtensions({ keyId: 9 }) })
    assertCode(find(leaf(), [mid()], [contradicting]), 'EK_CHAIN_ISSUER_UNKNOWN', /key identifier (02){20}/)
  })
  it('refuses a signature swapped in from another certificate', () => {
    const good = leaf()
    const swapped = { ...good, signature: leaf({ serial: Uint8Array.of(8) }).signature }
    assertCode(find(swapped, [mid()], [root()]), 'EK_CHAIN_SIGNATURE_INVALID', /does not verify/)
    assertCode(
      find(good, [{ ...mid(), signature: good.signature }], [root()]),
      'EK_CHAIN_SIGNATURE_INVALID',
      /"CN=Mid"/,
    )
  })
  it('refuses an issuer whose key is of another kind than the signature, too small, or no key', () => {
    const rsa = rsaKey()
    assertCode(
      find(direct(), [], [root({ key: rsa, issuerKey: rsa, scheme: 'sha256WithRSA' })]),
      'EK_CHAIN_ALGORITHM',
      /signed with ecdsa, .* is rsa/,
    )
    const weak = rsaKey(1024)
    const weakCa = root({ key: weak, issuerKey: weak, scheme: 'sha256WithRSA' })
    assertCode(
      find(direct({ issuerKey: weak, scheme: 'sha256WithRSA' }), [], [weakCa]),
      'EK_CHAIN_ALGORITHM',
      /1024 bits/,
    )
    const offCurve = mid()
    assert.ok(offCurve.publicKey.kind === 'ec')
    const bent = { ...offCurve, publicKey: { ...offCurve.publicKey, y: new Uint8Array(32).fill(7) } }
    assertCode(find(leaf(), [], [bent]), 'EK_CHAIN_SIGNATURE_INVALID', /cannot be used/)
  })

  const bits = (octet: number, unused: number): Extension => [
    EXT.keyUsage,
    true,
    asn1.bitString(Uint8Array.of(octet), unused),
  ]
  const notCa: readonly (readonly [string, readonly Extension[], RegExp])[] = [
    ['an EK certificate as issuer', [...Object.values(ekExtensions()), skid(1)], /is no CA/],
    ['an issuer without extensions', [], /is no CA/],
    [
      'a CA without keyCertSign',
      [[EXT.basicConstraints, true, asn1.sequence(asn1.boolean(true))], bits(0x02, 1)],
      /may not sign/,
    ],
    [
      'a CA with a critical extension that it does not know',
      [...caExtensions({ keyId: 1 }), ['2.5.29.30', true, asn1.sequence()]],
      /2\.5\.29\.30/,
    ],
    [
      'a CA with name constraints that are not critical',
      [...caExtensions({ keyId: 1 }), ['2.5.29.30', false, asn1.sequence()]],
      /name constraints/,
    ],
  ]
  for (const [what, extensions, message] of notCa) {
    it(`refuses ${what}`, () => {
      assertCode(
        find(leaf(), [mid({ extensions: [...extensions, aki(2)].filter(unique) })], [root()]),
        'EK_CHAIN_ISSUER_NOT_CA',
        message,
      )
      assertCode(find(leaf(), [], [mid({ extensions })]), 'EK_CHAIN_ISSUER_NOT_CA', message) // an anchor too
    })
  }
  it('takes a CA without KeyUsage', () => {
    const bare = [[EXT.basicConstraints, true, asn1.sequence(asn1.boolean(true))] as const]
    assert.equal(lengthOf(find(leaf(), [mid({ extensions: bare })], [root({ extensions: bare })])), 3)
  })
  it('holds issuers and roots to their path length', () => {
    const tight = root({ extensions: caExtensions({ pathLength: 0, keyId: 2 }) })
    assertCode(find(leaf(), [mid()], [tight]), 'EK_CHAIN_ISSUER_NOT_CA', /allows 0 CAs below it, the path has 1/)
    assert.equal(lengthOf(find(direct(), [], [tight])), 2)
    assert.equal(lengthOf(find(leaf(), [mid()], [root({ extensions: caExtensions({ pathLength: 1, keyId: 2 }) })])), 3)
  })
})

/** The first extension of each kind. */
function unique(e: Extension, i: number, all: readonly Extension[]): boolean {
  return all.findIndex((other) => other[0] === e[0]) === i
}

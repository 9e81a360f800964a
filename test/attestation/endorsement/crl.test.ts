import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  type Certificate,
  decodeCertificate,
  decodeRevocationList,
  EndorsementError,
  findPath,
  isRevocationList,
  MAX_CRL_ENTRIES,
  makeRootStore,
  type PathResult,
  parseCertificateBundle,
  type RevocationList,
} from '../../../attestation/endorsement/index.ts'
import { caExtensions, ecKey, ekExtensions, makeCertificate, type TestCertificate } from '../../support/certificates.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { makeCrl, type TestCrl } from '../../support/revocation.ts'

const NOW = new Date('2026-11-24T00:00:00Z')
const POLICY = { validity: 'strict', sha1: 'warn' } as const
const rootKey = ecKey()
const midKey = ecKey()
const EK_SERIAL = Uint8Array.of(0x11)
const MID_SERIAL = Uint8Array.of(0x22)

const make = (c: TestCertificate): Certificate => decodeCertificate(makeCertificate(c))
const root = make({
  subject: 'Root',
  key: rootKey,
  issuer: 'Root',
  issuerKey: rootKey,
  extensions: caExtensions({ keyId: 2 }),
})
const mid = make({
  subject: 'Mid',
  key: midKey,
  issuer: 'Root',
  issuerKey: rootKey,
  serial: MID_SERIAL,
  extensions: caExtensions({ keyId: 1, authorityId: 2 }),
})
const leaf = make({
  subject: '',
  key: ecKey(),
  issuer: 'Mid',
  issuerKey: midKey,
  serial: EK_SERIAL,
  extensions: Object.values(ekExtensions()),
})
const crl = (change: Partial<TestCrl> = {}): RevocationList =>
  decodeRevocationList(makeCrl({ issuer: 'Mid', issuerKey: midKey, ...change }))
const find = (...crls: readonly RevocationList[]): PathResult =>
  findPath(leaf, [], makeRootStore([root], [mid], crls), POLICY, NOW)

function assertRevoked(result: PathResult, message: RegExp): void {
  assert.ok(result.kind === 'no-path', 'a path was found')
  assert.equal(result.code, 'EK_CERT_REVOKED', result.message)
  assert.match(result.message, message)
}
function assertFound(result: PathResult, ...warnings: readonly RegExp[]): void {
  assert.ok(result.kind === 'path', result.kind === 'no-path' ? result.message : '')
  assert.deepEqual(
    result.findings.map((f) => f.rule),
    warnings.map(() => 'ek-chain.crl'),
  )
  for (const [i, warning] of warnings.entries()) assert.match(result.findings[i]?.message ?? '', warning)
}

describe('CRLs', () => {
  it('of the issuer refuse an EK certificate that they list, with date and reason', () => {
    assertRevoked(
      find(crl({ revoked: [[EK_SERIAL, 1]] })),
      /revoked by its issuer on 2026-02-01T00:00:00Z \(keyCompromise\)/,
    )
    assertRevoked(find(crl({ revoked: [[EK_SERIAL]] })), /was revoked/)
    assertRevoked(find(crl({ revoked: [[EK_SERIAL, 6]] })), /certificateHold/)
  })
  it('refuse an intermediate too', () => {
    const ofRoot = crl({ issuer: 'Root', issuerKey: rootKey, revoked: [[MID_SERIAL, 2]] })
    assertRevoked(find(ofRoot), /"CN=Mid" was revoked .*cACompromise/)
  })
  it('say nothing where they list others, or where there are none', () => {
    assertFound(find(crl({ revoked: [[MID_SERIAL]] })))
    assertFound(find(crl({ issuer: 'Root', issuerKey: rootKey, revoked: [[EK_SERIAL]] }))) // another issuer's number
    assertFound(find())
  })
  it('still revoke when they are stale, and tell that they are', () => {
    const nextUpdate = new Date('2026-07-01T00:00:00Z')
    assertRevoked(find(crl({ nextUpdate, revoked: [[EK_SERIAL]] })), /was revoked/)
    assertFound(find(crl({ nextUpdate })), /is stale: the next one was due 2026-07-01T00:00:00Z/)
    assertFound(find(crl({ nextUpdate: null })))
  })
  it('count newest first: a certificate on hold that was taken off is good again', () => {
    const old = crl({ thisUpdate: new Date('2026-03-01T00:00:00Z'), revoked: [[EK_SERIAL, 6]] })
    assertFound(find(old, crl()))
    assertRevoked(
      find(crl({ thisUpdate: new Date('2026-03-01T00:00:00Z') }), crl({ revoked: [[EK_SERIAL]] })),
      /revoked/,
    )
  })
  it('that are one part of several do not hide another part', () => {
    const part = ['2.5.29.28', true, Uint8Array.of(0x30, 3, 0x81, 1, 0xff)] as const // onlyContainsUserCerts
    const newer = crl({ extensions: [part] })
    assert.equal(newer.partial, true)
    const older = new Date('2026-03-01T00:00:00Z')
    assertRevoked(find(newer, crl({ thisUpdate: older, revoked: [[EK_SERIAL]] })), /was revoked/)
    assertRevoked(find(newer, crl({ thisUpdate: older, revoked: [[EK_SERIAL]], extensions: [part] })), /was revoked/)
    assertFound(find(newer))
  })
  it('in any number of parts are all looked at', () => {
    const part = ['2.5.29.28', true, Uint8Array.of(0x30, 3, 0x81, 1, 0xff)] as const
    const parts = Array.from({ length: 40 }, () => crl({ extensions: [part] }))
    const older = new Date('2026-03-01T00:00:00Z')
    const oldest = crl({ thisUpdate: older, revoked: [[EK_SERIAL]], extensions: [part] })
    assertRevoked(find(...parts, oldest), /was revoked/)
    assertFound(find(...parts))
    const nextUpdate = new Date('2026-07-01T00:00:00Z')
    assertFound(find(...parts, crl({ nextUpdate, extensions: [part] })), /is stale/)
  })
  it('that settle nothing are checked up to a bound, and it is told what was not looked at', () => {
    const forged = (n: number) => Array.from({ length: n }, () => crl({ issuerKey: ecKey() }))
    const older = crl({ thisUpdate: new Date('2026-03-01T00:00:00Z'), revoked: [[EK_SERIAL]] })
    assertRevoked(find(...forged(7), older), /was revoked/)
    const told = Array.from({ length: 8 }, () => /it is not used/)
    assertFound(find(...forged(8), older), ...told, /2026-03-01T00:00:00Z and older ones are not looked at/)
  })
  it('of the right name and a wrong key revoke nothing, and are told', () => {
    const revoked = [[EK_SERIAL]] as const
    assertFound(find(crl({ issuerKey: ecKey(), revoked })), /does not verify with the key of "CN=Mid"; it is not used/)
    const otherKeyId = [['2.5.29.35', false, Uint8Array.of(0x30, 4, 0x80, 2, 9, 9)]] as const
    assertFound(find(crl({ issuerKey: ecKey(), revoked, extensions: otherKeyId }))) // of the CA's other key: nothing to say
    assertFound(
      find(crl({ thisUpdate: new Date('2027-01-01T00:00:00Z'), revoked })),
      /from the future; check the clock/,
    )
  })
  it('of a CA that may not sign CRLs are not used', () => {
    const noCrlSign = { ...mid, extensions: { ...mid.extensions, keyUsage: new Set(['keyCertSign'] as const) } }
    const store = makeRootStore([root], [noCrlSign], [crl({ revoked: [[EK_SERIAL]] })])
    assertFound(findPath(leaf, [], store, POLICY, NOW), /may not sign CRLs/)
  })
  it('cannot be slipped in by the node: only those of the store count', () => {
    const der = makeCrl({ issuer: 'Mid', issuerKey: midKey, revoked: [[EK_SERIAL]] })
    assert.equal(parseCertificateBundle(der).certificates.length, 0)
  })

  it('are read from PEM and DER, told from certificates', () => {
    const der = makeCrl({ issuer: 'Mid', issuerKey: midKey, revoked: [[EK_SERIAL]] })
    assert.ok(isRevocationList(der))
    assert.ok(!isRevocationList(leaf.bytes))
    assert.ok(isRevocationList(makeCrl({ issuer: 'Mid', issuerKey: midKey, version: 1 })))
    const pem = `-----BEGIN X509 CRL-----\n${Buffer.from(der).toString('base64')}\n-----END X509 CRL-----\n`
    for (const bytes of [der, new Uint8Array(Buffer.from(pem)), Buffer.concat([mid.bytes, der])]) {
      const bundle = parseCertificateBundle(bytes)
      assert.deepEqual(bundle.problems, [])
      assert.equal(bundle.crls[0]?.revoked.size, 1)
    }
  })
  const unsupported: readonly (readonly [string, Partial<TestCrl>])[] = [
    ['a delta CRL', { extensions: [['2.5.29.27', true, Uint8Array.of(2, 1, 1)]] }],
    ['an indirect CRL', { extensions: [['2.5.29.28', true, Uint8Array.of(0x30, 3, 0x84, 1, 0xff)]] }],
    ['an unknown critical extension', { extensions: [['1.2.3.4', true, Uint8Array.of(5, 0)]] }],
    [
      'an entry of another issuer',
      { revoked: [[EK_SERIAL]], entryExtensions: [['2.5.29.29', true, Uint8Array.of(0x30, 0)]] },
    ],
  ]
  for (const [what, change] of unsupported) {
    it(`with ${what} are refused`, () => assert.throws(() => crl(change), { code: 'CRL_UNSUPPORTED' }))
  }
  it('with a distribution point or a number are read', () => {
    const number = ['2.5.29.20', false, Uint8Array.of(2, 1, 7)] as const
    const point = ['2.5.29.28', true, Uint8Array.of(0x30, 3, 0x82, 1, 0xff)] as const
    assert.equal(crl({ extensions: [number, point] }).revoked.size, 0)
  })
  it('that name two algorithms, or claim more than the limits, are refused', () => {
    assert.throws(() => crl({ outerScheme: 'sha384ECDSA' }), { code: 'CERT_MALFORMED' })
    assert.throws(() => decodeRevocationList(Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff)), {
      code: 'CERT_TOO_LARGE',
    })
    const many = Array.from({ length: MAX_CRL_ENTRIES + 1 }, (_, i) =>
      Uint8Array.of(2, 3, 1 + (i >> 16), (i >> 8) & 0xff, i & 0xff),
    )
    const time = Buffer.from('170d3236303230313030303030305a', 'hex')
    const entries = Buffer.concat(many.map((serial) => Buffer.concat([Uint8Array.of(0x30, 20), serial, time])))
    const der = (tag: number, ...parts: Uint8Array[]) => {
      const content = Buffer.concat(parts)
      return Buffer.concat([
        Uint8Array.of(tag, 0x83, content.length >> 16, (content.length >> 8) & 0xff, content.length & 0xff),
        content,
      ])
    }
    const algorithm = Buffer.from('300a06082a8648ce3d040302', 'hex')
    const tbs = der(0x30, algorithm, Uint8Array.of(0x30, 0), time, der(0x30, entries))
    const huge = der(0x30, tbs, algorithm, Uint8Array.of(3, 2, 0, 0))
    assert.throws(() => decodeRevocationList(huge), { code: 'CERT_TOO_LARGE', message: /more than 100000 entries/ })
  })
  it('give a list or a coded error for every prefix and any mutation', () => {
    const whole = makeCrl({ issuer: 'Mid', issuerKey: midKey, revoked: [[EK_SERIAL, 1], [MID_SERIAL]] })
    for (let n = 0; n < whole.length; n++) {
      assert.throws(() => decodeRevocationList(whole.subarray(0, n)), EndorsementError)
      isRevocationList(whole.subarray(0, n))
    }
    const edits = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = whole.slice()
        for (const [at, value] of changes) bytes[at] = value
        try {
          find(decodeRevocationList(bytes))
        } catch (err) {
          assert.ok(err instanceof EndorsementError, String(err))
        }
      }),
      { numRuns: fuzzRuns(1500) },
    )
  })
})

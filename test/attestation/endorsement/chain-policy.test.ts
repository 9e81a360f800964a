import assert from 'node:assert/strict'
import {
  findPath,
  MAX_PATH_CERTIFICATES,
  makeRootStore,
  type ValidityPolicy,
} from '../../../attestation/endorsement/index.ts'
import { caExtensions } from '../../support/certificates.ts'
import {
  assertCode,
  type Change,
  find,
  leaf,
  lengthOf,
  make,
  mid,
  midKey,
  NOW,
  otherKey,
  root,
  rootKey,
  STRICT,
} from '../../support/ek-path.ts'

describe('a path and the operator’s policy and limits', () => {
  describe('validity', () => {
    const [past, recent, future] = [
      new Date('2021-01-01T00:00:00Z'),
      new Date('2025-01-01T00:00:00Z'),
      new Date('2030-01-01T00:00:00Z'),
    ]
    const cases: readonly (readonly [string, Change, Change, Record<ValidityPolicy, boolean>])[] = [
      ['all valid', {}, {}, { strict: true, 'at-issue': true, 'ignore-expiry': true }],
      [
        'an expired EK certificate',
        { notAfter: recent },
        {},
        { strict: false, 'at-issue': true, 'ignore-expiry': true },
      ],
      ['a CA that expired since', {}, { notAfter: recent }, { strict: false, 'at-issue': true, 'ignore-expiry': true }],
      [
        'a CA that had expired at issue',
        { notBefore: recent },
        { notAfter: past },
        { strict: false, 'at-issue': false, 'ignore-expiry': true },
      ],
      [
        'a CA that began after issue',
        { notBefore: past },
        { notBefore: recent },
        { strict: true, 'at-issue': false, 'ignore-expiry': true },
      ],
      [
        'an EK certificate of the future',
        { notBefore: future },
        {},
        { strict: false, 'at-issue': false, 'ignore-expiry': false },
      ],
    ]
    for (const [what, leafChange, midChange, expected] of cases) {
      for (const [policy, accepted] of Object.entries(expected)) {
        it(`${policy} ${accepted ? 'takes' : 'refuses'} ${what}`, () => {
          const result = find(leaf(leafChange), [mid(midChange)], [root()], policy as ValidityPolicy) // keys of the table
          if (accepted) assert.equal(lengthOf(result), 3)
          else assertCode(result, 'EK_CERT_VALIDITY', /looked at for 20/)
        })
      }
    }
    it('warns where a lenient policy took an expired certificate', () => {
      const result = find(leaf({ notAfter: recent }), [mid()], [root()], 'ignore-expiry')
      assert.ok(result.kind === 'path')
      assert.deepEqual(
        result.findings.map((f) => f.rule),
        ['ek-chain.validity'],
      )
      assert.match(result.findings[0]?.message ?? '', /accepted by policy ignore-expiry/)
    })
    it('refuses everything when the clock stands before the certificates', () => {
      const result = find(leaf(), [mid()], [root()], 'at-issue', new Date(0))
      assertCode(
        result,
        'EK_CERT_VALIDITY',
        /valid from 2020-01-01T00:00:00Z, looked at for 1970-01-01T00:00:00Z; check the clock/,
      )
    })
  })

  describe('limits', () => {
    it('does not run in circles of CAs that issued each other', () => {
      const a = make({ subject: 'A', key: rootKey, issuer: 'Mid', issuerKey: midKey, extensions: caExtensions() })
      const b = make({ subject: 'Mid', key: midKey, issuer: 'A', issuerKey: rootKey, extensions: caExtensions() })
      assertCode(find(leaf(), [a, b], [root()]), 'EK_CHAIN_ISSUER_UNKNOWN', /CA certificate missing/)
    })
    it('refuses a path that is too long', () => {
      const chain = Array.from({ length: MAX_PATH_CERTIFICATES }, (_, i) =>
        make({ subject: `C${i}`, key: midKey, issuer: `C${i + 1}`, issuerKey: midKey, extensions: caExtensions() }),
      )
      const top = make({ subject: 'C6', key: midKey, issuer: 'C6', issuerKey: midKey, extensions: caExtensions() })
      const start = leaf({ issuer: 'C0' })
      assert.equal(lengthOf(find(start, chain.slice(0, 6), [top])), MAX_PATH_CERTIFICATES)
      const last = make({ subject: 'C7', key: midKey, issuer: 'C7', issuerKey: midKey, extensions: caExtensions() })
      assertCode(find(start, chain, [last]), 'EK_CHAIN_TOO_LONG', /no root within/)
    })
    it('checks a bounded number of signatures among 10,000 intermediates of one name', () => {
      const template = mid({ key: otherKey, extensions: caExtensions() })
      const crowd = Array.from({ length: 10_000 }, (_, i) => ({
        ...template,
        fingerprint: Uint8Array.of(i >> 8, i & 0xff),
      }))
      const store = makeRootStore([root()], crowd)
      assertCode(findPath(leaf(), [], store, STRICT, NOW), 'EK_CHAIN_TOO_LONG', /64 signature checks/)
    })
    it('checks a bounded number of signatures in a graph where each CA was issued by each', () => {
      const names = Array.from({ length: 12 }, (_, i) => `N${i}`)
      const graph = names.flatMap((subject) =>
        names.map((issuer) => make({ subject, key: midKey, issuer, issuerKey: midKey, extensions: caExtensions() })),
      )
      assertCode(find(leaf({ issuer: 'N0' }), graph, [root()]), 'EK_CHAIN_TOO_LONG', /no root within/)
    })
  })
})

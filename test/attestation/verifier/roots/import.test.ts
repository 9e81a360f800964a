import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeCertificate, findPath, isSelfIssued } from '../../../../attestation/endorsement/index.ts'
import type { NodeEndorsement, NodeRecord } from '../../../../attestation/store/index.ts'
import {
  findRoot,
  type ImportReport,
  importRoots,
  readRootStore,
  removeRoot,
  reportRoots,
} from '../../../../attestation/verifier/index.ts'
import { makeCabinet } from '../../../support/cabinet.ts'
import {
  caExtensions,
  ecKey,
  ekExtensions,
  makeCertificate,
  rocaModulus,
  rsaKey,
  rsaSpki,
  type TestCertificate,
} from '../../../support/certificates.ts'
import { needVectors } from '../../../support/ek-vectors.ts'
import { makeCrl } from '../../../support/revocation.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const NOW = new Date('2026-11-24T00:00:00Z')
const keys = { root: ecKey(), mid: ecKey(), ek: ecKey() }
const root = (over: Partial<TestCertificate> = {}): Uint8Array =>
  makeCertificate({
    subject: 'Maker Root',
    key: keys.root,
    issuer: 'Maker Root',
    issuerKey: keys.root,
    extensions: caExtensions({ keyId: 2 }),
    ...over,
  })
const mid = (over: Partial<TestCertificate> = {}): Uint8Array =>
  makeCertificate({
    subject: 'Maker CA',
    key: keys.mid,
    issuer: 'Maker Root',
    issuerKey: keys.root,
    extensions: caExtensions({ keyId: 1, authorityId: 2 }),
    ...over,
  })
const ek = (): Uint8Array =>
  makeCertificate({
    subject: '',
    key: keys.ek,
    issuer: 'Maker CA',
    issuerKey: keys.mid,
    extensions: Object.values(ekExtensions()),
  })
const crl = (): Uint8Array => makeCrl({ issuer: 'Maker CA', issuerKey: keys.mid, revoked: [[Uint8Array.of(7)]] })
const pem = (der: Uint8Array, label = 'CERTIFICATE'): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64')}\n-----END ${label}-----\n`
const [ROOT, MID] = [root(), mid()]

describe('importing roots', () => {
  let dir: ReturnType<typeof tempDir>
  let roots: string
  beforeEach(() => {
    dir = tempDir()
    roots = join(dir.path, 'roots')
  })
  afterEach(() => dir.remove())

  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(dir.path, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, content)
    return path
  }
  const outcomes = ({ items }: ImportReport): (readonly [string, string | undefined])[] =>
    items.map((i) => [i.outcome, i.kind] as const)
  const list = (nodes?: readonly NodeRecord[]) => reportRoots(roots, nodes, NOW)

  it('takes PEM bundles, DER files and CRLs, and says what is there already', () => {
    const bundle = file('bundle.pem', `maker's bundle\n${pem(ROOT)}\n${pem(MID)}${pem(crl(), 'X509 CRL')}`)
    const first = importRoots(roots, [bundle], { now: NOW })
    assert.deepEqual(outcomes(first), [
      ['imported', 'root'],
      ['imported', 'intermediate'],
      ['imported', 'crl'],
    ])
    const again = importRoots(roots, [bundle, file('root.der', ROOT)], { now: NOW })
    assert.deepEqual(
      outcomes(again).map(([outcome]) => outcome),
      ['already there', 'already there', 'already there', 'already there'],
    )
    assert.deepEqual(
      list().map((r) => [r.kind, r.revokedCertificates]),
      [
        ['crl', 1],
        ['intermediate', null],
        ['root', null],
      ],
    )
  })
  it('writes one file, with vendor and source beside each certificate, and nothing when there is nothing new', () => {
    const folder = join(dir.path, 'cas')
    file('cas/Acme/RootCA/root.cer', ROOT)
    file('cas/Acme/IntermediateCA/mid.crt', MID)
    file('cas/readme.txt', 'no certificate')
    const report = importRoots(roots, [folder], { now: NOW })
    assert.deepEqual(report.passedOver, [join(folder, 'readme.txt')])
    const [name, ...others] = readdirSync(roots)
    assert.deepEqual(others, [])
    assert.match(name ?? '', /^import-20261124T000000Z-[0-9a-f]{8}\.pem$/)
    const text = readFileSync(join(roots, name ?? ''), 'utf8')
    assert.match(text, /# vendor: Acme\n# source: .*root\.cer\n# imported: 2026-11-24T00:00:00\.000Z\n-----BEGIN/)
    importRoots(roots, [folder], { now: NOW })
    assert.equal(readdirSync(roots).length, 1)
    assert.deepEqual(
      list().map((r) => [r.vendor, r.kind, r.key, r.flags.join()]),
      [
        ['Acme', 'intermediate', 'P-256', ''],
        ['Acme', 'root', 'P-256', ''],
      ],
    )
  })
  it('only says what it would do with --check', () => {
    assert.deepEqual(outcomes(importRoots(roots, [file('r.der', ROOT)], { checkOnly: true })), [['imported', 'root']])
    assert.ok(!existsSync(roots))
  })
  it('takes a cabinet as Microsoft’s, the vendor from its folders, set-up scripts passed over', () => {
    const cabinet = makeCabinet([
      { name: 'Acme\\RootCA\\root.cer', content: ROOT },
      { name: 'Acme\\IntermediateCA\\mid.crt', content: Buffer.from(pem(MID)) },
      { name: 'setup.ps1', content: Buffer.from('Write-Host') },
      { name: '..\\..\\escape.cer', content: root({ serial: Uint8Array.of(9) }) },
    ])
    const report = importRoots(roots, [file('TrustedTpm.cab', cabinet)], { now: NOW })
    assert.deepEqual(outcomes(report), [
      ['refused', undefined],
      ['imported', 'root'],
      ['imported', 'intermediate'],
    ])
    assert.match(report.items[0]?.why ?? '', /leads out of the cabinet/)
    assert.deepEqual(report.passedOver, ['TrustedTpm.cab setup.ps1'])
    assert.deepEqual(
      list().map((r) => [r.vendor, r.source]),
      [
        ['Acme', 'TrustedTpm.cab Acme/IntermediateCA/mid.crt'],
        ['Acme', 'TrustedTpm.cab Acme/RootCA/root.cer'],
      ],
    )
  })

  const rsa = rsaKey(1024)
  const unfit: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
    ['an EK certificate', ek, /EK certificate, not a CA certificate/],
    ['a CA with a key too small', () => root({ key: rsa, issuerKey: rsa, scheme: 'sha256WithRSA' }), /1024 bits/],
    ['a CA with a key that can be factored', () => mid({ key: { spki: rsaSpki(rocaModulus()) } }), /ROCA/],
    ['a root that did not sign itself', () => root({ issuerKey: ecKey() }), /does not verify with its own key/],
    ['a CA signed over MD5', () => mid({ issuer: 'X', issuerKey: rsaKey(), scheme: 'md5WithRSA' }), /MD5 with RSA/],
    ['bytes that are no certificate', () => Uint8Array.of(0x30, 3, 1, 1, 1), /TBSCertificate|tbsCertificate/],
    ['an empty file', () => new Uint8Array(), /no certificate found/],
  ]
  for (const [what, make, why] of unfit) {
    it(`refuses ${what}, alone and beside others that are taken`, () => {
      const bad = file('bad.der', make())
      assert.throws(() => importRoots(roots, [bad]), { code: 'VERIFIER_ROOTS_INVALID', message: why })
      assert.ok(!existsSync(roots))
      const report = importRoots(roots, [bad, file('root.der', ROOT)])
      assert.deepEqual(
        report.items.map((i) => i.outcome),
        ['refused', 'imported'],
      )
      assert.match(report.items[0]?.why ?? '', why)
      assert.equal(list().length, 1)
    })
  }
  it('leaves nothing half done when the directory cannot be written', () => {
    roots = file('in-the-way', 'a file')
    assert.throws(() => importRoots(roots, [file('root.der', ROOT)]), {
      code: 'VERIFIER_ROOTS_INVALID',
      message: /in-the-way/,
    })
  })
  it('follows no symbolic link below a directory, and names a path that is not there', () => {
    file('cas/x.txt', '')
    symlinkSync(file('outside.der', ROOT), join(dir.path, 'cas/link.der'))
    const report = importRoots(roots, [join(dir.path, 'cas')])
    assert.deepEqual(report.items, [])
    assert.equal(report.passedOver.length, 2)
    assert.throws(() => importRoots(roots, [join(dir.path, 'nowhere')]), {
      code: 'VERIFIER_ROOTS_INVALID',
      message: /nowhere/,
    })
  })
  it('keeps a name of a file from ending the note that it is written in', () => {
    const cabinet = makeCabinet([
      { name: 'a\n# trust: root\n-----BEGIN x\\RootCA\\m.cer', content: MID },
      { name: 'r.cer', content: ROOT },
    ])
    const report = importRoots(roots, [file('x.cab', cabinet)])
    assert.deepEqual(
      report.items.map((i) => i.outcome),
      ['refused', 'imported'],
    )
    const odd = file('cas/we\nird # trust: root/RootCA/m.cer', MID)
    importRoots(roots, [join(odd, '../../..')])
    assert.deepEqual(
      list()
        .map((r) => r.kind)
        .sort(),
      ['intermediate', 'root'],
    )
  })
  it('makes an intermediate a root where the operator says so', () => {
    const only = file('mid.der', MID)
    importRoots(roots, [only])
    assert.deepEqual(
      list().map((r) => [r.kind, ...r.flags]),
      [['intermediate', 'no-root']],
    )
    const find = () =>
      findPath(decodeCertificate(ek()), [], readRootStore(roots), { validity: 'strict', sha1: 'warn' }, NOW).kind
    assert.equal(find(), 'no-path')
    importRoots(roots, [only], { asRoots: true })
    assert.deepEqual(
      list().map((r) => [r.kind, ...r.flags]),
      [['root']],
    )
    assert.equal(find(), 'path')
  })

  describe('and what is trusted then', () => {
    const nodeWith = (nodeId: string, path: readonly string[]): NodeRecord => {
      const endorsement: NodeEndorsement = {
        ...{ at: NOW.toISOString(), kind: 'chain', validity: 'strict', findings: [] },
        path: path.map((fingerprint) => ({ subject: 's', fingerprint })),
      }
      return { nodeId, endorsement } as unknown as NodeRecord // the report reads no more of it
    }
    beforeEach(() => {
      const expired = { notAfter: new Date('2025-01-01T00:00:00Z'), serial: Uint8Array.of(3) }
      file('all.pem', [ROOT, MID, mid({ ...expired, subject: 'Old CA' })].map((der) => pem(der)).join(''))
      importRoots(roots, [join(dir.path, 'all.pem')], { now: NOW })
    })

    it('is listed with what is wrong with it and who relies on it', () => {
      const [old, ca, top] = [...list()].sort((a, b) => (a.subject < b.subject ? 1 : -1))
      assert.ok(old !== undefined && ca !== undefined && top !== undefined)
      assert.deepEqual([old.subject, old.flags.join()], ['CN=Old CA', 'expired'])
      const users = list([
        nodeWith('a'.repeat(64), ['ff', ca.fingerprint, top.fingerprint]),
        nodeWith('b'.repeat(64), []),
      ])
      const byName = Object.fromEntries(users.map((r) => [r.subject, [r.nodes?.length, r.flags.join()]]))
      assert.deepEqual(byName, {
        'CN=Maker CA': [1, ''],
        'CN=Maker Root': [1, ''],
        'CN=Old CA': [0, 'expired,unused'],
      })
    })
    it('is found by the beginning of its SHA-256, with or without colons', () => {
      const [one] = list()
      assert.ok(one !== undefined)
      const colons = one.fingerprint.replace(/../g, '$&:').slice(0, 14)
      assert.equal(findRoot(list(), colons.toUpperCase()).fingerprint, one.fingerprint)
      for (const id of ['ffff', 'ab', '']) assert.throws(() => findRoot(list(), id), { code: 'VERIFIER_ROOT_UNKNOWN' })
      const twice = [one, { ...one, fingerprint: `${one.fingerprint.slice(0, 10)}${'0'.repeat(54)}` }]
      assert.throws(() => findRoot(twice, one.fingerprint.slice(0, 8)), {
        code: 'VERIFIER_ROOT_UNKNOWN',
        message: /2 answer/,
      })
    })
    it('is removed alone, the rest of its file staying, and not while nodes rely on it', () => {
      const target = list().find((r) => r.subject === 'CN=Maker CA') ?? assert.fail()
      const used = list([nodeWith('c'.repeat(64), ['ff', target.fingerprint])]).find(
        (r) => r.fingerprint === target.fingerprint,
      )
      assert.ok(used !== undefined)
      assert.throws(() => removeRoot(roots, used, false), {
        code: 'VERIFIER_ROOT_IN_USE',
        message: /1 nodes rely on CN=Maker CA: cccccccccccc.*--force/,
      })
      assert.equal(list().length, 3)
      removeRoot(roots, used, true)
      assert.deepEqual(
        list()
          .map((r) => r.subject)
          .sort(),
        ['CN=Maker Root', 'CN=Old CA'],
      )
      assert.ok(list().every((r) => r.imported === NOW.toISOString()))
      for (const r of list()) removeRoot(roots, r, false)
      assert.deepEqual(readdirSync(roots), [])
    })
    it('is removed from files that the operator put there, wherever it is', () => {
      writeFileSync(join(roots, 'mine.der'), ROOT)
      writeFileSync(join(roots, 'both.crt'), `note\n${pem(ROOT)}between\n${pem(MID)}after\n`)
      removeRoot(roots, list().find((r) => r.kind === 'root') ?? assert.fail(), false)
      assert.ok(list().every((r) => r.kind === 'intermediate'))
      assert.ok(!existsSync(join(roots, 'mine.der')))
      assert.match(readFileSync(join(roots, 'both.crt'), 'latin1'), /^between\n-----BEGIN[\s\S]*after\n$/)
    })
  })

  it('takes all 221 vendor certificates, and reports them', function () {
    const vendors = needVectors(this, 'vendor-roots')
    for (const part of ['roots', 'intermediates']) {
      for (const name of vendors.list(part)) file(`all/${part}/${name}`, vendors.read(`${part}/${name}`))
    }
    const { items } = importRoots(roots, [join(dir.path, 'all')], { now: NOW })
    assert.ok(items.length >= 221)
    assert.ok(items.every((i) => i.outcome === 'imported'))
    const report = list()
    const count = (flag: string): number => report.filter((r) => r.flags.some((f) => f === flag)).length
    assert.deepEqual([count('weak-key'), count('bad-signature'), count('expired'), count('no-root')], [0, 0, 1, 13])
    assert.equal(report.filter((r) => r.kind === 'root').length, vendors.list('roots').length)
    assert.ok(report.filter((r) => r.kind === 'root').every((r) => r.subject === r.issuer))
    assert.ok([...readRootStore(roots).anchors.values()].flat().every(isSelfIssued))
  })
})

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { toHex } from '../../../attestation/base/index.ts'
import { decodeCertificate, makeRootStore } from '../../../attestation/endorsement/index.ts'
import { EV } from '../../../attestation/event-log/index.ts'
import type { EvidenceFile } from '../../../attestation/evidence-file/index.ts'
import {
  judgeQuote,
  PLAIN,
  type Verification,
  type VerifyTerms,
  verifyEar,
  verifyEvidenceFile,
  verifyJson,
  verifyText,
} from '../../../attestation/evidence-report/index.ts'
import { collectionBinding } from '../../../attestation/protocol/index.ts'
import { checkEar, readEarCbor, writeEarCbor, writeEarJson } from '../../../attestation/results/index.ts'
import { decodeQuoteAttest, encodeQuoteAttest, objectName } from '../../../attestation/tpm2/index.ts'
import { honestBoot } from '../../support/boot.ts'
import { madeEvidence, NONCE, systemdRecord } from '../../support/evidence.ts'
import { cryptoAgileLog } from '../../support/firmware-log.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { newAk } from '../../support/soft-tpm.ts'
import { copiedVectors } from '../../support/vectors.ts'
import { vmEvidence, vmNames } from '../../support/vm-evidence.ts'
import { policyOf } from '../appraisal-policy/support.ts'

const NOW = new Date('2026-11-24T12:00:00Z')
const { file: GOOD, tpm: TPM } = madeEvidence()
const AK = TPM.ak.name
const PHASES = madeEvidence({ systemd: [{ pcr: 11, type: 'phase', text: 'ready' }] })

function verify(file: EvidenceFile, terms: Partial<VerifyTerms> = {}): Verification {
  return verifyEvidenceFile(file, { labels: {}, now: NOW, akName: AK, nonce: NONCE, ...terms })
}

/** Rules that do not hold. */
function broken({ result }: Verification): string[] {
  const bad = result.findings.filter(({ tier, policy }) => tier !== 'affirming' && policy?.mode !== 'observe')
  return [...new Set(bad.map(({ rule }) => rule))]
}

/** Signed anew by the same key, as if its TPM had made it. */
function resigned(
  change: (quote: ReturnType<typeof decodeQuoteAttest>) => ReturnType<typeof decodeQuoteAttest>,
): EvidenceFile {
  const attest = encodeQuoteAttest(change(decodeQuoteAttest(GOOD.attest)))
  return { ...GOOD, attest, signature: TPM.ak.sign(attest) }
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const out = bytes.slice()
  out[at] = (out[at] ?? 0) ^ 1
  return out
}
/** The name of a template is under no digest. */
function renamedTemplate(): Uint8Array {
  const ima = Buffer.from(GOOD.logs.ima ?? [])
  ima.write('?', ima.lastIndexOf('ima-ng'), 'latin1')
  return new Uint8Array(ima)
}

type Logs = EvidenceFile['logs']
const withLogs = (logs: { readonly [source in keyof Logs]: Logs[source] | undefined }, of = GOOD): EvidenceFile => {
  const all = Object.entries({ ...of.logs, ...logs }).filter(([, log]) => log !== undefined)
  return { ...of, logs: Object.fromEntries(all) as Logs } // what is left of logs
}

describe('evidence that is verified offline', () => {
  it('is trusted where every rule holds, the key is known and the nonce is ours', () => {
    const verification = verify(GOOD)
    assert.deepEqual(broken(verification), [])
    assert.equal(verification.result.tier, 'affirming')
    const what = verification.unproved.map((entry) => entry.what)
    assert.deepEqual(what, ['activation', 'endorsement', 'continuity', 'admission', 'policy', 'tickets'])
    assert.match(verifyText(verification, PLAIN), /\nTRUSTED: every rule holds\n$/)
  })

  it('is not judged where nobody says whose key it is: anybody can make one', () => {
    const verification = verifyEvidenceFile(GOOD, { labels: {}, now: NOW })
    assert.deepEqual(broken(verification), ['enrolment.ak'])
    assert.equal(verification.result.tier, 'none')
    assert.ok(verification.unproved.some(({ what }) => what === 'freshness'))
    assert.match(verifyText(verification, PLAIN), /unknown {3}enrolment\.ak .*--ak\)\n[\s\S]*\nNOT JUDGED: /)
  })

  it("of a file whose firmware log is a TDX guest's says that nothing appraises RTMRs, whatever else holds", () => {
    const events = honestBoot().map((event) => ({ ...event, register: Math.min(event.register, 3) + 1 }))
    const firmware = cryptoAgileLog(events, { banks: ['sha384'] })
    const rules = { r: '{mode: observe, require: [boot.*]}' }
    for (const policy of [undefined, policyOf(rules)]) {
      const verification = verify({ ...GOOD, logs: { ...GOOD.logs, firmware } }, policy && { policy })
      const [ccel] = verification.result.findings.filter(({ rule }) => rule === 'logs.ccel')
      assert.equal(ccel?.tier, 'none')
      assert.notEqual(verification.result.tier, 'affirming')
      assert.match(verifyText(verification, PLAIN), /unknown {3}logs\.ccel .*RTMRs/)
    }
  })

  const other = newAk()
  const attacks: readonly { name: string; file: EvidenceFile; terms?: Partial<VerifyTerms>; rule: string }[] = [
    { name: 'another key', file: GOOD, terms: { akName: other.name }, rule: 'enrolment.ak' },
    { name: 'another key in the file', file: { ...GOOD, akPublic: other.public }, rule: 'quote.signature' },
    {
      name: 'a key that signs anything',
      file: { ...GOOD, akPublic: newAk(0x00040072 & ~0x10000).public },
      rule: 'quote.ak',
    },
    { name: 'a key that is none', file: { ...GOOD, akPublic: Uint8Array.of(1, 2) }, rule: 'quote.ak' },
    { name: 'another nonce', file: GOOD, terms: { nonce: new Uint8Array(32) }, rule: 'quote.challenge' },
    {
      name: 'no nonce at all',
      file: resigned((q) => ({ ...q, extraData: new Uint8Array(0) })),
      rule: 'quote.challenge',
    },
    { name: 'a changed signature', file: { ...GOOD, signature: flipped(GOOD.signature, 20) }, rule: 'quote.signature' },
    {
      name: 'a changed quote',
      file: { ...GOOD, attest: flipped(GOOD.attest, GOOD.attest.length - 1) },
      rule: 'quote.signature',
    },
    { name: 'a quote that is none', file: { ...GOOD, attest: GOOD.attest.slice(0, 40) }, rule: 'quote.form' },
    { name: 'another EK', file: { ...GOOD, ekPublic: madeEvidence().file.ekPublic }, rule: 'quote.signer' },
    { name: 'an EK that is none', file: { ...GOOD, ekPublic: Uint8Array.of(9) }, rule: 'quote.signer' },
    {
      name: 'a changed register',
      file: { ...GOOD, pcrs: GOOD.pcrs.map((v, i) => (i === 4 ? { ...v, value: flipped(v.value, 0) } : v)) },
      rule: 'quote.digest',
    },
    { name: 'a register left out', file: { ...GOOD, pcrs: GOOD.pcrs.slice(1) }, rule: 'quote.values' },
    {
      name: 'a register twice',
      file: { ...GOOD, pcrs: [...GOOD.pcrs, ...GOOD.pcrs.slice(0, 1)] },
      rule: 'quote.values',
    },
    { name: 'nothing quoted', file: resigned((q) => ({ ...q, pcrSelections: [] })), rule: 'quote.selection' },
    {
      name: 'a firmware log with another image',
      file: withLogs({
        firmware: cryptoAgileLog(
          honestBoot().map((e) =>
            e.type === EV.EFI_BOOT_SERVICES_APPLICATION ? { ...e, measured: Uint8Array.of(1) } : e,
          ),
        ),
      }),
      rule: 'boot.replay',
    },
    {
      name: 'a firmware log without its end',
      file: withLogs({ firmware: cryptoAgileLog(honestBoot().slice(0, -1)) }),
      rule: 'boot.replay',
    },
    {
      name: 'a firmware log that is cut',
      file: withLogs({ firmware: GOOD.logs.firmware?.slice(0, -2) }),
      rule: 'boot.log',
    },
    {
      name: 'an IMA list with a template that is none',
      file: withLogs({ ima: renamedTemplate() }),
      rule: 'ima.entries',
    },
    { name: 'no firmware log', file: withLogs({ firmware: undefined }), rule: 'boot.log' },
    {
      name: 'an IMA list with another file',
      file: withLogs({ ima: flipped(GOOD.logs.ima ?? new Uint8Array(0), 60) }),
      rule: 'ima.replay',
    },
    { name: 'an IMA list without its end', file: withLogs({ ima: GOOD.logs.ima?.slice(0, 100) }), rule: 'ima.replay' },
    {
      name: 'a launch log with another mode',
      file: withLaunch((bytes) =>
        Buffer.from(Buffer.from(bytes).toString('latin1').replace('enforce', 'audit  '), 'latin1'),
      ),
      rule: 'launch-log.format',
    },
    { name: 'a launch log without a record', file: withLaunch(() => new Uint8Array(0)), rule: 'launch-log.start' },
    {
      name: 'the launch log of another TPM start',
      file: withLogs({ launch: { ...launchOf(GOOD), resetCount: 1 } }),
      rule: 'launch-log.tpm-start',
    },
    {
      name: "systemd's log with another string",
      file: {
        ...PHASES.file,
        logs: { ...PHASES.file.logs, systemd: systemdRecord(11, 'phase', 'sysinit') },
      },
      terms: { akName: PHASES.tpm.ak.name },
      rule: 'boot.replay',
    },
  ]
  for (const { name, file, terms, rule } of attacks) {
    it(`is refused for ${name}: ${rule}`, () => {
      const verification = verify(file, terms)
      assert.notEqual(verification.result.tier, 'affirming')
      assert.ok(broken(verification).includes(rule), broken(verification).join(', '))
      assert.match(verifyText(verification, PLAIN), /\nNOT (TRUSTED|JUDGED)[^\n]*\n$/)
    })
  }

  function launchOf(file: EvidenceFile): NonNullable<EvidenceFile['logs']['launch']> {
    assert.ok(file.logs.launch)
    return file.logs.launch
  }
  function withLaunch(change: (bytes: Uint8Array) => Uint8Array): EvidenceFile {
    const launch = launchOf(GOOD)
    return withLogs({ launch: { ...launch, bytes: new Uint8Array(change(launch.bytes)) } })
  }

  it('names every rule that is broken, not only the first', () => {
    const verification = verify({ ...GOOD, ekPublic: madeEvidence().file.ekPublic }, { nonce: new Uint8Array(32) })
    assert.deepEqual(broken(verification).slice(0, 2), ['quote.challenge', 'quote.signer'])
    assert.equal(verification.result.findings.find((f) => f.rule === 'quote.signature')?.tier, 'affirming')
    assert.equal(judgeQuote({ ...GOOD, nonce: new Uint8Array(32) }).refusal?.code, 'ATTEST_EXTRA_DATA_MISMATCH')
  })

  it('of an agent that obeys an explained register is trusted, of one that found more is not', () => {
    const systemd = [{ pcr: 15, type: 'machine-id', text: 'machine-id:fa' }]
    const made = madeEvidence({ systemd })
    const terms = { akName: made.tpm.ak.name }
    assert.deepEqual(broken(verify(made.file, terms)), [])
    assert.deepEqual(broken(verify(withLogs({ systemd: undefined }, made.file), terms)), ['launch-log.start'])
  })

  it('may be of another tool, whose quote is over the nonce itself', () => {
    for (const name of vmNames()) {
      const set = copiedVectors(`vm/${name}`)
      const file = vmEvidence(name)
      const terms = { labels: {}, now: NOW, akName: set.read('ak.name'), nonce: file.nonce }
      const verification = verifyEvidenceFile(file, terms)
      const quote = verification.result.findings.filter(({ rule }) => /^(quote|ima|enrolment)\./.test(rule))
      assert.ok(quote.length > 10 && quote.every(({ tier }) => tier === 'affirming'), name)
      assert.equal(toHex(terms.akName), toHex(objectName(file.akPublic)))
      assert.equal(verification.result.tier, name === 'ovmf-sb-direct-kernel' ? 'contraindicated' : 'warning', name)
    }
  })

  it('asks whose TPM it is, of the roots that are given', () => {
    const set = copiedVectors('endorsement/vm')
    const pem = (name: string): Uint8Array =>
      new Uint8Array(Buffer.from(set.text(name).replace(/-----[^-]+-----|\s/g, ''), 'base64'))
    const root = decodeCertificate(pem('swtpm-localca-rootca-cert.pem'))
    const issuer = decodeCertificate(pem('issuercert.pem'))
    const ek = (terms: Partial<VerifyTerms>) =>
      verifyEvidenceFile(vmEvidence('ovmf-sdboot'), { labels: {}, now: NOW, ...terms }).result.findings.find(
        ({ rule }) => rule === 'enrolment.ek',
      )
    assert.equal(ek({}), undefined)
    assert.equal(ek({ roots: makeRootStore([root], [issuer]) })?.tier, 'affirming')
    assert.equal(ek({ roots: makeRootStore([]) })?.tier, 'contraindicated')
    assert.match(ek({ roots: makeRootStore([]) })?.message ?? '', /\(EK_CHAIN_ISSUER_UNKNOWN\)/)
  })

  it('is judged by a policy where one is given', () => {
    const by = (rule: string, head = ''): Verification => verify(GOOD, { policy: policyOf({ r: rule }, head) })
    const good = by('{mode: enforce, secureBoot: {enabled: true}}')
    assert.deepEqual([good.result.tier, broken(good)], ['affirming', []])
    const bad = by('{mode: enforce, secureBoot: {enabled: false}}')
    assert.deepEqual([bad.result.tier, broken(bad)], ['contraindicated', ['policy.r']])
    assert.match(verifyText(bad, PLAIN), /^policy test, revision [0-9a-f]{64}$/m)
    assert.match(verifyText(bad, PLAIN), /^ {2}refused {3}policy\.r .*\n +expected /m)
    const warned = by('{mode: warn, secureBoot: {enabled: false}}')
    assert.equal(warned.result.tier, 'warning')
    const unmeant = verify(GOOD, { policy: 'unmeant' })
    assert.deepEqual(broken(unmeant), ['policy.selection'])
    assert.ok(!unmeant.unproved.some(({ what }) => what === 'policy'))
  })

  it('gives an EAR and JSON that say the same', () => {
    const verification = verify(GOOD)
    const ear = verifyEar(verification, GOOD.nonce, NOW, 'json')
    checkEar(ear)
    const claims = JSON.parse(writeEarJson(ear))
    const [appraisal] = Object.values(claims.submods) as { 'ear.status'?: string; ear_status?: string }[] // of our own making
    assert.ok(JSON.stringify(appraisal).includes('affirming'))
    const [nonce] = readEarCbor(writeEarCbor(verifyEar(verification, GOOD.nonce, NOW, 'cbor'))).nonces
    assert.deepEqual(nonce, GOOD.nonce)
    assert.equal(
      verifyEar(verification, new Uint8Array(0), NOW, 'json').nonces.length,
      0,
      'a nonce that EAT cannot carry',
    )
    const json = JSON.parse(verifyJson(verification))
    assert.deepEqual([json.v, json.tier, json.node, json.policy], [1, 'affirming', verification.node, null])
    assert.equal(json.rules.length, verification.result.findings.length)
    assert.ok(json.unproved.length > 0)
  })

  it('changed anywhere is judged, and never trusted where the change is in what was signed', () => {
    const signed = ['attest', 'signature', 'akPublic', 'nonce'] as const
    const parts = [...signed, 'ekPublic', 'firmware', 'ima', 'launch', 'systemd'] as const
    const input = fc.record({ part: fc.constantFrom(...parts), at: fc.nat(), to: fc.nat(255), cut: fc.boolean() })
    fc.assert(
      fc.property(input, ({ part, at, to, cut }) => {
        const change = (bytes: Uint8Array = new Uint8Array(1)): Uint8Array => {
          const out = bytes.slice(0, cut ? at % (bytes.length + 1) : undefined)
          if (out.length > 0) out[at % out.length] = to
          return out
        }
        const { logs } = PHASES.file
        const file: EvidenceFile =
          part === 'launch'
            ? withLogs({ launch: { ...launchOf(PHASES.file), bytes: change(logs.launch?.bytes) } }, PHASES.file)
            : part === 'firmware' || part === 'ima' || part === 'systemd'
              ? withLogs({ [part]: change(logs[part]) }, PHASES.file)
              : { ...PHASES.file, [part]: change(PHASES.file[part]) }
        const { result } = verifyEvidenceFile(file, { labels: {}, now: NOW, akName: PHASES.tpm.ak.name })
        const isSigned = signed.some((name) => name === part)
        const same = isSigned && toHex(file[part as 'attest']) === toHex(PHASES.file[part as 'attest']) // one of `signed`
        if (isSigned && !same) assert.notEqual(result.tier, 'affirming')
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('takes the binding for the nonce nowhere else than in extraData', () => {
    const file = { ...GOOD, nonce: collectionBinding(NONCE) }
    assert.equal(judgeQuote(file).challenge, 'nonce')
    assert.ok(broken(verify(file)).length === 0, 'the nonce that was asked for is what counts')
    assert.equal(judgeQuote(GOOD).challenge, 'binding')
  })
})

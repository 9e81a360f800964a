import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import {
  type AppraisalPolicy,
  type DraftReferences,
  draftPolicy,
  NO_REFERENCES,
  parseAppraisalPolicy,
} from '../../../attestation/appraisal-policy/index.ts'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { type Verification, verifyEvidenceFile } from '../../../attestation/evidence-report/index.ts'
import { type ReferenceFiles, referenceImage } from '../../../attestation/reference-values/index.ts'
import { madeEvidence } from '../../support/evidence.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { peImage } from '../../support/pe-image.ts'
import { LINUX, type UkiParts, ukiBoot, ukiImage } from '../../support/uki.ts'

const OPTIONS = { name: 'made', owner: 'me', mode: 'enforce' } as const
const NOW = new Date('2026-03-01T12:00:00Z')
const PARTS: UkiParts = { cmdline: 'root=/dev/vda2 quiet' }
const OTHER_LINUX = peImage({ sections: [{ name: '.text', data: utf8('another kernel') }] })

const references = (over: Partial<DraftReferences>): DraftReferences => ({ ...NO_REFERENCES, from: ['x'], ...over })
const policyOf = (over: Partial<DraftReferences>): AppraisalPolicy =>
  parseAppraisalPolicy(draftPolicy([], OPTIONS, references(over)), 'made.yaml', () => new Uint8Array())
const image = (parts: UkiParts, from = 'new.efi') => referenceImage(ukiImage(parts), from)

/** What a machine that booted these parts is by the policy. */
function tried(policy: AppraisalPolicy, parts: UkiParts, phases = ['enter-initrd', 'leave-initrd']): Verification {
  const systemd = phases.map((text) => ({ pcr: 11, type: 'phase', text }))
  const { file } = madeEvidence({ boot: ukiBoot(parts), systemd })
  return verifyEvidenceFile(file, { labels: {}, now: NOW, policy })
}

/** Rules of the policy that are not satisfied. */
function broken({ result }: Verification): string[] {
  const mine = result.findings.filter(({ rule }) => rule.startsWith('policy.'))
  assert.ok(mine.length > 0)
  return mine.filter(({ message }) => message.startsWith('not as it should be')).map(({ rule }) => rule)
}

describe('a policy made of a kernel image', () => {
  const policy = policyOf({ images: [image(PARTS)] })

  it('is satisfied by a machine that boots it, before there was any', () => {
    const { kernel, 'unified-kernel': uki, 'command-line': line } = policy.text.rules
    assert.equal(kernel?.kernel?.digests.length, 2, 'the image, and the kernel in it')
    assert.deepEqual(
      uki?.events?.required?.map(({ name }) => name),
      ['.linux', '.osrel', '.cmdline'],
    )
    assert.deepEqual(line?.commandLine?.allowed, ['root=/dev/vda2', 'quiet'])
    assert.deepEqual(policy.evidence.logs, ['firmware', 'systemd'])
    assert.deepEqual(broken(tried(policy, PARTS)), [])
  })

  const others: readonly [name: string, parts: UkiParts, rules: readonly string[]][] = [
    ['another kernel', { ...PARTS, linux: OTHER_LINUX }, ['policy.kernel', 'policy.unified-kernel']],
    [
      'another command line',
      { cmdline: 'root=/dev/vda2 quiet init=/bin/sh' },
      ['policy.command-line', 'policy.unified-kernel'],
    ],
  ]
  for (const [name, parts, rules] of others) {
    it(`is not satisfied by a machine with ${name}`, () => {
      const verification = tried(policy, parts)
      for (const rule of rules) assert.ok(broken(verification).includes(rule), rule)
      assert.equal(verification.result.tier, 'contraindicated')
    })
  }

  it('takes the next kernel beside the one that runs', () => {
    const next = { cmdline: 'root=/dev/vda2 quiet new', linux: OTHER_LINUX }
    const both = policyOf({ images: [image(PARTS), image(next, 'next.efi')] })
    for (const parts of [PARTS, next]) assert.deepEqual(broken(tried(both, parts)), [])
    assert.ok(broken(tried(both, { ...PARTS, linux: LINUX.slice(0, -1) })).length > 0)
  })

  it('names the profiles of an image, and leaves out what it cannot know', () => {
    const file = peImage({
      sections: [
        { name: '.linux', data: LINUX },
        { name: '.profile', data: utf8('ID=main') },
        { name: '.cmdline', data: utf8('quiet') },
        { name: '.profile', data: utf8('ID=rescue') },
        { name: '.dtbauto', data: utf8('tree') },
      ],
    })
    const { rules } = policyOf({ images: [referenceImage(file, 'multi.efi')] }).text
    assert.deepEqual(
      rules['unified-kernel']?.events?.allowed?.map(({ name }) => name),
      ['names of sections', '.cmdline', '.dtbauto'],
    )
    assert.deepEqual(
      rules['unified-kernel']?.events?.required?.map(({ name }) => name),
      ['.linux', '.profile'],
    )
    assert.equal(rules['command-line'], undefined, 'one profile leaves it to the boot loader')
    assert.equal(rules['unified-kernel-register'], undefined, 'hardware decides')
    const text = draftPolicy([], OPTIONS, references({ images: [referenceImage(file, 'multi.efi')] }))
    assert.match(text, /# multi\.efi, profile 0 \(main\)/)
  })

  it('of boot loaders and kernels apart asks for each', () => {
    const kernel = LINUX.slice()
    kernel.set(utf8('ARM\x64'), 56)
    const loader = referenceImage(peImage({ sections: [{ name: '.text', data: utf8('loader') }] }), 'shim.efi')
    const { rules } = policyOf({ images: [loader, referenceImage(kernel, 'vmlinuz')] }).text
    assert.deepEqual(rules['boot-loader']?.bootLoader?.digests, [loader.digest])
    assert.equal(rules['kernel']?.kernel?.digests.length, 1)
    assert.equal(rules['unified-kernel'], undefined)
  })
})

describe('a policy made of reference values', () => {
  const value = toHex(digest('sha256', utf8('x')))

  it('has registers with where each value is from', () => {
    const registers = [
      { pcr: 7, bank: 'sha256', value, from: 'maker.corim, Example Model 1' },
      { pcr: 0, bank: 'sha384', value: 'ab'.repeat(48), from: 'maker.corim' },
    ] as const
    const text = draftPolicy([], OPTIONS, references({ registers, notes: ['it is not signed\nrules: {}'] }))
    assert.match(text, new RegExp(`7:\n +- "${value}" # maker\\.corim, Example Model 1`))
    assert.match(text, /^# Note: it is not signed\?rules: \{\}$/m)
    const { rules } = parseAppraisalPolicy(text, 'made', () => new Uint8Array()).text
    assert.deepEqual(rules['reference-registers']?.pcrs, {
      sha256: { '7': [value] },
      sha384: { '0': ['ab'.repeat(48)] },
    })
  })

  it('has files as Keylime had them, and not what machines are allowed beside', () => {
    const files: ReferenceFiles = {
      from: 'rp.json',
      files: new Map([['/a', [value]]]),
      excludes: ['/tmp/**'],
      keyrings: new Map([['.ima', [value]]]),
      ignoredKeyrings: [],
      learnKeysFrom: ['.ima'],
      buffers: new Map([['kexec: "cmdline"', [value]]]),
    }
    const options = { ...OPTIONS, digests: { file: 'made.digests', sha256: value } }
    const list = utf8('x') // whose SHA-256 is `value`, and no list
    const text = draftPolicy([], options, references({ files }))
    assert.throws(() => parseAppraisalPolicy(text, 'made', () => list), /made\.digests/)
    assert.match(text, /excludes:\n +- "\/tmp\/\*\*"\n/)
    assert.match(text, /"kexec: \\"cmdline\\"": \["/)
    assert.doesNotMatch(text, /: any|ignoredKeyrings/)
    assert.match(draftPolicy([], OPTIONS, references({ files })), /--out/)
  })

  it('is a policy whatever stands in the files', () => {
    const odd = fc.string({ unit: fc.constantFrom(...'a"\'\n#:*\\ {}%\u2028\u0085\ud800\u001b\u0000='), maxLength: 12 })
    fc.assert(
      fc.property(odd, odd, odd, (name, cmdline, note) => {
        const images = [referenceImage(ukiImage({ cmdline }), name)]
        const text = draftPolicy([], OPTIONS, references({ from: [name], images, notes: [note] }))
        assert.equal(parseAppraisalPolicy(text, 'made.yaml', () => new Uint8Array()).name, 'made')
      }),
      { numRuns: fuzzRuns(100) },
    )
  })
})

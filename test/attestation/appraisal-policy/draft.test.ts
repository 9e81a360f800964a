import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import { appraiseBoot } from '../../../attestation/appraisal/boot/index.ts'
import {
  type DraftMachine,
  digestListText,
  draftPolicy,
  NO_REFERENCES,
  type PolicyFacts,
  parseAppraisalPolicy,
} from '../../../attestation/appraisal-policy/index.ts'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { EV, extendValue, readFirmwareLog } from '../../../attestation/event-log/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { type VmSet, vmFacts } from '../../support/policy-facts.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'
import { resultOf } from './support.ts'

const OPTIONS = { name: 'made', owner: 'me', mode: 'enforce' } as const

function machine(set: VmSet, over: Partial<DraftMachine> = {}): DraftMachine {
  const { boot, registers, findings, tpm } = vmFacts(set)
  if (boot.state !== 'read') throw new TypeError('made with a log')
  return { from: set, registers, boot: boot.facts, findings, tpm, files: undefined, ...over }
}

describe('a policy made of evidence', () => {
  for (const set of ['ovmf-direct-kernel', 'ovmf-sdboot', 'seabios-direct', 'ovmf-sb-direct-kernel'] as const) {
    it(`of ${set} is one that this machine satisfies`, () => {
      const policy = parseAppraisalPolicy(draftPolicy([machine(set)], OPTIONS), 'made.yaml', () => new Uint8Array())
      const rules = resultOf(policy, vmFacts(set)).findings.filter(
        (f) => f.rule.startsWith('policy.') && f.tier !== 'none',
      )
      assert.ok(rules.length > 0)
      assert.deepEqual(
        rules.filter((f) => f.tier !== 'affirming').map((f) => `${f.rule}: ${f.message}`),
        [],
      )
    })
  }

  it('requires what was right with every machine, and only observes what was not', () => {
    const { text } = parseAppraisalPolicy(
      draftPolicy([machine('ovmf-sdboot'), machine('seabios-direct')], OPTIONS),
      'm',
      () => new Uint8Array(),
    )
    assert.equal(text.rules['oddities']?.mode, 'observe')
    assert.deepEqual(text.rules['oddities']?.require, ['boot.secure-boot', 'boot.boot-application'])
    assert.ok(text.rules['orderly-boot']?.require?.includes('boot.replay'))
    assert.ok(!text.rules['orderly-boot']?.require?.includes('boot.boot-application'))
  })

  it('never takes over what the evidence does not prove', () => {
    const weak = machine('ovmf-sdboot')
    if (weak.boot === undefined) throw new TypeError('made with a log')
    const boot = JSON.parse(JSON.stringify(weak.boot), (key, value) => (key === 'proof' ? 'refuted' : value))
    const { text } = parseAppraisalPolicy(draftPolicy([{ ...weak, boot }], OPTIONS), 'm', () => new Uint8Array())
    for (const rule of ['kernel', 'boot-loader', 'initrd', 'command-line', 'platform-firmware'])
      assert.equal(text.rules[rule], undefined, rule)
  })

  it('is a policy whatever a machine says', () => {
    const odd = fc.string({
      unit: fc.constantFrom(
        'a',
        '\n',
        '"',
        "'",
        '#',
        ':',
        '*',
        '\\',
        '\u2028',
        '\u0085',
        '\ud800',
        '\u001b',
        ' ',
        '{',
        '\u202e',
        '%',
      ),
    })
    fc.assert(
      fc.property(odd, odd, odd, (a, b, c) => {
        const made = machine('ovmf-sdboot')
        if (made.boot === undefined) throw new TypeError('made with a log')
        const { commandLines, applications, crtmVersion } = made.boot
        const boot = {
          ...made.boot,
          commandLines: commandLines.map((line) => ({
            ...line,
            value: { ...line.value, ...(line.value.text !== undefined && { text: a }) },
          })),
          applications: applications.map((app) => ({ ...app, value: { ...app.value, file: b } })),
          ...(crtmVersion !== undefined && { crtmVersion: { ...crtmVersion, value: c.slice(0, 200) } }),
        }
        const text = draftPolicy([{ ...made, from: `${a}${b}`, boot }], OPTIONS)
        assert.equal(parseAppraisalPolicy(text, 'made.yaml', () => new Uint8Array()).name, 'made')
      }),
      { numRuns: fuzzRuns(60) },
    )
  })

  it('names a list of files beside it, sorted and each once', () => {
    const [a, b] = ['ab'.repeat(32), 'cd'.repeat(32)]
    const machines = [
      machine('ovmf-sdboot', {
        files: new Map([
          ['/b', [a]],
          ['/a', [b, a]],
        ]),
      }),
      machine('ovmf-sdboot', { files: new Map([['/b', [a]]]) }),
    ]
    const list = utf8(digestListText(machines, NO_REFERENCES))
    assert.equal(new TextDecoder().decode(list), `${a}  /a\n${a}  /b\n${b}  /a\n`)
    const text = draftPolicy(machines, {
      ...OPTIONS,
      digests: { file: 'made.digests', sha256: toHex(digest('sha256', list)) },
    })
    assert.equal(parseAppraisalPolicy(text, 'made.yaml', () => list).ima?.policy.files.size, 2)
  })

  const real = [
    ['google/rhel8-uefi.bin', 'enabled', /CN=Microsoft Corporation UEFI CA 2011/],
    ['google/cos-85-amd-sev.bin', 'enabled', /minimumEntries: 4/],
    ['google/ubuntu-2104-no-secure-boot.bin', 'disabled', /enabled: false/],
    ['ibmtss/sm2.log', 'enabled', /minimumEntries: 77/],
    ['ibmtss/hp1.log', 'enabled', /CN=Microsoft Windows Production PCA 2011/],
  ] as const
  for (const [file, state, holds] of real) {
    it(`of a real log (${file}) is one that its machine satisfies`, function () {
      const vectors = externalVectors('eventlogs')
      if (vectors === undefined) return skipWithoutVectors(this, 'eventlogs')
      const facts = loggedFacts(vectors.read(file))
      const { boot, registers, findings, tpm } = facts
      if (boot.state !== 'read') throw new TypeError('made with a log')
      assert.equal(boot.facts.secureBoot.state, state)
      const text = draftPolicy([{ from: file, registers, boot: boot.facts, findings, tpm, files: undefined }], OPTIONS)
      assert.match(text, holds)
      const policy = parseAppraisalPolicy(text, 'made.yaml', () => new Uint8Array())
      const rules = resultOf(policy, facts).findings.filter((f) => f.rule.startsWith('policy.') && f.tier !== 'none')
      assert.deepEqual(
        rules.filter((f) => f.tier !== 'affirming').map((f) => `${f.rule}: ${f.message}`),
        [],
      )
      // and one that a machine without Secure Boot, of another kind, does not
      const other = resultOf(policy, vmFacts('ovmf-direct-kernel')).findings.filter((f) => f.tier === 'contraindicated')
      assert.ok(other.some((f) => f.rule.startsWith('policy.')))
    })
  }
})

/** What would be proved of a machine with this log, if its TPM held what the log says. */
function loggedFacts(firmware: Uint8Array): PolicyFacts {
  const values = new Map<number, Uint8Array>(Array.from({ length: 16 }, (_, pcr) => [pcr, new Uint8Array(32)] as const))
  for (const { type, register, digests } of readFirmwareLog(firmware).events) {
    const [value, extended] = [values.get(register), digests.sha256]
    if (type !== EV.NO_ACTION && value && extended) values.set(register, extendValue('sha256', value, extended))
  }
  const registers = [...values].map(([pcr, value]) => ({ bank: 'sha256' as const, pcr: pcrIndex(pcr), value }))
  const boot = appraiseBoot({ firmware, quoted: registers })
  if (boot.facts === undefined) throw new TypeError('the vector is a log')
  return {
    ...vmFacts('ovmf-sdboot'),
    findings: boot.findings,
    registers,
    boot: { state: 'read', facts: boot.facts, events: boot.timeline },
  }
}

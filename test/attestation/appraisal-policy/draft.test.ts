import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import {
  type DraftMachine,
  digestListText,
  draftPolicy,
  parseAppraisalPolicy,
} from '../../../attestation/appraisal-policy/index.ts'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { type VmSet, vmFacts } from '../../support/policy-facts.ts'
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
    const list = utf8(digestListText(machines))
    assert.equal(new TextDecoder().decode(list), `${a}  /a\n${a}  /b\n${b}  /a\n`)
    const text = draftPolicy(machines, {
      ...OPTIONS,
      digests: { file: 'made.digests', sha256: toHex(digest('sha256', list)) },
    })
    assert.equal(parseAppraisalPolicy(text, 'made.yaml', () => list).ima?.policy.files.size, 2)
  })
})

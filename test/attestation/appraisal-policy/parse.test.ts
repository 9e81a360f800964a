import { strict as assert } from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { AppraisalPolicyError, parseAppraisalPolicy, policyNeeds } from '../../../attestation/appraisal-policy/index.ts'
import { KNOWN_RULES, RULE_AREAS } from '../../../attestation/appraisal-policy/rule-ids.ts'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { HEAD, policyOf, reader } from './support.ts'

const HEX = 'ab'.repeat(32)
const parse = (text: string, files = {}) => parseAppraisalPolicy(text, 'p.yaml', reader(files))
const withRule = (rule: string): string => `${HEAD}rules:\n  r:\n    mode: enforce\n${rule}`
const LIST = utf8(`${HEX}  /usr/bin/true\n`)
const LIST_SHA = toHex(digest('sha256', LIST))

describe('an appraisal policy', () => {
  const refused: readonly {
    readonly name: string
    readonly text: string
    readonly why: RegExp
    readonly files?: object
  }[] = [
    { name: 'an empty file', text: '', why: /^p\.yaml:1:1: the setting 'version' is missing/ },
    { name: 'a list', text: '- a\n', why: /^p\.yaml:1:1: the file wants a map of settings/ },
    { name: 'another version', text: `${HEAD.replace('1', '2')}rules: {}`, why: /^p\.yaml:1:1: 'version' wants 1/ },
    {
      name: 'no owner',
      text: 'version: 1\nname: x\nrules: {}\n',
      why: /^p\.yaml:1:1: the setting 'owner' is missing; it is who answers/,
    },
    { name: 'a name with blanks', text: HEAD.replace('test', 'a b'), why: /^p\.yaml:2:1: 'name' wants a name/m },
    {
      name: 'an unknown setting',
      text: `${HEAD}prioritty: 1\nrules: {}\n`,
      why: /^p\.yaml:4:1: there is no setting 'prioritty'; did you mean 'priority'\?/,
    },
    {
      name: 'an unknown kind of rule',
      text: withRule('    secure-boot: {enabled: true}\n'),
      why: /^p\.yaml:7:5: there is no setting 'rules\.r\.secure-boot'; did you mean 'secureBoot'\?/,
    },
    {
      name: 'a rule without a mode',
      text: `${HEAD}rules:\n  r: {require: [boot.log]}\n`,
      why: /^p\.yaml:5:3: the setting 'rules\.r\.mode' is missing; it is one of observe, warn, enforce/,
    },
    {
      name: 'a mode that is none',
      text: `${HEAD}rules:\n  r: {mode: deny, require: [boot.log]}\n`,
      why: /^p\.yaml:5:7: 'rules\.r\.mode' wants one of observe, warn, enforce, got "deny"/,
    },
    {
      name: 'a rule of no kind',
      text: withRule(''),
      why: /^p\.yaml:5:3: the rule asks nothing; write one of require, pcrs,/,
    },
    {
      name: 'a rule of two kinds',
      text: withRule('    require: [boot.log]\n    clock: {safe: required}\n'),
      why: /^p\.yaml:8:5: a rule is of one kind, this one has require and clock/,
    },
    {
      name: 'a name of a rule with capitals',
      text: `${HEAD}rules:\n  Boot: {mode: warn, require: [boot.log]}\n`,
      why: /^p\.yaml:5:3: there is no setting 'rules\.Boot'/,
    },
    {
      name: 'a rule that nobody appraises',
      text: withRule('    require:\n      - boot.reply\n'),
      why: /^p\.yaml:8:9: there is no rule 'boot\.reply'; did you mean 'boot\.replay'\?/,
    },
    {
      name: 'an area that nobody appraises',
      text: withRule('    require: [bios.log]\n'),
      why: /^p\.yaml:7:15: there are no rules 'bios\.\*'; there are boot\.\*, systemd\.\*/,
    },
    {
      name: 'a PCR that can be set back',
      text: withRule(`    pcrs: {sha256: {16: ["${HEX}"]}}\n`),
      why: /^p\.yaml:7:21: there is no setting 'rules\.r\.pcrs\.sha256\.16'/,
    },
    {
      name: 'a PCR of SHA-1',
      text: withRule(`    pcrs: {sha1: {0: ["${'ab'.repeat(20)}"]}}\n`),
      why: /^p\.yaml:7:12: there is no setting 'rules\.r\.pcrs\.sha1'/,
    },
    {
      name: 'a digest that was no string',
      text: withRule(`    kernel: {digests: [${'0'.repeat(64)}]}\n`),
      why: /^p\.yaml:7:24: 'rules\.r\.kernel\.digests\.0' wants a digest .* in quotes/,
    },
    {
      name: 'a digest of odd length',
      text: withRule('    kernel: {digests: ["abc"]}\n'),
      why: /^p\.yaml:7:24: .* wants a digest/,
    },
    {
      name: 'no digest at all',
      text: withRule('    kernel: {digests: []}\n'),
      why: /^p\.yaml:7:14: .* wants a list of 1 to 4096 digests/,
    },
    {
      name: 'a day that there is not',
      text: withRule('    require: [boot.log]\n    expires: 2027-02-30\n'),
      why: /^p\.yaml:8:5: the calendar has no 2027-02-30/,
    },
    {
      name: 'a date that is none',
      text: withRule('    require: [boot.log]\n    expires: soon\n'),
      why: /^p\.yaml:8:5: 'rules\.r\.expires' wants a date in UTC/,
    },
    {
      name: 'an exception without an end',
      text: withRule('    require: [boot.log]\n    exceptions: [{nodes: {all: {a: b}}, reason: x, owner: y}]\n'),
      why: /^p\.yaml:8:18: the setting 'rules\.r\.exceptions\.0\.expires' is missing/,
    },
    {
      name: 'an exception for nobody',
      text: withRule('    require: [boot.log]\n    exceptions: [{reason: x, owner: y, expires: 2027-01-01}]\n'),
      why: /^p\.yaml:8:18: an exception is for one 'node' or for 'nodes'/,
    },
    {
      name: 'an exception that ends on no day',
      text: withRule(
        `    require: [boot.log]\n    exceptions: [{node: "${HEX}", reason: x, owner: y, expires: 2027-13-01}]\n`,
      ),
      why: /^p\.yaml:8:\d+: the calendar has no 2027-13-01/,
    },
    {
      name: 'a priority of a policy for all others',
      text: `${HEAD}priority: 5\nrules: {}\n`,
      why: /^p\.yaml:4:1: a policy without 'nodes'/,
    },
    {
      name: 'a label that cannot be',
      text: `${HEAD}nodes: {all: {"a b": c}}\nrules: {}\n`,
      why: /^p\.yaml:4:15: there is no setting 'nodes\.all\.a b'/,
    },
    {
      name: 'events that only a type makes good',
      text: withRule('    events: {pcr: 4, allowed: [{type: EV_EFI_ACTION}]}\n'),
      why: /^p\.yaml:7:32: nothing here is proved by the quote/,
    },
    {
      name: 'events of which nothing is asked',
      text: withRule('    events: {pcr: 4}\n'),
      why: /^p\.yaml:7:5: the rule asks nothing; write 'required', 'allowed' or 'forbidden'/,
    },
    {
      name: 'other makers than none',
      text: withRule('    tpmFirmware: {otherVendors: refuse}\n'),
      why: /^p\.yaml:7:19: other than whom\?/,
    },
    {
      name: 'a file that is not there',
      text: withRule(`    ima: {digests: [{file: a.sha256, sha256: "${HEX}"}]}\n`),
      why: /^p\.yaml:7:21: a\.sha256 cannot be read: no such file/,
    },
    {
      name: 'a file of other content',
      text: withRule(`    ima: {digests: [{file: a.sha256, sha256: "${HEX}"}]}\n`),
      files: { 'a.sha256': LIST },
      why: new RegExp(`^p\\.yaml:7:38: a\\.sha256 is not what the policy means: its SHA-256 is ${LIST_SHA}`),
    },
    {
      name: 'a file elsewhere',
      text: withRule(`    ima: {digests: [{file: ../a, sha256: "${HEX}"}]}\n`),
      why: /^p\.yaml:7:22: .* wants the name of a file beside the policy/,
    },
    {
      name: 'a list that is none',
      text: withRule(`    ima: {digests: [{file: a, sha256: "${toHex(digest('sha256', utf8('# x\nfoo\n')))}"}]}\n`),
      files: { a: utf8('# x\nfoo\n') },
      why: /^p\.yaml:7:21: a: line 2 is not 'HEX {2}\/PATH'/,
    },
    {
      name: 'keys that are none',
      text: withRule(`    ima: {keys: [{file: a, sha256: "${LIST_SHA}"}]}\n`),
      files: { a: LIST },
      why: /^p\.yaml:7:18: a: no certificate and no public key/,
    },
    {
      name: 'a dbx that is none',
      text: withRule(`    secureBoot: {dbx: {atLeast: {file: a, sha256: "${LIST_SHA.replace(/./g, '0')}"}}}\n`),
      files: { a: LIST },
      why: /^p\.yaml:7:43: a is not what the policy means/,
    },
    {
      name: 'two rules about files',
      text: `${HEAD}rules:\n  a: {mode: warn, ima: {excludes: [/tmp/**]}}\n  b: {mode: warn, ima: {excludes: [/run/**]}}\n`,
      why: /^p\.yaml:6:19: a list of IMA is judged once/,
    },
    {
      name: 'more than a policy has',
      text: `${HEAD}# ${'x'.repeat(1 << 20)}\n`,
      why: /^p\.yaml:1:1: more than 1048576 characters/,
    },
  ]
  for (const { name, text, why, files } of refused) {
    it(`refuses ${name}, with its place`, () => {
      assert.throws(() => parse(text, files), {
        name: 'AppraisalPolicyError',
        code: 'APPRAISAL_POLICY_INVALID',
        message: why,
      })
    })
  }

  it('tells all mistakes at once, in order', () => {
    const text = `version: 1\nname: x\nrules:\n  a: {mode: warn}\n  b: {mode: often, require: [boot.log]}\n`
    assert.throws(
      () => parse(text),
      (err: Error) => {
        assert.deepEqual(
          err.message.split('\n').map((line) => line.split(':').slice(0, 3).join(':')),
          ['p.yaml:1:1', 'p.yaml:5:7'],
        )
        return true
      },
    )
  })

  it('has a revision that comments and order do not change, and content does', () => {
    const a = parse(`${HEAD}rules:\n  r: {mode: warn, require: [boot.log]}\n`)
    const b = parse(
      `# why\nowner: platform@example.org\nversion: 1\nname: test\nrules: {r: {require: [boot.log], mode: warn}}\n`,
    )
    const c = parse(`${HEAD}rules:\n  r: {mode: enforce, require: [boot.log]}\n`)
    assert.equal(a.revision, b.revision)
    assert.notEqual(a.revision, c.revision)
    assert.equal(a.revision, toHex(digest('sha256', a.canonical)))
  })

  it('takes files beside it, and is sure of them', () => {
    const text = withRule(
      `    ima: {digests: [{file: base.sha256, sha256: "${LIST_SHA}"}], files: {/usr/bin/true: ["${'cd'.repeat(32)}"]}}\n`,
    )
    const { ima } = parse(text, { 'base.sha256': LIST })
    assert.deepEqual([...(ima?.policy.files ?? [])], [['/usr/bin/true', ['cd'.repeat(32), HEX]]])
  })

  it('says what must be asked of a node', () => {
    const policy = policyOf(
      {
        a: '{mode: enforce, require: [boot.*]}',
        b: '{mode: enforce, commandLine: {mustContain: [ro]}}',
        c: `{mode: enforce, pcrs: {sha384: {12: ["${'ab'.repeat(48)}"]}}}`,
        d: '{mode: enforce, ima: {excludes: [/tmp/**]}}',
        e: '{mode: enforce, banks: {unused: refuse}}',
        f: '{mode: enforce, launchLog: {mode: enforce}}',
      },
      'evidence: {logs: [systemd]}\n',
    )
    const needs = policyNeeds(policy)
    assert.deepEqual([...needs.logs].sort(), ['firmware', 'ima', 'launch-log', 'systemd'])
    assert.deepEqual(needs.pcrs, { sha256: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], sha384: [12] })
    assert.deepEqual(needs.everyBank, [0])
  })

  it('reads logs in the banks that it names', () => {
    const policy = policyOf(
      { a: '{mode: enforce, commandLine: {mustContain: [ro]}}' },
      'evidence: {pcrs: {sha384: [0]}}\n',
    )
    assert.deepEqual(policyNeeds(policy).pcrs, { sha384: [0, 8, 9, 11, 12] })
  })

  it('gives a policy or its own error for any text', () => {
    const good = readFileSync(new URL('../../../config/appraisal/strict.yaml', import.meta.url), 'utf8')
    const edit = fc.record({
      at: fc.nat(good.length),
      cut: fc.nat(30),
      put: fc.constantFrom(
        '',
        '[',
        '{',
        ']',
        ': ',
        '- ',
        '"',
        "'",
        '\n',
        '  ',
        '*',
        '&a ',
        '0',
        'null',
        '~',
        'mode',
        '\t',
      ),
    })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let text = good
        for (const { at, cut, put } of edits) text = text.slice(0, at) + put + text.slice(at + cut)
        try {
          parse(text)
        } catch (err) {
          assert.ok(err instanceof AppraisalPolicyError, String(err))
        }
      }),
      { numRuns: fuzzRuns(150) },
    )
  })

  it('knows every rule that appraisal has', () => {
    const root = new URL('../../../attestation/', import.meta.url)
    const id = new RegExp(`'((?:${RULE_AREAS.join('|')})\\.[a-z0-9-]+)'`, 'g')
    const found = new Set<string>()
    for (const area of ['appraisal', 'machine', 'verifier']) {
      for (const entry of readdirSync(new URL(area, root), { recursive: true, encoding: 'utf8' })) {
        if (!entry.endsWith('.ts')) continue
        for (const [, rule = ''] of readFileSync(new URL(`${area}/${entry}`, root), 'utf8').matchAll(id))
          found.add(rule)
      }
    }
    found.delete('boot.changes') // said when all is judged: no policy can ask for it
    assert.deepEqual(
      [...found].filter((rule) => !KNOWN_RULES.includes(rule)),
      [],
    )
  })
})

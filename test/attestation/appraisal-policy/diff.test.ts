import { strict as assert } from 'node:assert'
import { diffPolicies } from '../../../attestation/appraisal-policy/index.ts'
import { policyOf } from './support.ts'

const A = 'ab'.repeat(32)
const B = 'cd'.repeat(32)
const EXCEPTION = (expires: string): string =>
  `exceptions: [{nodes: {all: {a: b}}, reason: x, owner: y, expires: ${expires}}]`

interface Case {
  readonly name: string
  readonly before?: string
  readonly after?: string
  readonly heads?: readonly [string, string]
  readonly changes: readonly (readonly [change: string, effect: string, what: RegExp])[]
}

const kernel = (digests: string, mode = 'enforce'): string => `{mode: ${mode}, kernel: {digests: [${digests}]}}`

const cases: readonly Case[] = [
  { name: 'nothing', before: kernel(`"${A}"`), after: kernel(`"${A}"`), changes: [] },
  { name: 'a name for a digest', before: kernel(`"${A}"`), after: kernel(`{digest: "${A}", name: x}`), changes: [] },
  { name: 'order', before: kernel(`"${A}", "${B}"`), after: kernel(`"${B}", "${A}"`), changes: [] },
  { name: 'a rule more', after: kernel(`"${A}"`), changes: [['added', 'tighter', /^kernel, mode enforce$/]] },
  { name: 'a rule less', before: kernel(`"${A}"`), changes: [['removed', 'looser', /^kernel, mode enforce$/]] },
  {
    name: 'a rule more that observes',
    after: kernel(`"${A}"`, 'observe'),
    changes: [['added', 'other', /mode observe/]],
  },
  {
    name: 'a stricter mode',
    before: kernel(`"${A}"`, 'warn'),
    after: kernel(`"${A}"`),
    changes: [['changed', 'tighter', /^mode from warn to enforce$/]],
  },
  {
    name: 'a laxer mode',
    before: kernel(`"${A}"`),
    after: kernel(`"${A}"`, 'observe'),
    changes: [['changed', 'looser', /^mode from enforce to observe$/]],
  },
  {
    name: 'a kernel more',
    before: kernel(`"${A}"`),
    after: kernel(`"${A}", {digest: "${B}", name: new}`),
    changes: [['changed', 'looser', new RegExp(`^kernel\\.digests has new \\(${B}\\) too$`)]],
  },
  {
    name: 'a kernel less',
    before: kernel(`"${A}", "${B}"`),
    after: kernel(`"${A}"`),
    changes: [['changed', 'tighter', /^kernel\.digests no longer has cdcd/]],
  },
  {
    name: 'a kernel more where the rule observes',
    before: kernel(`"${A}"`, 'observe'),
    after: kernel(`"${A}", "${B}"`, 'observe'),
    changes: [['changed', 'other', /too$/]],
  },
  {
    name: 'one more rule required',
    before: '{mode: warn, require: [boot.log]}',
    after: '{mode: warn, require: [boot.log, boot.replay]}',
    changes: [['changed', 'tighter', /^require has boot\.replay too$/]],
  },
  {
    name: 'a register more',
    before: `{mode: warn, pcrs: {sha256: {0: ["${A}"]}}}`,
    after: `{mode: warn, pcrs: {sha256: {0: ["${A}"], 2: ["${A}"]}}}`,
    changes: [['changed', 'tighter', /^pcrs\.sha256\.2: .* is new$/]],
  },
  {
    name: 'a value of a register more',
    before: `{mode: warn, pcrs: {sha256: {0: ["${A}"]}}}`,
    after: `{mode: warn, pcrs: {sha256: {0: ["${A}", "${B}"]}}}`,
    changes: [['changed', 'looser', /^pcrs\.sha256\.0 has cdcd.* too$/]],
  },
  {
    name: 'a higher minimum',
    before: '{mode: warn, secureBoot: {dbx: {minimumEntries: 9}}}',
    after: '{mode: warn, secureBoot: {dbx: {minimumEntries: 10}}}',
    changes: [['changed', 'tighter', /^secureBoot\.dbx\.minimumEntries from 9 to 10$/]],
  },
  {
    name: 'a lower version',
    before: '{mode: warn, tpmFirmware: {vendors: {IFX: {minimum: "7.10"}}}}',
    after: '{mode: warn, tpmFirmware: {vendors: {IFX: {minimum: "7.9"}}}}',
    changes: [['changed', 'looser', /minimum from 7\.10 to 7\.9$/]],
  },
  {
    name: 'a maker more',
    before: '{mode: warn, tpmFirmware: {vendors: {IFX: {}}}}',
    after: '{mode: warn, tpmFirmware: {vendors: {IFX: {}, STM: {}}}}',
    changes: [['changed', 'looser', /vendors\.STM: \{\} is new$/]],
  },
  {
    name: 'a maker named for the first time',
    before: '{mode: warn, tpmFirmware: {knownVulnerable: refuse}}',
    after: '{mode: warn, tpmFirmware: {knownVulnerable: refuse, vendors: {IFX: {}}}}',
    changes: [['changed', 'tighter', /vendors: .* is new$/]],
  },
  {
    name: 'more drift',
    before: '{mode: warn, clock: {maxDriftPercent: 5}}',
    after: '{mode: warn, clock: {maxDriftPercent: 50}}',
    changes: [['changed', 'looser', /from 5 to 50$/]],
  },
  {
    name: 'paths left out',
    before: '{mode: warn, ima: {violations: refuse}}',
    after: '{mode: warn, ima: {violations: refuse, excludes: [/tmp/**]}}',
    changes: [['changed', 'looser', /^ima\.excludes: .* is new$/]],
  },
  {
    name: 'violations allowed',
    before: '{mode: warn, ima: {violations: refuse}}',
    after: '{mode: warn, ima: {violations: allow}}',
    changes: [['changed', 'looser', /from refuse to allow$/]],
  },
  {
    name: 'violations that warn where they refused by default',
    before: '{mode: warn, ima: {excludes: [/tmp/**]}}',
    after: '{mode: warn, ima: {excludes: [/tmp/**], violations: warn}}',
    changes: [['changed', 'looser', /from refuse to warn$/]],
  },
  {
    name: 'violations that warn where they were allowed',
    before: '{mode: warn, ima: {violations: allow}}',
    after: '{mode: warn, ima: {violations: warn}}',
    changes: [['changed', 'tighter', /from allow to warn$/]],
  },
  {
    name: 'a file more',
    before: `{mode: warn, ima: {files: {/a: ["${A}"]}}}`,
    after: `{mode: warn, ima: {files: {/a: ["${A}"], /b: ["${A}"]}}}`,
    changes: [['changed', 'looser', /^ima\.files\.\/b: .* is new$/]],
  },
  {
    name: 'arguments restricted',
    before: '{mode: warn, commandLine: {mustContain: [ro]}}',
    after: '{mode: warn, commandLine: {mustContain: [ro], allowed: ["*"]}}',
    changes: [['changed', 'tighter', /allowed: .* is new$/]],
  },
  {
    name: 'another kind',
    before: kernel(`"${A}"`),
    after: '{mode: enforce, clock: {safe: required}}',
    changes: [
      ['changed', 'looser', /^kernel: .* is gone$/],
      ['changed', 'tighter', /^clock: .* is new$/],
    ],
  },
  {
    name: 'a stage that ends later',
    before: '{mode: warn, require: [boot.log], expires: 2027-01-01}',
    after: '{mode: warn, require: [boot.log], expires: 2027-02-01}',
    changes: [['changed', 'looser', /^expires from 2027-01-01 to 2027-02-01$/]],
  },
  {
    name: 'a stage that ends at all',
    before: '{mode: warn, require: [boot.log]}',
    after: '{mode: warn, require: [boot.log], expires: 2027-02-01}',
    changes: [['changed', 'tighter', /^expires from nothing to/]],
  },
  {
    name: 'an exception',
    before: '{mode: warn, require: [boot.log]}',
    after: `{mode: warn, require: [boot.log], ${EXCEPTION('2027-01-01')}}`,
    changes: [['added', 'looser', /^exception of .* until 2027-01-01, by y: x$/]],
  },
  {
    name: 'an exception less',
    before: `{mode: warn, require: [boot.log], ${EXCEPTION('2027-01-01')}}`,
    after: '{mode: warn, require: [boot.log]}',
    changes: [['removed', 'tighter', /^exception of/]],
  },
  {
    name: 'a longer exception',
    before: `{mode: warn, require: [boot.log], ${EXCEPTION('2027-01-01')}}`,
    after: `{mode: warn, require: [boot.log], ${EXCEPTION('2028-01-01')}}`,
    changes: [['changed', 'looser', /until 2028-01-01/]],
  },
  {
    name: 'an owner',
    before: '{mode: warn, require: [boot.log], owner: a}',
    after: '{mode: warn, require: [boot.log], owner: b}',
    changes: [['changed', 'other', /^owner from a to b$/]],
  },
  {
    name: 'what is done with pods',
    heads: ['', 'podsOnFailure: stop\n'],
    changes: [['changed', 'tighter', /^pods of a node that fails from leave to stop$/]],
  },
  {
    name: 'what rules not listed do',
    heads: ['', 'unlisted: observe\n'],
    changes: [['changed', 'looser', /from enforce to observe$/]],
  },
  {
    name: 'a shorter interval',
    heads: ['attestation: {intervalSeconds: 60}\n', 'attestation: {intervalSeconds: 30}\n'],
    changes: [['changed', 'tighter', /from 60 to 30$/]],
  },
  {
    name: 'other nodes',
    heads: ['', 'nodes: {all: {a: b}}\n'],
    changes: [['changed', 'other', /^the nodes meant from all others to/]],
  },
]

describe('what two policies differ in', () => {
  for (const { name, before, after, heads = ['', ''], changes } of cases) {
    it(`tells ${name}`, () => {
      const a = policyOf(before === undefined ? {} : { r: before }, heads[0])
      const b = policyOf(after === undefined ? {} : { r: after }, heads[1])
      const found = diffPolicies(a, b)
      assert.equal(found.length, changes.length, JSON.stringify(found))
      for (const [i, [change, effect, what]] of changes.entries()) {
        assert.deepEqual([found[i]?.change, found[i]?.effect], [change, effect], JSON.stringify(found))
        assert.match(found[i]?.what ?? '', what)
      }
    })
  }

  it('is the other way round the other way round', () => {
    const opposite: Readonly<Record<string, string>> = { tighter: 'looser', looser: 'tighter', other: 'other' }
    for (const { name, before, after } of cases) {
      if (before === undefined || after === undefined || name === 'another kind') continue // which order they come in is not said
      const [a, b] = [policyOf({ r: before }), policyOf({ r: after })]
      const there = diffPolicies(a, b).map((c) => opposite[c.effect])
      assert.deepEqual(
        diffPolicies(b, a).map((c) => c.effect),
        there,
        name,
      )
    }
  })
})

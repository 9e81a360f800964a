import { strict as assert } from 'node:assert'
import fc from 'fast-check'
import {
  type AppraisalPolicy,
  appraisalPolicySet,
  parseAppraisalPolicy,
  selectPolicy,
  selects,
} from '../../../attestation/appraisal-policy/index.ts'
import { commonNode, selectorOf } from '../../../attestation/appraisal-policy/selector.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

function policy(name: string, head: string): AppraisalPolicy {
  const text = `version: 1\nname: ${name}\nowner: x\n${head}rules: {}\n`
  return parseAppraisalPolicy(text, `${name}.yaml`, () => new Uint8Array())
}

describe('a set of appraisal policies', () => {
  const set = appraisalPolicySet([
    policy('all', ''),
    policy('workers', 'nodes: {all: {role: worker}}\n'),
    policy('edge', 'nodes: {all: {role: [worker, edge]}, any: {zone: e1, site: e}}\npriority: 10\n'),
    policy('lab', 'nodes: {all: {lab: yes-please}, none: {role: [worker, edge]}}\n'),
  ])
  const cases: readonly (readonly [labels: Record<string, string>, name: string])[] = [
    [{}, 'all'],
    [{ role: 'worker' }, 'workers'],
    [{ role: 'worker', zone: 'e1' }, 'edge'],
    [{ role: 'worker', zone: 'e2' }, 'workers'],
    [{ role: 'edge', site: 'e' }, 'edge'],
    [{ role: 'edge' }, 'all'],
    [{ lab: 'yes-please' }, 'lab'],
    [{ lab: 'yes-please', role: 'worker' }, 'workers'],
  ]
  for (const [labels, name] of cases) {
    it(`judges a node with ${JSON.stringify(labels)} by ${name}`, () =>
      assert.equal(selectPolicy(set, labels)?.name, name))
  }

  it('judges by none where none is for a node', () => {
    assert.equal(selectPolicy(appraisalPolicySet([policy('a', 'nodes: {all: {a: b}}\n')]), {}), undefined)
  })

  it('is not fooled by labels of the prototype', () => {
    assert.equal(selects(selectorOf({ all: { constructor: 'x' } }), {}), false)
    assert.equal(selectPolicy(appraisalPolicySet([policy('a', 'nodes: {none: {toString: x}}\n')]), {})?.name, 'a')
  })

  const doubtful: readonly (readonly [name: string, policies: () => AppraisalPolicy[], why: RegExp])[] = [
    ['two for all other nodes', () => [policy('a', ''), policy('b', '')], /^b\.yaml: has no 'nodes', as a\.yaml/],
    [
      'two of one name',
      () => [policy('a', ''), { ...policy('a', 'nodes: {all: {x: y}}\n'), file: 'c.yaml' }],
      /^c\.yaml: is named 'a', as a\.yaml/,
    ],
    [
      'two that one node could be meant by',
      () => [policy('a', 'nodes: {all: {role: [x, y]}}\n'), policy('b', 'nodes: {any: {role: [y, z], zone: q}}\n')],
      /^b\.yaml: a node with role=y is meant by a\.yaml too, also with priority 0; give the one/,
    ],
    [
      'two of different labels',
      () => [policy('a', 'nodes: {all: {role: x}}\n'), policy('b', 'nodes: {none: {zone: q}}\n')],
      /a node with role=x is meant by a\.yaml too/,
    ],
  ]
  for (const [name, policies, why] of doubtful) {
    it(`refuses ${name}`, () => {
      assert.throws(() => appraisalPolicySet(policies()), { code: 'APPRAISAL_POLICY_AMBIGUOUS', message: why })
    })
  }

  it('takes two that no node can be meant by', () => {
    const a = policy('a', 'nodes: {all: {role: [x, y]}}\n')
    assert.ok(appraisalPolicySet([a, policy('b', 'nodes: {all: {role: z}}\n')]))
    assert.ok(appraisalPolicySet([a, policy('b', 'nodes: {none: {role: [x, y]}}\n')]))
    assert.ok(appraisalPolicySet([a, policy('b', 'nodes: {all: {role: [y, z]}, none: {role: y}}\n')]))
  })

  it('finds a common node exactly where there is one', () => {
    const value = fc.constantFrom('1', '2')
    const labels = fc.option(
      fc.dictionary(fc.constantFrom('a', 'b'), fc.uniqueArray(value, { minLength: 1 }), { minKeys: 1 }),
      { nil: undefined },
    )
    const selector = fc
      .record({ all: labels, any: labels, none: labels })
      .map((s) => selectorOf(Object.fromEntries(Object.entries(s).filter(([, v]) => v !== undefined))))
    const values = [undefined, '1', '2', '3']
    const nodes = values.flatMap((a) =>
      values.map((b) => ({ ...(a !== undefined && { a }), ...(b !== undefined && { b }) })),
    )
    fc.assert(
      fc.property(selector, selector, (x, y) => {
        const found = commonNode(x, y)
        assert.equal(
          found !== undefined,
          nodes.some((node) => selects(x, node) && selects(y, node)),
        )
        if (found !== undefined) assert.ok(selects(x, found) && selects(y, found))
      }),
      { numRuns: fuzzRuns(1000) },
    )
  })
})

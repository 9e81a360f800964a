import { strict as assert } from 'node:assert'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import { CodedError } from '../../../attestation/base/index.ts'
import { nearestName, parseSettings } from '../../../attestation/settings/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

class TestError extends CodedError<'TEST'> {}
const rules = {
  schema: Type.Object(
    {
      name: Type.Optional(Type.String({ description: 'a name' })),
      paths: Type.Optional(Type.Record(Type.String(), Type.Integer({ description: 'a number' }))),
    },
    { additionalProperties: false, description: 'a map of settings' },
  ),
  error: (mistakes: string) => new TestError('TEST', mistakes),
}
const parse = (text: string) => parseSettings(rules, text, 'f.yaml')

describe('a settings file', () => {
  const refused: readonly { readonly name: string; readonly text: string; readonly why: RegExp }[] = [
    {
      name: 'flow nested without end',
      text: `name: x\npaths: ${'['.repeat(60_000)}`,
      why: /^f\.yaml:2:40: nested more than 32/,
    },
    { name: 'maps nested without end', text: '{name: '.repeat(8000), why: /nested more than 32/ },
    { name: 'dashes nested without end', text: '- '.repeat(20_000), why: /nested more than 32/ },
    {
      name: 'indentation without end',
      text: Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
      why: /^f\.yaml:130:1: nested more than 32/,
    },
    { name: 'keys of keys', text: '? '.repeat(20_000), why: /^f\.yaml:1:1: keys are single words/ },
    { name: 'colons without end', text: 'a: b: c', why: /^f\.yaml:1:5: a second ':' in one line/ },
    { name: 'a list as key', text: '[a, b]: 1\n', why: /^f\.yaml:1:1: keys are single words/ },
    {
      name: 'a key that is there twice',
      text: 'name: a\nname: b\n',
      why: /^f\.yaml:2:1: Map keys must be unique: "name"/,
    },
    { name: 'an anchor', text: 'name: &a x\n', why: /^f\.yaml:1:7: aliases are not read here/ },
    { name: 'a tag', text: 'name: !!binary aGk=\n', why: /^f\.yaml:1:7: tags are not read here/ },
    { name: 'a directive', text: '%YAML 1.1\n---\nname: x\n', why: /^f\.yaml:1:1: directives are not read here/ },
    { name: 'a merge', text: '<<: {name: x}\n', why: /^f\.yaml:1:1: there is no setting '<<'/ },
    {
      name: 'a second document',
      text: 'name: x\n---\nname: y\n',
      why: /^f\.yaml:2:1: Source contains multiple documents/,
    },
    { name: 'a control character', text: 'name: x\n# \u0000', why: /^f\.yaml:2:3: a control character/ },
    { name: 'a prototype', text: '__proto__: {name: x}\n', why: /^f\.yaml:1:1: there is no setting '__proto__'/ },
    {
      name: 'more text than a configuration has',
      text: `# ${'x'.repeat(70_000)}`,
      why: /^f\.yaml:1:1: more than 65536/,
    },
  ]
  for (const { name, text, why } of refused) {
    it(`refuses ${name}`, () => assert.throws(() => parse(text), { code: 'TEST', message: why }))
  }

  it('tells the place of a value whose key has slashes', () => {
    assert.throws(() => parse('paths:\n  /usr/bin/a~b: 1\n  /usr/bin/c: x\n'), {
      message: /^f\.yaml:3:3: 'paths\.\/usr\/bin\/c' wants a number/,
    })
  })

  it('reads a map of many keys in time that grows with their number', () => {
    const keys = Array.from({ length: 5000 }, (_, i) => `  k${i}: 1`)
    assert.equal(Object.keys(parse(['paths:', ...keys].join('\n')).paths ?? {}).length, 5000)
  })

  it('takes signs of YAML inside text for text', () => {
    assert.deepEqual(parse('name: \'a: [{*&!? %x\'\npaths: {"b: c": 1}\n'), {
      name: 'a: [{*&!? %x',
      paths: { 'b: c': 1 },
    })
  })

  it('gives a value or its own error for any text', () => {
    const pieces = fc.constantFrom(
      'name',
      'paths',
      ':',
      ' ',
      '\n',
      '- ',
      '? ',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '"',
      "'",
      '&a',
      '*a',
      '!',
      '|',
      '>',
      '#',
      '1',
      '\t',
      '---',
      '%',
      '\r',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (list) => {
        try {
          parse(list.join(''))
        } catch (err) {
          assert.ok(err instanceof TestError, String(err))
        }
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})

describe('the nearest name', () => {
  const names = ['interval', 'jitterPercent', 'secureBoot', 'commandLine']
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['secure-boot', 'secureBoot'],
    ['intervall', 'interval'],
    ['comandline', 'commandLine'],
    ['jitter', 'jitterPercent'],
    ['x', undefined],
    ['', undefined],
    ['entirely different', undefined],
  ]
  for (const [got, want] of cases) {
    it(`of '${got}' is ${want ?? 'none'}`, () => assert.equal(nearestName(got, names), want))
  }
})

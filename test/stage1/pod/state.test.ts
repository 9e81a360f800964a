import assert from 'node:assert/strict'
import { isRemovable, matchUuid, POD_DIRECTORIES, PodError, podState, podUuid } from '../../../stage1/pod/index.ts'

describe('stage1/pod state', () => {
  it('is what directory and lock say together', () => {
    const table = POD_DIRECTORIES.map((d) => [d, podState(d, true), podState(d, false)])
    assert.deepEqual(table, [
      ['embryo', 'embryo', 'aborted'],
      ['prepare', 'preparing', 'aborted-prepare'],
      ['prepared', 'prepared', 'prepared'],
      ['run', 'running', 'exited'],
      ['exited-garbage', 'deleting', 'garbage'],
      ['garbage', 'deleting', 'garbage'],
    ])
  })

  it('lets only pods be removed that nobody works on', () => {
    const locked = POD_DIRECTORIES.filter((d) => d !== 'prepared').map((d) => isRemovable(podState(d, true)))
    assert.ok(locked.every((removable) => !removable))
    assert.ok(POD_DIRECTORIES.every((d) => isRemovable(podState(d, false))))
  })
})

describe('stage1/pod UUIDs', () => {
  const a = { uuid: podUuid('5c1d0000-0000-4000-8000-000000000001') }
  const b = { uuid: podUuid('5c1e0000-0000-4000-8000-000000000002') }

  it('are found by any unique beginning, in either case', () => {
    assert.equal(matchUuid([a, b], '5c1d'), a)
    assert.equal(matchUuid([a, b], '5C1E'), b)
    assert.equal(matchUuid([a, b], a.uuid), a)
  })

  const refused = [
    { name: 'a beginning of two pods', prefix: '5c1', code: 'POD_AMBIGUOUS' },
    { name: 'a beginning of none', prefix: '77', code: 'POD_NOT_FOUND' },
    { name: 'nothing', prefix: '', code: 'POD_UUID_BAD' },
    { name: 'a path', prefix: '../run', code: 'POD_UUID_BAD' },
    { name: 'a pattern', prefix: '.*', code: 'POD_UUID_BAD' },
    { name: 'more than a UUID', prefix: `${a.uuid}0`, code: 'POD_UUID_BAD' },
  ]
  for (const { name, prefix, code } of refused) {
    it(`refuses ${name} with ${code}`, () => {
      assert.throws(
        () => matchUuid([a, b], prefix),
        (err) => err instanceof PodError && err.code === code,
      )
    })
  }

  for (const text of ['', '5C1D0000-0000-4000-8000-000000000001', '5c1d0000000040008000000000000001', `${a.uuid}\n`]) {
    it(`refuses ${JSON.stringify(text)} as a whole UUID`, () =>
      assert.throws(() => podUuid(text), { code: 'POD_UUID_BAD' }))
  }
})

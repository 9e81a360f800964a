import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseEnvironmentFile } from '../../../stage1/cli/environment-options.ts'
import { parseRunOptions, runHelp } from '../../../stage1/cli/run-options.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const parsed = (...words: string[]) => {
  const options = parseRunOptions(words)
  return options === 'help' ? assert.fail('help') : options
}

describe('the command line of holdfast run', () => {
  it("is taken apart by rkt's grammar: options behind their image, arguments between -- and ---", () => {
    const o = parsed(
      ...[
        '--volume',
        'data,kind=host,source=/srv,readOnly=true',
        '--mount=volume=data,target=/all',
        '--set-env',
        'A=1',
      ],
      ...['web', '--name=front', '--user', '7', '--readonly-rootfs', '--', '--user', 'x', '---'],
      ...['side', '--exec', '/bin/x', '--memory=64Mi', '--net=none', '--mount', 'volume=data,target=/d'],
    )
    assert.deepEqual(o.volumes, [{ name: 'data', kind: 'host', source: '/srv', readOnly: true }])
    assert.deepEqual(o.mounts, [{ volume: 'data', path: '/all' }])
    const [web, side] = o.apps
    assert.deepEqual([web?.image, web?.overrides.name, web?.overrides.user], ['web', 'front', '7'])
    assert.deepEqual([web?.overrides.args, web?.overrides.readOnlyRootFS], [['--user', 'x'], true])
    assert.deepEqual([side?.image, side?.overrides.exec, side?.overrides.args], ['side', '/bin/x', undefined])
    assert.deepEqual(side?.overrides.isolators, [{ name: 'resource/memory', value: { limit: '64Mi' } }])
    assert.deepEqual(side?.overrides.mounts, [{ volume: 'data', path: '/d' }])
  })

  it('has the options of an app before its image where it is the only one', () => {
    assert.equal(parsed('--user', '7', 'web').apps[0]?.overrides.user, '7')
    assert.equal(parsed('--user', '7', 'web', '--user', '8').apps[0]?.overrides.user, '8')
  })

  it('makes isolators of limits and sets, as they were typed', () => {
    const o = parsed(
      'web',
      '--caps-retain',
      'CAP_A,CAP_B',
      '--seccomp',
      'mode=remove,errno=EPERM,mount,@x/y',
      '--oom-score-adj',
      '-5',
    )
    assert.deepEqual(o.apps[0]?.overrides.isolators, [
      { name: 'os/linux/oom-score-adj', value: -5 },
      { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_A', 'CAP_B'] } },
      { name: 'os/linux/seccomp-remove-set', value: { set: ['mount', '@x/y'], errno: 'EPERM' } },
    ])
  })

  const refused: readonly (readonly [words: string[], says: RegExp])[] = [
    [[], /no image given/],
    [['--', 'x'], /no image given/],
    [['--user', '7', 'a', 'b'], /--user would be for every app/],
    [['a', '---', '--user', '7', 'b'], /--user stands before an image/],
    [['---', 'a'], /none was given before/],
    [['a', '--user'], /--user wants a value/],
    [['a', '--user', '--', 'x'], /--user wants a value/],
    [['a', '--no-such'], /no option --no-such/],
    [['a', '-x'], /no option -x/],
    [['a', '--interactive=maybe'], /is a flag/],
    [['a', '--interactive', '--detach'], /exclude each other/],
    [['a', '--name', 'Not A Name'], /--name:/],
    [['a', '--set-env', 'X'], /NAME=VALUE/],
    [['a', '--environment', '=x'], /NAME=VALUE/],
    [['a', '--supplementary-gids', '1,x'], /no group number/],
    [['a', '--supplementary-gids', '4294967295'], /no group number/],
    [['a', '--working-dir', '../x'], /absolute path/],
    [['a', '--volume', 'v,kind=other'], /kind is host or empty/],
    [['a', '--volume', 'v,kind=host'], /source=PATH/],
    [['a', '--volume', 'v,kind=host,source=/a/../b'], /absolute/],
    [['a', '--volume', 'v,kind=empty,source=/a'], /kind alone/],
    [['a', '--volume', 'v,kind=empty', '--volume', 'v,kind=empty'], /given twice/],
    [['a', '--mount', 'volume=v,target=/x'], /no --volume v/],
    [['a', '--caps-retain', 'A', '--caps-remove', 'B'], /exclude each other/],
    [['a', '--seccomp', 'mode=allow,mount'], /retain or remove/],
    [['a', '--pod-manifest', 'f'], /give no images beside it/],
    [['--pod-manifest', 'f', '--set-env', 'A=1'], /give no --set-env beside it/],
    [['a', '--hostname', '-x'], /--hostname/],
  ]
  for (const [words, says] of refused) {
    it(`is refused as ${words.join(' ') || 'nothing'}`, () =>
      assert.throws(() => parseRunOptions(words), { code: 'USAGE', message: says }))
  }

  it('never shows the value of a variable that is refused', () => {
    assert.throws(
      () => parseRunOptions(['a', '--set-env', '=very-secret']),
      (err: Error) => !err.message.includes('secret'),
    )
    assert.throws(
      () => parseEnvironmentFile('f', 'A=1\n=very-secret'),
      (err: Error) => !err.message.includes('secret'),
    )
  })

  it('is read or refused, whatever the words are', () => {
    const word = fc.oneof(
      fc.constantFrom(
        '--',
        '---',
        'img',
        '--user',
        '--set-env',
        '--volume',
        'v,kind=empty',
        '--mount',
        'A=1',
        '--detach',
      ),
      fc.string(),
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        try {
          parseRunOptions(words)
        } catch (err) {
          if (!(err instanceof Error && 'code' in err)) throw err
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('is explained option by option', () => {
    for (const name of ['--volume', '--seccomp', '--pod-manifest', '--detach', '--trust', '--help']) {
      assert.ok(runHelp().includes(`  ${name} `), name)
    }
  })
})

describe('a file of variables', () => {
  it('has one NAME=VALUE a line; lines that begin with # or are empty say nothing', () => {
    assert.deepEqual(parseEnvironmentFile('f', '# x\nA=1=2\r\n\nB=\n'), [
      { name: 'A', value: '1=2' },
      { name: 'B', value: '' },
    ])
  })
})

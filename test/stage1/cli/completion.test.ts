import assert from 'node:assert/strict'
import { Command } from 'commander'
import { completable, completionScript, completions } from '../../../stage1/cli/completion.ts'
import { HOLDFAST, run } from '../../support/holdfast.ts'

describe('completion', () => {
  const nodes = new Command('nodes')
  nodes.command('release').option('--config <file>')
  nodes.command('refuse')
  const load = async (name: string) => (name === 'nodes' ? completable(nodes) : undefined)
  const cases = [
    { words: [''], found: ['nodes', 'run'] },
    { words: ['no'], found: ['nodes'] },
    { words: ['nodes', 're'], found: ['release', 'refuse'] },
    { words: ['nodes', 'release', '--'], found: ['--config', '--help'] },
    { words: ['nodes', 'refuse', '--c'], found: [] },
    { words: ['run', 'x', ''], found: [] },
    { words: ['nodes', 'release', '--', '--'], found: [] },
  ]
  for (const { words, found } of cases) {
    it(`offers ${found.join(', ') || 'nothing'} after '${words.join(' ')}'`, async () => {
      assert.deepEqual(await completions(words, ['nodes', 'run'], load), found)
    })
  }
  it('refuses a shell that it does not know', () => {
    assert.throws(() => completionScript('tcsh'), { code: 'USAGE', message: /bash, zsh, fish/ })
    assert.throws(() => completionScript(undefined), { code: 'USAGE' })
    assert.throws(() => completionScript('constructor'), { code: 'USAGE' })
  })
  it('completes in a real bash', async () => {
    const script = `source <(holdfast completion bash); COMP_WORDS=(holdfast nodes adm); COMP_CWORD=2; _holdfast; echo "\${COMPREPLY[*]}"`
    const { stdout } = await run('bash', ['-c', `holdfast() { ${process.execPath} ${HOLDFAST} "$@"; }; ${script}`])
    assert.equal(stdout, 'admit\n')
  })
  it('knows the options of run', async () => {
    const { stdout } = await run(process.execPath, [HOLDFAST, '__complete', 'run', '--set'])
    assert.equal(stdout, '--set-env\n--set-env-file\n')
  })
})

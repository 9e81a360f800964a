import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { logTable } from '../../../agent/cli/log.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { SoftNode } from '../support/soft-node.ts'

const ENTRY = fileURLToPath(new URL('../../../holdfast.ts', import.meta.url))

function holdfast(...args: readonly string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import=tsx', ENTRY, ...args], (err, stdout, stderr) =>
      resolve({ status: err === null ? 0 : err.code, stdout, stderr }),
    )
  })
}

describe('the commands of the agent', () => {
  const dir = tempDir()
  after(() => dir.remove())
  const file = (name: string, content: string): string => {
    writeFileSync(join(dir.path, name), content)
    return join(dir.path, name)
  }
  const off = (tcti: string): string =>
    `tcti: ${tcti}\nmode: off\ndataDirectory: ${dir.path}/data\nrunDirectory: ${dir.path}/run\n`

  const refused = [
    {
      name: 'no configuration',
      args: () => ['agent', '--config', join(dir.path, 'none.yaml')],
      says: /none.yaml: there is no such file \(AGENT_CONFIG_UNREADABLE\)/,
    },
    {
      name: 'mistakes in the configuration, each with its line',
      args: () => ['agent', '--config', file('bad.yaml', 'tcti: 7\npcr: 16\n')],
      says: /bad.yaml:1:1: .*\n.*bad.yaml:2:1: PCR 16 .*\(AGENT_CONFIG_INVALID\)\n {2}Correct the configuration/s,
    },
    {
      name: 'a TPM that is not there',
      args: () => ['agent', '--config', file('tpm.yaml', off('device:/dev/no-such-tpm'))],
      says: /\(TPM_[A-Z_]+\)\n.*tcti in the configuration names it/s,
    },
    {
      name: 'a TCTI that is not known',
      args: () => ['agent', '--config', file('tcti.yaml', off('nonsense'))],
      says: /\(TPM_[A-Z_]+\)\n/,
    },
    {
      name: 'no agent to ask for its status',
      args: () => ['agent', 'status', '--socket', join(dir.path, 'none.sock')],
      says: /no agent listens \(API_UNREACHABLE\)\n {2}Start the agent/,
    },
    {
      name: 'no agent to ask for its log',
      args: () => ['log', '--socket', join(dir.path, 'none.sock')],
      says: /no agent listens \(API_UNREACHABLE\)\n {2}Start the agent/,
    },
  ]
  for (const { name, args, says } of refused) {
    it(`end with 254, a code and a hint on ${name}`, async () => {
      const { status, stdout, stderr } = await holdfast(...args())
      assert.deepEqual([status, stdout], [254, ''], stderr)
      assert.match(stderr, says)
      assert.doesNotMatch(stderr, /\n {4}at /, 'no stack trace')
    })
  }

  it('print log and status of a running agent', async () => {
    const node = await SoftNode.make()
    try {
      await node.start({}, node.loaded({ mode: 'off' }, undefined))
      const pod = node.pod()
      await node.launch(pod.body)
      const table = await holdfast('log', '--socket', node.socketPath)
      assert.equal(table.status, 0, table.stderr)
      const lines = table.stdout.trimEnd().split('\n')
      assert.match(lines[0] ?? '', /^0 {2}agent {3}version=test mode=off$/)
      assert.match(lines.at(-1) ?? '', new RegExp(`^4 {2}launch {2}uuid=${pod.uuid} mode=off$`))
      const json = JSON.parse((await holdfast('log', '--format', 'json', '--socket', node.socketPath)).stdout)
      assert.equal(json.length, 5)
      const status = JSON.parse((await holdfast('agent', 'status', '--socket', node.socketPath)).stdout)
      assert.equal(status.launches.allowed, 1)
    } finally {
      await node.stop()
    }
  })

  it('print nothing of a log that a terminal would act upon', () => {
    const content = { record: 'image', name: '\u001b[2Jevil\n0  agent', id: 'sha256-1' }
    assert.equal(logTable([{ recnum: 3, content }]), '3  image   name=\\x1b[2Jevil\\x0a0  agent id=sha256-1\n')
  })
})

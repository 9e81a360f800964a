import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Summary } from '../../../attestation/simulator/index.ts'
import { saveToken } from '../../../attestation/store/index.ts'
import { HOLDFAST_PROGRAM, run } from '../../support/holdfast.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { startTestVerifier, type TestVerifier } from '../../support/verifier.ts'
import { QUICK } from './support.ts'

const COUNT = 6

describe('holdfast simulate', () => {
  let dir: ReturnType<typeof tempDir>
  let verifier: TestVerifier
  let trust: string
  let keys: string
  before(async () => {
    dir = tempDir()
    keys = join(dir.path, 'keys')
    const roots = join(dir.path, 'roots')
    mkdirSync(roots)
    const made = await simulate('--nodes', String(COUNT), '--keys', keys, '--ca')
    assert.equal(made.status, 0, made.stderr)
    assert.deepEqual(made.stdout.trim().split('\n'), [join(keys, 'nodes-p256.ids'), join(keys, 'ca.pem')])
    writeFileSync(join(roots, 'simulated.pem'), readFileSync(join(keys, 'ca.pem')))
    verifier = await startTestVerifier({ settings: `enrolment:\n  admission: token\n  roots: ${roots}\n${QUICK}` })
    trust = join(dir.path, 'trust.json')
    writeFileSync(trust, JSON.stringify(verifier.trust))
  })
  after(async () => {
    await verifier?.stop()
    dir.remove()
  })
  const simulate = async (...args: string[]) => await run(HOLDFAST_PROGRAM, ['simulate', ...args])
  const to = (...args: string[]) => ['--verifier', `127.0.0.1:${verifier.port}`, '--trust', trust, ...args]

  it('enrols nodes by certificate and token, and ends when each has what it deserves', async () => {
    const tokens = Array.from({ length: COUNT }, (_, i) => `hft-simulated-${i}`)
    await verifier.withStore(async (store) => {
      for (const token of tokens) {
        const sha256 = createHash('sha256').update(token).digest('hex')
        await saveToken(store, { sha256, labels: { rack: '7' }, expiresAt: new Date(Date.now() + 600_000) }, 'test')
      }
    })
    const file = join(dir.path, 'tokens')
    writeFileSync(file, tokens.join('\n'))
    const shares = ['--misbehaving', 'log-fork=20%', '--until-deserved']
    const ran = await simulate(
      ...to('--nodes', String(COUNT), '--keys', keys, '--ca', '--tokens', file, ...shares, '--format=json'),
    )
    assert.equal(ran.status, 0, ran.stderr)
    assert.equal(ran.stderr, '') // no progress where nobody looks, and no warnings
    const summary = JSON.parse(ran.stdout) as Summary
    assert.deepEqual([summary.enrolled, summary.falseVerdicts, summary.allDeserved], [COUNT, 0, true])
    const ids = readFileSync(join(keys, 'nodes-p256.ids'), 'utf8').trim().split('\n')
    const stored = await verifier.withStore(async (store) => await store.nodes())
    assert.deepEqual(stored.map((n) => n.nodeId).sort(), ids.sort())
    assert.equal(stored.filter((n) => n.tier === 'contraindicated').length, 1)
    assert.equal(stored[0]?.labels['rack'], '7')
  })

  it('prints a table after its duration', async () => {
    const ran = await simulate(...to('--nodes', '1', '--keys', keys, '--ca', '--seed', '1', '--duration', '1500ms'))
    // the node that forked its log in the run before is trusted again after this boot: its log is in order
    assert.equal(ran.status, 0, ran.stderr)
    assert.match(ran.stdout, /^enrolled +1 of 1$/m)
    assert.match(ran.stdout, /^healthy +1 +trusted +1 +1 affirming$/m)
  })

  it('fails with a code when a verdict is false', async () => {
    // nobody vouches for these keys
    const ran = await simulate(...to('--nodes', '1', '--duration', '1s'))
    assert.equal(ran.status, 254)
    assert.match(ran.stdout, /EK_NOT_TRUSTED/)
    assert.match(ran.stderr, /SIMULATE_FALSE_VERDICT/)
  })

  const refused: { name: string; args: () => string[]; stderr: RegExp }[] = [
    { name: 'no number of nodes', args: () => to(), stderr: /--nodes/ },
    { name: 'too many nodes', args: () => to('--nodes', '100001'), stderr: /from 1 to 100000/ },
    {
      name: 'bad shares',
      args: () => to('--nodes', '3', '--misbehaving', 'odd=1%'),
      stderr: /SIMULATE_SHARES_INVALID/,
    },
    { name: 'a time without unit', args: () => to('--nodes', '3', '--duration', '10'), stderr: /such as 500ms/ },
    { name: 'an address without port', args: () => ['--nodes', '1', '--verifier', 'host'], stderr: /HOST:PORT/ },
    { name: 'no trust.json', args: () => ['--nodes', '1', '--verifier', 'h:1'], stderr: /--trust/ },
    { name: 'neither verifier nor keys', args: () => ['--nodes', '1'], stderr: /--verifier is missing/ },
    { name: 'a CA that is not kept', args: () => to('--nodes', '1', '--ca'), stderr: /--ca needs --keys/ },
    {
      name: 'a trust.json that is none',
      args: () => ['--nodes', '1', '--verifier', 'h:1', '--trust', join(keys, 'ca.pem')],
      stderr: /SIMULATE_TRUST_INVALID/,
    },
    {
      name: 'too few tokens',
      args: () => to('--nodes', '3', '--tokens', join(dir.path, 'trust.json'), '--keys', join(dir.path, 'unused')),
      stderr: /SIMULATE_TOKENS_INVALID/,
    },
  ]
  for (const { name, args, stderr } of refused) {
    it(`refuses ${name}`, async () => {
      const ran = await simulate(...args())
      assert.equal(ran.status, 254)
      assert.match(ran.stderr, stderr)
      assert.equal(ran.stdout, '')
    })
  }
  it('makes no keys for a command line that is refused', () =>
    assert.equal(existsSync(join(dir.path, 'unused')), false))

  it('says at once that nobody listens there', async () => {
    const port = await freePort()
    const ran = await simulate('--nodes', '2', '--verifier', `127.0.0.1:${port}`, '--trust', trust)
    assert.equal(ran.status, 254)
    assert.match(ran.stderr, /ECONNREFUSED.*SIMULATE_UNREACHABLE/s)
  })

  it('speaks to no verifier whose key is another', async () => {
    const other = join(dir.path, 'other.json')
    writeFileSync(other, JSON.stringify({ ...verifier.trust, tlsSpkiSha256: ['0'.repeat(64)] }))
    const ran = await simulate('--nodes', '1', '--verifier', `127.0.0.1:${verifier.port}`, '--trust', other)
    assert.equal(ran.status, 254)
    assert.match(ran.stderr, /SIMULATE_TLS_UNTRUSTED/)
  })

  it('teaches in its help what each kind deserves', async () => {
    const { status, stdout } = await simulate('--help')
    assert.equal(status, 0)
    for (const kind of ['wrong-nonce', 'log-fork', 'reset-replay', 'silent', 'slow', 'flood']) {
      assert.match(stdout, new RegExp(`^  ${kind} `, 'm'))
    }
    assert.match(stdout, /holdfast roots import/)
  })
})

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new TypeError('a TCP listener has an address')
  return address.port
}

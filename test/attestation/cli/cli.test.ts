import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openStore } from '../../../attestation/store/index.ts'
import { caExtensions, ecKey, makeCertificate } from '../../support/certificates.ts'
import { HOLDFAST, run } from '../../support/holdfast.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../../support/verifier.ts'

const nodeId = `3f9a${'0'.repeat(60)}`

const holdfast = async (...args: readonly string[]) => await run(HOLDFAST, args)

describe("the verifier's commands", () => {
  const dir = tempDir()
  const config = join(dir.path, 'verifier.yaml')
  const policies = join(dir.path, 'policies')
  const data = join(dir.path, 'data')
  before(async () => {
    mkdirSync(policies)
    mkdirSync(data)
    writeFileSync(join(policies, 'a.cedar'), PERMIT_AFFIRMED)
    writeFileSync(config, `listen: 127.0.0.1:0\ndataDirectory: ${data}\npolicies: ${policies}\n`)
    const store = await openStore(join(data, 'store.sqlite'), { exclusive: true, create: true })
    await store.enrol({
      nodeId,
      ekPublic: Uint8Array.of(1),
      ak: { public: Uint8Array.of(2), name: `000b${nodeId}`, certificate: Uint8Array.of(3) },
      attributes: { hostname: 'web-7\u001b[31m.example' },
      admission: { kind: 'pending' },
    })
    await store.close()
  })
  after(() => dir.remove())

  it('list, admit, label and show nodes', async () => {
    const before = await holdfast('nodes', 'list', '--config', config)
    assert.equal(before.status, 0, before.stderr)
    assert.match(before.stdout, /^NODE +HOST +ADMISSION/)
    assert.match(before.stdout, /3f9a00000000 +web-7\\x1b\[31m\.example +pending/) // no escape sequence reaches the terminal
    const admitted = await holdfast('nodes', 'admit', '3f9a', '--config', config)
    assert.deepEqual([admitted.status, admitted.stdout], [0, `${nodeId}\n`])
    assert.equal((await holdfast('nodes', 'label', '3f9a', 'zone=a', 'rack=7', '--config', config)).status, 0)
    assert.equal((await holdfast('nodes', 'label', '3f9a', 'rack-', '--config', config)).status, 0)
    const [node] = JSON.parse((await holdfast('nodes', 'list', '--format=json', '--config', config)).stdout)
    assert.equal(node.admission, 'admitted')
    assert.deepEqual(node.labels, { zone: 'a' })
    const shown = await holdfast('nodes', 'show', '3f9a', '--config', config)
    assert.match(shown.stdout, /admission +admitted \(operator\)/)
    assert.match(shown.stdout, /Decisions, newest first/)
  })

  it('say null where something of a node is not known, so that members are always there', async () => {
    const [node] = JSON.parse((await holdfast('nodes', 'list', '--format=json', '--config', config)).stdout)
    assert.deepEqual([node.quarantine, node.ekCertificateSha256], [null, null])
  })

  it('end without a stack trace when nobody reads on', async () => {
    const child = spawn(HOLDFAST, ['policy', 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const [status] = await once(child, 'close')
    assert.deepEqual([status, stderr], [254, ''])
  })

  it('are explained one by one: holdfast help nodes show', async () => {
    const { status, stdout } = await holdfast('help', 'nodes', 'show')
    assert.equal(status, 0)
    assert.match(stdout, /^Usage: holdfast nodes show /)
  })

  it('make a token that is stored as a digest only', async () => {
    const { status, stdout } = await holdfast(
      'tokens',
      'create',
      '--hours',
      '2',
      '--label',
      'zone=a',
      '--config',
      config,
    )
    assert.equal(status, 0)
    assert.match(stdout, /^hft-[\w-]{32}\n$/)
  })

  it('check policies and print what they can speak of', async () => {
    const good = await holdfast('policy', 'check', policies)
    assert.equal(good.status, 0)
    assert.match(good.stdout, /permit +affirmed +a\.cedar:1/)
    assert.match(good.stdout, /revision [0-9a-f]{64}/)
    assert.match((await holdfast('policy', 'schema')).stdout, /entity Node/)
    const bad = join(dir.path, 'bad')
    mkdirSync(bad)
    writeFileSync(join(bad, 'b.cedar'), '\npermit (principal, action, resource) when { resource.nothing };')
    const refused = await holdfast('policy', 'check', bad)
    assert.equal(refused.status, 254)
    assert.equal(refused.stdout, '')
    assert.match(refused.stderr, /b\.cedar:2:\d+: .*nothing/)
  })

  it('import and list roots', async () => {
    const key = ecKey()
    const file = join(dir.path, 'maker.der')
    writeFileSync(
      file,
      makeCertificate({ subject: 'Maker CA', key, issuer: 'Maker CA', issuerKey: key, extensions: caExtensions() }),
    )
    const imported = await holdfast('roots', 'import', file, '--config', config)
    assert.equal(imported.status, 0, imported.stderr)
    assert.match(imported.stdout, /^[0-9a-f]{64} {2}root {2}.*Maker CA/)
    assert.match((await holdfast('roots', 'list', '--config', config)).stdout, /Maker CA/)
    const none = await holdfast('roots', 'import', config, '--config', config)
    assert.equal(none.status, 254)
    assert.match(none.stderr, /VERIFIER_ROOTS_INVALID/)
  })

  const refused: readonly [string, readonly string[], RegExp][] = [
    ['a node that does not exist', ['nodes', 'admit', 'ffff', '--config', config], /STORE_NODE_UNKNOWN/],
    ['a label that is none', ['nodes', 'label', '3f9a', 'nolabel', '--config', config], /KEY=VALUE/],
    [
      'a missing configuration',
      ['nodes', 'list', '--config', join(dir.path, 'none.yaml')],
      /VERIFIER_CONFIG_UNREADABLE/,
    ],
    ['an unknown option', ['nodes', 'list', '--nope'], /unknown option/],
    ['a token for no time at all', ['tokens', 'create', '--hours', '0', '--config', config], /more than 0/],
    ['a directory without policies', ['policy', 'check', join(dir.path, 'nowhere')], /LAUNCH_POLICY_UNREADABLE/],
  ]
  for (const [what, args, message] of refused) {
    it(`refuse ${what} with 254 and say why on standard error`, async () => {
      const { status, stdout, stderr } = await holdfast(...args)
      assert.equal(status, 254)
      assert.equal(stdout, '')
      assert.match(stderr, message)
      assert.doesNotMatch(stderr, /\n +at /, 'no stack trace')
    })
  }

  it('teach: each help has examples', async () => {
    for (const name of ['verifier', 'nodes', 'tokens', 'policy', 'roots']) {
      const { status, stdout } = await holdfast(name, '--help')
      assert.equal(status, 0)
      assert.match(stdout, /Examples:/, name)
    }
  })

  it('check a configuration without starting anything', async () => {
    const { status, stdout } = await holdfast('verifier', '--check', '--config', config)
    assert.equal(status, 0)
    assert.match(stdout, /1 policies, revision/)
  })

  it('run the verifier until SIGTERM, with policies taken over on SIGHUP', async () => {
    const child = spawn(HOLDFAST, ['verifier', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] })
    try {
      const seen: string[] = []
      for await (const line of createInterface({ input: child.stderr })) {
        const { msg } = JSON.parse(line)
        seen.push(msg)
        if (msg === 'verifier listens') child.kill('SIGHUP')
        if (msg === 'policies and roots taken over') child.kill('SIGTERM')
      }
      if (child.exitCode === null) await once(child, 'close')
      assert.equal(child.exitCode, 0)
      assert.deepEqual(seen.slice(-2), ['stopping', 'verifier stopped'])
    } finally {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    }
  })
})

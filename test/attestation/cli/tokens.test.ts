import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findApiToken, openStore } from '../../../attestation/store/index.ts'
import { HOLDFAST, run } from '../../support/holdfast.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('holdfast tokens', () => {
  const dir = tempDir()
  const config = join(dir.path, 'verifier.yaml')
  const data = join(dir.path, 'data')
  before(async () => {
    mkdirSync(data)
    writeFileSync(config, `dataDirectory: ${data}\npolicies: ${dir.path}\n`)
    await (await openStore(join(data, 'store.sqlite'), { exclusive: true, create: true })).close()
  })
  after(() => dir.remove())
  const tokens = async (...args: readonly string[]) => await run(HOLDFAST, ['tokens', ...args, '--config', config])

  it('makes a token of the API, shows it once and keeps its digest', async () => {
    const made = await tokens('create', 'grafana', '--role', 'viewer', '--expires', '30d', '--label', 'zone=a')
    assert.equal(made.status, 0, made.stderr)
    assert.match(made.stdout, /^hf_[\w-]{43}\n$/)
    const token = made.stdout.trim()
    for (const file of readdirSync(data)) {
      assert.equal(readFileSync(join(data, file)).includes(token.slice(3)), false, `${file} holds the secret`)
    }
    const store = await openStore(join(data, 'store.sqlite'), { exclusive: false, create: false })
    try {
      const kept = await findApiToken(store, createHash('sha256').update(token).digest('hex'))
      assert.deepEqual([kept?.name, kept?.role, kept?.labels], ['grafana', 'viewer', { zone: 'a' }])
      const lifetimeMs = Date.parse(kept?.expiresAt ?? '') - Date.parse(kept?.createdAt ?? '')
      assert.equal(Math.round(lifetimeMs / 3_600_000), 30 * 24)
    } finally {
      await store.close()
    }
    const again = await tokens('create', 'grafana', '--role', 'viewer', '--expires', '30d')
    assert.equal(again.status, 254)
    assert.match(again.stderr, /STORE_CONFLICT.*choose another|choose another/)
  })

  it('lists tokens without their digests, and revokes them', async () => {
    const before = await tokens('list')
    assert.match(before.stdout, /^grafana +viewer +zone=a +good until \S+ +never$/m)
    assert.equal((await tokens('revoke', 'grafana')).stdout, 'grafana\n')
    const [entry] = JSON.parse((await tokens('list', '--format', 'json')).stdout)
    assert.deepEqual(Object.keys(entry).sort(), [
      ...['createdAt', 'createdBy', 'expiresAt', 'labels', 'lastUsedAt', 'name', 'revokedAt', 'role'],
    ])
    assert.ok(entry.revokedAt)
    const again = await tokens('revoke', 'grafana')
    assert.equal(again.status, 254)
    assert.match(again.stderr, /revoked already/)
  })

  it('still makes one-time tokens of nodes', async () => {
    assert.match((await tokens('create', '--hours', '2')).stdout, /^hft-[\w-]{32}\n$/)
  })

  const refused: readonly [string, readonly string[], RegExp][] = [
    ['without an end', ['x', '--role', 'viewer'], /--role .* and --expires/],
    ['without a role', ['x', '--expires', '1d'], /--role .* and --expires/],
    ['with a role that there is not', ['x', '--role', 'root', '--expires', '1d'], /viewer/],
    ['for more than a year', ['x', '--role', 'viewer', '--expires', '367d'], /at most 366d/],
    ['for no time', ['x', '--role', 'viewer', '--expires', '0h'], /at most 366d/],
    ['without a name', ['--role', 'viewer', '--expires', '1d'], /has a NAME/],
    ['with the hours of a node', ['x', '--role', 'viewer', '--expires', '1d', '--hours', '1'], /--hours/],
    ['with a name of control characters', ['x\ny', '--role', 'viewer', '--expires', '1d'], /name of a token/],
    ['with a label twice', ['x', '--role', 'viewer', '--expires', '1d', '--label', 'a=1', '--label', 'a=2'], /twice/],
    ['with a label to remove', ['x', '--role', 'viewer', '--expires', '1d', '--label', 'a-'], /none to remove/],
  ]
  for (const [what, args, message] of refused) {
    it(`makes none ${what}`, async () => {
      const { status, stdout, stderr } = await tokens('create', ...args)
      assert.deepEqual([status, stdout], [254, ''])
      assert.match(stderr, message)
    })
  }
})

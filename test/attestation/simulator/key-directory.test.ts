import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KeyDirectory } from '../../../attestation/simulator/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('a directory of simulated keys', () => {
  let dir: ReturnType<typeof tempDir>
  let directory: KeyDirectory
  beforeEach(() => {
    dir = tempDir()
    directory = new KeyDirectory(join(dir.path, 'keys'))
  })
  afterEach(() => dir.remove())
  const names = async (count: number) =>
    (await directory.keys('p256', count, () => {})).map(({ ak }) => Buffer.from(ak.name).toString('hex'))

  it('keeps the keys it has, and makes those that are missing', async () => {
    const first = await names(2)
    const more = await names(3)
    assert.deepEqual(more.slice(0, 2), first)
    assert.equal(new Set(more).size, 3)
    assert.deepEqual(await names(1), first.slice(0, 1))
    assert.equal(statSync(join(dir.path, 'keys/nodes-p256.keys')).mode & 0o777, 0o600)
  })

  it('counts boots up from run to run', () => {
    const [a, b] = [directory.nextBoot(), directory.nextBoot()]
    assert.ok(a > 0 && b > a)
  })

  it('keeps its CA', () => {
    const made = directory.ca()
    assert.deepEqual(directory.ca().keyId, made.keyId)
    assert.match(readFileSync(directory.caFile, 'utf8'), /BEGIN CERTIFICATE/)
  })

  it('refuses keys that are none, with the line', async () => {
    await names(1)
    appendFileSync(join(dir.path, 'keys/nodes-p256.keys'), 'bm8= bm8=\n')
    await assert.rejects(names(2), { code: 'SIMULATE_KEYS_INVALID', message: /line 2/ })
  })

  it('refuses a CA whose key is another one', () => {
    directory.ca()
    const other = new KeyDirectory(join(dir.path, 'other'))
    other.ca()
    writeFileSync(directory.caFile, readFileSync(other.caFile))
    assert.throws(() => directory.ca(), { code: 'SIMULATE_KEYS_INVALID', message: /ca\.pem/ })
  })

  it('refuses a path that is a file', () => {
    writeFileSync(join(dir.path, 'file'), '')
    assert.throws(() => new KeyDirectory(join(dir.path, 'file')), { code: 'SIMULATE_KEYS_INVALID' })
  })
})

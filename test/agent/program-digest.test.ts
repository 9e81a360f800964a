import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { programDigest } from '../../agent/program-digest.ts'
import { tempDir } from '../support/temp-dir.ts'

describe('the digest of the program', () => {
  const dir = tempDir()
  after(() => dir.remove())

  it('is what sha256sum gives, changes with each module, and not with what is no program', async () => {
    const at = (name: string) => join(dir.path, name)
    for (const name of ['holdfast.js', 'chunk-B.mjs', 'chunk-a.mjs']) writeFileSync(at(name), `// ${name}`)
    symlinkSync(at('holdfast.js'), at('link'))
    const digest = await programDigest(at('link'))
    const tool = 'sha256sum *.js *.mjs | LC_ALL=C sort -k2 | sha256sum'
    assert.equal(execFileSync('sh', ['-c', tool], { cwd: dir.path, encoding: 'utf8' }).slice(0, 64), digest)
    writeFileSync(at('holdfast.js.map'), 'x')
    assert.equal(await programDigest(at('holdfast.js')), digest)
    writeFileSync(at('chunk-a.mjs'), 'changed')
    assert.notEqual(await programDigest(at('holdfast.js')), digest)
  })
})

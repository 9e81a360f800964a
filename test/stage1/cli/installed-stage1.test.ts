import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { installation } from '../../../stage1/cli/installation.ts'
import { checkOf } from '../../../stage1/cli/provenance.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('the stage1 of the installation, as an image that nobody signed', () => {
  const dir = tempDir()
  after(() => dir.remove())
  const place = ((): string | undefined => {
    try {
      return installation().stage1Images.nspawn
    } catch {
      return undefined // not built
    }
  })()

  /** An archive that came with this content from this path. */
  const cameFrom = (file: string, content: Uint8Array) =>
    checkOf({ config: { system: dir.path, local: dir.path }, acceptUnsigned: false })({
      ...{ kind: 'aci', name: file, manifestName: 'example.com/other', file },
      archive: async function* () {
        yield content
      },
      signature: async () => undefined,
    })

  it('is known by its content: a link that led elsewhere when it was read brings nothing in', async function () {
    if (place === undefined || !fs.existsSync(place)) {
      console.log('      skipped: not built (npm run build)')
      this.skip()
    }
    const link = join(dir.path, 'app.aci')
    fs.symlinkSync(place, link) // by now
    for (const file of [place, link]) {
      assert.equal((await cameFrom(file, fs.readFileSync(place))).policy.scope, 'installation')
      await assert.rejects(cameFrom(file, Buffer.from('of somebody else')), { code: 'IMAGE_UNSIGNED' })
    }
  })
})

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generatePrototypes, prototypesAsMarkdown } from '../../../native/tss/generate-prototypes.ts'
import { PROTOTYPES, type PrototypeTable } from '../../../native/tss/prototypes.ts'
import { TCTI_LAYOUT } from '../../../native/tss/tcti.ts'

const INCLUDE = '/usr/include/tss2'

describe('the head of a TCTI context', () => {
  it('is laid out as the installed header says, and its two functions take what they are given', function () {
    if (!existsSync(join(INCLUDE, 'tss2_tcti.h'))) {
      console.log('      skipped: no tss2_tcti.h (Debian package libtss2-dev)')
      this.skip()
    }
    const header = readFileSync(join(INCLUDE, 'tss2_tcti.h'), 'utf8').replace(/\s+/g, ' ')
    // u64, u32 and its padding, and two pointers.
    assert.match(
      header,
      /struct TSS2_TCTI_CONTEXT_COMMON_V1 \{ uint64_t magic; uint32_t version; TSS2_TCTI_TRANSMIT_FCN transmit; TSS2_TCTI_RECEIVE_FCN receive; /,
    )
    assert.deepEqual(TCTI_LAYOUT, { transmit: 16, receive: 24, bytes: 32 })
    assert.match(
      header,
      /\(\*TSS2_TCTI_TRANSMIT_FCN\) \( ?TSS2_TCTI_CONTEXT \*tctiContext, size_t size, uint8_t const \*command\);/,
    )
    assert.match(
      header,
      /\(\*TSS2_TCTI_RECEIVE_FCN\) \( ?TSS2_TCTI_CONTEXT \*tctiContext, size_t \*size, uint8_t \*response, int32_t timeout\);/,
    )
  })
})

describe('the prototype table', () => {
  it('is what the installed header of tpm2-tss says: a wrong one would be memory corruption, not an error', function () {
    if (!existsSync(join(INCLUDE, 'tss2_esys.h'))) {
      console.log('      skipped: no tss2_esys.h (Debian package libtss2-dev)')
      this.skip()
    }
    // Names of parameters may change between versions, kinds and order may not.
    assert.deepEqual(kinds(PROTOTYPES), kinds(generatePrototypes(INCLUDE)))
  })

  it('has both marshalling functions of every structure that a call takes or gives', () => {
    const table: PrototypeTable = PROTOTYPES
    for (const { parameters } of Object.values(table)) {
      for (const [, kind] of parameters) {
        const structure = /^(?:in|out) (TPM.*)$/.exec(kind)?.[1]
        if (structure === undefined) continue
        assert.ok(table[`Tss2_MU_${structure}_Marshal`], structure)
        assert.ok(table[`Tss2_MU_${structure}_Unmarshal`], structure)
      }
    }
  })

  it('is the table in native/README.md', () => {
    const readme = readFileSync(new URL('../../../native/README.md', import.meta.url), 'utf8')
    assert.ok(readme.includes(prototypesAsMarkdown(PROTOTYPES)), 'run native/tss/generate-prototypes.ts --markdown')
  })

  it('is not generated from headers that lack a function', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-headers-'))
    try {
      for (const h of ['common', 'tpm2_types', 'tcti', 'esys', 'tctildr', 'mu', 'rc']) {
        await writeFile(join(dir, `tss2_${h}.h`), 'typedef uint32_t TSS2_RC;\n')
      }
      assert.throws(() => generatePrototypes(dir), /Esys_Initialize is not declared/)
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})

function kinds(table: PrototypeTable): object {
  return Object.fromEntries(
    Object.entries(table).map(([symbol, p]) => [symbol, [p.library, p.returns, ...p.parameters.map(([, k]) => k)]]),
  )
}

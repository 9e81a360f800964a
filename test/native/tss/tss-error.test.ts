import assert from 'node:assert/strict'
import { codeForRc, layerOf, tssErrorFromRc } from '../../../native/tss/index.ts'

const table = [
  { rc: 0x100, code: 'TSS_NOT_STARTED', layer: 'tpm' },
  { rc: 0x101, code: 'TSS_COMMAND_FAILED', layer: 'tpm' }, // TPM_RC_FAILURE
  { rc: 0x12f, code: 'TSS_AUTH_FAILED', layer: 'tpm' },
  { rc: 0x143, code: 'TSS_COMMAND_FAILED', layer: 'tpm' }, // TPM_RC_COMMAND_CODE
  { rc: 0x18b, code: 'TSS_BAD_HANDLE', layer: 'tpm' },
  { rc: 0x1c4, code: 'TSS_BAD_VALUE', layer: 'tpm' },
  { rc: 0x1df, code: 'TSS_BAD_VALUE', layer: 'tpm' },
  { rc: 0x2db, code: 'TSS_BAD_VALUE', layer: 'tpm' },
  { rc: 0x98e, code: 'TSS_AUTH_FAILED', layer: 'tpm' },
  { rc: 0x99d, code: 'TSS_AUTH_FAILED', layer: 'tpm' },
  { rc: 0x9a2, code: 'TSS_AUTH_FAILED', layer: 'tpm' },
  { rc: 0x902, code: 'TSS_NO_ROOM', layer: 'tpm' },
  { rc: 0x903, code: 'TSS_NO_ROOM', layer: 'tpm' },
  { rc: 0x907, code: 'TSS_COMMAND_FAILED', layer: 'tpm' }, // TPM_RC_LOCALITY
  { rc: 0x908, code: 'TSS_BUSY', layer: 'tpm' },
  { rc: 0x910, code: 'TSS_BAD_HANDLE', layer: 'tpm' },
  { rc: 0x918, code: 'TSS_SESSION_LOST', layer: 'tpm' },
  { rc: 0x91e, code: 'TSS_SESSION_LOST', layer: 'tpm' },
  { rc: 0x920, code: 'TSS_BUSY', layer: 'tpm' },
  { rc: 0x921, code: 'TSS_LOCKOUT', layer: 'tpm' },
  { rc: 0x922, code: 'TSS_BUSY', layer: 'tpm' },
  { rc: 0x923, code: 'TSS_BUSY', layer: 'tpm' },
  { rc: 0x70007, code: 'TSS_NO_TPM', layer: 'esys' },
  { rc: 0x7000b, code: 'TSS_BAD_VALUE', layer: 'esys' },
  { rc: 0x70018, code: 'TSS_BAD_HANDLE', layer: 'esys' },
  { rc: 0x7001b, code: 'TSS_BAD_RESPONSE', layer: 'esys' },
  { rc: 0x80011, code: 'TSS_BAD_RESPONSE', layer: 'sys' },
  { rc: 0x80013, code: 'TSS_BAD_RESPONSE', layer: 'sys' },
  { rc: 0x90006, code: 'TSS_BAD_RESPONSE', layer: 'mu' },
  { rc: 0xa000a, code: 'TSS_NO_TPM', layer: 'tcti' },
  { rc: 0xa0011, code: 'TSS_BAD_RESPONSE', layer: 'tcti' },
  { rc: 0xb0902, code: 'TSS_NO_ROOM', layer: 'resmgr' },
  { rc: 0xc0902, code: 'TSS_NO_ROOM', layer: 'resmgr-tpm' },
  { rc: 0xff0001, code: 'TSS_COMMAND_FAILED', layer: 'unknown' },
]

describe('return codes of tpm2-tss', () => {
  for (const { rc, code, layer } of table) {
    it(`0x${rc.toString(16)} is ${code} of layer ${layer}`, () => {
      assert.equal(codeForRc(rc), code)
      assert.equal(layerOf(rc), layer)
    })
  }

  it('an error keeps the whole code, the function and the text', () => {
    const err = tssErrorFromRc('Esys_Quote', 0x9a2, 'tpm:session(1):authorization failure')
    assert.equal(err.rc, 0x9a2)
    assert.equal(err.message, 'Esys_Quote failed with 0x000009a2 (tpm:session(1):authorization failure)')
  })

  it('every return code has a stable code, whatever the TPM sends', () => {
    for (let layer = 0; layer < 16; layer++) {
      for (let low = 0; low < 0x1000; low++) assert.match(codeForRc((layer << 16) | low), /^TSS_[A-Z_]+$/)
    }
  })
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { utf8 } from '../../../attestation/base/index.ts'
import {
  ACTIVATION_LABEL,
  activationProof,
  pcrValuesFromWire,
  pcrValuesToWire,
  QUOTE_LABELS,
  quoteBinding,
  quotePurpose,
  selectionFromWire,
  selectionToWire,
} from '../../../attestation/protocol/index.ts'

const part = (n: number) => new Uint8Array(32).fill(n)
const sha256 = (...parts: Uint8Array[]) => {
  const h = createHash('sha256')
  for (const p of parts) h.update(p)
  return new Uint8Array(h.digest())
}

describe('the binding of a quote', () => {
  it('is the digest of label, verifier, nonce, exporter and body, as the protocol says', () => {
    const got = quoteBinding('launch', part(1), part(2), part(3), utf8('body'))
    assert.deepEqual(
      got,
      sha256(utf8(QUOTE_LABELS.launch), Uint8Array.of(0), part(1), part(2), part(3), sha256(utf8('body'))),
    )
  })

  it('differs when any part of it differs', () => {
    const bindings = [
      quoteBinding('launch', part(1), part(2), part(3), utf8('body')),
      quoteBinding('session', part(1), part(2), part(3), utf8('body')),
      quoteBinding('periodic', part(1), part(2), part(3), utf8('body')),
      quoteBinding('launch', part(9), part(2), part(3), utf8('body')),
      quoteBinding('launch', part(1), part(9), part(3), utf8('body')),
      quoteBinding('launch', part(1), part(2), part(9), utf8('body')),
      quoteBinding('launch', part(1), part(2), part(3), utf8('bodY')),
      quoteBinding('launch', part(2), part(1), part(3), utf8('body')),
    ]
    assert.equal(new Set(bindings.map((b) => b.join())).size, bindings.length)
  })

  for (const at of [0, 1, 2]) {
    it(`takes no part of another length (${['verifier id', 'nonce', 'exporter'][at]})`, () => {
      const parts = [part(1), part(2), part(3)].map((p, i) => (i === at ? p.subarray(1) : p)) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ]
      assert.throws(() => quoteBinding('launch', ...parts, utf8('body')), RangeError)
    })
  }

  it('has the purpose that its body says', () => {
    const rest = {
      nonce: part(1),
      pcrs: [],
      log: { resetCount: 0, restartCount: 0, offset: 0, bytes: part(0), more: false },
    }
    assert.equal(quotePurpose({ t: 'launch', id: 1, request: part(1), ...rest }), 'launch')
    assert.equal(quotePurpose({ t: 'evidence', purpose: 'periodic', ...rest }), 'periodic')
  })
})

describe('the proof of activation', () => {
  const name = new Uint8Array(34).fill(4)
  it('is the digest of label, secret, exporter and AK name', () => {
    assert.deepEqual(
      activationProof(part(1), part(2), name),
      sha256(utf8(ACTIVATION_LABEL), Uint8Array.of(0), part(1), part(2), name),
    )
  })
  it('takes no secret or exporter of another length', () => {
    assert.throws(() => activationProof(part(1).subarray(1), part(2), name), RangeError)
    assert.throws(() => activationProof(part(1), part(2).subarray(1), name), RangeError)
  })
})

describe('PCR selections and values on the wire', () => {
  it('come back as they were', () => {
    const wire = [
      { bank: 'sha1' as const, pcrs: [0, 15] },
      { bank: 'sha256' as const, pcrs: [15] },
    ]
    assert.deepEqual(selectionToWire(selectionFromWire(wire)), wire)
    const values = [{ bank: 'sha384' as const, pcr: 15, value: new Uint8Array(48) }]
    assert.deepEqual(pcrValuesToWire(pcrValuesFromWire(values)), values)
  })

  const selections: [string, Parameters<typeof selectionFromWire>[0]][] = [
    [
      'a bank twice',
      [
        { bank: 'sha1', pcrs: [1] },
        { bank: 'sha1', pcrs: [2] },
      ],
    ],
    ['registers that do not ascend', [{ bank: 'sha1', pcrs: [2, 1] }]],
    ['a register twice', [{ bank: 'sha1', pcrs: [1, 1] }]],
  ]
  for (const [name, wire] of selections) {
    it(`refuse ${name}`, () => assert.throws(() => selectionFromWire(wire), { code: 'PROTOCOL_BAD_SELECTION' }))
  }

  it('refuse a value of another length than its bank, and a register twice', () => {
    const value = { bank: 'sha256' as const, pcr: 15, value: new Uint8Array(32) }
    assert.throws(() => pcrValuesFromWire([{ ...value, bank: 'sha384' }]), { code: 'PROTOCOL_BAD_PCR_VALUES' })
    assert.throws(() => pcrValuesFromWire([value, value]), { code: 'PROTOCOL_BAD_PCR_VALUES' })
  })
})

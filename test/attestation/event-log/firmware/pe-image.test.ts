import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { authenticodeDigest, PeImageError, ukiProfiles } from '../../../../attestation/event-log/index.ts'
import { u32 } from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { peImage } from '../../../support/pe-image.ts'

const TEXT = { name: '.text', data: new Uint8Array(0x200).fill(1) }
const DATA = { name: '.data', data: new Uint8Array(0x400).fill(2) }
const OPTIONAL_AT = 0x40 + 24

const of = (file: Uint8Array) => toHex(authenticodeDigest(file, 'sha256'))

/** A file without its checksum and certificate table entry, hashed. */
function expected(file: Uint8Array, certificateEntryAt: number, end: number): string {
  const checksumAt = OPTIONAL_AT + 64
  const rest = [file.subarray(checksumAt + 4, certificateEntryAt), file.subarray(certificateEntryAt + 8, end)]
  return toHex(digest('sha256', file.subarray(0, checksumAt), ...rest))
}

describe('the Authenticode digest of a PE image', () => {
  for (const plus of [true, false]) {
    const entryAt = OPTIONAL_AT + (plus ? 112 : 96) + 32
    it(`is of the file without checksum and certificates: ${plus ? 'PE32+' : 'PE32'}`, () => {
      const trailing = utf8('behind the sections')
      const unsigned = peImage({ plus, sections: [TEXT, DATA], trailing })
      assert.equal(of(unsigned), expected(unsigned, entryAt, unsigned.length))
      const signed = peImage({
        plus,
        sections: [TEXT, DATA],
        trailing,
        certificates: new Uint8Array(64).fill(9),
        checksum: 77,
      })
      assert.equal(of(signed), of(unsigned))
    })
  }

  it('is of every bank', () => {
    const file = peImage({ sections: [TEXT] })
    assert.equal(authenticodeDigest(file, 'sha1').length, 20)
    assert.equal(authenticodeDigest(file, 'sha384').length, 48)
  })

  it('changes with any other byte of headers, sections and what is behind them', () => {
    const file = peImage({ sections: [TEXT, DATA], trailing: utf8('x') })
    const digests = new Set([of(file)])
    for (const at of [2, OPTIONAL_AT + 20, 0x200 - 1, 0x200, 0x400, file.length - 1]) {
      const changed = file.slice()
      changed[at] = (changed[at] ?? 0) ^ 0x80
      digests.add(of(changed))
    }
    assert.equal(digests.size, 7)
  })

  it('takes sections in the order of their data, not of their headers', () => {
    const file = peImage({ sections: [TEXT, DATA] })
    const table = OPTIONAL_AT + 112 + 128
    const swapped = concatBytes(
      ...[file.subarray(0, table), file.subarray(table + 40, table + 80), file.subarray(table, table + 40)],
      file.subarray(table + 80),
    )
    assert.equal(of(swapped), expected(swapped, OPTIONAL_AT + 112 + 32, swapped.length))
  })

  it('is of the whole file but the checksum where the image has no certificate directory', () => {
    const file = peImage({ sections: [TEXT], directories: 4 })
    const checksumAt = OPTIONAL_AT + 64
    assert.equal(of(file), toHex(digest('sha256', file.subarray(0, checksumAt), file.subarray(checksumAt + 4))))
  })

  const good = peImage({ sections: [TEXT, DATA], certificates: new Uint8Array(8) })
  const at = (offset: number, bytes: Uint8Array) => {
    const out = good.slice()
    out.set(bytes, offset)
    return out
  }
  const table = OPTIONAL_AT + 112 + 128
  const refused: readonly [why: string, file: Uint8Array, code: string][] = [
    ['nothing', new Uint8Array(0), 'PE_NOT_AN_IMAGE'],
    ['another file', utf8('#!/bin/sh\n'.repeat(20)), 'PE_NOT_AN_IMAGE'],
    ['no PE signature', at(0x40, utf8('NE')), 'PE_NOT_AN_IMAGE'],
    ['an unknown optional header', at(OPTIONAL_AT, Uint8Array.of(7, 1)), 'PE_NOT_AN_IMAGE'],
    ['a PE header outside the file', at(0x3c, u32(0xfffffff0)), 'PE_BAD_FIELD'],
    ['headers larger than the file', at(OPTIONAL_AT + 60, u32(0x10000)), 'PE_BAD_FIELD'],
    ['headers that end inside the section table', at(OPTIONAL_AT + 60, u32(table)), 'PE_BAD_FIELD'],
    ['a section table outside the file', at(0x46, Uint8Array.of(0xff, 0xff)), 'PE_BAD_FIELD'],
    ['a section outside the file', at(table + 16, u32(0xffffffff)), 'PE_BAD_FIELD'],
    ['a section inside the headers', at(table + 20, u32(0x10)), 'PE_BAD_FIELD'],
    ['sections over one another', at(table + 40 + 20, u32(0x200)), 'PE_BAD_FIELD'],
    ['a certificate table that is not at the end', at(OPTIONAL_AT + 112 + 32, u32(0x200)), 'PE_BAD_FIELD'],
    ['bytes behind the certificate table', concatBytes(good, new Uint8Array(1)), 'PE_BAD_FIELD'],
    [
      'a certificate table over the sections',
      at(OPTIONAL_AT + 112 + 32, concatBytes(u32(8), u32(good.length - 8))),
      'PE_BAD_FIELD',
    ],
  ]
  for (const [why, file, code] of refused) {
    it(`is refused with ${code}: ${why}`, () => {
      assert.throws(() => authenticodeDigest(file, 'sha256'), { name: 'PeImageError', code })
    })
  }

  it('of any change gives a digest or a coded error', () => {
    const changes = fc.array(fc.tuple(fc.nat(table + 100), fc.integer({ min: 0, max: 255 })), { maxLength: 5 })
    fc.assert(
      fc.property(changes, fc.nat(good.length), (list, length) => {
        const file = good.slice(0, length)
        for (const [offset, value] of list) if (offset < file.length) file[offset] = value
        try {
          authenticodeDigest(file, 'sha256')
          ukiProfiles(file)
        } catch (err) {
          assert.ok(err instanceof PeImageError)
        }
      }),
      { numRuns: fuzzRuns(1000) },
    )
  })
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { VerifierError } from '../../../../attestation/verifier/index.ts'
import { CabinetError, decodeCabinet, isCabinet, unpackFolder } from '../../../../attestation/verifier/roots/cabinet.ts'
import { unpackCabinet, unpackWithProgram } from '../../../../attestation/verifier/roots/unpack.ts'
import { type CabinetOptions, makeCabinet } from '../../../support/cabinet.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const text = (s: string): Uint8Array => new Uint8Array(Buffer.from(s))
// several blocks, with repetitions that reach over their borders
const part = Buffer.concat([randomBytes(12_000), Buffer.alloc(200, 7)])
const long = new Uint8Array(Buffer.concat(Array.from({ length: 9 }, () => part)))
const entries = [
  { name: 'AMD\\RootCA\\a.cer', content: text('one') },
  { name: 'Infineon\\IntermediateCA\\b.crt', content: long },
  { name: 'setup.cmd', content: text('echo') },
]
const unpack = (bytes: Uint8Array) =>
  unpackCabinet(bytes, 'x.cab').files.map((f) => [f.path.join('/'), Buffer.from(f.content).toString('hex')])
const expected = entries.map((e) => [e.name.replaceAll('\\', '/'), Buffer.from(e.content).toString('hex')])

describe('a cabinet', () => {
  const dir = tempDir()
  after(() => dir.remove())

  const kinds: readonly (readonly [string, CabinetOptions])[] = [
    ['compressed with MSZIP', {}],
    ['stored', { compression: 'none' }],
    ['with room for a signature', { headerReserve: 20 }],
    ['without checksums', { withoutChecksums: true }],
    ['with names in UTF-8', { utf8Names: true }],
  ]
  for (const [what, options] of kinds) {
    it(`${what} is unpacked to the files that were packed`, () => {
      const bytes = makeCabinet(entries, options)
      assert.ok(isCabinet(bytes))
      assert.deepEqual(unpack(bytes), expected)
    })
  }
  it('of this writer is one to cabextract too, which unpacks the same', function () {
    const file = join(dir.path, 'x.cab')
    writeFileSync(file, makeCabinet(entries))
    if (spawnSync('cabextract', ['--version']).error !== undefined) {
      console.log('      skipped: no cabextract')
      this.skip()
    }
    const files = unpackWithProgram(file).map((f) => [f.path.join('/'), Buffer.from(f.content).toString('hex')])
    assert.deepEqual(files.sort(), [...expected].sort())
    writeFileSync(file, Buffer.concat([makeCabinet(entries).subarray(0, 500)]))
    assert.throws(() => unpackWithProgram(file), { code: 'VERIFIER_ROOTS_INVALID' })
  })
  for (const name of [
    '..\\evil.cer',
    'a\\..\\..\\evil.cer',
    '\\evil.cer',
    '/etc/evil.cer',
    'C:\\evil.cer',
    'a\\\\b.cer',
    '.\\x.cer',
  ]) {
    it(`has nothing unpacked from the name ${name}`, () => {
      const { files, refused } = unpackCabinet(makeCabinet([{ name, content: text('x') }, ...entries]), 'x.cab')
      assert.deepEqual(
        refused.map((r) => r.name),
        [name],
      )
      assert.equal(files.length, entries.length)
    })
  }

  const good = makeCabinet(entries)
  const bent = (at: number, ...bytes: readonly number[]): Uint8Array => {
    const out = good.slice()
    out.set(bytes, at)
    return out
  }
  const dataAt = Buffer.from(good).readUInt32LE(36)
  const refused: readonly (readonly [string, Uint8Array, string, RegExp])[] = [
    ['of another version', bent(24, 9), 'CABINET_UNSUPPORTED', /version 1\.9/],
    ['that goes on in another file', makeCabinet(entries, { flags: 2 }), 'CABINET_UNSUPPORTED', /set/],
    [
      'in Quantum compression, unpacked here,',
      makeCabinet(entries, { claimedCompression: 2 }),
      'CABINET_UNSUPPORTED',
      /QUANTUM/,
    ],
    [
      'of an unknown compression',
      makeCabinet(entries, { claimedCompression: 9 }),
      'CABINET_UNSUPPORTED',
      /no known kind/,
    ],
    ['with too many files', bent(28, 0xff, 0xff), 'CABINET_TOO_LARGE', /65535 files/],
    ['with too many folders', bent(26, 0xff, 0xff), 'CABINET_TOO_LARGE', /65535 folders/],
    ['whose files are elsewhere', bent(16, 0xff, 0xff, 0xff, 0x7f), 'CABINET_MALFORMED', /cut off/],
    ['with a file larger than anything', bent(44, 0xff, 0xff, 0xff, 0x7f), 'CABINET_TOO_LARGE', /unpacks to more/],
    ['with a file of another folder', bent(52, 7), 'CABINET_MALFORMED', /folder 7 of 1/],
    ['with a damaged block', bent(dataAt + 20, 0xaa), 'CABINET_MALFORMED', /checksum of block 0/],
    ['with a block that unpacks to more than it may', bent(dataAt + 6, 0xff, 0xff), 'CABINET_MALFORMED', /65535 bytes/],
  ]
  for (const [what, bytes, code, message] of refused) {
    it(`${what} is refused with ${code}`, () => {
      assert.throws(() => decodeCabinet(bytes).folders.map(unpackFolder), { code, message })
    })
  }
  it('is refused where a block is no deflate stream, or ends early', () => {
    const free = makeCabinet(entries, { withoutChecksums: true })
    const at = Buffer.from(free).readUInt32LE(36)
    for (const change of [
      [at + 8, 0x58],
      [at + 10, 0xff],
      [at + 11, 0xff],
    ] as const) {
      const bytes = free.slice()
      bytes.set([change[1]], change[0])
      assert.throws(() => unpack(bytes), CabinetError)
    }
    const short = free.slice()
    short.set([0x10, 0x00], at + 6)
    assert.throws(() => unpack(short), { code: 'CABINET_MALFORMED', message: /it says 16/ })
  })
  it('in LZX is left to a program, and refused with what to install where that cannot read it', () => {
    const file = join(dir.path, 'lzx.cab')
    const bytes = makeCabinet(entries, { claimedCompression: 3 })
    writeFileSync(file, bytes)
    assert.throws(
      () => unpackCabinet(bytes, file),
      (err: unknown) => {
        assert.ok(err instanceof VerifierError)
        assert.match(err.message, /apt-get install cabextract|could not unpack it/)
        return true
      },
    )
    const path = process.env['PATH']
    process.env['PATH'] = dir.path
    try {
      assert.throws(() => unpackCabinet(bytes, file), {
        code: 'VERIFIER_ROOTS_INVALID',
        message: /apt-get install cabextract/,
      })
    } finally {
      process.env['PATH'] = path
    }
  })
  it('gives files or a coded error for every prefix and any mutation', () => {
    const small = makeCabinet(entries.filter((e) => e.content !== long))
    for (let n = 0; n < small.length; n++) assert.throws(() => unpack(small.subarray(0, n)), CabinetError)
    const edits = fc.array(fc.tuple(fc.nat(small.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = small.slice()
        for (const [at, value] of changes) bytes[at] = value
        try {
          const { folders, files } = decodeCabinet(bytes)
          for (const folder of folders) unpackFolder(folder)
          assert.ok(files.length <= 20_000)
        } catch (err) {
          assert.ok(err instanceof CabinetError, String(err))
        }
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })
})

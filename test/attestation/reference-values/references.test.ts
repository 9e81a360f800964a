import assert from 'node:assert/strict'
import { toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { authenticodeDigest, BOOT_PHASES } from '../../../attestation/event-log/index.ts'
import {
  type Corim,
  type CorimMeasurement,
  corimRegisters,
  keylimeFiles,
  referenceImage,
} from '../../../attestation/reference-values/index.ts'
import { utf16 } from '../../support/firmware-log.ts'
import { peImage } from '../../support/pe-image.ts'
import { LINUX, ukiImage } from '../../support/uki.ts'
import { copiedVectors } from '../../support/vectors.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const SECONDS = NOW.getTime() / 1000
const SHA256 = { algorithm: 1, bank: 'sha256', bytes: new Uint8Array(32).fill(1) } as const
const SHA384 = { algorithm: 7, bank: 'sha384', bytes: new Uint8Array(48).fill(2) } as const

function corim(
  registers: CorimMeasurement['registers'],
  over: Partial<Corim> = {},
  conditions: readonly number[] = [],
): Corim {
  const measurement = { digests: [], registers, otherConditions: conditions }
  const comid = {
    id: { kind: 'text', value: 'c' },
    version: 0,
    referenceValues: [{ environment: { class: { vendor: 'Example', model: 'M1' } }, measurement }],
    endorsedValues: [],
    identityKeys: [],
    attestationKeys: [],
    otherTriples: [],
  } as const
  return { id: { kind: 'text', value: 'x' }, profiles: [], comids: [comid], otherTags: [], ...over }
}
const read = (value: Corim, signature: 'none' | 'not checked' = 'none') =>
  corimRegisters({ signature, corim: value }, 'maker.corim', NOW)

describe('registers of a CoRIM', () => {
  it('are taken in the bank that every TPM has, with what nobody checked said', () => {
    const { registers, notes } = read(
      corim(
        new Map([
          [0, [SHA384, SHA256]],
          [2, [SHA384]],
        ]),
      ),
    )
    assert.deepEqual(registers, [
      { pcr: 0, bank: 'sha256', value: '01'.repeat(32), from: 'maker.corim, Example M1' },
      { pcr: 2, bank: 'sha384', value: '02'.repeat(48), from: 'maker.corim, Example M1' },
    ])
    assert.match(notes.join('\n'), /^maker\.corim: it is not signed: anybody could have written it$/)
    assert.match(read(corim(new Map([[0, [SHA256]]])), 'not checked').notes.join(), /signature was not checked/)
  })

  it('are left out, and named, where nothing here could hold a machine to them', () => {
    const weak = { algorithm: 'sha-1', bytes: new Uint8Array(20) }
    const left = read(
      corim(
        new Map([
          [17, [SHA256]],
          [3, [weak]],
        ]),
        { otherTags: [505] },
      ),
    )
    assert.deepEqual(left.registers, [])
    assert.match(
      left.notes.join('\n'),
      /PCR 17 .*no policy speaks of it\n.*PCR 3 .*no digest of SHA-256 or better\n.*1 tags of other kinds/,
    )
    const conditions = read(corim(new Map([[0, [SHA256]]]), {}, [3]))
    assert.deepEqual(conditions.registers, [])
    assert.match(conditions.notes.join('\n'), /conditions that nothing here compares/)
  })

  it('are refused outside the times that the manifest is good for', () => {
    const good = { notBefore: SECONDS - 1, notAfter: SECONDS + 1 }
    assert.equal(read(corim(new Map([[0, [SHA256]]]), { validity: good })).registers.length, 1)
    for (const validity of [{ notAfter: SECONDS - 1 }, { notBefore: SECONDS + 1, notAfter: SECONDS + 2 }]) {
      assert.throws(() => read(corim(new Map([[0, [SHA256]]]), { validity })), { code: 'CORIM_NOT_VALID' })
    }
  })
})

describe('files of a Keylime policy', () => {
  it('are those that a list here can hold, and what is left out is counted', () => {
    const good = 'AB'.repeat(32)
    const { files, notes } = keylimeFiles(
      JSON.stringify({
        digests: { '/a': [good, 'cd'.repeat(20)], 'a\nb': [good], boot_aggregate: [good], '/weak': ['cd'.repeat(20)] },
        'ima-buf': { 'kexec-cmdline': ['EF'.repeat(20), 'ab'.repeat(16)] },
      }),
      'rp.json',
    )
    assert.deepEqual([...files.files], [['/a', [good.toLowerCase()]]])
    assert.deepEqual([...files.buffers], [['kexec-cmdline', ['ef'.repeat(20)]]])
    assert.match(notes.join('\n'), /2 digests are left out.*\n.*1 names that are no absolute path/)
    assert.match(notes.join('\n'), /buffer "kexec-cmdline": 1 digests are left out/)
  })
})

describe('what a machine will measure of an image', () => {
  it('is, of a unified kernel image, both images, each section, the command line and PCR 11', () => {
    const file = ukiImage({ cmdline: '\t quiet\u0007init=x \n' })
    const image = referenceImage(file, 'new.efi')
    assert.equal(image.kind, 'unified-kernel')
    assert.equal(image.digest, toHex(authenticodeDigest(file, 'sha256')))
    assert.equal(image.kernel, toHex(authenticodeDigest(LINUX, 'sha256')))
    const [profile, ...more] = image.profiles
    assert.ok(profile !== undefined && more.length === 0)
    assert.deepEqual(
      profile.sections.map(({ name }) => name),
      ['.linux', '.osrel', '.cmdline'],
    )
    assert.deepEqual(profile.commandLine, {
      text: 'quiet init=x',
      digests: [utf8('\t quiet\u0007init=x \n'), utf16('quiet init=x\0')].map((bytes) =>
        toHex(digest('sha256', bytes)),
      ),
    })
    assert.deepEqual(
      profile.register?.map(({ after }) => after),
      ['the stub', ...BOOT_PHASES],
    )
  })

  it('is of a command line what Linux’s own stub measures: so a guest’s log has it', () => {
    const log = copiedVectors('vm/ovmf-sdboot').read('binary_bios_measurements')
    const marker = Buffer.from('initrd=\\', 'utf16le')
    const start = Buffer.from(log).indexOf(marker)
    const end = Buffer.from(log).indexOf(Buffer.from('\0\0\0', 'latin1'), start) + 1
    const text = Buffer.from(log).toString('utf16le', start, end)
    const measured = referenceImage(ukiImage({ cmdline: text }), 'x').profiles[0]?.commandLine?.digests[1]
    const tag = Buffer.from('LOADED_IMAGE::LoadOptions')
    const event = Buffer.from(log).indexOf(tag)
    assert.ok(start > 0 && event > 0)
    // digest, u32 size, u32 tag, u32 length, text
    assert.equal(toHex(log.subarray(event - 12 - 32, event - 12)), measured)
  })

  it('is, of other images, their digest; which is a kernel its header says', () => {
    const text = { name: '.text', data: new Uint8Array(0x400) }
    const marked = (at: number, mark: string): Uint8Array => {
      const file = peImage({ sections: [text] })
      file.set(Buffer.from(mark, 'latin1'), at)
      return file
    }
    assert.equal(referenceImage(peImage({ sections: [text] }), 'shim').kind, 'boot-loader')
    for (const [at, mark] of [
      [0x202, 'HdrS'],
      [56, 'ARM\x64'],
      [56, 'RSC\x05'],
      [4, 'zimg'],
    ] as const) {
      assert.equal(referenceImage(marked(at, mark), 'vmlinuz').kind, 'kernel', mark)
    }
    assert.throws(() => referenceImage(utf8('no image'), 'x'), { code: 'PE_NOT_AN_IMAGE' })
  })
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { fromUtf8, toHex, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import {
  BOOT_PHASES,
  extendValue,
  PeImageError,
  type UkiProfile,
  ukiProfiles,
  ukiRegister,
  ukiSectionDigests,
} from '../../../../attestation/event-log/index.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { peImage } from '../../../support/pe-image.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const SYSTEMD_MEASURE = '/usr/lib/systemd/systemd-measure'

const section = (name: string, text: string, virtualSize?: number) => ({
  name,
  data: utf8(text),
  ...(virtualSize !== undefined && { virtualSize }),
})
const LINUX = section('.linux', 'kernel')
const TWO_PROFILES = peImage({
  sections: [
    section('.text', 'stub'),
    section('.osrel', 'ID=debian\n'),
    section('.cmdline', 'quiet'),
    LINUX,
    section('.profile', 'ID=main\nTITLE=Main\n'),
    section('.profile', 'ID="rescue"\n'),
    section('.cmdline', 'rescue'),
    section('.pcrsig', '{}'),
    section('.splash', 'BM'),
  ],
})
const texts = ({ sections }: UkiProfile) => sections.map((s) => [s.name, fromUtf8(s.content)])

describe('a unified kernel image', () => {
  it('is measured in the order of systemd-stub, each section as it is in memory', () => {
    const [only, ...more] = ukiProfiles(
      peImage({
        sections: [
          section('.osrel', 'ID=debian\n\0\0', 10),
          section('.text', 'stub'),
          section('.pcrsig', '{}'),
          section('.uname', '6.1', 0),
          section('.cmdline', 'quiet', 8),
          LINUX,
        ],
      }),
    )
    assert.ok(only)
    assert.deepEqual(texts(only), [
      ['.linux', 'kernel'],
      ['.osrel', 'ID=debian\n'],
      ['.cmdline', 'quiet\0\0\0'],
    ])
    assert.deepEqual([only.number, only.byHardware, more], [undefined, [], []])
  })

  it('is measured as far as its own stub knows sections', () => {
    const sections = [LINUX, section('.sbat', 'sbat,1'), section('.uname', '6.1'), section('.cmdline', 'quiet')]
    const stub = (...names: string[]) => section('.rodata', `code\0${names.join('\0')}\0more`)
    const [old] = ukiProfiles(peImage({ sections: [stub('.linux', '.osrel', '.cmdline', '.pcrsig'), ...sections] }))
    assert.deepEqual([old?.assumed, old && texts(old).map(([name]) => name)], [false, ['.linux', '.cmdline']])
    const [odd] = ukiProfiles(peImage({ sections: [section('.rodata', '.linuxes\0x.cmdline'), ...sections] }))
    const all = ['.linux', '.cmdline', '.uname', '.sbat']
    assert.deepEqual([odd?.assumed, odd && texts(odd).map(([name]) => name)], [true, all])
    const profiles = [stub('.linux', '.osrel'), LINUX, section('.profile', 'ID=a'), section('.cmdline', 'b')]
    assert.deepEqual(
      ukiProfiles(peImage({ sections: profiles })).map(({ number }) => number),
      [undefined],
      'a stub that knows no profiles',
    )
  })

  it('of several profiles is measured for each with what the profile brings in place of the common', () => {
    const profiles = ukiProfiles(TWO_PROFILES)
    assert.deepEqual(
      profiles.map(({ number, id }) => [number, id]),
      [
        [0, 'main'],
        [1, 'rescue'],
      ],
    )
    assert.deepEqual(profiles.map(texts), [
      [
        ['.linux', 'kernel'],
        ['.osrel', 'ID=debian\n'],
        ['.cmdline', 'quiet'],
        ['.profile', 'ID=main\nTITLE=Main\n'],
      ],
      [
        ['.linux', 'kernel'],
        ['.osrel', 'ID=debian\n'],
        ['.cmdline', 'rescue'],
        ['.splash', 'BM'],
        ['.profile', 'ID="rescue"\n'],
      ],
    ])
  })

  it('can have its kernel in a profile; a profile without one cannot be booted', () => {
    const image = peImage({ sections: [section('.profile', 'ID=a'), section('.profile', 'ID=b'), LINUX] })
    assert.deepEqual(
      ukiProfiles(image).map(({ number, id }) => [number, id]),
      [[1, 'b']],
    )
    assert.deepEqual(ukiProfiles(peImage({ sections: [section('.text', 'no kernel')] })), [])
  })

  it('comes to the values of PCR 11 that its events extend, and then the phases of systemd', () => {
    const [, rescue] = ukiProfiles(TWO_PROFILES)
    assert.ok(rescue)
    let value: Uint8Array = new Uint8Array(48)
    const measured = ['.linux', '.osrel', '.cmdline', '.splash', '.profile']
    const contents = ['kernel', 'ID=debian\n', 'rescue', 'BM', 'ID="rescue"\n']
    for (const [i, name] of measured.entries()) {
      value = extendValue('sha384', value, digest('sha384', utf8(`${name}\0`)))
      value = extendValue('sha384', value, digest('sha384', utf8(contents[i] ?? '')))
    }
    const values = ukiRegister(rescue, 'sha384')
    assert.equal(toHex(values?.[0] ?? value.subarray(1)), toHex(value))
    for (const phase of BOOT_PHASES) value = extendValue('sha384', value, digest('sha384', utf8(phase)))
    assert.equal(toHex(values?.at(-1) ?? value.subarray(1)), toHex(value))
    assert.equal(values?.length, 1 + BOOT_PHASES.length)
    const [name, content] = ukiSectionDigests({ name: '.linux', content: utf8('kernel') }, 'sha256')
    assert.deepEqual([name, content], [digest('sha256', utf8('.linux\0')), digest('sha256', utf8('kernel'))])
  })

  it('comes to what systemd itself computes for the same sections', function () {
    if (!existsSync(SYSTEMD_MEASURE)) {
      console.log(`      skipped: there is no ${SYSTEMD_MEASURE} here`)
      return this.skip()
    }
    const dir = tempDir()
    try {
      const contents = { linux: 'kernel', osrel: 'ID=debian\n', cmdline: 'quiet', initrd: 'cpio' }
      const args = Object.entries(contents).map(([name, text]) => {
        writeFileSync(join(dir.path, name), text)
        return `--${name}=${join(dir.path, name)}`
      })
      const out = execFileSync(SYSTEMD_MEASURE, ['calculate', ...args, '--bank=sha256', '--bank=sha384'], {
        encoding: 'utf8',
        stdio: 'pipe',
      })
      const sections = Object.entries(contents).map(([name, text]) => section(`.${name}`, text))
      const [profile] = ukiProfiles(peImage({ sections }))
      assert.ok(profile)
      for (const bank of ['sha256', 'sha384'] as const) {
        const computed = [...out.matchAll(new RegExp(`^11:${bank}=([0-9a-f]+)$`, 'gm'))].map(([, value]) => value)
        assert.deepEqual(ukiRegister(profile, bank)?.slice(1).map(toHex), computed)
      }
    } finally {
      dir.remove()
    }
  })

  it('whose device tree is chosen by the hardware has no value of PCR 11 that a file could show', () => {
    const image = peImage({
      sections: [
        LINUX,
        section('.dtbauto', 'board a'),
        section('.dtbauto', 'board b'),
        section('.profile', 'ID=a'),
        section('.dtbauto', 'board c'),
      ],
    })
    const [profile] = ukiProfiles(image)
    assert.ok(profile)
    assert.deepEqual(
      profile.byHardware.map(({ content }) => fromUtf8(content)),
      ['board a', 'board b', 'board c'],
    )
    assert.equal(ukiRegister(profile, 'sha256'), undefined)
    assert.deepEqual(
      profile.sections.map(({ name }) => name),
      ['.linux', '.profile'],
    )
  })

  const many = Array.from({ length: 257 }, () => section('.profile', 'ID=x'))
  const refused: readonly [why: string, sections: Parameters<typeof peImage>[0]['sections']][] = [
    ['a section twice', [LINUX, LINUX]],
    [
      'a section twice in one profile',
      [LINUX, section('.profile', ''), section('.cmdline', 'a'), section('.cmdline', 'b')],
    ],
    ['gigabytes of zeros', [section('.linux', 'kernel', 0xffffffff)]],
    [
      'zeros that only together are many',
      [LINUX, ...many.slice(0, 200).map((s) => ({ ...s, virtualSize: 6000 })), section('.uname', '')],
    ],
    ['more profiles than the stub counts', [LINUX, ...many]],
  ]
  for (const [why, sections] of refused) {
    it(`is refused with PE_BAD_FIELD: ${why}`, () => {
      assert.throws(() => ukiProfiles(peImage({ sections })), { name: 'PeImageError', code: 'PE_BAD_FIELD' })
    })
  }

  it('of any sections gives profiles or a coded error', () => {
    const name = fc.constantFrom('.linux', '.cmdline', '.profile', '.dtbauto', '.pcrsig', '.text', '.osrel')
    const one = fc.record({ name, data: fc.uint8Array({ maxLength: 20 }), virtualSize: fc.nat(40) })
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), (sections) => {
        try {
          for (const profile of ukiProfiles(peImage({ sections }))) {
            assert.ok(profile.sections.every(({ content }) => content.length > 0))
            assert.equal(new Set(profile.sections.map((s) => s.name)).size, profile.sections.length)
          }
        } catch (err) {
          assert.ok(err instanceof PeImageError)
        }
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})

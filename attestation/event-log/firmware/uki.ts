import { utf8 } from '../../base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { extendValue } from '../registers.ts'
import { UKI_SECTIONS } from './ipl.ts'
import { badPeField, type PeSection, peSections } from './pe-image.ts'
import { asciiText } from './text.ts'

/** A section that systemd-stub measures: first its name in ASCII with NUL, then this content, as it is in memory. */
export interface UkiSection {
  readonly name: string
  readonly content: Uint8Array
}

/** What can be booted of a unified kernel image: its one profile, or one of several. */
export interface UkiProfile {
  /** Place among the image's profiles from 0, which is the default; absent for an image without profiles. */
  readonly number?: number
  /** ID of its `.profile` section, as that says it. */
  readonly id?: string
  /** In the order in which they are measured. */
  readonly sections: readonly UkiSection[]
  /** Sections of which the stub takes at most one of each name, by the hardware that it finds. */
  readonly byHardware: readonly UkiSection[]
  /**
   * True where the image's stub does not show which sections it measures: all that systemd 257 measures are taken then.
   */
  readonly assumed: boolean
}

/** As many as systemd-stub counts. */
const MAX_PROFILES = 256
/** Sections that may stand there several times, for as many kinds of hardware. */
const BY_HARDWARE: ReadonlySet<string> = new Set(['.dtbauto', '.efifw'])
/** It holds signatures of what the other sections come to. */
const NOT_MEASURED = '.pcrsig'
const KERNEL = '.linux'
const PROFILE = '.profile'
/** systemd's stubs have some hundred kilobytes. */
const MAX_STUB_BYTES = 4 << 20
/** Zeros that all sections together may have in memory behind their data: pages, not what an attacker would make of 4 GiB. */
const MAX_ZERO_BYTES = 1 << 20

/**
 * What systemd-stub measures of a unified kernel image, for each profile that it can be booted with. Sections before
 * the first `.profile` are of all profiles; those behind one, up to the next, are of that profile, and stand in for the
 * ones of the same name. A section that is empty in memory is none. Only what the image's own stub knows is measured:
 * that of systemd 252 knows no `.uname` and no `.sbat`, later ones came to know more. Source: UAPI.5 Unified Kernel Image,
 * systemd-stub(7) of version 257.
 *
 * @returns none for a PE image that has no kernel in it
 * @throws PeImageError also PE_BAD_FIELD for a section that stands twice where it may once, and for too many profiles
 */
export function ukiProfiles(file: Uint8Array): UkiProfile[] {
  const all = peSections(file)
  const known = knownSections(all)
  const assumed = known === undefined
  const [base = [], ...profiles] = sectionGroups(all, known ?? new Set(UKI_SECTIONS))
  if (profiles.length > MAX_PROFILES) throw badPeField(`${profiles.length} profiles, at most ${MAX_PROFILES} are read`)
  if (profiles.length === 0) return bootable({ assumed }, base)
  return profiles.flatMap((own, number) => {
    const id = profileId(own.find(({ name }) => name === PROFILE)?.content)
    // of those by hardware one of the profile stands in only if it fits, which a file cannot show
    const replaced = new Set(own.map(({ name }) => name).filter((name) => !BY_HARDWARE.has(name)))
    const sections = [...base.filter(({ name }) => !replaced.has(name)), ...own]
    return bootable({ assumed, number, ...(id !== undefined && { id }) }, sections)
  })
}

/**
 * Names of sections that the stub looks for: they stand in its own sections, each between NULs.
 * @returns undefined where even the kernel's is not found
 */
function knownSections(all: readonly PeSection[]): ReadonlySet<string> | undefined {
  const known = new Set<string>()
  for (const { name, data } of all) {
    if (UKI_SECTIONS.includes(name) || data.length > MAX_STUB_BYTES) continue
    const text = `\0${asciiText(data)}\0`
    for (const each of UKI_SECTIONS) if (text.includes(`\0${each}\0`)) known.add(each)
  }
  return known.has(KERNEL) ? known : undefined
}

/** Measured sections of the image: those of all profiles, then those of each, with `.profile` first. */
function sectionGroups(all: readonly PeSection[], known: ReadonlySet<string>): UkiSection[][] {
  const groups: UkiSection[][] = [[]]
  let zeros = 0
  for (const section of all) {
    if (!known.has(section.name)) continue
    if (section.name === PROFILE) groups.push([])
    const group = groups.at(-1)
    if (group === undefined || section.name === NOT_MEASURED) continue
    if (section.virtualSize === 0 && section.name !== PROFILE) continue
    if (!BY_HARDWARE.has(section.name) && group.some(({ name }) => name === section.name)) {
      throw badPeField(`two sections ${section.name}`)
    }
    zeros += Math.max(section.virtualSize - section.data.length, 0)
    if (zeros > MAX_ZERO_BYTES) throw badPeField(`section ${section.name} has ${section.virtualSize} bytes in memory`)
    group.push({ name: section.name, content: inMemory(section) })
  }
  return groups
}

function inMemory({ virtualSize, data }: PeSection): Uint8Array {
  if (virtualSize <= data.length) return data.subarray(0, virtualSize)
  const content = new Uint8Array(virtualSize)
  content.set(data)
  return content
}

function bootable(profile: Pick<UkiProfile, 'number' | 'id' | 'assumed'>, all: readonly UkiSection[]): UkiProfile[] {
  if (!all.some(({ name }) => name === KERNEL)) return []
  const measured = all.filter(({ name, content }) => content.length > 0 && !BY_HARDWARE.has(name))
  const sections = measured.sort((a, b) => UKI_SECTIONS.indexOf(a.name) - UKI_SECTIONS.indexOf(b.name))
  return [{ ...profile, sections, byHardware: all.filter(({ name }) => BY_HARDWARE.has(name)) }]
}

/** ID of text in the form of os-release, with or without quotes. */
function profileId(section: Uint8Array | undefined): string | undefined {
  const [, quoted, bare] =
    /^ID=(?:"([^"\n]{0,64})"|([^\s"]{1,64}))[ \t]*$/m.exec(asciiText(section ?? new Uint8Array())) ?? []
  return quoted ?? bare
}

/**
 * The digests that systemd-stub extends PCR 11 with for one section: of its name, and of its content.
 * @returns in the order in which they are extended
 */
export function ukiSectionDigests(
  { name, content }: UkiSection,
  bank: HashAlgorithm,
): readonly [Uint8Array, Uint8Array] {
  return [digest(bank, utf8(`${name}\0`)), digest(bank, content)]
}

/** What systemd measures into PCR 11 as a boot goes on, behind the stub. Source: systemd-pcrphase.service(8). */
export const BOOT_PHASES: readonly string[] = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready']

/**
 * What PCR 11 comes to: after the stub, and after each of systemd's phases.
 * @returns as many values as there are phases, and one; undefined where hardware decides what is measured
 */
export function ukiRegister(
  { sections, byHardware }: UkiProfile,
  bank: HashAlgorithm,
): readonly Uint8Array[] | undefined {
  if (byHardware.length > 0) return undefined
  let value: Uint8Array = new Uint8Array(hashSize(bank))
  const extend = (extended: Uint8Array): void => {
    value = extendValue(bank, value, extended)
  }
  for (const section of sections) ukiSectionDigests(section, bank).forEach(extend)
  const values = [value]
  for (const phase of BOOT_PHASES) {
    extend(digest(bank, utf8(phase)))
    values.push(value)
  }
  return values
}

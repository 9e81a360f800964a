import { fromUtf8, toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import {
  authenticodeDigest,
  BOOT_PHASES,
  PeImageError,
  type UkiProfile,
  type UkiSection,
  ukiProfiles,
  ukiRegister,
  ukiSectionDigests,
} from '../event-log/index.ts'

/** The bank that every PC Client TPM has; all digests here are of it, in lowercase hex. */
const BANK = 'sha256'

/** What a machine will measure of an EFI image that it boots. */
export interface ReferenceImage {
  /** Name of the file, for people. */
  readonly from: string
  readonly kind: 'boot-loader' | 'kernel' | 'unified-kernel'
  /** Authenticode: what firmware extends PCR 4 with. */
  readonly digest: string
  /** Authenticode of the kernel in a unified kernel image, which older stubs have the firmware start in its turn. */
  readonly kernel?: string
  /** What a unified kernel image can be booted as. */
  readonly profiles: readonly ReferenceProfile[]
}

export interface ReferenceProfile {
  /** For people: the image, and which profile of it. */
  readonly from: string
  readonly sections: readonly ReferenceSection[]
  /** At most one of each name is measured, by the hardware. */
  readonly byHardware: readonly ReferenceSection[]
  /** True where the stub does not show what it measures, and is taken for that of systemd 257. */
  readonly assumed: boolean
  readonly commandLine?: ReferenceCommandLine
  /** What PCR 11 is after the stub, and after each phase of systemd's boot; absent where hardware decides. */
  readonly register?: readonly { readonly value: string; readonly after: string }[]
}

/** A section is measured by its name, and by its content. */
export interface ReferenceSection {
  readonly name: string
  readonly nameDigest: string
  readonly digest: string
}

export interface ReferenceCommandLine {
  /** Absent where it is no UTF-8. */
  readonly text?: string
  /** Of the section (PCR 11), and of what the stub hands to Linux, whose own stub measures it (PCR 9). */
  readonly digests: readonly string[]
}

/**
 * What a machine that boots this image will measure of it: known from the file alone, before any machine runs it.
 *
 * @param from name of the file, for people
 * @throws PeImageError for what is no EFI image
 */
export function referenceImage(file: Uint8Array, from: string): ReferenceImage {
  const image = { from, digest: toHex(authenticodeDigest(file, BANK)) } // first: it refuses sections over one another
  const profiles = ukiProfiles(file)
  const [first] = profiles
  if (first === undefined) return { ...image, kind: isLinux(file) ? 'kernel' : 'boot-loader', profiles: [] }
  const kernel = innerKernel(first)
  return {
    ...image,
    kind: 'unified-kernel',
    ...(kernel !== undefined && { kernel }),
    profiles: profiles.map((profile) => referenceProfile(profile, from)),
  }
}

/** Where images of Linux say what they are: x86 boot protocol, arm64 and RISC-V image headers, compressed EFI images. */
const LINUX_MARKS: readonly { readonly at: number; readonly mark: string }[] = [
  { at: 0x202, mark: 'HdrS' },
  { at: 56, mark: 'ARM\x64' },
  { at: 56, mark: 'RSC\x05' },
  { at: 4, mark: 'zimg' },
]

function isLinux(file: Uint8Array): boolean {
  return LINUX_MARKS.some(({ at, mark }) => [...mark].every((c, i) => file[at + i] === c.charCodeAt(0)))
}

function innerKernel({ sections }: UkiProfile): string | undefined {
  const linux = sections.find(({ name }) => name === '.linux')
  try {
    return linux && toHex(authenticodeDigest(linux.content, BANK))
  } catch (err) {
    if (err instanceof PeImageError) return undefined // the stub starts it by itself then
    throw err
  }
}

function referenceProfile(profile: UkiProfile, image: string): ReferenceProfile {
  const { number, id } = profile
  const from = number === undefined ? image : `${image}, profile ${number}${id === undefined ? '' : ` (${id})`}`
  const values = ukiRegister(profile, BANK)
  const commandLine = profile.sections.find(({ name }) => name === '.cmdline')
  return {
    from,
    sections: profile.sections.map(referenceSection),
    byHardware: profile.byHardware.map(referenceSection),
    assumed: profile.assumed,
    ...(commandLine !== undefined && { commandLine: referenceCommandLine(commandLine.content) }),
    ...(values !== undefined && {
      register: values.map((value, i) => ({ value: toHex(value), after: BOOT_PHASES[i - 1] ?? 'the stub' })),
    }),
  }
}

function referenceSection(section: UkiSection): ReferenceSection {
  const [name, content] = ukiSectionDigests(section, BANK)
  return { name: section.name, nameDigest: toHex(name), digest: toHex(content) }
}

/**
 * systemd-stub hands the text on in UTF-16 with a NUL; Linux's EFI stub measures that. Source: systemd 257, Linux 6.9,
 * and the log of test/vectors/vm/ovmf-sdboot.
 */
function referenceCommandLine(content: Uint8Array): ReferenceCommandLine {
  const section = toHex(digest(BANK, content))
  let text: string
  try {
    text = handedOn(fromUtf8(content))
  } catch {
    return { digests: [section] } // fromUtf8: no text
  }
  return { text, digests: [section, toHex(digest(BANK, utf16(`${text}\0`)))] }
}

const DELETE = 0x7f

/** Up to the first NUL, control characters made blanks, and none at either end. */
function handedOn(text: string): string {
  const [line = ''] = text.split('\0', 1)
  const blanked = Array.from(line, (c) => (c <= ' ' || c.charCodeAt(0) === DELETE ? ' ' : c)).join('')
  return blanked.replace(/^ +| +$/g, '')
}

/** UTF-16LE. */
function utf16(text: string): Uint8Array {
  const out = new Uint8Array(2 * text.length)
  const view = new DataView(out.buffer)
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), true)
  return out
}

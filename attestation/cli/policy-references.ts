import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { type DraftReferences, NO_REFERENCES } from '../appraisal-policy/index.ts'
import { fromUtf8, messageOf, UsageError } from '../base/index.ts'
import {
  corimRegisters,
  keylimeFiles,
  type ReferenceFiles,
  type ReferenceImage,
  type ReferenceRegister,
  readCorim,
  referenceImage,
} from '../reference-values/index.ts'

export interface ReferenceFileNames {
  /** EFI images: unified kernel images, kernels, boot loaders. */
  readonly fromImage?: readonly string[]
  readonly fromCorim?: readonly string[]
  readonly fromKeylime?: string
}

/** A unified kernel image with a large initrd has some hundred megabytes, as has a runtime policy of a distribution. */
const MAX_BYTES = 1 << 30

/**
 * Everything that these files say, ready for a policy.
 * @throws UsageError for a file that cannot be read; PeImageError, CorimError for one that is not what it should be
 */
export function readReferences(
  { fromImage = [], fromCorim = [], fromKeylime }: ReferenceFileNames,
  now: Date,
): DraftReferences {
  const images: ReferenceImage[] = fromImage.map((path) => referenceImage(readBytes(path), basename(path)))
  const notes: string[] = images.flatMap(imageNotes)
  const registers: ReferenceRegister[] = []
  for (const path of fromCorim) {
    const read = corimRegisters(readCorim(readBytes(path)), basename(path), now)
    if (read.registers.length === 0)
      throw new UsageError([`${path}: no value of a PCR is in it`, ...read.notes].join('; '))
    registers.push(...read.registers)
    notes.push(...read.notes)
  }
  let files: ReferenceFiles | undefined
  if (fromKeylime !== undefined) {
    const read = keylimeFiles(textOf(fromKeylime), basename(fromKeylime))
    if (isEmpty(read.files))
      throw new UsageError([`${fromKeylime}: nothing in it can be taken over`, ...read.notes].join('; '))
    files = read.files
    notes.push(...read.notes)
  }
  const from = [...fromImage, ...fromCorim, ...(fromKeylime === undefined ? [] : [fromKeylime])].map((path) =>
    basename(path),
  )
  return { ...NO_REFERENCES, from, images, registers, notes, ...(files !== undefined && { files }) }
}

function imageNotes({ from, kind, profiles }: ReferenceImage): string[] {
  if (kind !== 'unified-kernel') return []
  const bare = profiles.filter(({ commandLine }) => commandLine === undefined)
  const chosen = profiles.filter(({ byHardware }) => byHardware.length > 0)
  return [
    ...(profiles.some(({ assumed }) => assumed)
      ? [`${from}: its stub does not show what it measures; it is taken for that of systemd 257`]
      : []),
    ...bare.map((p) => `${p.from} has no command line of its own: what boot loaders hand over is not judged`),
    ...chosen.map((p) => `${p.from}: hardware decides what of it is measured, so PCR 11 has no one value`),
    ...(profiles.length > 1
      ? [`${from} has ${profiles.length} profiles, and each of them is good by this policy`]
      : []),
  ]
}

function isEmpty({ files, excludes, keyrings, buffers, keys }: ReferenceFiles): boolean {
  return files.size + excludes.length + keyrings.size + buffers.size === 0 && keys === undefined
}

function readBytes(path: string): Uint8Array {
  try {
    if (statSync(path).size > MAX_BYTES) throw new RangeError(`longer than ${MAX_BYTES} bytes`)
    return new Uint8Array(readFileSync(path))
  } catch (err) {
    throw new UsageError(`${path}: ${messageOf(err)}`)
  }
}

function textOf(path: string): string {
  const bytes = readBytes(path)
  try {
    return fromUtf8(bytes)
  } catch {
    throw new UsageError(`${path}: it is not text in UTF-8`)
  }
}

import { EV } from '../../event-log/index.ts'
import type { BootEvent } from './boot-log.ts'
import { digestTexts, type FactSource } from './fact-source.ts'
import type { Authority, BootFacts, BootImage, BootOption, Fact, FirmwareBlob } from './facts.ts'
import { afterHandover, isBootImage } from './handover-rules.ts'

const FIRMWARE_TEXT_TYPES: ReadonlySet<number> = new Set([EV.POST_CODE, EV.POST_CODE2, EV.NONHOST_INFO])
const DRIVER_TYPES: ReadonlySet<number> = new Set([EV.EFI_BOOT_SERVICES_DRIVER, EV.EFI_RUNTIME_SERVICES_DRIVER])

type FirmwareFacts = Pick<
  BootFacts,
  | 'crtmVersion'
  | 'memoryProtection'
  | 'crtmContents'
  | 'firmwareBlobs'
  | 'firmwareTexts'
  | 'bootOrder'
  | 'bootOptions'
  | 'disks'
>

/** Versions, blobs, boot options and disks, as firmware measured them. */
export function firmwareFacts(source: FactSource): FirmwareFacts {
  const { boot, fact } = source
  let crtmVersion: Fact<string> | undefined
  let memoryProtection: Fact<string> | undefined
  let bootOrder: Fact<readonly number[]> | undefined
  const crtmContents: Fact<{ text: string; digests: ReturnType<typeof digestTexts> }>[] = []
  const firmwareBlobs: Fact<FirmwareBlob>[] = []
  const firmwareTexts: Fact<string>[] = []
  const bootOptions: Fact<BootOption>[] = []
  const disks: Fact<{ guid: string; partitions: readonly string[] }>[] = []
  for (const entry of boot.events) {
    const { type, digests } = entry.event
    if (!FIRMWARE_FACT_TYPES.has(type)) continue
    const data = boot.data(entry)
    if (data.kind === 'crtm-version') crtmVersion ??= fact(entry, data.version)
    else if (data.kind === 'firmware-blob') {
      const { base, length, description } = data
      const blob = { digests: digestTexts(digests), base: `0x${base.toString(16)}`, length: `0x${length.toString(16)}` }
      firmwareBlobs.push(fact(entry, { ...blob, ...(description !== undefined && { description }) }))
    } else if (data.kind === 'text' && type === EV.S_CRTM_CONTENTS) {
      crtmContents.push(fact(entry, { text: data.text, digests: digestTexts(digests) }))
    } else if (data.kind === 'text' && FIRMWARE_TEXT_TYPES.has(type)) firmwareTexts.push(fact(entry, data.text))
    else if (data.kind === 'gce-non-host-info') memoryProtection ??= fact(entry, data.memoryProtection)
    else if (data.kind === 'gpt') {
      disks.push(fact(entry, { guid: data.header.diskGuid, partitions: data.partitions.map((p) => p.guid) }))
    } else if (data.kind === 'variable' && BOOT_VARIABLE_TYPES.has(type)) {
      if (data.value.form === 'boot-order' && data.name === 'BootOrder') bootOrder ??= fact(entry, data.value.order)
      if (data.value.form === 'load-option') {
        const { description, path, active } = data.value.option
        bootOptions.push(fact(entry, { name: data.name, description, path: path.text, active }))
      }
    }
  }
  return {
    ...(crtmVersion !== undefined && { crtmVersion }),
    ...(memoryProtection !== undefined && { memoryProtection }),
    crtmContents,
    firmwareBlobs,
    firmwareTexts,
    ...(bootOrder !== undefined && { bootOrder }),
    bootOptions,
    disks,
  }
}

const BOOT_VARIABLE_TYPES: ReadonlySet<number> = new Set([EV.EFI_VARIABLE_BOOT, EV.EFI_VARIABLE_BOOT2])
const FIRMWARE_FACT_TYPES: ReadonlySet<number> = new Set([
  ...FIRMWARE_TEXT_TYPES,
  ...BOOT_VARIABLE_TYPES,
  EV.S_CRTM_VERSION,
  EV.S_CRTM_CONTENTS,
  EV.EFI_PLATFORM_FIRMWARE_BLOB,
  EV.EFI_PLATFORM_FIRMWARE_BLOB2,
  EV.EFI_GPT_EVENT,
  EV.EFI_GPT_EVENT2,
])

/** Drivers, and applications in the order in which they were started. */
export function imageFacts(
  source: FactSource,
  authorities: readonly Fact<Authority>[],
): Pick<BootFacts, 'drivers' | 'applications' | 'bootMeasured'> {
  const { boot, fact } = source
  const images = boot.events.filter((entry) => isBootImage(boot, entry))
  const applications = images.map((entry, i) => {
    const authority = authorityOf(entry, images[i - 1], images[i + 1], authorities)
    return fact(entry, { ...image(source, entry), ...(authority >= 0 && { authority }) })
  })
  const drivers = boot.events.filter((entry) => DRIVER_TYPES.has(entry.event.type))
  return {
    drivers: drivers.map((entry) => fact(entry, image(source, entry))),
    applications,
    bootMeasured: applications.some((a) => a.proof === 'data' || a.proof === 'digest'),
  }
}

function image({ boot }: FactSource, entry: BootEvent): BootImage {
  const data = boot.data(entry)
  const path = data.kind === 'image-load' ? data.path : undefined
  return {
    digests: digestTexts(entry.event.digests),
    path: path?.text ?? '',
    ...(path?.file !== undefined && { file: path.file }),
    phase: afterHandover(boot, entry) ? 'boot' : 'firmware',
  }
}

/**
 * EDK II names the authority before the image, AMI's firmware after it; either way between this image and its
 * neighbours.
 */
function authorityOf(
  { event }: BootEvent,
  before: BootEvent | undefined,
  after: BootEvent | undefined,
  authorities: readonly Fact<Authority>[],
): number {
  const between = (from: number, to: number): number => authorities.findIndex((a) => a.event > from && a.event < to)
  const named = between(before?.event.index ?? -1, event.index)
  return named >= 0 ? named : between(event.index, after?.event.index ?? Number.POSITIVE_INFINITY)
}

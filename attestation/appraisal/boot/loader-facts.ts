import { EV, type IplData, type TaggedEventData, type WindowsEvent } from '../../event-log/index.ts'
import type { BootEvent } from './boot-log.ts'
import { digestTexts, type FactSource } from './fact-source.ts'
import type { BootFacts, CommandLine, DigestTexts, Fact, MeasuredFile, WindowsFact } from './facts.ts'

/**
 * Tags of Linux's EFI stub: it measures content into PCR 9 and logs its name only. Source: Linux 6.9,
 * drivers/firmware/efi/libstub.
 */
const LINUX_INITRD = 0x8f3b22ec
const LINUX_COMMAND_LINE = 0x8f3b22ed

const LOADER_TYPES: ReadonlySet<number> = new Set([EV.IPL, EV.EVENT_TAG, EV.COMPACT_HASH])
/** A container of Windows can hold thousands. */
const MAX_WINDOWS_FACTS = 1024

type LoaderFacts = Pick<BootFacts, 'commandLines' | 'initrds' | 'grub' | 'windows'> & {
  readonly sections: readonly Fact<MeasuredFile>[]
  readonly shimVariables: readonly Fact<MeasuredFile>[]
}

interface Found {
  readonly commandLines: Fact<CommandLine>[]
  readonly initrds: Fact<MeasuredFile>[]
  readonly commands: Fact<string>[]
  readonly files: Fact<MeasuredFile>[]
  readonly sections: Fact<MeasuredFile>[]
  readonly shimVariables: Fact<MeasuredFile>[]
  readonly windows: Fact<WindowsFact>[]
}

/** What boot loaders, stubs and Windows measured behind the firmware. */
export function loaderFacts(source: FactSource): LoaderFacts {
  const found: Found = {
    commandLines: [],
    initrds: [],
    commands: [],
    files: [],
    sections: [],
    shimVariables: [],
    windows: [],
  }
  for (const entry of source.boot.events) {
    if (!LOADER_TYPES.has(entry.event.type)) continue
    const data = source.boot.data(entry)
    if (data.kind === 'ipl') addIpl(source, entry, data, found)
    else if (data.kind === 'tagged') addTagged(source, entry, data, found)
    else if (data.kind === 'windows') addWindows(source, entry, data.events, found)
  }
  const { commands, files, ...rest } = found
  return { ...rest, grub: { commands, files } }
}

function addIpl({ fact }: FactSource, entry: BootEvent, { writer, what, text }: IplData, found: Found): void {
  switch (what) {
    case 'command':
    case 'module-command-line':
      found.commands.push(fact(entry, text))
      return
    case 'kernel-command-line':
      found.commandLines.push(fact(entry, { writer: 'grub', text, digests: digestTexts(entry.event.digests) }))
      return
    case 'command-line':
      found.commandLines.push(fact(entry, { writer: 'systemd', text, digests: digestTexts(entry.event.digests) }))
      return
    case 'file':
      if (writer === 'grub') found.files.push(fact(entry, measuredFile(text, entry)))
      else found.initrds.push(fact(entry, measuredFile(text, entry)))
      return
    case 'variable':
      found.shimVariables.push(fact(entry, measuredFile(text, entry)))
      return
    case 'section':
      // the stub measures a section's name, which its data covers, and then its content under the same name
      if (entry.coverage.coverage === 'data') return
      found.sections.push(fact(entry, measuredFile(text, entry)))
      if (text === '.cmdline') {
        found.commandLines.push(
          fact(entry, { writer: 'unified-kernel-image', digests: digestTexts(entry.event.digests) }),
        )
      }
      if (text === '.initrd') found.initrds.push(fact(entry, measuredFile(text, entry)))
      return
    case 'text':
    case 'bytes':
      return
  }
}

function addTagged({ fact }: FactSource, entry: BootEvent, { events }: TaggedEventData, found: Found): void {
  for (const { id, text, name } of events) {
    if (id === LINUX_INITRD) found.initrds.push(fact(entry, measuredFile(text ?? 'initrd', entry)))
    else if (id === LINUX_COMMAND_LINE) {
      found.commandLines.push(fact(entry, { writer: 'linux', digests: digestTexts(entry.event.digests) }))
    } else if (name !== undefined) found.files.push(fact(entry, measuredFile(name, entry)))
  }
}

/** GRUB measures dozens of files, and few policies ask for one. */
function measuredFile(name: string, { event }: BootEvent): MeasuredFile {
  let digests: DigestTexts | undefined
  return {
    name,
    get digests() {
      digests ??= digestTexts(event.digests)
      return digests
    },
  }
}

function addWindows(source: FactSource, entry: BootEvent, events: readonly WindowsEvent[], found: Found): void {
  for (const { name, value } of events) {
    if (value.form === 'container') addWindows(source, entry, value.events, found)
    else if (name !== undefined && value.form !== 'bytes' && found.windows.length < MAX_WINDOWS_FACTS) {
      found.windows.push(source.fact(entry, { name, value: windowsText(value) }))
    }
  }
}

function windowsText(value: Exclude<WindowsEvent['value'], { form: 'container' | 'bytes' }>): string {
  switch (value.form) {
    case 'number':
      return `${value.number}`
    case 'switch':
      return value.on ? 'true' : 'false'
    case 'text':
      return value.text
  }
}

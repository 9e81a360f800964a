import { toHex } from '../../base/index.ts'
import { digest } from '../../crypto/index.ts'
import { certificateName } from './certificate-name.ts'
import { counted, listed } from './describe-text.ts'
import type { LoadOption, VariableData } from './event-data.ts'
import { EV } from './event-types.ts'
import { guidName, NAMESPACE } from './guids.ts'
import type { SignatureEntry, SignatureList } from './signature-list.ts'

const MAX_NAMES = 6
const SWITCH_TEXTS: ReadonlyMap<string, readonly [off: string, on: string]> = new Map([
  ['SecureBoot', ['Secure Boot is off', 'Secure Boot is on']],
  ['SetupMode', ['Secure Boot keys are set (not in setup mode)', 'Secure Boot is in setup mode']],
  ['AuditMode', ['Secure Boot audit mode is off', 'Secure Boot audit mode is on']],
  ['DeployedMode', ['Secure Boot deployed mode is off', 'Secure Boot deployed mode is on']],
  [
    'MokListTrusted',
    ['machine owner keys are not trusted by the kernel', 'machine owner keys are trusted by the kernel'],
  ],
])

/** What a variable's event says, in one line, not yet escaped. */
export function describeVariable(variable: VariableData, type: number): string {
  const { name, value } = variable
  switch (value.form) {
    case 'empty':
      return name === 'SecureBoot' ? 'Secure Boot is off (no variable)' : `${titleOf(variable)}: empty`
    case 'switch': {
      const texts = SWITCH_TEXTS.get(name)
      return texts === undefined ? `${titleOf(variable)}: ${value.on ? 'on' : 'off'}` : (texts[value.on ? 1 : 0] ?? '')
    }
    case 'signature-lists':
      return `${titleOf(variable)}: ${describeSignatureLists(value.lists)}`
    case 'authority':
      return `${variable.guid === NAMESPACE.shim ? 'shim' : 'Secure Boot'} authority from ${name}: ${describeEntry(value.entry)}`
    case 'boot-order':
      return `${orderTitle(name)}: ${listed(
        value.order.map((n) => optionName(name, n)),
        16,
      )}`
    case 'load-option':
      return `boot option ${name} ${describeLoadOption(value.option)}`
    case 'text':
      return `${name === 'SbatLevel' ? 'shim SBAT level' : titleOf(variable)}: ${value.text.trimEnd()}`
    case 'bytes':
      return `${type === EV.EFI_VARIABLE_AUTHORITY ? 'authority ' : ''}${titleOf(variable)}: ${counted(variable.data.length, 'byte')}`
    case 'malformed':
      return `${titleOf(variable)}: malformed: ${value.why}`
    default:
      return value satisfies never
  }
}

function titleOf({ guid, name }: VariableData): string {
  const signed = /^(PK|KEK|db|dbx|dbt|dbr|SecureBoot|SetupMode)(Default)?$/.test(name)
  if (signed && (guid === NAMESPACE.global || guid === NAMESPACE.imageSecurity)) return `Secure Boot variable ${name}`
  if (guid === NAMESPACE.shim) return `shim variable ${name}`
  return guid === NAMESPACE.global ? `variable ${name}` : `variable ${name} (${guid})`
}

function orderTitle(name: string): string {
  if (name === 'BootNext') return 'next boot'
  if (name === 'BootCurrent') return 'current boot'
  return name === 'BootOrder' ? 'boot order' : name
}

function optionName(name: string, number: number): string {
  const kind = name.startsWith('Driver') ? 'Driver' : name.startsWith('SysPrep') ? 'SysPrep' : 'Boot'
  return `${kind}${number.toString(16).toUpperCase().padStart(4, '0')}`
}

function describeLoadOption(option: LoadOption): string {
  const flags = [...(option.active ? [] : ['inactive']), ...(option.hidden ? ['hidden'] : [])]
  return `"${option.description}": ${option.path.text}${flags.length > 0 ? ` (${flags.join(', ')})` : ''}`
}

/** `2 certificates: CN=…, CN=…; 77 SHA-256 hashes`. */
function describeSignatureLists(lists: readonly SignatureList[]): string {
  const certificates = lists.filter((l) => l.typeName === 'x509').flatMap((l) => l.entries)
  const parts: string[] = []
  if (certificates.length > 0) {
    const names = certificates.map((entry) => nameOf(entry))
    parts.push(`${counted(certificates.length, 'certificate')}: ${listed(names, MAX_NAMES)}`)
  }
  const others = new Map<string, number>()
  for (const { type, typeName, entries } of lists) {
    if (typeName === 'x509') continue
    const noun = typeName === undefined ? `signature of type ${type}` : `${typeName} hash`
    others.set(noun, (others.get(noun) ?? 0) + entries.length)
  }
  for (const [noun, count] of others) parts.push(counted(count, noun))
  return parts.length > 0 ? parts.join('; ') : 'no signatures'
}

function describeEntry(entry: SignatureEntry): string {
  const owner = entry.owner === undefined ? undefined : guidName(entry.owner)
  return `${nameOf(entry)}${owner === undefined ? '' : ` (owner ${owner})`}`
}

function nameOf(entry: SignatureEntry): string {
  const name = certificateName(entry.data)
  if (name !== undefined) return name
  return entry.data.length > 64
    ? `certificate with SHA-256 ${toHex(digest('sha256', entry.data))}`
    : `hash ${toHex(entry.data)}`
}

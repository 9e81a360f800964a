import { printable } from '../../base/index.ts'
import type { Coverage, LogEvent } from '../event.ts'
import type { MeasureLogRecord } from './measure-log.ts'

const MAX_SHOWN = 240

/** What systemd says it measures under a type, as a clause before the string. */
const TYPES: Readonly<Record<string, string>> = {
  phase: 'boot phase',
  filesystem: 'file system',
  'volume-key': 'volume key',
  'machine-id': 'machine id',
  'product-id': 'product id',
  keyslot: 'key slot of a volume',
  'nvpcr-init': 'register in NV set up',
  'nvpcr-separator': 'register in NV sealed off',
  'dm-verity': 'dm-verity image',
  'imds-userdata': 'user data of the cloud',
  'os-separator': 'hand-over to the operating system',
  login: 'login',
}

/** Records of tpm2-measure.log as events, made one by one. */
export function* measureLogEvents(records: Iterable<MeasureLogRecord>): Generator<LogEvent> {
  for (const record of records) {
    const { index, register, digests, eventType = 'systemd' } = record
    const [coverage, why] = coverageOf(record)
    yield {
      source: 'systemd',
      index,
      register: { kind: register.kind, index: register.index },
      digests,
      type: eventType,
      coverage,
      why,
      text: describe(record),
    }
  }
}

function coverageOf({ measured }: MeasureLogRecord): [Coverage, string] {
  switch (measured) {
    case 'string':
      return ['data', 'the digest is that of the string']
    case 'secret':
      return ['digest', 'the digest is keyed with a secret, of which the log has nothing']
    case 'other':
      return ['mismatch', 'the digest is not that of the string']
  }
}

function describe({ eventType, string, register }: MeasureLogRecord): string {
  const what =
    eventType === undefined
      ? undefined
      : Object.hasOwn(TYPES, eventType)
        ? TYPES[eventType]
        : printable(eventType, MAX_SHOWN)
  const where =
    register.kind === 'nv' && register.name !== undefined ? `in ${printable(register.name, MAX_SHOWN)}` : undefined
  const said = string === undefined ? '(secret)' : `"${printable(string, MAX_SHOWN)}"`
  return [what, said, where].filter((part) => part !== undefined).join(' ')
}

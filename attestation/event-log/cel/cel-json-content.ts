import { canonicalJson, fromHex, messageOf, utf8 } from '../../base/index.ts'
import {
  asArray,
  asInteger,
  asMap,
  asText,
  asU64,
  type Fail,
  isArray,
  isMap,
  kindOf,
  type Value,
  type ValueMap,
} from '../../encoding/index.ts'
import { parseLaunchLogContent } from '../launch-log/launch-log-schema.ts'
import { CEL_CONTENT, MAX_CONTENT_BYTES } from './cel.ts'
import { COS_TYPES, eventTypeNumber, STATE_TRANSITIONS, SYSTEMD_TYPES } from './names.ts'
import { type CelContent, type CelManagement, type CelSystemd, MAX_TEMPLATE_NAME } from './typed-content.ts'

/** How a JSON log writes bytes. Some text is both, so a reader has to be told; CEL 1.0 has hexadecimal. */
export type CelJsonBytes = 'hex' | 'base64'

const CONTENT_TYPES: ReadonlyMap<string, number> = new Map([
  ['cel', CEL_CONTENT.mgmt],
  ['pcclient_std', CEL_CONTENT.pcclientStd],
  ['ima_template', CEL_CONTENT.imaTemplate],
  ['ima_tlv', CEL_CONTENT.imaTlv],
  ['systemd', CEL_CONTENT.systemd],
  ['cos', CEL_CONTENT.cos],
  ['holdfast', CEL_CONTENT.holdfast],
])
const MGMT_TYPES: ReadonlyMap<string, number> = new Map([
  ['cel_version', 1],
  ['firmware_end', 2],
  ['cel_timestamp', 80],
  ['timestamp', 80],
  ['state_trans', 81],
])
const SECRET = SYSTEMD_TYPES.indexOf('volume-key')

/** Reads the values of one record's content; every refusal is `fail`'s. */
export class JsonContentReader {
  readonly #fail: Fail
  readonly #bytes: CelJsonBytes

  constructor(fail: Fail, bytes: CelJsonBytes) {
    this.#fail = fail
    this.#bytes = bytes
  }

  /** @param type name, or number where the writer prefers them */
  content(type: Value | undefined, content: Value | undefined): CelContent {
    const contentType = this.#named(type, 'content_type', (name) => CONTENT_TYPES.get(name.toLowerCase()), 255)
    if (content === undefined) throw this.#fail('content: nothing is there')
    switch (contentType) {
      case CEL_CONTENT.mgmt: {
        const events = isArray(content) ? asArray(content, 'content', 16, this.#fail) : [content]
        if (events.length === 0) throw this.#fail('content: no event')
        return { kind: 'mgmt', events: events.map((event) => this.#management(event)) }
      }
      case CEL_CONTENT.pcclientStd: {
        const map = this.#object(content, ['event_type', 'event_data'])
        const claimedEventType = this.#named(map.get('event_type'), 'event_type', eventTypeNumber, 0xffffffff)
        return { kind: 'pcclient_std', claimedEventType, eventData: this.#data(map.get('event_data'), 'event_data') }
      }
      case CEL_CONTENT.imaTemplate: {
        const map = this.#object(content, ['template_name', 'template_data'])
        const name = asText(map.get('template_name'), 'template_name', MAX_TEMPLATE_NAME, this.#fail)
        if (name === '' || utf8(name).length > MAX_TEMPLATE_NAME) {
          throw this.#fail(`template_name: expected 1 to ${MAX_TEMPLATE_NAME} bytes`)
        }
        return { kind: 'ima_template', name, data: this.#data(map.get('template_data'), 'template_data') }
      }
      case CEL_CONTENT.imaTlv:
        return this.#imaTlv(content)
      case CEL_CONTENT.systemdString:
        if (typeof content === 'string') return { kind: 'systemd_string', bytes: this.#data(content, 'content') }
        return { kind: 'systemd', event: this.#systemd(content) }
      case CEL_CONTENT.systemd:
        return { kind: 'systemd', event: this.#systemd(content) }
      case CEL_CONTENT.cos: {
        const map = this.#object(content, ['type', 'data'])
        const type = this.#named(map.get('type'), 'type', (name) => indexIn(COS_TYPES, name), 255)
        return { kind: 'cos', type, value: this.#data(map.get('data'), 'data') }
      }
      case CEL_CONTENT.holdfast:
        return { kind: 'holdfast', bytes: this.#holdfast(content) }
      default:
        if (contentType <= 3) throw this.#fail(`content_type: ${contentType} is no type of content`)
        return { kind: 'unknown', contentType, bytes: this.#data(content, `content of type ${contentType}`) }
    }
  }

  #management(value: Value): CelManagement {
    const map = this.#object(value, ['type', 'data'])
    const number = this.#named(map.get('type'), 'type', (name) => MGMT_TYPES.get(name.toLowerCase()), 255)
    const data = map.get('data')
    switch (number) {
      case 1: {
        const version = this.#object(data, ['major', 'minor'])
        const major = asInteger(version.get('major'), 'major', 0, 0xffff, this.#fail)
        return { type: 'cel_version', major, minor: asInteger(version.get('minor'), 'minor', 0, 0xffff, this.#fail) }
      }
      case 2:
        if (data !== undefined && data !== null) throw this.#fail('firmware_end has no data')
        return { type: 'firmware_end' }
      case 80:
      case 128:
        return { type: 'cel_timestamp', value: this.#u64(data, 'data') }
      case 81:
      case 129: {
        const value = this.#named(data, 'data', (name) => indexIn(STATE_TRANSITIONS, name), 0xffffffff)
        return { type: 'state_trans', value }
      }
      default:
        return { type: 'unknown', number, value: this.#data(data, `data of type ${number}`) }
    }
  }

  #systemd(content: Value): CelSystemd {
    const map = this.#object(content, ['eventType', 'string', 'bootId', 'timestamp'])
    const known = (name: string): number | undefined => indexIn(SYSTEMD_TYPES, name)
    const eventType = this.#named(map.get('eventType'), 'eventType', known, SYSTEMD_TYPES.length - 1)
    const bootIdText = asText(map.get('bootId'), 'bootId', 36, this.#fail)
    if (!/^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(bootIdText)) {
      throw this.#fail('bootId: 32 hexadecimal digits must be here')
    }
    const event = {
      eventType,
      bootId: fromHex(bootIdText.replaceAll('-', '')),
      timestamp: this.#u64(map.get('timestamp'), 'timestamp'),
    }
    const string = map.get('string')
    if (string === undefined && eventType === SECRET) return event
    return { ...event, string: asText(string, 'string', MAX_CONTENT_BYTES, this.#fail) }
  }

  #imaTlv(content: Value): CelContent {
    const fields = asArray(content, 'content', 255, this.#fail).map((entry) => {
      const map = this.#object(entry, ['type', 'data'])
      return {
        type: asInteger(map.get('type'), 'type', 0, 255, this.#fail),
        value: this.#data(map.get('data'), 'data'),
      }
    })
    if (new Set(fields.map((f) => f.type)).size !== fields.length) throw this.#fail('content: a field stands twice')
    return { kind: 'ima_tlv', fields }
  }

  #holdfast(content: Value): Uint8Array {
    let bytes: Uint8Array
    try {
      bytes = utf8(canonicalJson(plain(content)))
    } catch (cause) {
      throw this.#fail(`content: not what RFC 8785 has a form for (${messageOf(cause)})`)
    }
    parseLaunchLogContent(bytes) // its own refusals say more
    return bytes
  }

  /** An object with these members at most. */
  #object(value: Value | undefined, members: readonly string[]): ValueMap {
    const map = asMap(value, 'content', this.#fail)
    for (const key of map.keys()) {
      if (!members.includes(String(key))) throw this.#fail(`content: member ${JSON.stringify(key)} is not known`)
    }
    return map
  }

  #named(value: Value | undefined, what: string, lookUp: (name: string) => number | undefined, max: number): number {
    if (typeof value !== 'string') return asInteger(value, what, 0, max, this.#fail)
    const number = lookUp(value)
    if (number === undefined) throw this.#fail(`${what}: ${JSON.stringify(value.slice(0, 64))} is not known`)
    return number
  }

  #u64(value: Value | undefined, what: string): bigint {
    if (typeof value === 'string' && /^(0|[1-9][0-9]{0,19})$/.test(value)) return asU64(BigInt(value), what, this.#fail)
    return asU64(value, what, this.#fail)
  }

  #data(value: Value | undefined, what: string): Uint8Array {
    const text = asText(value, what, 2 * MAX_CONTENT_BYTES, this.#fail)
    if (this.#bytes === 'base64') return this.#base64(text, what)
    if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) throw this.#fail(`${what}: not hexadecimal`)
    return fromHex(text)
  }

  #base64(text: string, what: string): Uint8Array {
    let bytes: Uint8Array | undefined
    try {
      bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
    } catch {
      // characters that base64 does not have
    }
    // atob also takes text without padding and with spaces; one text for some bytes is enough
    if (bytes === undefined || toBase64(bytes) !== text) throw this.#fail(`${what}: not base64`)
    return bytes
  }
}

function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const b of bytes) binary += String.fromCharCode(b)
  return btoa(binary)
}

function indexIn(names: readonly string[], name: string): number | undefined {
  const index = names.findIndex((n) => n.toLowerCase() === name.toLowerCase())
  return index < 0 ? undefined : index
}

/** Back to plain JSON data, for its canonical form. */
function plain(value: Value): unknown {
  if (isMap(value)) return Object.fromEntries([...value].map(([k, v]) => [k, plain(v)]))
  if (isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) throw new TypeError(`${kindOf(value)} in it`)
  return value
}

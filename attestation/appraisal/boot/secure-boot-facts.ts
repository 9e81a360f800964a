import { toHex } from '../../base/index.ts'
import { digest } from '../../crypto/index.ts'
import { decodeCertificate, EndorsementError } from '../../endorsement/index.ts'
import { EV, type SignatureEntry, type SignatureList } from '../../event-log/index.ts'
import type { FactSource } from './fact-source.ts'
import type { Authority, Fact, KeyEntry, KeyList, SecureBootFacts, ShimFacts } from './facts.ts'
import {
  configVariable,
  GLOBAL_NAMESPACE,
  SECURITY_NAMESPACE,
  type SecureBootVariable,
  type SecureBootVerdict,
  SHIM_NAMESPACE,
  secureBootVariables,
} from './secure-boot-rules.ts'

/** Hashes name themselves; everything else is named by its own hash. */
const HASH_KINDS: ReadonlySet<string> = new Set(['sha1', 'sha224', 'sha256', 'sha384', 'sha512'])

export function secureBootFacts(source: FactSource, verdict: SecureBootVerdict): SecureBootFacts {
  const { boot, fact } = source
  const flag = (name: string): Fact<boolean> | undefined => {
    const found = configVariable(boot, GLOBAL_NAMESPACE, name)
    return found?.data.value.form === 'switch' ? fact(found.entry, found.data.value.on) : undefined
  }
  const keys = (namespace: string, name: string): Fact<KeyList> | undefined => {
    const found = configVariable(boot, namespace, name)
    return found === undefined ? undefined : listFact(source, found)
  }
  return {
    state: verdict.state,
    why: verdict.why,
    ...present('variable', flag('SecureBoot')),
    ...present('setupMode', flag('SetupMode')),
    ...present('auditMode', flag('AuditMode')),
    ...present('deployedMode', flag('DeployedMode')),
    ...present('pk', keys(GLOBAL_NAMESPACE, 'PK')),
    ...present('kek', keys(GLOBAL_NAMESPACE, 'KEK')),
    ...present('db', keys(SECURITY_NAMESPACE, 'db')),
    ...present('dbx', keys(SECURITY_NAMESPACE, 'dbx')),
    authorities: secureBootVariables(boot, EV.EFI_VARIABLE_AUTHORITY).flatMap((v) => authorityFact(source, v)),
  }
}

export function shimFacts(source: FactSource): ShimFacts {
  const { boot, fact } = source
  const lists = secureBootVariables(boot, EV.EFI_VARIABLE_DRIVER_CONFIG).flatMap((v) => {
    if (v.data.guid !== SHIM_NAMESPACE) return []
    const list = keyList(v)
    return list === undefined ? [] : [fact(v.entry, named(v.data.name, list))]
  })
  const level = secureBootVariables(boot, EV.EFI_VARIABLE_AUTHORITY).find((v) => v.data.name === 'SbatLevel')
  const text = level?.data.value.form === 'text' ? level.data.value.text : undefined
  return {
    variables: [],
    lists,
    ...(level !== undefined && text !== undefined && { sbatLevel: fact(level.entry, text) }),
  }
}

/** Keeps `entries` as it is: made when asked for. */
function named(name: string, list: KeyList): { readonly name: string } & KeyList {
  return Object.defineProperties({ name } as { name: string } & KeyList, Object.getOwnPropertyDescriptors(list)) // its getter with it
}

function listFact({ fact }: FactSource, variable: SecureBootVariable): Fact<KeyList> | undefined {
  const list = keyList(variable)
  return list === undefined ? undefined : fact(variable.entry, list)
}

function keyList({ data }: SecureBootVariable): KeyList | undefined {
  const { value } = data
  if (value.form !== 'empty' && value.form !== 'signature-lists') return undefined
  const lists = value.form === 'empty' ? [] : value.lists
  let sha256: string | undefined
  let entries: readonly KeyEntry[] | undefined
  return {
    get sha256() {
      sha256 ??= toHex(digest('sha256', data.data))
      return sha256
    },
    count: lists.reduce((sum, list) => sum + list.count, 0),
    get entries() {
      entries ??= lists.flatMap(listEntries)
      return entries
    },
  }
}

function listEntries(list: SignatureList): KeyEntry[] {
  return list.entries.map((entry) => keyEntry(list.typeName ?? list.type, entry))
}

function keyEntry(kind: string, { owner, data }: SignatureEntry): KeyEntry {
  const subject = kind === 'x509' ? subjectOf(data) : undefined
  return {
    kind,
    id: toHex(HASH_KINDS.has(kind) ? data : digest('sha256', data)),
    ...(owner !== undefined && { owner }),
    ...(subject !== undefined && { subject }),
  }
}

function authorityFact({ fact }: FactSource, { entry, data, afterSeparator }: SecureBootVariable): Fact<Authority>[] {
  if (data.value.form !== 'authority') return []
  const { entry: signature } = data.value
  const kind = signature.data[0] === DER_SEQUENCE ? 'x509' : 'sha256'
  let key: KeyEntry | undefined
  const authority: Authority = {
    kind,
    get id() {
      key ??= keyEntry(kind, signature)
      return key.id
    },
    get subject() {
      key ??= keyEntry(kind, signature)
      return key.subject
    },
    ...(signature.owner !== undefined && { owner: signature.owner }),
    namespace: data.guid,
    list: data.name,
    beforeSeparator: !afterSeparator,
  }
  return [fact(entry, authority)]
}

const DER_SEQUENCE = 0x30

/** Only for people: a certificate that cannot be read is still named by its hash. */
function subjectOf(der: Uint8Array): string | undefined {
  try {
    return decodeCertificate(der).subject.text
  } catch (err) {
    if (err instanceof EndorsementError) return undefined
    throw err
  }
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [k in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [k in K]: V }) // a computed key widens to string
}

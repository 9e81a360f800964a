import { DataReader } from './data-reader.ts'

/** EFI_SIGNATURE_LIST. UEFI 2.10 §32.4.1. */
export interface SignatureList {
  /** GUID of the signatures' type. */
  readonly type: string
  /** `x509`, `sha256` and so on; absent for an unknown type. */
  readonly typeName?: SignatureTypeName
  /** How many entries there are. */
  readonly count: number
  readonly entries: readonly SignatureEntry[]
}

export type SignatureTypeName =
  | 'x509'
  | 'sha1'
  | 'sha224'
  | 'sha256'
  | 'sha384'
  | 'sha512'
  | 'rsa2048'
  | 'rsa2048-sha256'
  | 'rsa2048-sha1'
  | 'x509-sha256'
  | 'x509-sha384'
  | 'x509-sha512'
  | 'pkcs7'

/** EFI_SIGNATURE_DATA. */
export interface SignatureEntry {
  /** GUID of who put it there; absent where shim measured the bare certificate. */
  readonly owner?: string
  /** A DER certificate, a hash, or what the type says. */
  readonly data: Uint8Array
}

interface SignatureType {
  readonly name: SignatureTypeName
  /** Size of a signature without its owner; absent where it varies. */
  readonly bytes?: number
}

/** UEFI 2.10 §32.4.1. A certificate's hash has its time of revocation (16 bytes) behind it. */
const TYPES: ReadonlyMap<string, SignatureType> = new Map<string, SignatureType>([
  ['a5c059a1-94e4-4aa7-87b5-ab155c2bf072', { name: 'x509' }],
  ['826ca512-cf10-4ac9-b187-be01496631bd', { name: 'sha1', bytes: 20 }],
  ['0b6e5233-a65c-44c9-9407-d9ab83bfc8bd', { name: 'sha224', bytes: 28 }],
  ['c1c41626-504c-4092-aca9-41f936934328', { name: 'sha256', bytes: 32 }],
  ['ff3e5307-9fd0-48c9-85f1-8ad56c701e01', { name: 'sha384', bytes: 48 }],
  ['093e0fae-a6c4-4f50-9f1b-d41e2b89c19a', { name: 'sha512', bytes: 64 }],
  ['3c5766e8-269c-4e34-aa14-ed776e85b3b6', { name: 'rsa2048', bytes: 256 }],
  ['e2b36190-879b-4a3d-ad8d-f2e7bba32784', { name: 'rsa2048-sha256', bytes: 256 }],
  ['67f8444f-8743-48f1-a328-1eaab8736080', { name: 'rsa2048-sha1', bytes: 256 }],
  ['3bd2a492-96c0-4079-b420-fcf98ef103ed', { name: 'x509-sha256', bytes: 48 }],
  ['7076876e-80c2-4ee6-aad2-28b349a6865b', { name: 'x509-sha384', bytes: 64 }],
  ['446dbf63-2502-4cda-bcfa-2465d2b0fe9d', { name: 'x509-sha512', bytes: 80 }],
  ['4aafd29d-68df-49ee-8aa9-347d375665a7', { name: 'pkcs7' }],
])

const STRUCTURE = 'EFI_SIGNATURE_LIST'
const HEAD_BYTES = 28
const OWNER_BYTES = 16

/**
 * The content of db, dbx, KEK, PK, MokList and others: EFI_SIGNATURE_LISTs one after another, each type GUID, list size
 * u32, header size u32, signature size u32, header, then as many (owner GUID, data) of exactly that size as fill the
 * list.
 *
 * A dbx that a reader cut short would revoke less than it says, so nothing is read in part: a size of 0, one that does
 * not divide the list, or one that is not the type's is refused.
 *
 * @returns the lists; their byte fields are views of `bytes`
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeSignatureLists(bytes: Uint8Array): SignatureList[] {
  const r = new DataReader(bytes, STRUCTURE)
  const lists: SignatureList[] = []
  while (r.remaining > 0) lists.push(readList(r))
  return lists
}

function readList(r: DataReader): SignatureList {
  const type = r.guid('SignatureType')
  const listSize = r.u32('SignatureListSize')
  const headerSize = r.u32('SignatureHeaderSize')
  const size = r.u32('SignatureSize')
  const known = TYPES.get(type)
  if (listSize < HEAD_BYTES || listSize - HEAD_BYTES < headerSize) {
    throw r.error('SignatureListSize', `${listSize} is less than its header`)
  }
  if (known !== undefined && headerSize !== 0)
    throw r.error('SignatureHeaderSize', `${headerSize}, ${known.name} has none`)
  if (size <= OWNER_BYTES) throw r.error('SignatureSize', `${size} leaves no room for a signature`)
  if (known?.bytes !== undefined && size !== OWNER_BYTES + known.bytes) {
    throw r.error('SignatureSize', `${size}, a ${known.name} entry has ${OWNER_BYTES + known.bytes}`)
  }
  const signatureBytes = listSize - HEAD_BYTES - headerSize
  if (signatureBytes % size !== 0) {
    throw r.error('SignatureSize', `${size} does not divide the list's ${signatureBytes} bytes`)
  }
  r.bytesOf('SignatureHeader', headerSize)
  const signatures = r.bytesOf('Signatures', signatureBytes)
  let entries: readonly SignatureEntry[] | undefined
  return {
    type,
    ...(known !== undefined && { typeName: known.name }),
    count: signatureBytes / size,
    // a dbx has hundreds, its form is checked already, and few look at them
    get entries() {
      entries ??= readEntries(signatures, size)
      return entries
    },
  }
}

function readEntries(signatures: Uint8Array, size: number): SignatureEntry[] {
  const r = new DataReader(signatures, STRUCTURE)
  const entries: SignatureEntry[] = []
  while (r.remaining > 0) {
    entries.push({ owner: r.guid('SignatureOwner'), data: r.bytesOf('SignatureData', size - OWNER_BYTES) })
  }
  return entries
}

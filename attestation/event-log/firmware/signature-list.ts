/** EFI_SIGNATURE_LIST. UEFI 2.10 §32.4.1. */
export interface SignatureList {
  /** GUID of the signatures' type. */
  readonly type: string
  /** `x509`, `sha256` and so on; absent for an unknown type. */
  readonly typeName?: SignatureTypeName
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

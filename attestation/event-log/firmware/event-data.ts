import type { DevicePath } from './device-path.ts'
import type { SignatureEntry, SignatureList } from './signature-list.ts'
import type { SpdmData } from './spdm-data.ts'

/**
 * What an event's data says, by event type. It is a claim: `firmwareEventCoverage` tells what its digest covers, and a
 * replay what is proved of the digest. Integers of 64 bits are bigint; byte fields are views of the log.
 */
export type FirmwareEventData =
  | MalformedData
  | OpaqueData
  | TextData
  | SpecIdData
  | StartupLocalityData
  | ReferenceManifestData
  | CrtmVersionData
  | SeparatorData
  | VariableData
  | ImageLoadData
  | GptData
  | FirmwareBlobData
  | HandoffTablesData
  | TaggedEventData
  | WindowsEventData
  | IplData
  | SpdmData
  | GceNonHostInfoData

/** Bytes that have not the form of their type. Nothing may be read out of them. */
export interface MalformedData {
  readonly kind: 'malformed'
  /** Structure, field and what is wrong with it. */
  readonly why: string
}

/** Bytes of a type that has no structure, or none known here. */
export interface OpaqueData {
  readonly kind: 'opaque'
  readonly bytes: Uint8Array
}

/** EV_ACTION, EV_EFI_ACTION, EV_POST_CODE, EV_NONHOST_INFO and others that name what was measured in text. */
export interface TextData {
  readonly kind: 'text'
  /** Without trailing NULs. */
  readonly text: string
  readonly encoding: 'ascii' | 'utf-16le'
}

/** TCG_EfiSpecIDEvent: which form the log has. r1.06 §10.4. */
export interface SpecIdData {
  readonly kind: 'spec-id'
  readonly platformClass: number
  readonly version: { readonly major: number; readonly minor: number; readonly errata: number }
  /** Width of UINTN of the platform's firmware. */
  readonly uintnBits: 32 | 64
  readonly vendorInfo: Uint8Array
}

/** TCG_EfiStartupLocalityEvent: the locality of TPM2_Startup, which is where PCR 0 starts. r1.06 §10.4. */
export interface StartupLocalityData {
  readonly kind: 'startup-locality'
  readonly locality: number
}

/** TCG_Sp800_155_PlatformId_Event and its later forms: where the maker's reference manifest is. r1.06 §10.4. */
export interface ReferenceManifestData {
  readonly kind: 'reference-manifest'
  /** Signature of the event, which tells its version: SP800-155 Event, Event2 or Event3. */
  readonly signature: string
  readonly vendorId: number
  readonly manifestGuid: string
  /** Of the platform, then of the firmware; absent where the version has no such field or the event ends before. */
  readonly platformManufacturer?: string
  readonly platformModel?: string
  readonly platformVersion?: string
  readonly firmwareManufacturer?: string
  readonly firmwareVersion?: string
}

/** EV_S_CRTM_VERSION: UTF-16 text by the specification; a GUID or ASCII with some makers. */
export interface CrtmVersionData {
  readonly kind: 'crtm-version'
  readonly form: 'text' | 'guid'
  readonly version: string
}

/** EV_SEPARATOR, by its data. The digest decides what was extended: see `separatorOf`. */
export interface SeparatorData {
  readonly kind: 'separator'
  readonly value: SeparatorValue
}

/**
 * `boot`: 00000000 or FFFFFFFF, the end of the firmware's own measurements. `error`: 00000001, an error before that.
 * `windows`: "WBCL", the end of Windows's boot measurements.
 */
export type SeparatorValue = 'boot' | 'error' | 'windows' | 'other'

/** UEFI_VARIABLE_DATA. r1.06 §10.2. */
export interface VariableData {
  readonly kind: 'variable'
  /** Namespace of the name, lowercase. */
  readonly guid: string
  readonly name: string
  /** The variable's content. */
  readonly data: Uint8Array
  readonly value: VariableValue
}

/** A variable's content by what its name says it is. */
export type VariableValue =
  /** No bytes: firmware measures absent variables so. */
  | { readonly form: 'empty' }
  /** One byte 0 or 1: SecureBoot, SetupMode, AuditMode, DeployedMode and others. */
  | { readonly form: 'switch'; readonly on: boolean }
  /** PK, KEK, db, dbx, dbt, dbr, MokList and others. */
  | { readonly form: 'signature-lists'; readonly lists: readonly SignatureList[] }
  /**
   * EV_EFI_VARIABLE_AUTHORITY: the entry that allowed an image. `owner` is absent where shim wrote the bare
   * certificate.
   */
  | { readonly form: 'authority'; readonly entry: SignatureEntry }
  | { readonly form: 'boot-order'; readonly order: readonly number[] }
  | { readonly form: 'load-option'; readonly option: LoadOption }
  /** SbatLevel and other text. */
  | { readonly form: 'text'; readonly text: string }
  | { readonly form: 'bytes' }
  /** The name says what it should be, and it is not. */
  | { readonly form: 'malformed'; readonly why: string }

/** EFI_LOAD_OPTION. UEFI 2.10 §3.1.3. */
export interface LoadOption {
  readonly attributes: number
  /** LOAD_OPTION_ACTIVE */
  readonly active: boolean
  /** LOAD_OPTION_HIDDEN */
  readonly hidden: boolean
  readonly description: string
  readonly path: DevicePath
  readonly optionalData: Uint8Array
}

/**
 * UEFI_IMAGE_LOAD_EVENT: an EFI application or driver that was loaded; the digest is its PE Authenticode digest. r1.06
 * §10.2.
 */
export interface ImageLoadData {
  readonly kind: 'image-load'
  readonly base: bigint
  readonly length: bigint
  readonly linkTimeAddress: bigint
  readonly path: DevicePath
}

/** UEFI_GPT_DATA: the header of a GUID partition table and the entries in use. r1.06 §10.2. */
export interface GptData {
  readonly kind: 'gpt'
  readonly header: GptHeader
  readonly partitions: readonly GptPartition[]
}

/** EFI_PARTITION_TABLE_HEADER. UEFI 2.10 §5.3.2. */
export interface GptHeader {
  readonly revision: number
  readonly headerSize: number
  readonly headerCrc32: number
  readonly myLba: bigint
  readonly alternateLba: bigint
  readonly firstUsableLba: bigint
  readonly lastUsableLba: bigint
  readonly diskGuid: string
  readonly partitionEntryLba: bigint
  readonly numberOfPartitionEntries: number
  readonly sizeOfPartitionEntry: number
  readonly partitionEntryArrayCrc32: number
}

/** EFI_PARTITION_ENTRY. UEFI 2.10 §5.3.3. */
export interface GptPartition {
  readonly typeGuid: string
  readonly guid: string
  readonly firstLba: bigint
  readonly lastLba: bigint
  readonly attributes: bigint
  readonly name: string
}

/** UEFI_PLATFORM_FIRMWARE_BLOB and UEFI_PLATFORM_FIRMWARE_BLOB2; the digest is of the blob. r1.06 §10.2. */
export interface FirmwareBlobData {
  readonly kind: 'firmware-blob'
  readonly description?: string
  readonly base: bigint
  readonly length: bigint
}

/** UEFI_HANDOFF_TABLE_POINTERS and UEFI_HANDOFF_TABLE_POINTERS2; the digest is of the tables. r1.06 §10.2. */
export interface HandoffTablesData {
  readonly kind: 'handoff-tables'
  readonly description?: string
  readonly tables: readonly { readonly guid: string; readonly address: bigint }[]
}

/**
 * TCG_PCClientTaggedEvent; of Linux's EFI stub, systemd-boot and systemd-stub the text names what was measured, not its
 * content.
 */
export interface TaggedEventData {
  readonly kind: 'tagged'
  readonly events: readonly TaggedEvent[]
}

export interface TaggedEvent {
  readonly id: number
  /** Who writes this id, and what it measures; absent for an unknown one. */
  readonly name?: string
  readonly data: Uint8Array
  /** The data as text, where it is nothing but that. */
  readonly text?: string
}

/**
 * EV_EVENT_TAG, EV_COMPACT_HASH and EV_NO_ACTION of Windows's boot (WBCL): SIPA events, some of which hold further
 * ones.
 */
export interface WindowsEventData {
  readonly kind: 'windows'
  readonly events: readonly WindowsEvent[]
}

export interface WindowsEvent {
  readonly id: number
  /** As wbcl.h has it, without SIPAEVENT_; absent for an unknown one. */
  readonly name?: string
  readonly data: Uint8Array
  readonly value:
    | { readonly form: 'container'; readonly events: readonly WindowsEvent[] }
    | { readonly form: 'number'; readonly number: bigint }
    | { readonly form: 'switch'; readonly on: boolean }
    | { readonly form: 'text'; readonly text: string }
    | { readonly form: 'bytes' }
}

/** EV_IPL: what boot loaders measure. */
export interface IplData {
  readonly kind: 'ipl'
  readonly writer: 'grub' | 'shim' | 'systemd' | 'unknown'
  /**
   * `command`, `kernel-command-line`, `module-command-line`: of GRUB, measured as text. `file`: its name; the digest is
   * of its content. `command-line`: UTF-16 of systemd-boot or systemd-stub. `variable`: a name of shim's. `section`:
   * name of a unified kernel image's PE section. `bytes`: no text.
   */
  readonly what:
    | 'command'
    | 'kernel-command-line'
    | 'module-command-line'
    | 'file'
    | 'command-line'
    | 'variable'
    | 'section'
    | 'text'
    | 'bytes'
  /** Without prefix and NULs. */
  readonly text: string
}

/** EV_NONHOST_INFO of Google's virtual firmware: how the VM's memory is protected. */
export interface GceNonHostInfoData {
  readonly kind: 'gce-non-host-info'
  readonly memoryProtection: 'none' | 'amd-sev' | 'amd-sev-es' | 'intel-tdx' | 'amd-sev-snp' | 'unknown'
}

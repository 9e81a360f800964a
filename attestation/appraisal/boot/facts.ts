import type { LogSource, Proof, StartupLocality } from '../../event-log/index.ts'
import type { ExitBootServices } from './handover-rules.ts'

/** What was read out of one event, and what a quote proves of it. */
export interface Fact<T> {
  readonly value: T
  /**
   * `data`: the value itself is proved. `digest`: only that something with these digests was measured; the value is its
   * writer's claim.
   */
  readonly proof: Proof
  readonly source: LogSource
  readonly register: number
  /** Position in its own log, from 0. */
  readonly event: number
}

/** Lowercase hex by bank. */
export type DigestTexts = { readonly [bank: string]: string }

/** An entry of PK, KEK, db, dbx, MokList. */
export interface KeyEntry {
  /** `x509`, `sha256` and so on, or the GUID of an unknown type. */
  readonly kind: string
  /** SHA-256 of a certificate's DER; for a hash the hash itself. Lowercase hex. */
  readonly id: string
  /** GUID of who put it there. */
  readonly owner?: string
  /** Of a certificate that can be read: its name, for people. */
  readonly subject?: string
}

/** A variable of signature lists. Each field is made when it is asked for: a dbx has hundreds of entries. */
export interface KeyList {
  /** SHA-256 of the variable's content, lowercase hex: names this very revision. */
  readonly sha256: string
  readonly count: number
  readonly entries: readonly KeyEntry[]
}

/**
 * What allowed an image: an entry of db, of shim's own list, or of MokList. Its certificate is read when it is asked
 * for.
 */
export interface Authority extends Omit<KeyEntry, 'subject'> {
  readonly subject: string | undefined
  /** Namespace and name of the list it is in: `db`, `Shim`, `MokList`, `vendor_db`. */
  readonly namespace: string
  readonly list: string
  readonly beforeSeparator: boolean
}

/** An EFI image that was started. Its digests are Authenticode's; where it came from is firmware's claim. */
export interface BootImage {
  readonly digests: DigestTexts
  readonly path: string
  readonly file?: string
  /**
   * `firmware`: before the separator of its register, as part of the platform. `boot`: by a boot option, or by what
   * that started.
   */
  readonly phase: 'firmware' | 'boot'
  /**
   * Position in `authorities` of the entry that was named next to it; absent where none was: a list entry is named once
   * only.
   */
  readonly authority?: number
}

export interface FirmwareBlob {
  readonly digests: DigestTexts
  readonly base: string
  readonly length: string
  readonly description?: string
}

export interface BootOption {
  /** Boot0001. A claim where firmware measures the value alone, as the specification wants. */
  readonly name: string
  readonly description: string
  readonly path: string
  readonly active: boolean
}

/** Who measured a command line says which part of it the kernel obeyed. */
export type CommandLineWriter = 'grub' | 'systemd' | 'linux' | 'unified-kernel-image' | 'windows'

export interface CommandLine {
  readonly writer: CommandLineWriter
  /** Absent where the log has its digest only. */
  readonly text?: string
  readonly digests: DigestTexts
}

export interface MeasuredFile {
  readonly name: string
  readonly digests: DigestTexts
}

export interface SecureBootFacts {
  readonly state: 'enabled' | 'disabled' | 'unknown'
  readonly why: string
  readonly variable?: Fact<boolean>
  readonly setupMode?: Fact<boolean>
  readonly auditMode?: Fact<boolean>
  readonly deployedMode?: Fact<boolean>
  readonly pk?: Fact<KeyList>
  readonly kek?: Fact<KeyList>
  readonly db?: Fact<KeyList>
  readonly dbx?: Fact<KeyList>
  readonly authorities: readonly Fact<Authority>[]
}

export interface ShimFacts {
  /** MokList, MokListX, MokListTrusted, MokSBState of PCR 14; content by digest only. */
  readonly variables: readonly Fact<MeasuredFile>[]
  /** Lists that shim measured as variables into PCR 7. */
  readonly lists: readonly Fact<{ readonly name: string } & KeyList>[]
  readonly sbatLevel?: Fact<string>
}

/** A record of systemd's tpm2-measure.log. */
export interface SystemdFact {
  /** machine-id, filesystem, volume-key and so on. */
  readonly type: string
  /** What was measured; empty for a secret. */
  readonly text: string
}

export interface WindowsFact {
  /** Without SIPAEVENT_. */
  readonly name: string
  readonly value: string
}

/** Everything that a policy can ask of a boot. A fact that the log does not tell is absent, and never assumed. */
export interface BootFacts {
  readonly firmware: 'uefi' | 'bios'
  readonly startupLocality?: StartupLocality
  readonly hcrtm: boolean
  readonly crtmVersion?: Fact<string>
  readonly crtmContents: readonly Fact<{ readonly text: string; readonly digests: DigestTexts }>[]
  readonly firmwareBlobs: readonly Fact<FirmwareBlob>[]
  /** Text of EV_POST_CODE, EV_NONHOST_INFO and others that name firmware. */
  readonly firmwareTexts: readonly Fact<string>[]
  /** How Google's hypervisor protects this guest's memory. */
  readonly memoryProtection?: Fact<string>
  readonly secureBoot: SecureBootFacts
  readonly separators: readonly {
    readonly register: number
    readonly value: 'boot' | 'error' | 'windows' | 'other' | 'absent'
    readonly proof: Proof
  }[]
  readonly exitBootServices: ExitBootServices
  readonly debugMode: boolean
  readonly dmaProtectionDisabled: boolean
  readonly drivers: readonly Fact<BootImage>[]
  /** In the order in which they were started. */
  readonly applications: readonly Fact<BootImage>[]
  /** Boot options that were tried: 0 where firmware does not measure it. */
  readonly bootAttempts: number
  readonly bootOrder?: Fact<readonly number[]>
  readonly bootOptions: readonly Fact<BootOption>[]
  readonly disks: readonly Fact<{ readonly guid: string; readonly partitions: readonly string[] }>[]
  /**
   * Whether an image that was started by the boot option is measured; false for a kernel that was started past the
   * firmware.
   */
  readonly bootMeasured: boolean
  readonly commandLines: readonly Fact<CommandLine>[]
  /** As the kernel's EFI stub or systemd-stub measured it. */
  readonly initrds: readonly Fact<MeasuredFile>[]
  readonly unifiedKernel: {
    readonly sections: readonly Fact<MeasuredFile>[]
    /** enter-initrd, leave-initrd, sysinit, ready and so on, of systemd's own log. */
    readonly phases: readonly Fact<string>[]
  }
  readonly shim: ShimFacts
  readonly grub: { readonly commands: readonly Fact<string>[]; readonly files: readonly Fact<MeasuredFile>[] }
  /** Settings that Windows's boot measured, by the names of wbcl.h. */
  readonly windows: readonly Fact<WindowsFact>[]
  /** Measurements of systemd's own log, but for phases: file systems, machine-id, keys. */
  readonly systemd: readonly Fact<SystemdFact>[]
  /** Whether PCR 17 to 22 were set back by a dynamic launch. */
  readonly dynamicLaunch: 'none' | 'took-place' | 'not-quoted'
}

/** EFI_DEVICE_PATH_PROTOCOL: where a device or a file is. UEFI 2.10 §10. */
export interface DevicePath {
  /** e.g. `HD(1,GPT,3cb9643c-6c08-4fe5-852d-17e1ae701158,0x800,0x100000)/\EFI\systemd\systemd-bootx64.efi`. */
  readonly text: string
  /** Of all instances, without the end nodes. */
  readonly nodes: readonly DevicePathNode[]
  /** Concatenated file path nodes, e.g. `\EFI\systemd\systemd-bootx64.efi`; absent where there is none. */
  readonly file?: string
}

export interface DevicePathNode {
  readonly type: number
  readonly subType: number
  readonly data: Uint8Array
  readonly text: string
}

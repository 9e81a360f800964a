/** Namespaces of UEFI variables that mean something here. */
export const NAMESPACE = {
  /** EFI_GLOBAL_VARIABLE */
  global: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  /** EFI_IMAGE_SECURITY_DATABASE_GUID */
  imageSecurity: 'd719b2cb-3d3a-4596-a3bc-dad00e67656f',
  /** SHIM_LOCK_GUID */
  shim: '605dab50-e046-4300-abb6-3dd810dd8b23',
} as const

const NAMES: ReadonlyMap<string, string> = new Map([
  // Owners of Secure Boot signatures.
  ['77fa9abd-0359-4d32-bd60-28f4e78f784b', 'Microsoft'],
  ['6841dd76-58f4-4c1a-9ae0-4ee0bd0f5cc0', 'Canonical'],
  ['605dab50-e046-4300-abb6-3dd810dd8b23', 'shim'],
  // Configuration tables, UEFI 2.10 §4.6 and their own specifications.
  ['eb9d2d31-2d88-11d3-9a16-0090273fc14d', 'SMBIOS'],
  ['f2fd1544-9794-4a2c-992e-e5bbcf20e394', 'SMBIOS 3'],
  ['8868e871-e4f1-11d3-bc22-0080c73c8881', 'ACPI 2.0'],
  ['eb9d2d30-2d88-11d3-9a16-0090273fc14d', 'ACPI 1.0'],
  ['b1b621d5-f19c-41a5-830b-d9152c69aae0', 'device tree'],
  ['93bb96af-b9f2-4eb8-9462-e0ba74564236', 'TDX hand-off block list'],
  // Partition types, UEFI 2.10 §5.3.3 and the Discoverable Partitions Specification.
  ['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', 'EFI system'],
  ['bc13c2ff-59e6-4262-a352-b275fd6f7172', 'extended boot loader'],
  ['21686148-6449-6e6f-744e-656564454649', 'BIOS boot'],
  ['0fc63daf-8483-4772-8e79-3d69d8477de4', 'Linux data'],
  ['4f68bce3-e8cd-4db1-96e7-fbcaf984b709', 'Linux root (x86-64)'],
  ['b921b045-1df0-41c3-af44-4c6f280d3fae', 'Linux root (arm64)'],
  ['2c7357ed-ebd2-46d9-aec1-23d437ec2bf5', 'Linux root verity (x86-64)'],
  ['0657fd6d-a4ab-43c4-84e5-0933c84b4f4f', 'Linux swap'],
  ['e6d6d379-f507-44c2-a23c-238f2a3df928', 'Linux LVM'],
  ['a19d880f-05fc-4d3b-a006-743f0f84911e', 'Linux RAID'],
  ['fe3a2a5d-4f32-41a7-b725-accc3285a309', 'ChromeOS kernel'],
  ['3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec', 'ChromeOS root'],
  ['2e0a753d-9e48-43b0-8337-b15192cb1b5e', 'ChromeOS reserved'],
  ['ebd0a0a2-b9e5-4433-87c0-68b6b72699c7', 'Microsoft basic data'],
  ['e3c9e316-0b5c-4db8-817d-f92df00215ae', 'Microsoft reserved'],
  ['de94bba4-06d1-4d40-a16a-bfd50179d6ac', 'Windows recovery'],
])

/** @returns what people call a GUID; undefined for one that has no name here */
export function guidName(guid: string): string | undefined {
  return NAMES.get(guid)
}

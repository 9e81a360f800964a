import { DataReader } from './data-reader.ts'
import type { GptData, GptPartition } from './event-data.ts'
import { asciiText, utf16Text } from './text.ts'

const SIGNATURE = 'EFI PART'
const ENTRY_BYTES = 128
const NAME_BYTES = 72
/** A disk of 128 entries of the usual size; a larger entry has bytes that nothing here reads. */
const MAX_ENTRY_BYTES = 4096

/**
 * UEFI_GPT_DATA, little-endian: EFI_PARTITION_TABLE_HEADER (92 bytes), count of entries, as many EFI_PARTITION_ENTRY.
 * Source: PC Client Platform Firmware Profile r1.06 §10.2, UEFI 2.10 §5.3.2 and §5.3.3.
 *
 * @param bits width of the count: u64 since r1.05, UINTN before
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeGpt(bytes: Uint8Array, bits: 32 | 64 = 64): GptData {
  const r = new DataReader(bytes, 'UEFI_GPT_DATA')
  const signature = asciiText(r.bytesOf('Signature', SIGNATURE.length))
  if (signature !== SIGNATURE) throw r.error('Signature', `is not "${SIGNATURE}"`)
  const revision = r.u32('Revision')
  const headerSize = r.u32('HeaderSize')
  const headerCrc32 = r.u32('HeaderCRC32')
  r.u32('Reserved')
  const header = {
    revision,
    headerSize,
    headerCrc32,
    myLba: r.u64('MyLBA'),
    alternateLba: r.u64('AlternateLBA'),
    firstUsableLba: r.u64('FirstUsableLBA'),
    lastUsableLba: r.u64('LastUsableLBA'),
    diskGuid: r.guid('DiskGUID'),
    partitionEntryLba: r.u64('PartitionEntryLBA'),
    numberOfPartitionEntries: r.u32('NumberOfPartitionEntries'),
    sizeOfPartitionEntry: r.u32('SizeOfPartitionEntry'),
    partitionEntryArrayCrc32: r.u32('PartitionEntryArrayCRC32'),
  }
  const count = r.uintn('NumberOfPartitions', bits)
  const size = header.sizeOfPartitionEntry
  if (size < ENTRY_BYTES || size > MAX_ENTRY_BYTES) {
    throw r.error('SizeOfPartitionEntry', `${size} is outside ${ENTRY_BYTES} to ${MAX_ENTRY_BYTES}`)
  }
  if (count * BigInt(size) !== BigInt(r.remaining)) {
    throw r.error('NumberOfPartitions', `${count} entries do not fill ${r.remaining} bytes`)
  }
  const partitions: GptPartition[] = []
  while (r.remaining > 0) partitions.push(readEntry(new DataReader(r.bytesOf('entry', size), 'EFI_PARTITION_ENTRY')))
  return { kind: 'gpt', header, partitions }
}

function readEntry(r: DataReader): GptPartition {
  return {
    typeGuid: r.guid('PartitionTypeGUID'),
    guid: r.guid('UniquePartitionGUID'),
    firstLba: r.u64('StartingLBA'),
    lastLba: r.u64('EndingLBA'),
    attributes: r.u64('Attributes'),
    name: utf16Text(r.bytesOf('PartitionName', NAME_BYTES)).split('\0', 1)[0] ?? '',
  }
}

import { deflateRawSync } from 'node:zlib'

export interface CabinetEntry {
  readonly name: string
  readonly content: Uint8Array
}

export interface CabinetOptions {
  readonly compression?: 'none' | 'mszip'
  /** Compression number to write instead, e.g. 3 for LZX. */
  readonly claimedCompression?: number
  /** Bytes set aside in the header, as a signed cabinet has. */
  readonly headerReserve?: number
  readonly flags?: number
  readonly utf8Names?: boolean
  readonly withoutChecksums?: boolean
}

const BLOCK = 32_768
const u16 = (n: number): Buffer => Buffer.of(n & 0xff, (n >> 8) & 0xff)
const u32 = (n: number): Buffer => Buffer.concat([u16(n & 0xffff), u16(n >>> 16)])

/** A cabinet of one folder ([MS-CAB] §2), as makecab writes them; tests bend it afterwards. */
export function makeCabinet(entries: readonly CabinetEntry[], options: CabinetOptions = {}): Uint8Array {
  const { compression = 'mszip', headerReserve, utf8Names = false } = options
  const data = Buffer.concat(entries.map((e) => e.content))
  const blocks: Buffer[] = []
  for (let at = 0; at < data.length; at += BLOCK) {
    const plain = data.subarray(at, at + BLOCK)
    const packed = compression === 'none' ? plain : mszip(plain, data.subarray(Math.max(0, at - BLOCK), at))
    const sizes = Buffer.concat([u16(packed.length), u16(plain.length)])
    const sum = options.withoutChecksums === true ? 0 : checksum(sizes, checksum(packed, 0))
    blocks.push(Buffer.concat([u32(sum), sizes, packed]))
  }
  let offset = 0
  const files = entries.map(({ name, content }) => {
    const header = [
      u32(content.length),
      u32(offset),
      u16(0),
      u16(0x5a21),
      u16(0x6000),
      u16(0x20 | (utf8Names ? 0x80 : 0)),
    ]
    offset += content.length
    return Buffer.concat([...header, Buffer.from(name, utf8Names ? 'utf8' : 'latin1'), Buffer.of(0)])
  })
  const reserve =
    headerReserve === undefined
      ? Buffer.alloc(0)
      : Buffer.concat([u16(headerReserve), Buffer.of(0, 0), Buffer.alloc(headerReserve)])
  const folderAt = 36 + reserve.length
  const filesAt = folderAt + 8
  const filesBytes = Buffer.concat(files)
  const dataAt = filesAt + filesBytes.length
  const body = Buffer.concat(blocks)
  const flags = options.flags ?? (headerReserve === undefined ? 0 : 4)
  return new Uint8Array(
    Buffer.concat([
      ...[Buffer.from('MSCF'), u32(0), u32(dataAt + body.length), u32(0), u32(filesAt), u32(0), Buffer.of(3, 1)],
      ...[u16(1), u16(entries.length), u16(flags), u16(0x1234), u16(0), reserve],
      ...[u32(dataAt), u16(blocks.length), u16(options.claimedCompression ?? (compression === 'none' ? 0 : 1))],
      ...[filesBytes, body],
    ]),
  )
}

function mszip(plain: Buffer, history: Buffer): Buffer {
  const packed = deflateRawSync(plain, history.length === 0 ? {} : { dictionary: history })
  return Buffer.concat([Buffer.from('CK'), packed])
}

function checksum(bytes: Buffer, seed: number): number {
  let sum = seed
  const whole = bytes.length - (bytes.length % 4)
  for (let i = 0; i < whole; i += 4) sum ^= bytes.readUInt32LE(i)
  let rest = 0
  for (const b of bytes.subarray(whole)) rest = rest * 256 + b
  return (sum ^ rest) >>> 0
}

import { deserialize, serialize } from 'node:v8'
import { concatBytes } from '../../attestation/base/index.ts'
import { hashSize } from '../../attestation/crypto/index.ts'
import { hashFromId, hashId, makeDigest, pcrIndex } from '../../attestation/tpm2/index.ts'
import type { TpmAnswer, TpmRequest } from './messages.ts'

/** Larger than any call of the agent: a certificate chain is a few kilobytes. */
const MAX_FRAME_BYTES = 1 << 20
const HEADER_BYTES = 4

// First byte of a frame. An extend and its answer are the hot messages and have forms of their own: a structured clone of them
// costs 15 us, a fifth of the command itself.
const STRUCTURED_CLONE = 0
const EXTEND = 1
const DONE = 2

/** A request as a u32 length, a tag and a body. */
export function encodeRequest(request: TpmRequest): Buffer {
  if (request.op !== 'extend') return cloneFrame(request)
  const [pcr, digests] = request.args
  let size = 2
  for (const d of digests) size += 2 + d.bytes.length
  const frame = newFrame(EXTEND, size)
  frame[HEADER_BYTES + 1] = pcr
  frame[HEADER_BYTES + 2] = digests.length
  let at = HEADER_BYTES + 3
  for (const { alg, bytes } of digests) {
    at = frame.writeUInt16LE(hashId(alg), at)
    frame.set(bytes, at)
    at += bytes.length
  }
  return frame
}

/** An answer in the same form. */
export function encodeAnswer(answer: TpmAnswer): Buffer {
  return answer.ok && answer.value === undefined ? newFrame(DONE, 0) : cloneFrame(answer)
}

/** Both ends of the channel are this program: a frame is what the other end of the same version wrote. */
export function decodeRequest(frame: Buffer): TpmRequest {
  if (frame[0] !== EXTEND) return deserialize(frame.subarray(1)) as TpmRequest
  const digests = []
  let at = 3
  for (let i = 0; i < (frame[2] ?? 0); i++) {
    const alg = hashFromId(frame.readUInt16LE(at))
    if (alg === undefined) throw new RangeError('an extend with an unknown hash')
    at += 2 + hashSize(alg)
    digests.push(makeDigest(alg, frame.subarray(at - hashSize(alg), at)))
  }
  return { op: 'extend', args: [pcrIndex(frame.readUInt8(1)), digests] }
}

/** The other direction of encodeAnswer. */
export function decodeAnswer(frame: Buffer): TpmAnswer {
  return frame[0] === DONE ? { ok: true, value: undefined } : (deserialize(frame.subarray(1)) as TpmAnswer)
}

function newFrame(tag: number, size: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 1 + size)
  frame.writeUInt32LE(1 + size, 0)
  frame[HEADER_BYTES] = tag
  return frame
}

function cloneFrame(message: TpmRequest | TpmAnswer): Buffer {
  const body = serialize(message)
  const frame = newFrame(STRUCTURED_CLONE, body.length)
  frame.set(body, HEADER_BYTES + 1)
  return frame
}

/** Puts frames together from the pieces that a stream gives. */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(0)

  /**
   * @param piece may be reused by the caller afterwards
   * @returns the frames that are complete now, as copies, without their length
   * @throws RangeError for a frame above the limit: the other end is broken
   */
  push(piece: Buffer): Buffer[] {
    const data = this.#held.length === 0 ? piece : Buffer.from(concatBytes(this.#held, piece))
    const frames: Buffer[] = []
    let at = 0
    while (data.length - at >= HEADER_BYTES) {
      const size = data.readUInt32LE(at)
      if (size > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${size} bytes, at most ${MAX_FRAME_BYTES}`)
      if (data.length - at < HEADER_BYTES + size) break
      frames.push(Buffer.from(data.subarray(at + HEADER_BYTES, at + HEADER_BYTES + size)))
      at += HEADER_BYTES + size
    }
    this.#held = new Uint8Array(data.subarray(at))
    return frames
  }
}

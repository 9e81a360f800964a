/** Kinds of frames: native/stage1/frames.h. */
export const FRAME = {
  HELLO: 1,
  APP: 2,
  APP_EXIT: 3,
  POD: 4,
  RESULT: 5,
  FAILURE: 6,
  STOP: 32,
  OFF: 33,
  OUT: 64,
  ERR: 65,
  IN: 66,
  RESIZE: 67,
  TAKEN: 68,
  OPEN: 96,
  FILE: 97,
  START: 98,
  SIGNAL: 99,
  EXIT: 100,
} as const

const HEADER_BYTES = 4

/** Most bytes of one frame, and of input that is under way. */
export const FRAME_MAX_BYTES = 16_384
export const INPUT_WINDOW = 65_536

export interface Frame {
  readonly kind: number
  readonly channel: number
  readonly payload: Buffer
}

export function frame(kind: number, channel = 0, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.from([kind, channel, 0, 0])
  head.writeUInt16LE(payload.length, 2)
  return Buffer.concat([head, payload])
}

/** Rows and columns, as RESIZE has them. */
export function windowSize(rows: number, columns: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt16LE(rows, 0)
  bytes.writeUInt16LE(columns, 2)
  return bytes
}

/** Cuts a stream into frames. */
export class FrameReader {
  #rest = Buffer.alloc(0)

  take(bytes: Buffer): Frame[] {
    const frames: Frame[] = []
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#rest.readUInt16LE(2)
      if (this.#rest.length < end) break
      const payload = Buffer.from(this.#rest.subarray(HEADER_BYTES, end))
      const [kind = 0, channel = 0] = this.#rest
      this.#rest = this.#rest.subarray(end)
      frames.push({ kind, channel, payload })
    }
    return frames
  }
}

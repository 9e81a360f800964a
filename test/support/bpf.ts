import assert from 'node:assert/strict'

/**
 * Runs a classic BPF program over struct seccomp_data; an instruction that the filter has no business using fails the
 * test.
 */
export function runFilter(program: Uint8Array, arch: number, nr: number, args: readonly number[] = []): number {
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, nr, true)
  data.setUint32(4, arch, true)
  for (const [i, a] of args.entries()) data.setUint32(16 + 8 * i, a, true)
  const code = new DataView(program.buffer, program.byteOffset, program.length)
  let accumulator = 0
  for (let at = 0; at * 8 < program.length; at++) {
    const k = code.getUint32(8 * at + 4, true)
    const jump = (taken: boolean): number => (taken ? code.getUint8(8 * at + 2) : code.getUint8(8 * at + 3))
    switch (code.getUint16(8 * at, true)) {
      case 0x20:
        accumulator = data.getUint32(k, true)
        break
      case 0x15:
        at += jump(accumulator === k)
        break
      case 0x35:
        at += jump(accumulator >= k)
        break
      case 0x45:
        at += jump((accumulator & k) !== 0)
        break
      case 0x05:
        at += k
        break
      case 0x06:
        return k
      default:
        assert.fail(`instruction ${at}: ${code.getUint16(8 * at, true)}`)
    }
  }
  return assert.fail('ran past its end')
}

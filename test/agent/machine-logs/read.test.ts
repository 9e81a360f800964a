import assert from 'node:assert/strict'
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { machineLogReader, readPiece } from '../../../agent/machine-logs/index.ts'
import { MAX_MACHINE_LOG_BYTES } from '../../../attestation/protocol/index.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('the machine logs', () => {
  const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i % 251)
  let dir: string
  let remove: () => void
  beforeEach(() => {
    const made = tempDir()
    dir = made.path
    remove = made.remove
  })
  afterEach(() => remove())

  it('are read from the offset that is wanted', async () => {
    const file = join(dir, 'log')
    writeFileSync(file, bytes(1000))
    assert.deepEqual(await readPiece(file, 990, 100), { offset: 990, bytes: bytes(1000).subarray(990), more: false })
    assert.deepEqual(await readPiece(file, 1000, 100), { offset: 1000, bytes: new Uint8Array(0), more: false })
  })

  it('say whether they go on behind a piece', async () => {
    const file = join(dir, 'log')
    writeFileSync(file, bytes(1000))
    assert.deepEqual(await readPiece(file, 0, 999), { offset: 0, bytes: bytes(1000).subarray(0, 999), more: true })
    assert.equal((await readPiece(file, 0, 1000))?.more, false)
  })

  it('are given from the beginning where they have become shorter', async () => {
    const file = join(dir, 'log')
    writeFileSync(file, bytes(1000))
    truncateSync(file, 10)
    assert.deepEqual(await readPiece(file, 990, 100), { offset: 0, bytes: bytes(10), more: false })
  })

  it('are read where the file says that it has no size, as in securityfs', async () => {
    const piece = await readPiece('/proc/self/status', 0, 1 << 20)
    assert.match(Buffer.from(piece?.bytes ?? []).toString(), /^Name:/)
    assert.equal(piece?.more, false)
  })

  it('that do not exist are left out, and one that cannot be read is told of', async () => {
    const paths = { firmware: join(dir, 'none'), systemd: join(dir, 'directory'), ima: join(dir, 'ima') }
    mkdirSync(paths.systemd)
    writeFileSync(paths.ima, bytes(3))
    const told: string[] = []
    const read = machineLogReader(paths, (source, err) => told.push(`${source} ${(err as NodeJS.ErrnoException).code}`))
    const wanted = (['firmware', 'systemd', 'ima'] as const).map((source) => ({ source, offset: 0 }))
    assert.deepEqual(await read(wanted), [{ source: 'ima', offset: 0, bytes: bytes(3), more: false }])
    assert.deepEqual(told, ['systemd EISDIR'])
  })

  it('share the limit of one message', async () => {
    const paths = { firmware: join(dir, 'a'), systemd: join(dir, 'b'), ima: join(dir, 'c') }
    writeFileSync(paths.firmware, bytes(MAX_MACHINE_LOG_BYTES - 5))
    writeFileSync(paths.ima, bytes(100))
    const read = machineLogReader(paths, (_, err) => assert.fail(String(err)))
    const pieces = await read([
      { source: 'firmware', offset: 0 },
      { source: 'ima', offset: 10 },
    ])
    assert.deepEqual(
      pieces.map((p) => [p.offset, p.bytes.length, p.more]),
      [
        [0, MAX_MACHINE_LOG_BYTES - 5, false],
        [10, 5, true],
      ],
    )
  })
})

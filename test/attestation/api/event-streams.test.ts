import assert from 'node:assert/strict'
import { join } from 'node:path'
import pino from 'pino'
import { EventStreams, type StreamClient } from '../../../attestation/api/event-streams.ts'
import { openStore, type Store } from '../../../attestation/store/index.ts'
import { seedEvent, seedNodes } from '../../support/api-fleet.ts'
import { tempDir } from '../../support/temp-dir.ts'

/** A reader in memory. */
class Reader {
  readonly written: string[] = []
  writableNeedDrain = false
  destroyed = false
  ended = false
  write(text: string): boolean {
    this.written.push(text)
    return true
  }
  end(): this {
    this.ended = true
    return this
  }
  destroy(): this {
    this.destroyed = true
    return this
  }
  get ids(): number[] {
    return [...this.written.join('').matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id))
  }
}

describe('streams of events', () => {
  const dir = tempDir()
  let store: Store
  let streams: EventStreams
  let count = 0
  beforeEach(async () => {
    store = await openStore(join(dir.path, `store-${count++}.sqlite`), { exclusive: true, create: true })
    await seedNodes(store, [
      { n: 1, labels: { zone: 'a' } },
      { n: 2, labels: { zone: 'b' } },
    ])
    streams = new EventStreams(store, pino({ level: 'silent' }), 10)
  })
  afterEach(async () => {
    await streams.stop()
    await store.close()
  })
  after(() => dir.remove())

  const open = async (over: Partial<StreamClient> & { labels?: Record<string, string> } = {}, after?: number) => {
    const reader = new Reader()
    const principal = { name: 'token x', role: 'viewer' as const, labels: over.labels ?? {} }
    const client = { principal, stillMay: async () => true, response: reader as unknown as StreamClient['response'] }
    await streams.add({ ...client, ...over }, after)
    return reader
  }

  it('begin with what comes, and go on after what a reader has', async () => {
    for (let i = 0; i < 3; i++) await seedEvent(store, 1)
    const fresh = await open()
    const again = await open({}, 1)
    const fromTheStart = await open({}, 0)
    await seedEvent(store, 1)
    await streams.tick()
    await streams.tick()
    assert.deepEqual([fresh.ids, again.ids, fromTheStart.ids], [[4], [2, 3, 4], [1, 2, 3, 4]])
  })

  it('catch up a hundred at a time, in order and once', async () => {
    for (let i = 0; i < 250; i++) await seedEvent(store, 1)
    const reader = await open({}, 0)
    for (let i = 0; i < 4; i++) await streams.tick()
    assert.deepEqual(
      reader.ids,
      Array.from({ length: 250 }, (_, i) => i + 1),
    )
    assert.ok(reader.written.every((text) => (text.match(/^id: /gm) ?? []).length <= 100))
  })

  it('tell of nodes with the labels of the token alone', async () => {
    const limited = await open({ labels: { zone: 'a' } })
    for (const n of [2, 1, 2, 1, 2]) await seedEvent(store, n)
    await streams.tick()
    await streams.tick()
    assert.deepEqual(limited.ids, [2, 4])
  })

  it('keep to one line of data whatever a reason says', async () => {
    const reader = await open()
    await seedEvent(store, 1, 'failed', 'a\n\nid: 99\ndata: b\r')
    await streams.tick()
    await streams.tick()
    assert.deepEqual(reader.ids, [1])
    const data = reader.written.join('').match(/^data: .*$/gm) ?? []
    assert.equal(data.length, 1)
    assert.equal(JSON.parse(data[0]?.slice(6) ?? '').reasons[0].message, 'a\n\nid: 99\ndata: b\r')
  })

  it('write nothing to a reader that takes nothing, and cut it off in the end', async () => {
    const slow = await open()
    const quick = await open()
    slow.writableNeedDrain = true
    const before = slow.written.length
    await seedEvent(store, 1)
    let ticks = 0
    while (!slow.destroyed && ticks++ < 100) await streams.tick()
    assert.ok(slow.destroyed && ticks > 5, `cut off after ${ticks} looks`)
    assert.equal(slow.written.length, before)
    assert.deepEqual(quick.ids, [1])
    assert.equal(streams.size, 1)
  })

  it('end when the token has ended: before anything more is told, and when nothing happens too', async () => {
    let may = true
    const told = await open({ stillMay: async () => may })
    may = false
    await seedEvent(store, 1)
    await streams.tick()
    await streams.tick()
    assert.deepEqual([told.ids, told.ended], [[], true])
    const quiet = await open({ stillMay: async () => false })
    for (let i = 0; i < 20 && !quiet.ended; i++) await streams.tick()
    assert.equal(quiet.ended, true)
  })

  it('say now and then that they are there', async () => {
    const reader = await open()
    for (let i = 0; i < 31; i++) await streams.tick()
    assert.equal(reader.written.filter((text) => text.startsWith(':')).length, 2)
  })

  it('are as many as there may be, of all and of each token', async () => {
    for (let i = 0; i < 8; i++) await open()
    const principal = (name: string) => ({ name, role: 'viewer' as const, labels: {} })
    assert.throws(() => streams.checkRoom(principal('token x')), { code: 'TOO_MANY_REQUESTS' })
    streams.checkRoom(principal('token y'))
    for (let i = 0; i < 2; i++) await open({ principal: principal(`token ${i}`) })
    assert.throws(() => streams.checkRoom(principal('token y')), { code: 'TOO_MANY_REQUESTS' })
  })

  it('are told an end when the verifier stops, and there are no more', async () => {
    const reader = await open()
    await streams.stop()
    assert.equal(reader.ended, true)
    assert.throws(() => streams.checkRoom({ name: 'token x', role: 'viewer', labels: {} }))
  })
})

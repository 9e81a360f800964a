import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import { type NodeKey, openStore, pageOfNodes, type Store } from '../../../attestation/store/index.ts'
import { fleetNodeId, seedNodes } from '../../support/api-fleet.ts'
import { tempDir } from '../../support/temp-dir.ts'

describe('questions to the store', () => {
  const dir = tempDir()
  let store: Store
  let seeded = 0
  before(async () => {
    store = await openStore(join(dir.path, 'store.sqlite'), { exclusive: true, create: true })
  })
  after(async () => {
    await store.close()
    dir.remove()
  })

  /** What parseLabels of the commands admits, and more. */
  const key = fc.oneof(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,3}$/), fc.constantFrom('"a', 'a"', 'x,"a', 'a'))
  const value = fc.oneof(
    fc.stringMatching(/^[\x21-\x7e]{0,4}$/),
    fc.constantFrom('"', '\\', '\\"', '"a":"b"', '%', '_'),
  )
  const labels = fc.dictionary(key, value, { maxKeys: 4 })

  it('find a node by its labels exactly: by case, and whatever quotation marks and backslashes are in them', async () => {
    await fc.assert(
      fc.asyncProperty(labels, key, value, async (has, k, v) => {
        const n = seeded++
        await seedNodes(store, [{ n, labels: has }])
        const find = async (scope: Record<string, string>): Promise<boolean> => {
          const all = await store.query((db) => pageOfNodes(db, scope, { labels: {} }, { order: 'id', limit: 100_000 }))
          return all.items.some(({ nodeId }) => nodeId === fleetNodeId(n))
        }
        assert.equal(await find(has), true)
        assert.equal(await find({ [k]: v }), Object.hasOwn(has, k) && has[k] === v)
        for (const [own, text] of Object.entries(has)) {
          const other = text.toUpperCase() === text ? text.toLowerCase() : text.toUpperCase()
          if (other !== text) assert.equal(await find({ [own]: other }), false)
          assert.equal(await find({ [own]: `${text}"` }), false)
        }
      }),
      { numRuns: 150 },
    )
  })

  for (const order of ['id', 'newest'] as const) {
    it(`page by ${order} without a gap or a double where many were made at the same time`, async () => {
      const at = (n: number): string => new Date(Date.UTC(2020, 0, 1, 0, 0, n % 3)).toISOString()
      const nodes = Array.from({ length: 50 }, (_, i) => ({ n: 10_000 + i, createdAt: at(i), labels: { order } }))
      await seedNodes(store, order === 'id' ? nodes : nodes.map((node) => ({ ...node, n: node.n + 1000 })))
      const seen: string[] = []
      let after: NodeKey | undefined
      do {
        const page = { order, limit: 7, ...(after !== undefined && { after }) }
        const { items, next } = await store.query((db) => pageOfNodes(db, { order }, { labels: {} }, page))
        seen.push(...items.map((item) => (order === 'id' ? item.nodeId : item.createdAt + item.nodeId)))
        after = next
      } while (after !== undefined)
      assert.equal(new Set(seen).size, 50)
      assert.deepEqual(seen, order === 'id' ? [...seen].sort() : [...seen].sort().reverse())
    })
  }
})

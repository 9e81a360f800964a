import assert from 'node:assert/strict'
import { guestDisks } from '../../../../stage1/flavours/kvm/guest-disks.ts'

const ONE = { rootHash: '11'.repeat(32), blocks: 10 }
const TWO = { rootHash: '22'.repeat(32), blocks: 20 }

describe('disks of a guest', () => {
  it('are two for each image, whatever number of apps run it, and one for writable layers', () => {
    const { disks, trees } = guestDisks([ONE, TWO, ONE], true)
    assert.deepEqual(
      disks.map((d) => [d.serial, d.content, d.image, d.readOnly]),
      [
        ['d0', 'tree', 0, true],
        ['h0', 'hashes', 0, true],
        ['d1', 'tree', 1, true],
        ['h1', 'hashes', 1, true],
        ['w', 'writable', undefined, false],
      ],
    )
    assert.deepEqual(
      trees.map((t) => [t.dataSerial, t.hashSerial, t.blocks, t.rootHash]),
      [
        ['d0', 'h0', 10, ONE.rootHash],
        ['d1', 'h1', 20, TWO.rootHash],
        ['d0', 'h0', 10, ONE.rootHash],
      ],
    )
  })

  it('have none that could be written where layers are on memory', () => {
    assert.deepEqual(
      guestDisks([ONE], false).disks.filter((d) => !d.readOnly),
      [],
    )
  })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { moduleLoadOrder, parseModuleList } from '../../../../stage1/flavours/kvm/kernel-modules.ts'

// lines of Debian's 6.1.0-56-cloud-amd64, as depmod wrote them
const DEPENDENCIES = `kernel/fs/overlayfs/overlay.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/md/dm-mod.ko:
kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko
kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko kernel/lib/reed_solomon/reed_solomon.ko
kernel/lib/reed_solomon/reed_solomon.ko:
`

function names(wanted: string[]): string[] {
  return moduleLoadOrder(DEPENDENCIES, wanted).map((file) => file.replace(/^.*\/(.*)\.ko$/, '$1'))
}

describe('modules of the guest', () => {
  it('come after those that they need, each once, in the order in which they are wanted', () => {
    assert.deepEqual(names(['dm-verity', 'virtio_net', 'overlay']), [
      ...['reed_solomon', 'dm-mod', 'dm-bufio', 'dm-verity'],
      ...['virtio_ring', 'virtio', 'failover', 'net_failover', 'virtio_net'],
      'overlay',
    ])
    assert.deepEqual(names(['virtio', 'virtio_net']).slice(0, 2), ['virtio_ring', 'virtio'])
  })

  it('are found with a dash or an underscore, as modprobe finds them', () => {
    assert.deepEqual(names(['dm_mod', 'net-failover']), ['dm-mod', 'failover', 'net_failover'])
  })

  for (const name of ['verity', 'dm-verity-2', '']) {
    it(`are refused where there is none: ${JSON.stringify(name)}`, () => {
      assert.throws(() => names([name]), RangeError)
    })
  }

  it('are listed one per line, with lines about them', () => {
    assert.deepEqual(parseModuleList('# why\na\n\nb\n'), ['a', 'b'])
    const listed = parseModuleList(readFileSync(new URL('../../../../config/guest-modules', import.meta.url), 'utf8'))
    assert.ok(
      listed.indexOf('sha256-ssse3') < listed.indexOf('dm-verity'),
      'the cipher is chosen when it is first used',
    )
  })
})

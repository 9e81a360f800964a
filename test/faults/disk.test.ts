import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  needsWholePath,
  prepareNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

/** A small disk of its own for one directory. */
class SmallDisk {
  readonly #directory: string

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0700', 'holdfast-test', directory])
    this.#directory = directory
  }

  /** Until not one byte more can be written. */
  fill(): void {
    const fd = openSync(join(this.#directory, 'filler'), 'a')
    try {
      while (statfsSync(this.#directory).bavail > 0) writeSync(fd, Buffer.alloc(4096))
    } finally {
      closeSync(fd)
    }
  }

  free(): void {
    rmSync(join(this.#directory, 'filler'), { force: true })
  }

  unmount(): void {
    execFileSync('umount', ['--lazy', this.#directory])
  }
}

describe('a disk that is full', () => {
  let node: WholeNode
  const disks: SmallDisk[] = []
  let agentDisk: SmallDisk
  let podDisk: SmallDisk
  let verifierDisk: SmallDisk

  function disk(directory: string): SmallDisk {
    const made = new SmallDisk(directory)
    disks.push(made)
    return made
  }

  before(async function () {
    needsWholePath(this)
    node = await prepareNode()
    const { d } = node
    verifierDisk = disk(join(d.directory, 'verifier'))
    agentDisk = disk(join(d.dataDirectory, 'agent'))
    podDisk = disk(join(d.dataDirectory, 'pods'))
    await d.startVerifier()
    await d.enrol()
    await assertUsable(node)
  })
  after(async () => {
    for (const d of disks) d.free()
    await node?.d.agent.stop()
    await node?.d.verifier.stop()
    for (const d of disks) d.unmount()
    await node?.d.stop()
  })
  afterEach(async () => {
    if (node === undefined) return
    for (const d of disks) d.free()
    await node.d.waitForUplink('connected')
    await assertUsable(node)
    await verifierSees(node.d, 'a node in order', (n) => n.tier === 'affirming')
  })

  it("under the agent's log: what cannot be recorded is not launched, and log and register stay together", async () => {
    // A record may fit into the last page that the log has already, or a page that something else gave back; then the next one does not.
    let refused = 0
    for (let n = 0; n < 12 && refused < 3; n++) {
      agentDisk.fill()
      const ran = await node.d.launch(node.image, '--', 'echo', 'started')
      if (ran.status === 0) continue
      refused++
      assert.equal(ran.status, 254)
      assert.equal(ran.stdout, '')
      for (const said of [/AGENT_FAILED/, /LAUNCH_LOG_STORAGE/, /ENOSPC/, /free space/i]) assert.match(ran.stderr, said)
    }
    assert.equal(refused, 3)
    agentDisk.free()
    await assertInStep(node.d)
  })

  it("under stage0's pods: nothing is asked of the agent", async () => {
    const { records } = (await node.d.status()).log
    podDisk.fill()
    await expectRefusal(node, ['POD_DIRECTORY_FAILED', 'ENOSPC'])
    assert.equal((await node.d.status()).log.records, records)
  })

  it("under the verifier's store: a decision that cannot be kept is not given", async () => {
    verifierDisk.fill()
    await expectRefusal(node, ['AGENT_FAILED'])
    verifierDisk.free()
  })
})

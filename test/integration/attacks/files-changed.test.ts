import assert from 'node:assert/strict'
import { readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeCelRecord } from '../../../attestation/event-log/index.ts'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  inBothWays,
  needsWholePath,
  quiet,
  startNode,
  verifierSees,
  type WholeNode,
} from '../../support/whole-path.ts'

inBothWays('a rendered image that was changed on disk', (options) => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode(options)
    await assertUsable(node) // so that the image is in the cache of what was verified in this boot
  })
  after(async () => {
    await node?.d.stop()
  })

  for (const [what, image] of [
    ['image', 'busybox'],
    ['stage1', 'stage1'],
  ] as const) {
    it(`${what}: one byte, with the modification time put back, is enough for a refusal`, async () => {
      const { d } = node
      const images: { name: string; tree: string }[] = JSON.parse(
        await d.expect('image', 'list', '--format=json', '--dir', d.dataDirectory),
      )
      const tree = images
        .find((i) => i.name.includes(image))
        ?.tree.split(':')
        .at(-1)
      const file = join(d.dataDirectory, 'trees', `${tree}.erofs`)
      const { atime, mtime } = statSync(file)
      const good = readFileSync(file)
      const bad = Buffer.from(good)
      bad.writeUInt8(bad.readUInt8(bad.length - 1) ^ 1, bad.length - 1)
      const { records } = (await quiet(d)).log
      for (const content of [
        bad,
        good.subarray(0, -4096),
        Buffer.concat([good, Buffer.alloc(4096)]),
        Buffer.alloc(0),
      ]) {
        writeFileSync(file, content)
        utimesSync(file, atime, mtime)
        await expectRefusal(node, ['IMAGE_'])
      }
      assert.equal((await quiet(d)).log.records, records, 'nothing of it was measured, for nothing was asked for')
      writeFileSync(file, good)
      await assertUsable(node)
    })
  }
})

describe('a launch log that was changed on disk while the agent was stopped', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode()
  })
  after(async () => {
    await node?.d.stop()
  })
  beforeEach(async () => {
    await assertUsable(node)
  })
  afterEach(async () => {
    if (node === undefined) return
    const { d } = node
    await d.agent.stop()
    await d.tpm.powerCycle()
    await d.measureFirmware()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    await verifierSees(d, 'a node in order after its reboot', (n) => n.tier === 'affirming')
  })

  /** Stops the agent and gives the file of the log. */
  async function stopped(): Promise<string> {
    const { d } = node
    const { log } = await quiet(d)
    await d.agent.stop()
    return join(d.dataDirectory, 'agent/launch-log', `${log.resetCount}-${log.restartCount}.cel`)
  }

  function recordEnds(file: string): number[] {
    const bytes = new Uint8Array(readFileSync(file))
    const ends: number[] = []
    while ((ends.at(-1) ?? 0) < bytes.length) ends.push(decodeCelRecord(bytes, ends.at(-1) ?? 0).end)
    return ends
  }

  /** The agent starts, the break is on record, and nothing is launched. */
  async function isNoticed(): Promise<void> {
    const { d } = node
    await d.startAgent()
    await d.waitForUplink('connected')
    assert.equal((await d.status()).log.breaks, 1)
    await verifierSees(d, 'it', (n) => n.tier === 'contraindicated')
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED'])
  }

  it('its last records cut off', async () => {
    const file = await stopped()
    truncateSync(file, recordEnds(file).at(-3))
    await isNoticed()
  })

  it('all of it gone: the register is not explained, and nothing starts', async () => {
    const { d } = node
    truncateSync(await stopped(), 0)
    await d.startAgent()
    await d.waitForUplink('connected')
    await verifierSees(d, 'it', (n) => n.tier === 'contraindicated')
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED'])
  })

  it('one letter of a record changed: the agent does not go on from a log that contradicts itself', async () => {
    const { d } = node
    const file = await stopped()
    const good = readFileSync(file)
    const bad = Buffer.from(good)
    bad.write('E', bad.indexOf('"record":"exited"') + '"record":"'.length)
    writeFileSync(file, bad)
    const ran = await d.holdfast('agent', '--config', d.agentConfig)
    assert.equal(ran.status, 254)
    assert.match(ran.stderr + ran.stdout, /LAUNCH_LOG_CORRUPT/)
    await expectRefusal(node, ['AGENT_MISSING'])
    writeFileSync(file, good)
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertInStep(d)
  })

  it('half a record behind its end is cut off, for it was never measured', async () => {
    const { d } = node
    const file = await stopped()
    const whole = readFileSync(file)
    const last = recordEnds(file).at(-2) ?? 0
    writeFileSync(file, Buffer.concat([whole, whole.subarray(last, last + 20)]))
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
  })
})

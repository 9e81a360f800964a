import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootAggregateEntry, encodeList, fileEntry } from '../support/ima-log.ts'
import { MachineNode } from '../support/machine-node.ts'
import { assertUsable, expectRefusal, needsWholePath } from '../support/whole-path.ts'

const policy = (more = ''): string => `version: 1
name: workers
owner: platform team
attestation: {intervalSeconds: 1, jitterPercent: 0}
unlisted: observe
rules:
  files: {mode: enforce, ima: {excludes: ["/usr/**"${more}], violations: refuse}}
`
/** At first contact: about 2 MB, so that it comes in pieces. */
const MANY = 20_000
const files = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => fileEntry(`/usr/lib/some/where/file-${from + i}`, `content ${from + i}`))

/** Most memory that a process has held, in MiB. */
function peakMemory(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

describe('a node that is judged by the files that it runs, for as long as it runs', () => {
  let machine: MachineNode
  let next = 0

  before(async function () {
    needsWholePath(this)
    machine = await MachineNode.start({ 'workers.yaml': policy() }, {}, async (m) => {
      await m.measureFiles([bootAggregateEntry(), ...files(0, MANY)])
      next = MANY
    })
  })
  after(async () => {
    await machine?.stop()
  })

  const measure = async (count: number): Promise<void> => {
    await machine.measureFiles(files(next, count))
    next += count
  }
  const replayed = async (): Promise<string> =>
    (await machine.d.status()).lastResult?.findings.find((f) => f.rule === 'ima.replay')?.message ?? ''

  it('is trusted with a long list, which came in pieces and was never a failure', async () => {
    await machine.stands('trusted')
    assert.deepEqual(machine.events(), ['pending trusted'])
    await machine.d.verifier.waitUntil('the list', async () => /^20001 entries/.test(await replayed()) || undefined)
    await assertUsable(machine.node)
    const size = encodeList(files(0, MANY)).length
    assert.ok(size > 2 << 20, `${size} bytes`)
    assert.ok(
      machine.relay.sent > size && machine.relay.sent < 1.1 * size,
      `${machine.relay.sent} bytes sent, the list has ${size}`,
    )
    const peak = peakMemory(machine.d.agent.pid)
    console.log(
      `      agent: ${Math.round(peak)} MiB at most; verifier: ${Math.round(peakMemory(machine.d.verifier.pid))} MiB`,
    )
    assert.ok(peak < 200, `${peak} MiB`)
  })

  it('sends new entries only', async () => {
    await machine.rounds(1)
    const from = machine.relay.sent
    await measure(5)
    await machine.d.verifier.waitUntil('the new entries', async () => /^20006 /.test(await replayed()) || undefined)
    assert.ok(machine.relay.sent - from < 20_000, `${machine.relay.sent - from} bytes`)
  })

  it('stays trusted while a burst of entries comes in pieces', async () => {
    const events = machine.events().length
    const padding = 'x'.repeat(200)
    const long = Array.from({ length: 6000 }, (_, i) => fileEntry(`/usr/share/${padding}/${i}`, `${i}`))
    await machine.measureFiles(long)
    await machine.d.verifier.waitUntil('the new entries', async () => /^26006 /.test(await replayed()) || undefined)
    assert.deepEqual(machine.events().slice(events), [])
  })

  it('fails by a file that policy does not know, also after a restart of the verifier', async () => {
    await machine.measureFiles([fileEntry('/opt/unknown', 'nobody knows')])
    const failed = await machine.stands('failed')
    assert.match(failed.standingReasons[0]?.message ?? '', /unknown-file \/opt\/unknown/)
    await expectRefusal(machine.node, ['unknown-file /opt/unknown'])
    await machine.d.verifier.stop('SIGKILL')
    await machine.d.startVerifier()
    await machine.d.waitForUplink('connected')
    assert.deepEqual(await machine.rounds(1), new Set(['failed']))
  })

  it('is trusted again where policy learns of the file: the whole list is judged anew', async () => {
    await machine.setAppraisal({ 'workers.yaml': policy(', "/opt/*"') })
    await machine.stands('trusted')
    assert.deepEqual(machine.events().slice(-1), ['failed trusted'])
  })

  it('goes on after kexec, when the list begins anew and the register does not', async () => {
    const events = machine.events().length
    writeFileSync(join(machine.logs, 'ima'), '')
    await machine.measureFiles([bootAggregateEntry(), ...files(0, 10)])
    await machine.d.verifier.waitUntil('the new list', async () => /^11 /.test(await replayed()) || undefined)
    assert.deepEqual(machine.events().slice(events), [])
  })

  it('goes on after kexec also where the new list is longer already than the old one was', async () => {
    const events = machine.events().length
    await machine.d.agent.stop()
    writeFileSync(join(machine.logs, 'ima'), '')
    await machine.measureFiles([bootAggregateEntry(), ...files(100, 40)])
    await machine.d.startAgent()
    await machine.d.verifier.waitUntil('the new list', async () => /^41 /.test(await replayed()) || undefined)
    assert.deepEqual(machine.events().slice(events), [])
    await assertUsable(machine.node)
  })

  it('fails when another policy asks for what kexec took, says that a reboot helps, and it does', async () => {
    await machine.setAppraisal({ 'workers.yaml': policy(', "/srv/*"') })
    // evidence that was asked for by the policy before may come first, and is no better for it
    await machine.stands('failed', (n) => /PCR 10.*reboot/.test(n.standingReasons[0]?.message ?? ''))
    await machine.reboot()
    await machine.measureFiles([bootAggregateEntry(), ...files(0, 50)])
    await machine.stands('trusted')
  })

  it('fails when the list leaves out what was measured, and is trusted again after a reboot', async () => {
    const whole = readFileSync(join(machine.logs, 'ima'))
    await machine.measureFiles([fileEntry('/opt/hidden', 'x'), ...files(60, 5)])
    writeFileSync(join(machine.logs, 'ima'), Buffer.concat([whole, encodeList(files(60, 5))]))
    const failed = await machine.stands('failed')
    assert.match(failed.standingReasons.map((r) => r.message).join(), /PCR 10/)
    assert.deepEqual(await machine.rounds(2), new Set(['failed']))
    await machine.reboot()
    await machine.measureFiles([bootAggregateEntry(), ...files(0, 50)])
    await machine.stands('trusted')
  })
})

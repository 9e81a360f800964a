import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { utf8 } from '../../../attestation/base/index.ts'
import { EV } from '../../../attestation/event-log/index.ts'
import type { MachineLogPiece, MachineLogSource } from '../../../attestation/protocol/index.ts'
import type { AgentPeer, SoftNode } from '../../support/agent-peer.ts'
import { application, honestBoot, KERNEL } from '../../support/boot.ts'
import { cryptoAgileLog, type WrittenEvent } from '../../support/firmware-log.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { bootAggregateEntry, encodeList, fileEntry, templateData } from '../../support/ima-log.ts'
import { tempDir } from '../../support/temp-dir.ts'

const BOOT_POLICY = `version: 1
name: workers
owner: platform team
podsOnFailure: stop
evidence: {logs: [firmware]}
unlisted: observe
rules:
  boot: {mode: enforce, require: [boot.log, boot.replay, boot.separator]}
  secure-boot: {mode: enforce, secureBoot: {enabled: true}}
`
const IMA_POLICY = `version: 1
name: workers
owner: platform team
unlisted: observe
rules:
  files: {mode: enforce, ima: {excludes: ["/tmp/**"], violations: refuse}}
`

/** A machine's own logs, and the part of them that a verifier wants. */
class Machine {
  readonly logs: { [source in MachineLogSource]?: Uint8Array } = {}
  readonly node: SoftNode
  /** Source and length of every piece that was sent. */
  readonly sent: string[] = []

  constructor(node: SoftNode) {
    this.node = node
  }

  /** Starts the TPM anew with these events and this log. */
  boot(events: readonly WrittenEvent[], log: Uint8Array = cryptoAgileLog(events)): void {
    this.node.tpm.firmware = (tpm) => {
      for (const e of events) if (e.type !== EV.NO_ACTION) tpm.extend(e.register, e.measured ?? e.data)
    }
    this.node.tpm.reset()
    this.logs.firmware = log
    this.node.newBoot()
  }

  async prove(peer: AgentPeer, more = 0) {
    const challenge = await peer.next('challenge')
    const { resetCount, restartCount } = this.node.tpm.clock
    const same = challenge.log.resetCount === resetCount && challenge.log.restartCount === restartCount
    const machineLogs: MachineLogPiece[] = challenge.machineLogs.flatMap(({ source, offset: known }) => {
      const offset = same ? known : 0
      const log = this.logs[source]
      if (log === undefined) return []
      const end = more > 0 && source === 'ima' ? Math.min(log.length, offset + more) : log.length
      return [{ source, offset, bytes: log.slice(offset, end), more: end < log.length }]
    })
    this.sent.push(machineLogs.map((p) => `${p.source} ${p.bytes.length}`).join(', '))
    peer.quote({ t: 'evidence', purpose: challenge.purpose }, { machineLogs })
    return await peer.result()
  }
}

describe('the logs of a machine at the verifier', () => {
  let fleet: Fleet
  let used = 0
  const dir = tempDir()
  const policies = join(dir.path, 'appraisal')
  const policy = (text: string): void => writeFileSync(join(policies, 'workers.yaml'), text)
  before(async () => {
    mkdirSync(policies)
    policy(BOOT_POLICY)
    fleet = await startFleet(32, {
      settings: `appraisalPolicies: ${policies}\nattestation: {periodSeconds: 1, silentAfterSeconds: 3}\nlimits: {messagesPerSecond: 1000}\n`,
    })
  })
  beforeEach(async () => {
    policy(BOOT_POLICY)
    await fleet.verifier.reload()
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => {
    await fleet?.stop()
    dir.remove()
  })

  const enrolled = async (events: readonly WrittenEvent[] = honestBoot(), log?: Uint8Array) => {
    const machine = new Machine(fleet.node(used++))
    machine.boot(events, log)
    const peer = await fleet.connect(machine.node)
    await peer.enrol()
    return { machine, peer }
  }
  const again = async (machine: Machine): Promise<AgentPeer> => {
    const peer = await fleet.connect(machine.node)
    peer.hello()
    await peer.next('status')
    return peer
  }
  const found = (result: { findings: readonly { rule: string; tier: string; message: string }[] }, rule: string) =>
    result.findings.find((f) => f.rule === rule)

  it('make it trusted where they replay and policy is satisfied, and are sent once', async () => {
    const { machine, peer } = await enrolled()
    const first = await machine.prove(peer)
    assert.equal(first.tier, 'affirming', JSON.stringify(first.findings, null, 1))
    assert.equal(found(first, 'policy.secure-boot')?.tier, 'affirming')
    assert.equal((await machine.prove(peer)).tier, 'affirming')
    assert.match(machine.sent[0] ?? '', /^firmware [1-9]/)
    assert.equal(machine.sent[1], 'firmware 0')
  })

  it('are not sent again after a restart of the verifier', async () => {
    const { machine, peer } = await enrolled()
    await machine.prove(peer)
    await fleet.disconnect()
    await fleet.verifier.restart()
    const result = await machine.prove(await again(machine))
    assert.equal(result.tier, 'affirming', JSON.stringify(result.findings, null, 1))
    assert.equal(machine.sent.at(-1), 'firmware 0')
  })

  it('are missed where policy asks for them, and its pods are stopped', async () => {
    const { machine, peer } = await enrolled()
    delete machine.logs.firmware
    const result = await machine.prove(peer)
    assert.equal(result.tier, 'contraindicated')
    assert.match((await peer.next('stop-pods')).reason, /^(policy|boot)\./)
    const node = await fleet.verifier.withStore(async (s) => await s.node(machine.node.nodeId))
    assert.equal(node?.standing, 'failed')
    assert.ok(node?.standingReasons.some((r) => r.rule === 'boot.log'))
  })

  it('are refused where they were changed, or say what was not measured', async () => {
    const good = honestBoot()
    const lied = [...good.slice(0, -2), application('\\EFI\\evil.efi', KERNEL), ...good.slice(-2)]
    for (const log of [cryptoAgileLog(lied), cryptoAgileLog(good.slice(1)), cryptoAgileLog(good).slice(0, -3)]) {
      const { machine, peer } = await enrolled(good, log)
      const result = await machine.prove(peer)
      assert.equal(result.tier, 'contraindicated')
      assert.ok(result.findings.some((f) => /^boot\.(replay|log)$/.test(f.rule) && f.tier === 'contraindicated'))
    }
  })

  it('show a boot that policy does not want, and what is other than at the last good one', async () => {
    const { machine, peer } = await enrolled()
    assert.equal((await machine.prove(peer)).tier, 'affirming')
    machine.boot(honestBoot({ secureBoot: false }))
    const result = await machine.prove(await again(machine))
    assert.equal(result.tier, 'contraindicated')
    assert.equal(found(result, 'policy.secure-boot')?.tier, 'contraindicated')
    assert.match(found(result, 'boot.changes')?.message ?? '', /Secure Boot was enabled, is disabled/)
    machine.boot(honestBoot())
    const back = await machine.prove(await again(machine))
    assert.equal(back.tier, 'affirming')
    assert.match(found(back, 'boot.changes')?.message ?? '', /like the last good one/)
  })

  it('do not outlive a register that changes', async () => {
    const { machine, peer } = await enrolled()
    await machine.prove(peer)
    machine.node.tpm.extend(4, utf8('something later'))
    const result = await machine.prove(peer)
    assert.equal(result.tier, 'contraindicated')
    assert.match(found(result, 'boot.replay')?.message ?? '', /PCR 4/)
  })

  it('are asked for again when another policy comes, and nothing is said meanwhile', async () => {
    const { machine, peer } = await enrolled()
    await machine.prove(peer)
    policy(BOOT_POLICY.replace('enabled: true', 'enabled: false'))
    await fleet.verifier.reload()
    const result = await machine.prove(peer)
    assert.match(machine.sent.at(-1) ?? '', /^firmware [1-9]/)
    assert.equal(result.tier, 'contraindicated')
  })

  it('are held against the policy that they were asked by, while another one comes', async () => {
    const { machine, peer } = await enrolled()
    await machine.prove(peer)
    policy(BOOT_POLICY.replace('mode: enforce, secureBoot', 'mode: warn, secureBoot'))
    await fleet.verifier.reload()
    const underWay: MachineLogPiece = {
      source: 'firmware',
      offset: machine.logs.firmware?.length ?? 0,
      bytes: new Uint8Array(0),
      more: false,
    }
    const challenge = await peer.next('challenge')
    assert.equal(challenge.machineLogs[0]?.offset, 0)
    peer.quote({ t: 'evidence', purpose: 'periodic' }, { machineLogs: [underWay] }) // with the nonce of the challenge: the log is missing
    assert.equal((await peer.result()).tier, 'contraindicated')
    await peer.next('stop-pods')
    await peer.close()

    const other = await enrolled()
    await other.machine.prove(other.peer)
    const inHand = other.peer.nonce
    policy(BOOT_POLICY)
    await fleet.verifier.reload()
    await other.peer.next('challenge')
    const asked = other.peer.nonce
    other.peer.nonce = inHand // the answer to what was asked before crosses the new challenge
    other.peer.quote(
      { t: 'evidence', purpose: 'periodic' },
      { machineLogs: [{ ...underWay, offset: other.machine.logs.firmware?.length ?? 0 }] },
    )
    const crossed = await other.peer.result()
    assert.equal(crossed.tier, 'affirming', JSON.stringify(crossed.findings))
    assert.equal(crossed.machineLogs[0]?.offset, 0, 'the policy that holds wants the log from its beginning')
    other.peer.nonce = asked
    const machineLogs = [{ ...underWay, offset: 0, bytes: other.machine.logs.firmware ?? new Uint8Array(0) }]
    other.peer.quote({ t: 'evidence', purpose: 'periodic' }, { machineLogs })
    assert.equal((await other.peer.result()).tier, 'affirming')
  })

  it('are told and count for nothing where policy observes', async () => {
    policy(BOOT_POLICY.replaceAll('mode: enforce', 'mode: observe'))
    await fleet.verifier.reload()
    const { machine, peer } = await enrolled(honestBoot(), cryptoAgileLog(honestBoot().slice(1)))
    const result = await machine.prove(peer)
    assert.equal(result.tier, 'affirming')
    assert.match(found(result, 'boot.replay')?.message ?? '', /observed only, else contraindicated/)
  })

  describe('with files that IMA measured', () => {
    const files = Array.from({ length: 40 }, (_, i) => fileEntry(`/tmp/file-${i}`, `content ${i}`))
    const measured = (machine: Machine, entries: readonly ReturnType<typeof fileEntry>[]): void => {
      for (const entry of entries) machine.node.tpm.extend(10, templateData(entry))
      const before = machine.logs.ima ?? new Uint8Array(0)
      machine.logs.ima = Buffer.concat([before, encodeList(entries)])
    }
    beforeEach(async () => {
      policy(IMA_POLICY)
      await fleet.verifier.reload()
    })

    it('takes new entries only, and lists ahead of the quote', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files.slice(0, 10)])
      const result = await machine.prove(peer)
      assert.equal(result.tier, 'affirming', JSON.stringify(result.findings, null, 1))
      measured(machine, files.slice(10, 20))
      machine.logs.ima = Buffer.concat([machine.logs.ima ?? new Uint8Array(0), encodeList(files.slice(20, 21))])
      const second = await machine.prove(peer)
      assert.equal(second.tier, 'affirming')
      assert.match(found(second, 'ima.replay')?.message ?? '', /^21 entries/)
      machine.logs.ima = machine.logs.ima.slice(0, -encodeList(files.slice(20, 21)).length)
      measured(machine, [fileEntry('/usr/bin/unknown', 'x')])
      const third = await machine.prove(peer)
      assert.equal(third.tier, 'contraindicated')
      assert.match(found(third, 'policy.files')?.message ?? '', /unknown-file \/usr\/bin\/unknown/)
    })

    it('takes a long list in pieces, cut anywhere, and knows nothing before its end', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files])
      let rounds = 0
      for (let result = await machine.prove(peer, 700); result.tier !== 'affirming'; rounds++) {
        assert.equal(result.tier, 'none')
        assert.ok(rounds < 20, JSON.stringify(result.findings))
        result = await machine.prove(peer, 700)
      }
      assert.ok(rounds > 3)
    })

    it('says nothing while a list is under way, and calls a node stale that never comes to its end', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files])
      assert.equal((await machine.prove(peer)).tier, 'affirming')
      measured(
        machine,
        Array.from({ length: 4000 }, (_, i) => fileEntry(`/tmp/later-${i}`, `${i}`)),
      )
      let node = await fleet.verifier.withStore(async (s) => await s.node(machine.node.nodeId))
      for (const seen = new Set<string | undefined>(); node?.standing !== 'stale'; seen.add(node?.standing)) {
        assert.ok(['trusted', undefined].includes([...seen].at(-1)), [...seen].join())
        assert.equal((await machine.prove(peer, 200)).tier, 'none')
        node = await fleet.verifier.withStore(async (s) => await s.node(machine.node.nodeId))
      }
      let result = await machine.prove(peer, 1 << 20)
      while (result.tier === 'none') result = await machine.prove(peer, 1 << 20)
      assert.equal(result.tier, 'affirming')
    })

    it('refuses pieces in which no entry ends, and pieces from elsewhere', async () => {
      for (const piece of [
        { offset: 0, bytes: new Uint8Array(0), more: true },
        { offset: 0, bytes: encodeList([files[0] ?? bootAggregateEntry()]).slice(0, 20), more: true },
        { offset: 17, bytes: encodeList(files), more: false },
        { offset: 0, bytes: encodeList(files), more: false },
      ]) {
        const { machine, peer } = await enrolled()
        measured(machine, [bootAggregateEntry(), ...files])
        delete machine.logs.ima
        await machine.prove(peer)
        await peer.next('challenge')
        const send = () => {
          peer.quote({ t: 'evidence', purpose: 'periodic' }, { machineLogs: [{ source: 'ima', ...piece }] })
          return peer.result()
        }
        if (piece.offset > 0) assert.equal((await send()).tier, 'none') // it may have been asked for before: once
        const result = await send()
        assert.equal(result.tier, 'contraindicated', JSON.stringify(result.findings))
        assert.equal(found(result, 'policy.files')?.tier, 'contraindicated')
        await peer.close()
      }
    })

    it('asks once for a list from its beginning that does not go on where it did', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files.slice(0, 5)])
      assert.equal((await machine.prove(peer)).tier, 'affirming')
      delete machine.logs.ima // kexec
      measured(machine, [bootAggregateEntry(), ...files.slice(20)])
      assert.equal((await machine.prove(peer)).tier, 'none')
      const result = await machine.prove(peer)
      assert.match(found(result, 'ima.replay')?.message ?? '', /^21 entries/)
      assert.equal(result.tier, 'affirming')
      machine.node.tpm.extend(10, utf8('in no list'))
      assert.equal((await machine.prove(peer)).tier, 'none')
      for (let i = 0; i < 3; i++) {
        const failed = await machine.prove(peer)
        assert.equal(failed.tier, 'contraindicated')
        assert.match(found(failed, 'ima.replay')?.message ?? '', /after a reboot/)
      }
    })

    it('misses a list that was sent before, once the register goes on', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files])
      assert.equal((await machine.prove(peer)).tier, 'affirming')
      delete machine.logs.ima
      assert.equal((await machine.prove(peer)).tier, 'affirming')
      machine.node.tpm.extend(10, utf8('something'))
      const result = await machine.prove(peer)
      assert.equal(result.tier, 'contraindicated')
      assert.match(found(result, 'ima.replay')?.message ?? '', /no list of IMA was sent/)
    })

    it('refuses a list that leaves an entry out', async () => {
      const { machine, peer } = await enrolled()
      measured(machine, [bootAggregateEntry(), ...files])
      machine.logs.ima = encodeList([bootAggregateEntry(), ...files.slice(1)])
      const result = await machine.prove(peer)
      assert.equal(result.tier, 'contraindicated')
      assert.match(found(result, 'policy.files')?.message ?? '', /does not replay to PCR 10/)
    })
  })

  it('of systemd explain what the agent found in its register', async () => {
    const machine = new Machine(fleet.node(used++))
    const string = 'machine-id:0123'
    machine.boot(honestBoot())
    machine.node.tpm.firmware = ((firmware) => (tpm) => {
      firmware(tpm)
      tpm.extend(15, utf8(string))
    })(machine.node.tpm.firmware)
    machine.node.tpm.reset()
    machine.node.newBoot()
    const { createHash } = await import('node:crypto')
    const record = {
      pcr: 15,
      digests: [{ hashAlg: 'sha256', digest: createHash('sha256').update(string).digest('hex') }],
      content_type: 'systemd',
      content: { string, eventType: 'machine-id' },
    }
    machine.logs.systemd = utf8(`\u001e${JSON.stringify(record)}\n`)
    const peer = await fleet.connect(machine.node)
    await peer.enrol()
    const result = await machine.prove(peer)
    assert.equal(found(result, 'launch-log.start')?.tier, 'affirming', JSON.stringify(result.findings, null, 1))
    assert.equal((await machine.prove(peer)).tier, 'affirming')
    delete machine.logs.systemd
    machine.node.tpm.reset()
    machine.node.newBoot()
    assert.equal(found(await machine.prove(await again(machine)), 'launch-log.start')?.tier, 'contraindicated')
  })
})

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EV } from '../../../attestation/event-log/index.ts'
import type { MachineLogPiece } from '../../../attestation/protocol/index.ts'
import { honestBoot } from '../../support/boot.ts'
import { cryptoAgileLog } from '../../support/firmware-log.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { bootAggregateEntry, encodeList, fileEntry, templateData } from '../../support/ima-log.ts'
import { tempDir } from '../../support/temp-dir.ts'

const POLICY = `version: 1
name: workers
owner: platform team
rules:
  secure-boot: {mode: enforce, secureBoot: {enabled: true}}
  files: {mode: enforce, ima: {excludes: ["/tmp/**"]}}
`

describe('a launch while logs come in pieces', () => {
  const dir = tempDir()
  let fleet: Fleet
  before(async () => {
    const policies = join(dir.path, 'appraisal')
    mkdirSync(policies)
    writeFileSync(join(policies, 'workers.yaml'), POLICY)
    fleet = await startFleet(1, {
      settings: `appraisalPolicies: ${policies}\n`,
      policy: 'permit (principal, action, resource);',
    })
  })
  after(async () => {
    await fleet?.stop()
    dir.remove()
  })

  it('is denied, whatever launch policy says: what speaks against the node may be in what has not come', async () => {
    const node = fleet.node(0)
    const bad = honestBoot({ secureBoot: false })
    const files = [bootAggregateEntry(), ...Array.from({ length: 20 }, (_, i) => fileEntry(`/tmp/${i}`, 'x'))]
    node.tpm.firmware = (tpm) => {
      for (const e of bad) if (e.type !== EV.NO_ACTION) tpm.extend(e.register, e.measured ?? e.data)
      for (const entry of files) tpm.extend(10, templateData(entry))
    }
    node.tpm.reset()
    node.newBoot()
    const firmware: MachineLogPiece = { source: 'firmware', offset: 0, bytes: cryptoAgileLog(bad), more: false }
    const list = encodeList(files)
    const ima = (more: boolean): MachineLogPiece => ({
      source: 'ima',
      offset: 0,
      bytes: more ? list.slice(0, 400) : list,
      more,
    })
    const peer = await fleet.connect(node)
    await peer.enrol()
    assert.equal((await peer.prove({ machineLogs: [firmware] })).tier, 'contraindicated')
    const { bytes } = node.measured()
    const honest = await peer.launch(bytes, { machineLogs: [] }, 1)
    assert.ok(honest.t === 'denied')
    assert.equal(honest.code, 'NODE_CONTRAINDICATED')
    const meanwhile = await peer.launch(bytes, { machineLogs: [firmware, ima(true)] }, 2)
    assert.ok(meanwhile.t === 'denied', 'a ticket was given')
    assert.equal(meanwhile.code, 'EVIDENCE_INCOMPLETE')
    assert.match(meanwhile.reasons.join(), /more to come/)
  })
})

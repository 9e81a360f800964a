import assert from 'node:assert/strict'
import {
  assertInStep,
  needsWholePath,
  readLog,
  seenByVerifier,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

const LAUNCH = 'permit (principal, action == Action::"launch", resource) when { principal.tier == "affirming" };\n'
const ENTER =
  'permit (principal, action == Action::"enter", resource) when { context.uid == 0 && context.program == "echo" };\n'

describe('entering a pod, with real agent, TPM and verifier', () => {
  let node: WholeNode
  let uuid = ''

  before(async function () {
    needsWholePath(this)
    node = await startNode({ policies: { '10.cedar': LAUNCH } })
    uuid = (await node.d.launch('--detach', node.image, '--', 'sleep', '1000')).stdout.trim()
  })
  after(async () => {
    if (node === undefined) return
    await node.d.holdfast('stop', '--force', '--dir', node.d.dataDirectory, uuid)
    await node.d.stop()
  })

  const enter = (...words: string[]) => {
    const { d } = node
    return d.holdfast(
      'enter',
      '--dir',
      d.dataDirectory,
      '--agent',
      d.agentSocket,
      '--trust',
      d.trustFile,
      uuid,
      ...words,
    )
  }

  it('is left to nobody where policies speak of launches alone, and the refusal is in the log', async () => {
    const ran = await enter('echo', 'STARTED')
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /no launch policy permits entering pods/)
    const denied = readLog(node.d, await node.d.status()).at(-1)
    assert.deepEqual(denied?.record === 'denied' && [denied.uuid, denied.action, denied.code], [
      uuid,
      'enter',
      'LAUNCH_DENIED',
    ])
  })

  it('happens where a policy permits it, and is in log and register with who asked, before', async () => {
    await node.d.setPolicies({ '10.cedar': LAUNCH, '30.cedar': ENTER })
    const ran = await enter('echo', 'very-secret')
    assert.deepEqual(ran, { status: 0, stdout: 'very-secret\n', stderr: '' })
    const records = readLog(node.d, await node.d.status())
    const record = records.at(-1)
    assert.ok(record?.record === 'enter')
    assert.deepEqual(
      [record.uuid, record.program, record.by, record.mode],
      [uuid, 'echo', { uid: 0, gid: 0 }, 'enforce'],
    )
    assert.match(record.ticket ?? '', /^[0-9a-f]{32}$/)
    assert.equal(JSON.stringify(records).includes('very-secret'), false)
    const other = await enter('sh', '-c', 'echo STARTED')
    assert.deepEqual([other.status, other.stdout], [254, ''])
  })

  it('leaves the node as trusted as it was, and the pod running to its recorded end', async () => {
    await verifierSees(node.d, 'the decisions', (n) => n.decisions.filter((x) => x.podUuid === uuid).length === 4)
    assert.equal((await seenByVerifier(node.d)).tier, 'affirming')
    await node.d.expect('stop', '--force', '--dir', node.d.dataDirectory, uuid)
    const records = await assertInStep(node.d)
    assert.equal(records.filter((r) => r.record === 'exited' && r.uuid === uuid).length, 1)
    assert.equal((await seenByVerifier(node.d)).quarantine, null)
  })

  it('does not happen in a pod that has ended', async () => {
    const ran = await enter('echo', 'STARTED')
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /POD_NOT_RUNNING/)
  })
})

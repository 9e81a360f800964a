import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import { parseVerifierConfig, startVerifier } from '../../../attestation/verifier/index.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { launchRequest } from '../../support/launch-request.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../../support/verifier.ts'

const pod = (n: number) => ({ pod: { ...launchRequest().pod, uuid: `00000000-0000-4000-8000-00000000000${n}` } })

describe('launch policies of a running verifier', () => {
  let fleet: Fleet
  afterEach(async () => await fleet.stop())

  it('deny when there is none', async () => {
    fleet = await startFleet(1, { policy: '' })
    const peer = await fleet.proven(0)
    const answer = await peer.launch(peer.node.measured().bytes)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'LAUNCH_DENIED')
    assert.match(answer.reasons.join(), /there is no policy, so there is no launch/)
  })

  it('are taken over when they are right, and kept when the new ones are not', async () => {
    fleet = await startFleet(1)
    const peer = await fleet.proven(0)
    assert.equal((await peer.launch(peer.node.measured(pod(1)).bytes)).t, 'ticket')
    writeFileSync(fleet.verifier.policyFile, 'permit (principal, action')
    await fleet.verifier.reload()
    assert.equal((await peer.launch(peer.node.measured(pod(2)).bytes)).t, 'ticket')
    assert.ok(
      fleet.verifier.logLines().some((l) => l['msg'] === 'policies and roots not taken over; the old ones stay'),
    )
    writeFileSync(fleet.verifier.policyFile, `${PERMIT_AFFIRMED}@id("stop") forbid (principal, action, resource);`)
    await fleet.verifier.reload()
    const answer = await peer.launch(peer.node.measured(pod(3)).bytes)
    assert.ok(answer.t === 'denied')
    assert.match(answer.reasons.join(), /forbidden by policy "stop"/)
  })

  it('are kept by revision, so that each decision can be made again', async () => {
    fleet = await startFleet(1)
    const peer = await fleet.proven(0)
    await peer.launch(peer.node.measured().bytes)
    await fleet.verifier.withStore(async (store) => {
      const [decision] = await store.decisions(peer.node.nodeId, 1)
      const set = JSON.parse(Buffer.from((await store.evidence(decision?.policyRevision ?? '')) ?? []).toString())
      assert.equal(set.policies['test.cedar'], PERMIT_AFFIRMED)
    })
  })
})

describe('a verifier that starts', () => {
  const dir = tempDir()
  after(() => dir.remove())
  const log = pino({ level: 'silent' })
  const config = (data: string) => {
    const policies = join(dir.path, 'policies')
    mkdirSync(policies, { recursive: true })
    return parseVerifierConfig(
      `listen: 127.0.0.1:0\ndataDirectory: ${join(dir.path, data)}\npolicies: ${policies}\n`,
      'v.yaml',
    )
  }

  it('refuses a missing policy directory and a bad policy before it makes anything', async () => {
    const c = config('one')
    await assert.rejects(startVerifier({ ...c, policies: join(dir.path, 'none') }, { log }), {
      code: 'LAUNCH_POLICY_UNREADABLE',
    })
    writeFileSync(join(c.policies, 'bad.cedar'), 'permit everything')
    try {
      await assert.rejects(startVerifier(c, { log }), { code: 'LAUNCH_POLICY_INVALID', message: /^bad\.cedar:1:/ })
    } finally {
      rmSync(join(c.policies, 'bad.cedar'))
    }
    assert.equal(existsSync(c.dataDirectory), false)
  })

  it('refuses an appraisal policy whose nodes would be stale between two quotes, and says what to do', async () => {
    const { path, remove } = tempDir()
    try {
      const [policies, appraisal] = [join(path, 'policies'), join(path, 'appraisal')]
      for (const directory of [policies, appraisal]) mkdirSync(directory)
      writeFileSync(join(policies, 'test.cedar'), PERMIT_AFFIRMED)
      const yaml = `listen: 127.0.0.1:0\ndataDirectory: ${path}/data\npolicies: ${policies}\nappraisalPolicies: ${appraisal}\n`
      const start = async (interval: string) => {
        const policy = `version: 1\nname: slow\nowner: nobody\nattestation: {${interval}}\nunlisted: observe\nrules: {boot: {mode: observe, require: [boot.*]}}\n`
        writeFileSync(join(appraisal, 'slow.yaml'), policy)
        return await startVerifier(parseVerifierConfig(yaml, 'verifier.yaml'), { log: pino({ level: 'silent' }) })
      }
      await assert.rejects(start('intervalSeconds: 85'), {
        code: 'VERIFIER_CONFIG_INVALID',
        message: /policy slow: 85 s and 10 %.*silentAfterSeconds.*90.*shorten the one or raise the other/,
      })
      await (await start('intervalSeconds: 85, jitterPercent: 2')).close()
    } finally {
      remove()
    }
  })

  it('makes keys that only its owner can read, and is the same verifier the next time', async () => {
    const c = config('two')
    const first = await startVerifier(c, { log })
    await first.close()
    for (const name of ['ticket-key.pem', 'ca-key.pem', 'tls-key.pem', 'store.sqlite']) {
      assert.equal(statSync(join(c.dataDirectory, name)).mode & 0o777, 0o600, name)
    }
    const second = await startVerifier(c, { log })
    await second.close()
    assert.deepEqual(second.trust, first.trust)
  })

  it('refuses a key that others can read', async () => {
    const c = config('three')
    await (await startVerifier(c, { log })).close()
    spawnSync('chmod', ['644', join(c.dataDirectory, 'ticket-key.pem')])
    await assert.rejects(startVerifier(c, { log }), { code: 'VERIFIER_KEY_EXPOSED', message: /chmod 600/ })
  })

  it('refuses a key file that holds none, and the store of another ticket key', async () => {
    const c = config('four')
    await (await startVerifier(c, { log })).close()
    const key = join(c.dataDirectory, 'ticket-key.pem')
    writeFileSync(key, 'nothing')
    await assert.rejects(startVerifier(c, { log }), { code: 'VERIFIER_KEY_INVALID' })
    rmSync(key)
    await assert.rejects(startVerifier(c, { log }), { code: 'STORE_CONFLICT', message: /ticket key/ })
  })

  it('refuses a second one on the same directory, and an address that is taken', async () => {
    const c = config('five')
    const first = await startVerifier(c, { log })
    try {
      await assert.rejects(startVerifier(c, { log }), { code: 'STORE_IN_USE' })
      const taken = { ...config('six'), listen: { host: '127.0.0.1', port: first.port } }
      await assert.rejects(startVerifier(taken, { log }), { code: 'VERIFIER_LISTEN_FAILED' })
    } finally {
      await first.close()
    }
  })

  it('refuses a file among the roots that is no certificate', async () => {
    const c = config('seven')
    mkdirSync(c.enrolment.roots, { recursive: true })
    writeFileSync(join(c.enrolment.roots, 'x.pem'), 'no certificate')
    await assert.rejects(startVerifier(c, { log }), { code: 'VERIFIER_ROOTS_INVALID', message: /x\.pem/ })
  })
})

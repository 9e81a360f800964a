import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pino from 'pino'
import type { LaunchRequest } from '../../../attestation/protocol/index.ts'
import { openStore } from '../../../attestation/store/index.ts'
import { nodeIdOf } from '../../../attestation/tpm2/index.ts'
import { readVerifierConfig, startVerifier } from '../../../attestation/verifier/index.ts'
import { AgentPeer, SoftNode } from '../../support/agent-peer.ts'
import { launchRequest, podManifest } from '../../support/launch-request.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../../support/verifier.ts'

const log = pino({ level: 'silent' })
const pod = (n: number) => ({ pod: { ...launchRequest().pod, uuid: `00000000-0000-4000-8000-00000000000${n}` } })

describe('a verifier in trouble', () => {
  const dir = tempDir()
  let count = 0
  after(() => dir.remove())

  const configure = (tpm: SoftTpm, data = join(dir.path, `data-${count++}`)): string => {
    const policies = join(dir.path, 'policies')
    mkdirSync(policies, { recursive: true })
    writeFileSync(join(policies, 'test.cedar'), PERMIT_AFFIRMED)
    const file = join(dir.path, `verifier-${count++}.yaml`)
    writeFileSync(
      file,
      `listen: 127.0.0.1:0\ndataDirectory: ${data}\npolicies: ${policies}\n` +
        `enrolment: {admission: listed, listed: [${nodeIdOf(tpm.ekPublic)}]}\n`,
    )
    return file
  }

  it('that is killed between commit and answer has authorised nothing that anybody could use, and the node goes on', async () => {
    const tpm = new SoftTpm()
    const file = configure(tpm)
    const config = readVerifierConfig(file)
    const program = join(import.meta.dirname, '../../support/dying-verifier.ts')
    const child = spawn(process.execPath, ['--import=tsx', program, file], { stdio: ['ignore', 'ignore', 'pipe'] })
    let node: SoftNode
    try {
      let port = 0
      for await (const line of createInterface({ input: child.stderr })) {
        const entry: { msg?: string; port?: number } = JSON.parse(line)
        port = entry.port ?? 0
        if (entry.msg === 'verifier listens') break
      }
      child.stderr.resume()
      const to = { port, ca: readFileSync(join(config.dataDirectory, 'ca.pem'), 'utf8') }
      const trust = JSON.parse(readFileSync(join(config.dataDirectory, 'trust.json'), 'utf8'))
      node = new SoftNode(tpm, trust.verifierId)
      const peer = await AgentPeer.connect(node, to)
      await peer.enrol()
      await peer.prove()
      const { request, bytes } = node.measured(pod(1))
      await assert.rejects(peer.launch(bytes), /closed/)
      // no ticket, so the agent measures that the pod was denied
      node.record({ record: 'denied', uuid: request.pod.uuid, request: 'c'.repeat(64), code: 'UPLINK_LOST' })
    } finally {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'close')
      }
    }
    const verifier = await startVerifier(config, { log })
    try {
      const ca = readFileSync(join(config.dataDirectory, 'ca.pem'), 'utf8')
      const peer = await AgentPeer.connect(node, { port: verifier.port, ca })
      try {
        assert.equal((await peer.login()).tier, 'affirming')
        assert.equal((await peer.launch(node.measured(pod(2)).bytes)).t, 'ticket')
      } finally {
        await peer.close()
      }
    } finally {
      await verifier.close()
    }
    const store = await openStore(config.storeFile, { exclusive: false, create: false })
    const decisions = await store.decisions(node.nodeId, 10)
    await store.close()
    assert.deepEqual(
      decisions.map((d) => d.podUuid.at(-1)),
      ['2', '1'],
    ) // the first one is on record too
  })

  it('whose disk is full authorises nothing, says so, and goes on when there is room', async function () {
    const mount = join(dir.path, 'small')
    mkdirSync(mount)
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mount], { encoding: 'utf8' })
    if (mounted.status !== 0) {
      console.log(`skipped: a small tmpfs cannot be mounted here: ${mounted.stderr || mounted.error}`)
      this.skip()
    }
    try {
      const tpm = new SoftTpm()
      const config = readVerifierConfig(configure(tpm, join(mount, 'data')))
      const verifier = await startVerifier(config, { log })
      try {
        const to = { port: verifier.port, ca: readFileSync(join(config.dataDirectory, 'ca.pem'), 'utf8') }
        const node = new SoftNode(tpm, verifier.trust.verifierId)
        const peer = await AgentPeer.connect(node, to)
        await peer.enrol()
        await peer.prove()
        spawnSync('dd', ['if=/dev/zero', `of=${join(mount, 'ballast')}`, 'bs=1024'])
        const { bytes } = node.measured(large())
        peer.quote({ t: 'launch', id: 1, request: bytes })
        const error = await peer.next('error')
        assert.equal(error.code, 'INTERNAL')
        assert.match(error.message, /STORE_FULL/)
        await peer.close()
        rmSync(join(mount, 'ballast'))
        const again = await AgentPeer.connect(node, to)
        assert.equal((await again.login()).tier, 'affirming')
        const answer = await again.launch(bytes)
        assert.equal(answer.t, 'ticket')
        await again.close()
      } finally {
        await verifier.close()
      }
    } finally {
      spawnSync('umount', [mount])
    }
  })
})

/** Makes a request too long for what room SQLite's log may have left. */
/** A request whose decision needs more room in the store than there is. */
function large(): Partial<LaunchRequest> {
  const value = JSON.stringify('x'.repeat(4000))
  const isolators = Array.from({ length: 60 }, (_, i) => ({ name: `isolator-${i}`, value }))
  const { images } = launchRequest()
  return { pod: { ...pod(1).pod, manifest: podManifest(images, isolators) }, isolators }
}

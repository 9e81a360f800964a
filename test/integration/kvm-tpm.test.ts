import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { nodeIdOf } from '../../attestation/tpm2/index.ts'
import type { Ran } from '../support/holdfast.ts'
import { KVM } from '../support/measured-flavours.ts'
import { startSwtpm } from '../support/swtpm.ts'
import { assertInStep, needsWholePath, startNode, type WholeNode } from '../support/whole-path.ts'

/** TPM2_PCR_Read of PCR 11 in the SHA-256 bank; its answer has 62 bytes, the digest last. */
const PCR_READ = '\\200\\001\\000\\000\\000\\024\\000\\000\\001\\176\\000\\000\\000\\001\\000\\013\\003\\000\\010\\000'
const READS_PCR = `exec 3<>/dev/tpmrm0; printf '${PCR_READ}' >&3; dd bs=4096 count=1 <&3 2>/dev/null | od -An -v -tx1 | tr -d ' \\n'; echo`
/** A handle of the EK on P-384, and where its certificate is. */
const EK = '0x81010016'
const CERTIFICATE = '0x01c00016'

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

interface Guest {
  readonly archive: string
  readonly tpm?: { readonly node: string; readonly certificate: string; readonly authority: string }
}

describe('a pod that is a virtual machine with a TPM of its own', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    KVM.require(this)
    node = await startNode()
  })
  after(async () => {
    await node?.d.stop()
  })

  const launch = async (script: string, ...options: string[]): Promise<Ran & { uuid: string; pod: string }> => {
    const { d, image } = node
    const uuidFile = join(d.directory, 'uuid')
    const words = [...KVM.options, '--uuid-file-save', uuidFile, ...options]
    const ran = await d.launch(...words, image, '--name', 'app', '--user=1001', '--', 'sh', '-c', script)
    const uuid = readFileSync(uuidFile, 'utf8').trim()
    return { ...ran, uuid, pod: join(d.dataDirectory, 'pods/run', uuid) }
  }
  const onPods = (command: string, ...words: string[]): Promise<Ran> =>
    node.d.holdfast(command, '--dir', node.d.dataDirectory, ...words)
  const measured = (pod: string): Guest =>
    JSON.parse(JSON.parse(readFileSync(join(pod, 'launch.json'), 'utf8')).answer.request).guest

  it('finds in it what it was started with, and is measured with the key by which verifiers know it', async () => {
    const ran = await launch(`ls /dev | grep tpm; ${READS_PCR}`, '--tpm')
    assert.equal(ran.status, 0, ran.stderr)
    const [device, answer = ''] = ran.stdout.split('\n')
    assert.equal(device, 'tpmrm0') // and no other
    const { archive, tpm } = measured(ran.pod)
    const expected = sha256(new Uint8Array(32), Buffer.from(archive, 'hex')).toString('hex')
    assert.equal(answer.slice(-64), expected, answer)
    assert.ok(tpm !== undefined)

    const records = await assertInStep(node.d)
    const said = JSON.stringify(records)
    for (const program of ['swtpm', 'swtpm_setup', 'libtpms.so.0']) assert.ok(said.includes(`/${program}"`), program)

    const state = join(ran.pod, 'tpm')
    const told = statSync(state)
    assert.equal(told.mode & 0o7777, 0o700)
    assert.ok(told.uid > 0x7000_0000, String(told.uid))
    const powered = await startSwtpm({ directory: state, caCertificates: [], remove: async () => {} })
    try {
      const read = join(powered.directory, 'read')
      await powered.tool('tpm2_readpublic', '-c', EK, '-f', 'tpmt', '-o', read)
      assert.equal(nodeIdOf(readFileSync(read)), tpm.node)
      await powered.tool('tpm2_nvread', CERTIFICATE, '-o', read)
      assert.equal(sha256(readFileSync(read)).toString('hex'), tpm.certificate)
    } finally {
      await powered.stop()
    }

    const status = await onPods('status', ran.uuid)
    assert.ok(status.stdout.split('\n').includes(`tpm-node=${tpm.node}`), status.stdout)
    const listed = JSON.parse((await onPods('list', '--format=json')).stdout) as { uuid: string; tpmNode: string }[]
    assert.equal(listed.find(({ uuid }) => uuid === ran.uuid)?.tpmNode, tpm.node)

    const removed = await onPods('rm', ran.uuid)
    assert.deepEqual([removed.status, existsSync(ran.pod)], [0, false], removed.stderr)
  })
})

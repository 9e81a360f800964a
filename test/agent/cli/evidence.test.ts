import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { EV } from '../../../attestation/event-log/index.ts'
import { decodeEvidenceFile } from '../../../attestation/evidence-file/index.ts'
import { honestBoot } from '../../support/boot.ts'
import { FILES } from '../../support/evidence.ts'
import { cryptoAgileLog, type WrittenEvent } from '../../support/firmware-log.ts'
import { HOLDFAST } from '../../support/holdfast.ts'
import { encodeList, templateData } from '../../support/ima-log.ts'
import { swtpmMissing } from '../../support/swtpm.ts'
import { localCall } from '../support/local-call.ts'
import { makePod } from '../support/pod.ts'
import { eventually, makeRealNode, type RealNode } from '../support/real-node.ts'

const NONCE = '5a'.repeat(32)

/** What makeRealNode has extended already, as an event. */
const MEASURED: WrittenEvent = {
  register: 0,
  type: EV.EFI_PLATFORM_FIRMWARE_BLOB,
  data: new Uint8Array(16),
  digests: [[0x0b, new Uint8Array(32).fill(0x11)]],
}

interface Ended {
  readonly status: unknown
  readonly stdout: Buffer
  readonly stderr: string
}

/** `holdfast evidence ARGS`, as it is installed. */
function evidence(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { encoding: 'buffer', maxBuffer: 64 << 20 } as const
    execFile(process.execPath, [HOLDFAST, 'evidence', ...args], options, (err, stdout, stderr) =>
      resolve({ status: err === null ? 0 : err.code, stdout, stderr: stderr.toString() }),
    )
  })
}

describe('holdfast evidence, from a node with a TPM simulator to a verdict', () => {
  let node: RealNode
  const at = (name: string): string => join(node.directory, name)
  before(async function () {
    const missing = swtpmMissing()
    if (missing !== undefined) {
      console.log(`      skipped: ${missing}`)
      this.skip()
    }
    node = await makeRealNode({ swtpm: { banks: ['sha256'] } })
    const boot = honestBoot()
    const extended = [
      ...boot.map((e) => [e.register, digest('sha256', e.measured ?? e.data)] as const),
      ...FILES.map((entry) => [10, digest('sha256', templateData(entry))] as const),
    ]
    await node.swtpm.tool('tpm2_pcrextend', ...extended.map(([pcr, value]) => `${pcr}:sha256=${toHex(value)}`))
    writeFileSync(at('firmware'), cryptoAgileLog([MEASURED, ...boot]))
    writeFileSync(at('ima'), encodeList(FILES))
    node.configure(`machineLogs:\n  firmware: ${at('firmware')}\n  systemd: ${at('none')}\n  ima: ${at('ima')}\n`)
    const agent = await node.start()
    await eventually(() => agent.status().uplink.state === 'connected')
    const pod = makePod(node.dataDirectory)
    await localCall(node.socketPath, 'POST', '/v1/launches', pod.body)
    writeFileSync(at('ak'), agent.status().akName)
  })
  after(async () => {
    await node?.stop()
  })

  it('collects a quote and every log into a file for its owner alone', async () => {
    const collected = await evidence('collect', '--socket', node.socketPath, '--nonce', NONCE, '--output', at('file'))
    assert.equal(collected.status, 0, collected.stderr)
    assert.equal(collected.stdout.length, 0)
    assert.equal(statSync(at('file')).mode & 0o777, 0o600)
    const file = decodeEvidenceFile(new Uint8Array(readFileSync(at('file'))))
    assert.deepEqual(Object.keys(file.logs).sort(), ['firmware', 'ima', 'launch'])
    assert.match(collected.stderr, /^\/.*file: \d+ bytes\n {2}quote {10}16 registers \(sha256\)\n/)
    assert.match(collected.stderr, /\n {2}firmware log {3}\d+ events, \d+ bytes\n {2}ima log {8}2 events, \d+ bytes\n/)
    assert.match(
      collected.stderr,
      new RegExp(`\\n {2}launch log {5}\\d+ events, \\d+ bytes\\n {2}nonce {10}${NONCE}\\n$`),
    )
  })

  it('shows what was collected, all of it proved', async () => {
    const { status, stdout, stderr } = await evidence('show', at('file'), '--ima')
    assert.equal(status, 0, stderr)
    const text = stdout.toString()
    assert.match(text, /^ {2}verdict {13}signed by the AK of this file/m)
    assert.match(text, /^ {2}PCR 15 .* replays /m)
    assert.match(text, /^ {2}running {13}1 pod, as far as the log says$/m)
    assert.match(text, /proved {8}launch {27}/)
    assert.match(text, /\/usr\/bin\/true sha256:/)
    assert.doesNotMatch(text, /refuted|unexplained/)
    assert.ok(!text.includes('\u001b'), 'no colours in a pipe')
    const json = JSON.parse((await evidence('show', at('file'), '--json')).stdout.toString())
    assert.equal(json.quote.state, 'verified')
  })

  it('verifies it: trusted with the enrolled key, not judged without, refused with another nonce', async () => {
    const verify = (...args: readonly string[]) => evidence('verify', at('file'), ...args)
    const whole = await verify('--ak', at('ak'), '--nonce', NONCE)
    assert.match(whole.stdout.toString(), /holds {5}launch-log\.replay/)
    assert.match(whole.stdout.toString(), /observed {2}launch-log\.ticket/)
    assert.match(whole.stdout.toString(), /unknown {3}ima\.boot-aggregate/)
    assert.equal(whole.status, 2, whole.stdout.toString()) // the list of this test begins without boot_aggregate
    const stranger = await verify()
    assert.equal(stranger.status, 2)
    assert.match(stranger.stdout.toString(), /unknown {3}enrolment\.ak/)
    const stale = await verify('--ak', at('ak'), '--nonce', '00'.repeat(32))
    assert.equal(stale.status, 1)
    assert.match(stale.stdout.toString(), /refused {3}quote\.challenge .*\(ATTEST_EXTRA_DATA_MISMATCH\)/)
    const ear = JSON.parse((await verify('--ak', at('ak'), '--format', 'ear')).stdout.toString())
    assert.equal(ear.eat_profile, 'tag:ietf.org,2026:rats/ear#03')
    const policy = at('policy.yaml')
    writeFileSync(
      policy,
      'version: 1\nname: p\nowner: me\nunlisted: observe\nrules:\n  boot: {mode: enforce, require: [boot.replay]}\n  sb: {mode: enforce, secureBoot: {enabled: true}}\n  log: {mode: enforce, launchLog: {mode: enforce}}\n',
    )
    const judged = await verify('--ak', at('ak'), '--nonce', NONCE, '--policy', policy)
    assert.equal(judged.status, 0, judged.stdout.toString())
    assert.match(judged.stdout.toString(), /\nTRUSTED: every rule holds\n$/)
  })

  it('gives and takes evidence through pipes, and ends without a word when its reader has seen enough', async () => {
    const piped = await evidence('collect', '--socket', node.socketPath, '--output', '-')
    assert.equal(piped.status, 0, piped.stderr)
    const file = decodeEvidenceFile(new Uint8Array(piped.stdout))
    assert.match(piped.stderr, new RegExp(`nonce {10}${toHex(file.nonce)}\n$`), 'the nonce that was chosen is printed')
    assert.notEqual(toHex(file.nonce), NONCE)
    const shown = await fed(piped.stdout, 'show', '-')
    assert.match(shown, /signed by the AK of this file/)
    const list = encodeList(Array.from({ length: 20_000 }, (_, i) => FILES[i % FILES.length] ?? { fields: [] }))
    writeFileSync(at('long'), list)
    const head = await headOf(at('long'))
    assert.deepEqual([head.status, head.stderr], [254, ''])
  })

  it('says what to do where there is no agent, or no evidence', async () => {
    const none = await evidence('collect', '--socket', at('no.sock'), '--output', at('x'))
    assert.equal(none.status, 254)
    assert.match(none.stderr, /no agent listens; the agent owns the TPM.*\(API_UNREACHABLE\)\n {2}Start the agent/)
    const refused: readonly [readonly string[], RegExp][] = [
      [['collect', '--nonce', '00'], /--nonce wants 16 to 64 bytes in hex/],
      [['show', at('nowhere')], /nowhere: ENOENT/],
      [['show', at('agent.yaml')], /\(EVIDENCE_UNKNOWN\)/],
      [['show', at('file'), '--pcr', '24'], /--pcr 24: name a PCR/],
      [['verify', at('firmware')], /is a TCG firmware log \(crypto-agile\), without a quote/],
      [['verify', at('file'), '--ak', 'zz'], /--ak: zz is neither a file nor hex/],
      [['verify', at('file'), '--ak', '00ff'], /is no Name of a key/],
      [['verify', at('file'), '--time', 'soon'], /--time soon/],
      [['verify', at('file'), '--policy', at('nowhere')], /nowhere/],
    ]
    for (const [args, says] of refused) {
      const { status, stderr } = await evidence(...args)
      assert.equal(status, 254, args.join(' '))
      assert.match(stderr, says)
      assert.doesNotMatch(stderr, /\n {4}at /)
    }
  })
})

/** What the command prints when it is given this on standard input. */
function fed(input: Uint8Array, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [HOLDFAST, 'evidence', ...args])
    let out = ''
    child.stdout.on('data', (piece) => (out += String(piece)))
    child.once('error', reject)
    child.once('close', () => resolve(out))
    child.stdin.end(input)
  })
}

/** As `holdfast evidence show FILE | head -1`. */
function headOf(file: string): Promise<{ status: number | null; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [HOLDFAST, 'evidence', 'show', file])
    let stderr = ''
    child.stderr.on('data', (piece) => (stderr += String(piece)))
    child.stdout.once('data', () => child.stdout.destroy())
    child.once('error', reject)
    child.once('close', (status) => resolve({ status, stderr }))
  })
}

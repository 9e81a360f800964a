import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { TpmClient, TpmError } from '../../../agent/tpm/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  decodePublic,
  decodeQuoteAttest,
  makeCredential,
  makeDigest,
  objectName,
  pcrIndex,
  qualifiedName,
  SRK_TEMPLATE_P256,
  TPM_RH_ENDORSEMENT,
} from '../../../attestation/tpm2/index.ts'
import { createPrimary, ESYS_TR_RH_ENDORSEMENT, persist, readPublic } from '../../../native/tss/index.ts'
import { manufactureSwtpm, type Swtpm, type SwtpmState, startSwtpm, swtpmMissing } from '../../support/swtpm.ts'
import { tpmClient } from '../../support/tpm-client.ts'
import { openConnection } from '../../support/tpm-connection.ts'
import { TPM_CC, TpmProxy } from '../../support/tpm-proxy.ts'

const PCR = pcrIndex(15)
const SELECTION = [{ bank: 'sha256' as const, pcrs: [PCR] }]
const DIGEST = [makeDigest('sha256', new Uint8Array(32).fill(3))]
const SHORT = { openMs: 15_000, callMs: 300, keyMs: 15_000 }

describe('the TPM in its process', () => {
  let state: SwtpmState
  let tpm: Swtpm
  let proxy: TpmProxy
  const clients: TpmClient[] = []
  const connect = (tcti = tpm.tcti, options: Parameters<typeof tpmClient>[1] = {}): TpmClient => {
    const client = tpmClient(tcti, options)
    clients.push(client)
    return client
  }

  before(async function () {
    const missing = swtpmMissing()
    if (missing !== undefined) {
      console.log(`      skipped: ${missing}`)
      this.skip()
    }
    state = await manufactureSwtpm()
  })
  beforeEach(async () => {
    tpm = await startSwtpm(state)
    proxy = await TpmProxy.start(tpm.port)
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close()
    await proxy?.stop()
    await tpm?.stop()
  })
  after(() => state?.remove())

  it('does everything that the agent asks of a TPM', async () => {
    const client = connect()
    assert.deepEqual((await client.describe()).banks, ['sha256'])
    const identity = await client.provisionIdentity()
    await client.extend(PCR, DIGEST)
    const [value] = await client.readPcrs(SELECTION)
    assert.deepEqual(Buffer.from(value?.value ?? []), sha256(new Uint8Array(32), DIGEST[0]?.bytes))
    const { attest } = await client.quote(Uint8Array.of(1, 2), SELECTION)
    const quote = decodeQuoteAttest(attest)
    assert.deepEqual([...quote.extraData], [1, 2])
    const ekName = qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(identity.ekPublic))
    const expected = qualifiedName({ qualifiedName: ekName }, objectName(identity.akPublic))
    assert.deepEqual(Buffer.from(quote.qualifiedSigner), Buffer.from(expected))
    const secret = randomBytes(32)
    const credential = makeCredential(identity.ekPublic, objectName(identity.akPublic), secret, (n) => randomBytes(n))
    const opened = await client.activateCredential(credential.idObject, credential.encryptedSecret)
    assert.deepEqual(Buffer.from(opened), secret)
    const clock = await client.readClock()
    assert.equal(clock.resetCount, quote.clockInfo.resetCount)
  })

  it('answers 800 calls made at once, in their order', async () => {
    const client = connect()
    let expected: Uint8Array = new Uint8Array(32)
    const calls: Promise<unknown>[] = []
    for (let i = 0; i < 800; i++) {
      const bytes = digest('sha256', Uint8Array.of(i & 0xff, i >> 8))
      expected = digest('sha256', expected, bytes)
      calls.push(client.extend(PCR, [makeDigest('sha256', bytes)]))
    }
    await Promise.all(calls)
    assert.deepEqual(
      (await client.readPcrs(SELECTION)).map((v) => Buffer.from(v.value)),
      [Buffer.from(expected)],
    )
  })

  it('refuses what the TPM refuses with its return code, and goes on', async () => {
    const client = connect()
    await assert.rejects(client.readPcrs([{ bank: 'sha512', pcrs: [PCR] }]), { code: 'TPM_REFUSED' })
    await assert.rejects(client.activateCredential(new Uint8Array(3), new Uint8Array(3)), { code: 'TPM_REFUSED' })
    const pid = client.processId
    await client.extend(PCR, DIGEST)
    assert.equal(client.processId, pid)
  })

  it('gives TPM_TIMEOUT for a TPM that hangs, its process is gone, and the next call works', async () => {
    const client = connect(proxy.tcti, { deadlines: SHORT })
    await client.readClock()
    const pid = client.processId
    assert.ok(pid)
    const seen = new Promise<void>((resolve) => {
      proxy.rules = {
        beforeCommand: ({ code }) => {
          if (code !== TPM_CC.PCR_Extend) return 'pass'
          resolve()
          return 'stall'
        },
      }
    })
    const stalled = assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_TIMEOUT' })
    const behind = assert.rejects(client.readPcrs(SELECTION), { code: 'TPM_TIMEOUT' })
    await seen
    await Promise.all([stalled, behind])
    proxy.rules = {}
    await client.extend(PCR, DIGEST)
    assert.notEqual(client.processId, pid)
    await client.close()
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    // the stalled extend never reached the TPM, the second did
    const [value] = await connect().readPcrs(SELECTION)
    assert.deepEqual(Buffer.from(value?.value ?? []), sha256(new Uint8Array(32), DIGEST[0]?.bytes))
  })

  it('gives TPM_TIMEOUT for a TPM that hangs from the start', async () => {
    const client = connect(tpm.tcti, { deadlines: { ...SHORT, openMs: 4000 } })
    tpm.freeze()
    await assert.rejects(client.readClock(), { code: 'TPM_TIMEOUT' })
    tpm.thaw()
    assert.ok((await client.readClock()).resetCount > 0)
  })

  it('gives TPM_TIMEOUT for a response that stops in the middle', async () => {
    const client = connect(proxy.tcti, { deadlines: SHORT })
    await client.readClock()
    proxy.rules = {
      afterResponse: ({ code }, response) =>
        code === TPM_CC.PCR_Read ? { instead: response.subarray(0, 20) } : 'pass',
    }
    await assert.rejects(client.readPcrs(SELECTION), { code: 'TPM_TIMEOUT' })
    proxy.rules = {}
    assert.equal((await client.readPcrs(SELECTION)).length, 1)
  })

  const broken: { name: string; change(response: Uint8Array): Uint8Array }[] = [
    { name: 'an answer of zeros', change: (r) => withSize(new Uint8Array(r.length)) },
    { name: 'an answer with an inner size beyond its end', change: (r) => withBytes(r, 14, [0xff, 0xff, 0xff, 0xff]) },
    { name: 'an answer that ends early', change: (r) => withSize(r.slice(0, 16)) },
    { name: 'an answer with fewer digests than registers', change: (r) => withBytes(r, 24, [0, 0, 0, 0]) },
  ]
  for (const { name, change } of broken) {
    it(`refuses ${name}, and the next call works`, async () => {
      const client = connect(proxy.tcti)
      await client.readClock()
      proxy.rules = {
        afterResponse: ({ code }, response) => (code === TPM_CC.PCR_Read ? { instead: change(response) } : 'pass'),
      }
      await assert.rejects(client.readPcrs(SELECTION), (err: TpmError) => {
        assert.match(err.code, /^TPM_(BAD_RESPONSE|TAMPERED)$/)
        return true
      })
      proxy.rules = {}
      assert.equal((await client.readPcrs(SELECTION)).length, 1)
    })
  }

  it('gives TPM_GONE for a TPM that vanished, and works again when it is back and known to be restarted', async () => {
    const client = connect()
    await client.readClock()
    await tpm.kill()
    await assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_GONE' })
    await assert.rejects(client.readClock(), { code: 'TPM_GONE' })
    await tpm.powerOn()
    await assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_RESTARTED' })
    await client.readClock()
    await client.extend(PCR, DIGEST)
  })

  it('gives TPM_GONE when the connection breaks during a command', async () => {
    const client = connect(proxy.tcti)
    await client.readClock()
    proxy.rules = { beforeCommand: ({ code }) => (code === TPM_CC.PCR_Extend ? 'drop' : 'pass') }
    await assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_GONE' })
    proxy.rules = {}
    await client.extend(PCR, DIGEST)
  })

  for (const how of ['powerCycle', 'reboot'] as const) {
    it(`notices a TPM that was restarted while idle (${how}), and refuses until the clock was read`, async () => {
      const client = connect()
      const before = await client.readClock()
      await client.provisionIdentity()
      await tpm[how]()
      await assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_RESTARTED' })
      await assert.rejects(client.quote(new Uint8Array(1), SELECTION), { code: 'TPM_RESTARTED' })
      await assert.rejects(client.readPcrs(SELECTION), { code: 'TPM_RESTARTED' })
      const after = await client.readClock()
      assert.ok(after.resetCount > before.resetCount)
      assert.deepEqual(
        (await client.readPcrs(SELECTION)).map((v) => [...v.value]),
        [[...new Uint8Array(32)]],
      )
      await client.extend(PCR, DIGEST)
    })
  }

  it('notices a restart also when the clock is what is asked first', async () => {
    const client = connect()
    const before = await client.readClock()
    await client.quote(new Uint8Array(1), SELECTION)
    await tpm.powerCycle()
    const calls = [client.readClock(), client.extend(PCR, DIGEST)] as const
    await assert.rejects(calls[1], { code: 'TPM_RESTARTED' })
    assert.notEqual((await calls[0]).resetCount, before.resetCount)
    assert.ok((await client.quote(new Uint8Array(1), SELECTION)).attest.length > 0)
  })

  it('starts a TPM that nobody has started', async () => {
    await tpm.kill()
    await tpm.powerOn('none')
    const client = connect()
    await client.extend(PCR, DIGEST)
  })

  it('keeps its identity over unclean power cycles and new processes', async () => {
    const first = connect()
    const identity = await first.provisionIdentity()
    await first.close()
    for (let i = 0; i < 3; i++) await tpm.powerCycle()
    const second = await connect().provisionIdentity()
    assert.deepEqual(second, identity)
  })

  it('goes on after its process was killed from outside', async () => {
    const client = connect()
    await client.readClock()
    process.kill(client.processId ?? 0, 'SIGKILL')
    await assert.rejects(client.extend(PCR, DIGEST), { code: 'TPM_PROCESS_FAILED' })
    await client.extend(PCR, DIGEST)
  })

  it('does not leak sessions or keys of processes that were killed', async () => {
    const client = connect()
    for (let i = 0; i < 5; i++) {
      await client.provisionIdentity()
      process.kill(client.processId ?? 0, 'SIGKILL')
      await client.readClock().catch((err: TpmError) => assert.equal(err.code, 'TPM_PROCESS_FAILED'))
    }
    await client.provisionIdentity()
    await client.close()
    assert.equal((await tpm.tool('tpm2_getcap', 'handles-loaded-session')).trim(), '')
    assert.equal((await tpm.tool('tpm2_getcap', 'handles-transient')).trim(), '')
  })

  it('says which setting is wrong when there is no TPM', async () => {
    const client = connect('swtpm:host=127.0.0.1,port=1')
    await assert.rejects(client.describe(), /TpmError: no TPM through TCTI 'swtpm:host=127.0.0.1,port=1'/)
    await assert.rejects(client.describe(), { code: 'TPM_GONE' })
  })

  it('says so when the process cannot be started', async () => {
    const client = connect(tpm.tcti, { command: { file: '/does/not/exist', args: [] } })
    await assert.rejects(client.readClock(), { code: 'TPM_PROCESS_FAILED', message: /cannot be started/ })
  })

  it('says so when the program is not the TPM process', async () => {
    const client = connect(tpm.tcti, { command: { file: process.execPath, args: ['-e', '0'] } })
    await assert.rejects(client.readClock(), { code: 'TPM_PROCESS_FAILED' })
    const chatter = 'require("fs").writeSync(3, Buffer.alloc(64, 255)); setInterval(() => {}, 1000)'
    const talking = connect(tpm.tcti, { command: { file: process.execPath, args: ['-e', chatter] } })
    await assert.rejects(talking.readClock(), { code: 'TPM_PROCESS_FAILED' })
  })

  it('refuses calls after close', async () => {
    const client = connect()
    await client.readClock()
    const pid = client.processId
    assert.ok(pid)
    await client.close()
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    await assert.rejects(client.readClock(), { code: 'TPM_CLOSED' })
  })

  for (const during of ['idle', 'a call that hangs'] as const) {
    it(`the process dies with an agent that is killed while ${during}`, async () => {
      proxy.rules = { beforeCommand: ({ code }) => (code === TPM_CC.PCR_Extend ? 'stall' : 'pass') }
      const entry = fileURLToPath(new URL('../../support/tpm-client-holder.ts', import.meta.url))
      const agent = spawn(
        process.execPath,
        ['--import=tsx', entry, proxy.tcti, during === 'idle' ? 'idle' : 'extend'],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      const [line] = (await once(agent.stdout, 'data')) as [Buffer]
      const pid = Number(line.toString())
      assert.ok(processIsThere(pid))
      agent.kill('SIGKILL')
      await once(agent, 'exit')
      const until = Date.now() + 5000
      while (processIsThere(pid) && Date.now() < until) await new Promise((resolve) => setImmediate(resolve))
      assert.ok(!processIsThere(pid))
    })
  }

  it('a missing library is TPM_LIBRARY_MISSING', async () => {
    const forced = process.env['HOLDFAST_FFI']
    process.env['HOLDFAST_FFI'] = 'neither'
    try {
      await assert.rejects(connect().readClock(), { code: 'TPM_LIBRARY_MISSING' })
    } finally {
      if (forced === undefined) delete process.env['HOLDFAST_FFI']
      else process.env['HOLDFAST_FFI'] = forced
    }
  })
})

describe('the identity that a TPM is given', () => {
  const cases = [
    { name: 'an ECC EK before an RSA one', options: {}, type: 'ecc', curve: 'P-384', certificate: true },
    {
      name: 'the RSA EK where only that has a certificate',
      options: { ekCertificates: 'rsa' as const },
      type: 'rsa',
      certificate: true,
    },
    {
      name: 'a certified EK made from its template where none is persistent',
      options: { withoutPersistentEk: true },
      type: 'ecc',
      curve: 'P-384',
      certificate: true,
    },
    {
      name: 'a P-256 EK without certificate where there is none',
      options: { ekCertificates: 'none' as const },
      type: 'ecc',
      curve: 'P-256',
      certificate: false,
    },
  ]
  let tpm: Swtpm | undefined
  let client: TpmClient | undefined
  before(function () {
    const missing = swtpmMissing()
    if (missing === undefined) return
    console.log(`      skipped: ${missing}`)
    this.skip()
  })
  afterEach(async () => {
    await client?.close()
    await tpm?.stop()
  })

  for (const { name, options, type, curve, certificate } of cases) {
    it(`has ${name}`, async () => {
      tpm = await startSwtpm(options)
      client = tpmClient(tpm.tcti)
      const identity = await client.provisionIdentity()
      const ek = decodePublic(identity.ekPublic)
      assert.equal(ek.type, type)
      if (ek.type === 'ecc') assert.equal(ek.curve, curve)
      assert.equal(identity.ekCertificate !== undefined, certificate)
      const secret = randomBytes(16)
      const credential = makeCredential(identity.ekPublic, objectName(identity.akPublic), secret, (n) => randomBytes(n))
      const opened = await client.activateCredential(credential.idObject, credential.encryptedSecret)
      assert.deepEqual(Buffer.from(opened), secret)
    })
  }

  const foreign = [
    { name: 'a storage key', template: SRK_TEMPLATE_P256 },
    { name: 'a key with our template that is not below this EK', template: AK_TEMPLATE_P256 },
  ]
  for (const { name, template } of foreign) {
    it(`leaves ${name} at its handle alone and takes the next`, async () => {
      tpm = await startSwtpm()
      const c = await openConnection(tpm.tcti)
      const key = await createPrimary(c, ESYS_TR_RH_ENDORSEMENT, template)
      await persist(c, key.tr, 0x81010020)
      await key.release()
      client = tpmClient(tpm.tcti)
      const { akPublic } = await client.provisionIdentity()
      for (const [handle, area] of [[0x81010020, key.public] as const, [0x81010021, akPublic] as const]) {
        const lease = await c.handles.lease(handle)
        assert.deepEqual(Buffer.from((await readPublic(c, lease.tr)).public), Buffer.from(area))
        await lease.release()
      }
      await c.close()
    })
  }

  it('refuses certificates of a key that the TPM no longer has, instead of going without', async () => {
    tpm = await startSwtpm()
    await tpm.tool('tpm2_changeeps')
    client = tpmClient(tpm.tcti)
    await assert.rejects(client.provisionIdentity(), { code: 'TPM_EK_MISMATCH', message: /0x1c00016.*0x1c00002/ })
  })

  it('quotes also while the TPM is in dictionary attack lockout', async () => {
    tpm = await startSwtpm()
    client = tpmClient(tpm.tcti)
    await client.provisionIdentity()
    await tpm.tool('tpm2_dictionarylockout', '--setup-parameters', '--max-tries=1')
    await tpm.tool('tpm2_nvdefine', '0x1500020', '-C', 'o', '-s', '8', '-a', 'authread|authwrite', '-p', 'right')
    await tpm.tool('tpm2_nvwrite', '0x1500020', '-P', 'right', '-i', '/dev/null').catch(() => {}) // writes nothing
    const wrong = tpm.tool('tpm2_nvread', '0x1500020', '-P', 'wrong')
    await assert.rejects(wrong)
    assert.match(await tpm.tool('tpm2_getcap', 'properties-variable'), /inLockout:\s+1/)
    assert.ok((await client.quote(new Uint8Array(4), SELECTION)).signature.length > 0)
  })

  it('says what to do where the owner hierarchy has an authorization value', async () => {
    tpm = await startSwtpm()
    await tpm.tool('tpm2_changeauth', '-c', 'owner', 'secret')
    client = tpmClient(tpm.tcti)
    await assert.rejects(client.provisionIdentity(), { code: 'TPM_NO_AK', message: /owner hierarchy/ })
  })
})

function sha256(...parts: readonly (Uint8Array | undefined)[]): Buffer {
  const h = createHash('sha256')
  for (const p of parts) if (p !== undefined) h.update(p)
  return h.digest()
}

function withSize(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer).setUint32(2, bytes.length)
  return bytes
}

function withBytes(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const out = new Uint8Array(bytes)
  out.set(values, at)
  return out
}

/** A process that has ended but is not yet reaped by its new parent counts as gone. */
function processIsThere(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

import assert from 'node:assert/strict'
import type { TpmClient } from '../../../agent/tpm/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { encodeCommand, makeDigest, pcrIndex, TPM_CC_PCR_Extend, WireWriter } from '../../../attestation/tpm2/index.ts'
import { ESYS_TR_PASSWORD } from '../../../native/tss/index.ts'
import { manufactureSwtpm, type Swtpm, type SwtpmState, startSwtpm, swtpmMissing } from '../../support/swtpm.ts'
import { tpmClient } from '../../support/tpm-client.ts'
import { openConnection } from '../../support/tpm-connection.ts'
import { type ProxyRules, TPM_CC, TpmProxy } from '../../support/tpm-proxy.ts'

const PCR = pcrIndex(16)
const SELECTION = [{ bank: 'sha256' as const, pcrs: [PCR] }]
const OURS = [makeDigest('sha256', new Uint8Array(32).fill(7))]
const ZERO = new Uint8Array(32)
const EXTENDED = digest('sha256', ZERO, OURS[0]?.bytes ?? ZERO)
/** A command that changes nothing, to be sent in place of one that shall not arrive. */
const HARMLESS = encodeCommand({ code: TPM_CC.GetRandom, handles: [], parameters: Uint8Array.of(0, 1) })
const PLAIN_SUCCESS = Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0)
const SUCCESS_WITHOUT_HMAC = Uint8Array.of(0x80, 0x02, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)

describe('somebody between the agent and its TPM', () => {
  let state: SwtpmState
  let tpm: Swtpm
  let proxy: TpmProxy
  let client: TpmClient

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
    client = tpmClient(proxy.tcti)
    await client.readClock()
  })
  afterEach(async () => {
    await client?.close()
    await proxy?.stop()
    await tpm?.stop()
  })
  after(() => state?.remove())

  /** What really is in the register, by the way that nobody is in. */
  async function register(): Promise<string> {
    const text = await tpm.tool('tpm2_pcrread', `sha256:${PCR}`)
    return (/0x([0-9A-F]{64})/.exec(text)?.[1] ?? '').toLowerCase()
  }

  async function assertStillUsable(): Promise<void> {
    proxy.rules = {}
    const before = await client.readPcrs(SELECTION)
    await client.extend(PCR, OURS)
    const [after] = await client.readPcrs(SELECTION)
    assert.deepEqual(after?.value, digest('sha256', before[0]?.value ?? ZERO, OURS[0]?.bytes ?? ZERO))
  }

  /** Hooks for the first command with this code. */
  function once(code: number, hooks: ProxyRules): void {
    let done = false
    proxy.rules = {
      beforeCommand: (command) => {
        if (command.code !== code || done) return 'pass'
        return hooks.beforeCommand?.(command) ?? 'pass'
      },
      afterResponse: (command, response) => {
        if (command.code !== code || done) return 'pass'
        done = true
        return hooks.afterResponse?.(command, response) ?? 'pass'
      },
    }
  }

  const dropped: { name: string; answer: Uint8Array; code: string }[] = [
    { name: 'success', answer: PLAIN_SUCCESS, code: 'TPM_BAD_RESPONSE' },
    { name: 'success and an empty HMAC', answer: SUCCESS_WITHOUT_HMAC, code: 'TPM_TAMPERED' },
  ]
  for (const { name, answer, code } of dropped) {
    it(`swallows an extend and answers ${name}: noticed`, async () => {
      once(TPM_CC.PCR_Extend, {
        beforeCommand: () => ({ instead: HARMLESS }),
        afterResponse: () => ({ instead: answer }),
      })
      await assert.rejects(client.extend(PCR, OURS), { code })
      assert.equal(await register(), hex(ZERO))
      await assertStillUsable()
    })
  }

  it('swallows an extend and answers what the TPM said to the one before: noticed', async () => {
    let said: Uint8Array | undefined
    proxy.rules = {
      beforeCommand: ({ code }) => (code === TPM_CC.PCR_Extend && said !== undefined ? { instead: HARMLESS } : 'pass'),
      afterResponse: ({ code }, response) => {
        if (code !== TPM_CC.PCR_Extend) return 'pass'
        if (said !== undefined) return { instead: said }
        said = response
        return 'pass'
      },
    }
    await client.extend(PCR, OURS)
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_TAMPERED' })
    assert.equal(await register(), hex(EXTENDED))
    await assertStillUsable()
  })

  it('puts other digests into an extend: the TPM refuses it', async () => {
    once(TPM_CC.PCR_Extend, { beforeCommand: ({ bytes }) => ({ instead: withLastByte(bytes) }) })
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_TAMPERED', rc: 0x9a2 })
    assert.equal(await register(), hex(ZERO))
    await assertStillUsable()
  })

  it('sends an extend once more in place of the next: the TPM refuses it', async () => {
    let sent: Uint8Array | undefined
    proxy.rules = {
      beforeCommand: ({ code, bytes }) => {
        if (code !== TPM_CC.PCR_Extend) return 'pass'
        if (sent !== undefined) return { instead: sent }
        sent = bytes
        return 'pass'
      },
    }
    await client.extend(PCR, OURS)
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_TAMPERED' })
    assert.equal(await register(), hex(EXTENDED))
    await assertStillUsable()
  })

  it('says that the TPM wants the extend again when it has carried it out: it is not carried out twice', async () => {
    once(TPM_CC.PCR_Extend, { afterResponse: () => ({ instead: refusal(0x922) }) })
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_TAMPERED' })
    assert.equal(await register(), hex(EXTENDED))
    await assertStillUsable()
  })

  it('says twice that the TPM wants the extend later: it is carried out once', async () => {
    let later = 2
    proxy.rules = {
      beforeCommand: ({ code }) => (code === TPM_CC.PCR_Extend && later > 0 ? { instead: HARMLESS } : 'pass'),
      afterResponse: ({ code }) => (code === TPM_CC.PCR_Extend && later-- > 0 ? { instead: refusal(0x920) } : 'pass'),
    }
    await client.extend(PCR, OURS)
    assert.equal(await register(), hex(EXTENDED))
  })

  it('says for ever that the TPM wants the extend later: that has an end', async () => {
    proxy.rules = {
      beforeCommand: ({ code }) => (code === TPM_CC.PCR_Extend ? { instead: HARMLESS } : 'pass'),
      afterResponse: ({ code }) => (code === TPM_CC.PCR_Extend ? { instead: refusal(0x922) } : 'pass'),
    }
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_BUSY', rc: 0x922 })
    assert.equal(await register(), hex(ZERO))
    await assertStillUsable()
  })

  const answers: { name: string; code: number; ask(): Promise<unknown> }[] = [
    { name: 'another register value', code: TPM_CC.PCR_Read, ask: () => client.readPcrs(SELECTION) },
    { name: 'another time', code: TPM_CC.ReadClock, ask: () => client.readClock() },
    { name: 'another quote', code: TPM_CC.Quote, ask: () => client.quote(ZERO, SELECTION) },
    { name: 'other banks', code: TPM_CC.GetCapability, ask: () => banksOf(client) },
  ]
  for (const { name, code, ask } of answers) {
    it(`gives ${name} than the TPM: noticed`, async () => {
      await client.provisionIdentity()
      proxy.rules = {
        afterResponse: (command, response) => {
          if (command.code !== code || command.bytes[1] !== 0x02) return 'pass' // with a session
          const changed = response.slice()
          changed[20] = (changed[20] ?? 0) ^ 1 // among the parameters of each of these
          return { instead: changed }
        },
      }
      await assert.rejects(ask(), { code: 'TPM_TAMPERED' })
      await assertStillUsable()
    })
  }

  it('sees no nonce of a quote and no quote', async () => {
    await client.provisionIdentity()
    const seen: Uint8Array[] = []
    proxy.rules = {
      beforeCommand: ({ bytes }) => {
        seen.push(bytes)
        return 'pass'
      },
      afterResponse: (_, response) => {
        seen.push(response)
        return 'pass'
      },
    }
    const nonce = digest('sha256', Uint8Array.of(1))
    const { attest } = await client.quote(nonce, SELECTION)
    assert.ok(seen.length >= 2)
    for (const secret of [nonce, attest.subarray(0, 32)]) {
      assert.ok(!seen.some((bytes) => Buffer.from(bytes).includes(Buffer.from(secret))))
    }
  })

  it('flushes the session: a new one is made, and the extend carried out once', async () => {
    await tpm.tool('tpm2_flushcontext', '-l')
    await client.extend(PCR, OURS)
    assert.equal(await register(), hex(EXTENDED))
    await assertStillUsable()
  })

  it('swallows an extend and says that the session is gone: it is carried out once, in another', async () => {
    once(TPM_CC.PCR_Extend, {
      beforeCommand: () => ({ instead: HARMLESS }),
      afterResponse: () => ({ instead: refusal(0x918) }),
    })
    await client.extend(PCR, OURS)
    assert.equal(await register(), hex(EXTENDED))
    await assertStillUsable()
  })

  it('hides a restart behind old counters: noticed', async () => {
    let clock: Uint8Array | undefined
    proxy.rules = {
      afterResponse: ({ code, bytes }, response) => {
        if (code !== TPM_CC.ReadClock || bytes[1] !== 0x02) return 'pass'
        if (clock !== undefined) return { instead: clock }
        clock = response
        return 'pass'
      },
    }
    const { resetCount } = await client.readClock()
    await tpm.powerCycle()
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_TAMPERED' })
    assert.equal(await register(), hex(ZERO))
    proxy.rules = {}
    await assert.rejects(client.extend(PCR, OURS), { code: 'TPM_RESTARTED' })
    assert.ok((await client.readClock()).resetCount > resetCount)
    await assertStillUsable()
  })

  it('without a session nobody would notice', async () => {
    const c = await openConnection(proxy.tcti, { mode: 'async' })
    try {
      const digests = new WireWriter().u32(1).u16(0x000b).bytes(ZERO).finish()
      const extend = () => c.call('Esys_PCR_Extend', { pcrHandle: PCR, digests }, [ESYS_TR_PASSWORD])
      once(TPM_CC_PCR_Extend, { beforeCommand: ({ bytes }) => ({ instead: withLastByte(bytes) }) })
      await extend()
      assert.equal(await register(), hex(digest('sha256', ZERO, withLastByte(ZERO))))
    } finally {
      await c.close()
    }
  })
})

async function banksOf(client: TpmClient): Promise<unknown> {
  return (await client.describe()).banks
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function withLastByte(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice()
  out[out.length - 1] = (out.at(-1) ?? 0) ^ 1
  return out
}

function refusal(rc: number): Uint8Array {
  return Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, rc >> 8, rc & 0xff)
}

import assert from 'node:assert/strict'
import { createHash, createHmac, createPrivateKey, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { fromHex, toHex } from '../../../attestation/base/index.ts'
import {
  AK_TEMPLATE_P256,
  decodePlainResponse,
  decodePublic,
  decodeQuoteAttest,
  decodeTimeInfo,
  type HmacSession,
  openResponse,
  openSecret,
  openStartedSession,
  type SealedCommand,
  SessionError,
  type SharedSecret,
  sealCommand,
  shareSecret,
  startSessionCommand,
  TPM_CC_PCR_Extend,
  TPM_CC_Quote,
  TPMA_SESSION,
  WireError,
  WireReader,
  WireWriter,
} from '../../../attestation/tpm2/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

interface Exchange {
  readonly command: string
  readonly response: string
}
interface Recording {
  readonly saltKey: { readonly private: string; readonly public: string }
  /** Extends of register 16 that PCR_Read sees. */
  readonly extends: number
  readonly start: Exchange
  readonly commands: readonly (Exchange & {
    readonly name: string
    readonly names: readonly string[]
    readonly parameters: string
  })[]
}

// What ESYS and swtpm said to each other; see test/vectors/README.md. JSON.parse gives no type.
const RECORDINGS = JSON.parse(
  readFileSync(new URL('../../vectors/session/esys.json', import.meta.url), 'utf8'),
) as readonly Recording[]

/** A command taken apart by its layout alone: one session, `handles` handles. */
function takeApart(command: Uint8Array, handles: number) {
  const r = new WireReader(command, 'command')
  r.bytes('tag and size', 6)
  const code = r.u32('code')
  const handleValues = Array.from({ length: handles }, () => r.u32('handle'))
  r.u32('authorizationSize')
  r.u32('session')
  const nonceCaller = r.tpm2b('nonce', 64)
  const attributes = r.u8('attributes')
  return { code, handleValues, nonceCaller, attributes }
}

/** The session as the recording's salt key opens it. */
function startOf(recording: Recording): HmacSession {
  const command = fromHex(recording.start.command)
  const r = new WireReader(command, 'TPM2_StartAuthSession')
  r.bytes('header and handles', 18)
  const nonceCaller = r.tpm2b('nonceCaller', 64)
  const encrypted = r.tpm2b('encryptedSalt', 512)
  const key = decodePublic(fromHex(recording.saltKey.public))
  assert.ok(key.type === 'rsa' || key.type === 'ecc')
  const secret = openSecret(key, createPrivateKey(recording.saltKey.private), 'SECRET', encrypted)
  assert.ok(secret)
  const salt: SharedSecret = { secret, encrypted }
  const handle = new WireReader(command.subarray(10), 'handle').u32('tpmKey')
  assert.equal(toHex(startSessionCommand(handle, salt, nonceCaller)), recording.start.command)
  const started = openStartedSession(fromHex(recording.start.response), salt, nonceCaller)
  assert.ok(started.ok)
  return started.session
}

/** Every command of the recording, as we would have sealed it with the same nonce, with its answer. */
function replay(recording: Recording) {
  let session = startOf(recording)
  return recording.commands.map((c) => {
    const { code, handleValues, nonceCaller, attributes } = takeApart(fromHex(c.command), c.names.length)
    const handles = c.names.map((name, i) => ({ handle: handleValues[i] ?? 0, name: fromHex(name) }))
    const sealed = sealCommand(session, { code, handles, parameters: fromHex(c.parameters) }, attributes, nonceCaller)
    const response = fromHex(c.response)
    const answer = openResponse(sealed, response)
    assert.ok(answer.ok)
    session = answer.session
    return { name: c.name, expected: c.command, sealed, response, parameters: answer.parameters }
  })
}

for (const recording of RECORDINGS) {
  const { type } = decodePublic(fromHex(recording.saltKey.public))
  describe(`a session that ESYS had with swtpm, salted by a key on ${type}`, () => {
    const exchanges = replay(recording)

    for (const [i, { name, expected, sealed }] of exchanges.entries()) {
      it(`command ${i}, ${name}, is the same to the bit`, () => assert.equal(toHex(sealed.bytes), expected))
    }

    it('the answers are opened: a Quote decrypted, the time, registers', () => {
      const [, read, clock, quote] = exchanges
      assert.ok(read && clock && quote)
      assert.equal(quote.sealed.attributes, 0x61) // continueSession, decrypt, encrypt
      const attest = new WireReader(quote.parameters, 'TPM2_Quote').tpm2b('quoted', 1000)
      const { extraData, qualifiedSigner } = decodeQuoteAttest(attest)
      assert.deepEqual([...extraData], [...Array(20).keys()])
      assert.equal(qualifiedSigner.length, 34)
      assert.ok(!Buffer.from(quote.sealed.bytes).includes(Buffer.from(extraData)))
      assert.ok(decodeTimeInfo(clock.parameters).clockInfo.resetCount > 0)
      assert.ok(toHex(read.parameters).endsWith(`0020${register(recording.extends)}`))
    })

    it('every bit of an answer counts', () => {
      for (const { sealed, response } of exchanges) {
        for (let bit = 0; bit < 8 * response.length; bit++) {
          const changed = response.slice()
          changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
          assert.throws(() => openResponse(sealed, changed), isRefusal, `bit ${bit} of ${toHex(response)}`)
        }
      }
    })

    it('an answer cut short or made longer is refused', () => {
      for (const { sealed, response } of exchanges) {
        for (let size = 0; size < response.length; size++) {
          assert.throws(() => openResponse(sealed, response.subarray(0, size)), WireError)
          assert.throws(() => openResponse(sealed, withSize(response.slice(0, size))), isRefusal)
        }
        assert.throws(() => openResponse(sealed, withSize(Uint8Array.of(...response, 0))), WireError)
      }
    })

    it('an answer to any other command of the session is refused, also one to the same command before', () => {
      for (const { sealed } of exchanges) {
        for (const { sealed: other, response } of exchanges) {
          if (other === sealed) continue
          assert.throws(() => openResponse(sealed, response), { code: 'SESSION_HMAC_WRONG' })
        }
      }
      assert.deepEqual([exchanges[0]?.sealed.code, exchanges[4]?.sealed.code], [TPM_CC_PCR_Extend, TPM_CC_PCR_Extend])
    })

    it('random answers give a value or a coded error', () => {
      const [{ sealed, response }] = exchanges as [(typeof exchanges)[0]]
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), fc.nat(response.length), (bytes, at) => {
          for (const one of [bytes, withSize(Uint8Array.of(...response.subarray(0, at), ...bytes))]) {
            if (toHex(one) === toHex(response)) continue
            try {
              const answer = openResponse(sealed, one)
              assert.ok(!answer.ok && answer.rc !== 0)
            } catch (err) {
              assert.ok(isRefusal(err), String(err))
            }
          }
        }),
        { numRuns: fuzzRuns(500) },
      )
    })
  })
}

describe('a session with itself', () => {
  const session: HmacSession = {
    handle: 0x02000000,
    key: new Uint8Array(32).fill(1),
    nonceTpm: new Uint8Array(32).fill(2),
  }
  const nonce = new Uint8Array(32).fill(3)
  const pcr = { handle: 16, name: fromHex('00000010') }
  const seal = (over: Partial<Parameters<typeof sealCommand>[1]> = {}, attributes = 0) =>
    sealCommand(
      session,
      { code: TPM_CC_PCR_Extend, handles: [pcr], parameters: fromHex('00000000'), ...over },
      attributes,
      nonce,
    )

  /** The answer of a TPM, computed beside the code under test. */
  function answerTo(sealed: SealedCommand, over: { attributes?: number; key?: Uint8Array; parameters?: string } = {}) {
    const nonceTpm = Buffer.alloc(32, 4)
    const attributes = Buffer.of(over.attributes ?? sealed.attributes)
    const parameters = Buffer.from(over.parameters ?? '', 'hex')
    const code = Buffer.alloc(4)
    code.writeUInt32BE(sealed.code)
    const rpHash = createHash('sha256').update(Buffer.alloc(4)).update(code).update(parameters).digest()
    const hmac = createHmac('sha256', over.key ?? session.key)
    hmac.update(rpHash).update(nonceTpm).update(sealed.nonceCaller).update(attributes)
    const w = new WireWriter().u16(0x8002).u32(0).u32(0).u32(parameters.length).bytes(parameters)
    return withSize(
      w
        .tpm2b(nonceTpm)
        .u8(attributes[0] ?? 0)
        .tpm2b(hmac.digest())
        .finish(),
    )
  }

  it('takes the nonce of the answer for the next command', () => {
    const answer = openResponse(seal(), answerTo(seal()))
    assert.ok(answer.ok)
    assert.deepEqual(answer.session, { ...session, nonceTpm: new Uint8Array(32).fill(4) })
  })

  it('seals by code, handle, Name, parameters, attributes and nonces: each changes the HMAC', () => {
    const macs = [
      seal(),
      seal({ code: TPM_CC_Quote }),
      seal({ handles: [{ ...pcr, name: fromHex('00000011') }] }),
      seal({ parameters: fromHex('00000001') }),
      seal({}, TPMA_SESSION.audit),
      sealCommand(
        { ...session, nonceTpm: nonce },
        { code: TPM_CC_PCR_Extend, handles: [pcr], parameters: fromHex('00000000') },
        0,
        nonce,
      ),
      sealCommand(
        { ...session, key: nonce },
        { code: TPM_CC_PCR_Extend, handles: [pcr], parameters: fromHex('00000000') },
        0,
        nonce,
      ),
    ].map((s) => toHex(s.bytes.subarray(-36, -4)))
    assert.equal(new Set(macs).size, macs.length)
  })

  it("refuses an answer with another session's key", () => {
    assert.throws(() => openResponse(seal(), answerTo(seal(), { key: new Uint8Array(32) })), {
      code: 'SESSION_HMAC_WRONG',
    })
  })

  it('lets a TPM say that the audit is exclusive, and nothing else of its own', () => {
    const audited = seal({}, TPMA_SESSION.audit)
    assert.ok(openResponse(audited, answerTo(audited, { attributes: 0x83 })).ok)
    for (const attributes of [0x80, 0x01, 0xc1, 0xa1]) {
      assert.throws(() => openResponse(audited, answerTo(audited, { attributes })), {
        code: 'SESSION_ATTRIBUTES_WRONG',
      })
    }
  })

  it('gives a refusal of the TPM as it is, which nobody has signed', () => {
    assert.deepEqual(openResponse(seal(), fromHex('80010000000a0000098e')), { ok: false, rc: 0x98e })
  })

  const refused = [
    { name: 'success without a session', hex: '80010000000a00000000' },
    { name: 'a refusal with a session', hex: '80020000000a0000098e' },
    { name: 'a refusal with bytes after it', hex: '80010000000b0000098e00' },
    { name: 'the tag of TPM 1.2', hex: '00c40000000a0000001e' },
    { name: 'a parameterSize above the response', hex: `80020000001200000000ffffffff${'00'.repeat(4)}` },
    { name: 'more than any TPM says', hex: '00'.repeat(5000) },
  ]
  for (const { name, hex } of refused) {
    it(`refuses ${name}`, () => assert.throws(() => openResponse(seal(), fromHex(hex)), WireError))
  }

  it('encrypts a TPM2B only: other parameters are refused before anything is sent', () => {
    for (const parameters of ['', '00', '0003aaaa']) {
      assert.throws(() => seal({ parameters: fromHex(parameters) }, TPMA_SESSION.decrypt), WireError)
    }
    const [one, two] = [
      seal({ parameters: fromHex('0002aaaabb') }, TPMA_SESSION.decrypt),
      seal({ parameters: fromHex('0000bb') }, TPMA_SESSION.decrypt),
    ]
    assert.match(toHex(one.bytes), /0002(?!aaaa).{4}bb$/)
    assert.match(toHex(two.bytes), /0000bb$/)
  })

  it('a short nonce, a refusal and bytes left over start no session', () => {
    const salt = { secret: new Uint8Array(32), encrypted: new Uint8Array(0) }
    const open = (hex: string) => openStartedSession(fromHex(hex), salt, nonce)
    assert.deepEqual(open('80010000000a00000903'), { ok: false, rc: 0x903 })
    assert.throws(() => open(`80010000001f02000000000f${'00'.repeat(15)}`), WireError)
    assert.throws(() => open(`8001000000210200000000100${'0'.repeat(33)}`), WireError)
    assert.throws(() => open(`80020000002002000000001000${'00'.repeat(15)}`), WireError)
    assert.ok(open(`800100000020000000000200000000100${'0'.repeat(31)}`).ok)
  })

  it('decodes an answer without session, and refuses one with', () => {
    assert.deepEqual(decodePlainResponse(fromHex('80010000000b00000000aa')), { ok: true, body: Uint8Array.of(0xaa) })
    assert.throws(() => decodePlainResponse(fromHex('80020000000b00000000aa')), WireError)
  })
})

describe('a secret shared with a key', () => {
  for (const { saltKey } of RECORDINGS) {
    const key = decodePublic(fromHex(saltKey.public))
    assert.ok(key.type === 'rsa' || key.type === 'ecc')
    const privateKey = createPrivateKey(saltKey.private)
    it(`is opened by its holder, for its label only (${key.type})`, () => {
      let drawn = 0
      const random = (n: number) => new Uint8Array(hkdfSync('sha256', 'seed', '', String(drawn++), n))
      const { secret, encrypted } = shareSecret(key, 'SECRET', random)
      assert.equal(secret.length, 32)
      assert.deepEqual(openSecret(key, privateKey, 'SECRET', encrypted), secret)
      assert.notDeepEqual(openSecret(key, privateKey, 'IDENTITY', encrypted), secret)
    })
  }

  it('is not shared with a template', () => {
    assert.throws(() => shareSecret(AK_TEMPLATE_P256 as never, 'SECRET', (n) => new Uint8Array(n)), {
      code: 'KEY_INVALID',
    })
  })
})

function isRefusal(err: unknown): boolean {
  return err instanceof WireError || err instanceof SessionError
}

function withSize(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= 6) new DataView(bytes.buffer, bytes.byteOffset).setUint32(2, bytes.length)
  return bytes
}

/** Register 16 after so many extends by the recordings' digest, from zero. */
function register(count: number): string {
  let value: Uint8Array = new Uint8Array(32)
  for (let i = 0; i < count; i++) value = createHash('sha256').update(value).update(Buffer.alloc(32, 7)).digest()
  return toHex(value)
}

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { digest } from '../../../attestation/crypto/index.ts'
import { makeDigest, objectAttributes, pcrIndex, SRK_TEMPLATE_P256 } from '../../../attestation/tpm2/index.ts'
import * as tss from '../../../native/tss/index.ts'
import { type Swtpm, startSwtpm, swtpmMissing } from '../../support/swtpm.ts'
import { openConnection } from '../../support/tpm-connection.ts'
import { TPM_CC, TpmProxy } from '../../support/tpm-proxy.ts'

const PCR = pcrIndex(16)
const DIGEST = [makeDigest('sha256', new Uint8Array(32).fill(7))]

for (const ffi of ['ffi-napi', 'koffi'] as const) {
  describe(`the ESYS context through ${ffi}`, () => {
    let tpm: Swtpm
    let proxy: TpmProxy
    const open: tss.TpmConnection[] = []
    const connect = async (mode: tss.CallMode, tcti = tpm.tcti) => {
      const c = await openConnection(tcti, { ffi, mode })
      open.push(c)
      return c
    }

    before(async function () {
      const missing = swtpmMissing()
      if (missing !== undefined) {
        console.log(`      skipped: ${missing}`)
        this.skip()
      }
      tpm = await startSwtpm({ ekCertificates: 'none' })
      proxy = await TpmProxy.start(tpm.port)
    })
    afterEach(async () => {
      proxy.rules = {}
      for (const c of open.splice(0)) await c.close()
    })
    after(async () => {
      await proxy?.stop()
      await tpm?.stop()
    })

    for (const mode of ['sync', 'async'] as const) {
      it(`runs 800 ${mode} calls made at once one after another`, async () => {
        const c = await connect(mode)
        const results = await Promise.all(Array.from({ length: 800 }, () => tss.getRandom(c, 16)))
        assert.equal(new Set(results.map((r) => Buffer.from(r).toString('hex'))).size, 800)
      })
    }

    for (const mode of ['sync', 'async'] as const) {
      it(`keeps 300 ${mode} commands of its own session and of ESYS apart`, async () => {
        const c = await connect(mode)
        await tss.resetPcr(c, PCR, await c.session())
        const calls = Array.from({ length: 100 }, async () => {
          const random = tss.getRandom(c, 8, await c.session())
          await Promise.all([tss.extendPcr(c, PCR, DIGEST), random, tss.readClock(c)])
        })
        await Promise.all(calls)
        let expected: Uint8Array = new Uint8Array(32)
        for (let i = 0; i < 100; i++) expected = digest('sha256', expected, DIGEST[0]?.bytes ?? expected)
        assert.deepEqual((await tss.readPcrs(c, [{ bank: 'sha256', pcrs: [PCR] }]))[0]?.value, expected)
      })
    }

    const misuse: { name: string; args: tss.CallArguments }[] = [
      { name: 'an integer that is undefined', args: {} },
      { name: 'a negative unsigned integer', args: { bytesRequested: -1 } },
      { name: 'an integer above its size', args: { bytesRequested: 65536 } },
      { name: 'a fraction', args: { bytesRequested: 1.5 } },
      { name: 'bytes for an integer', args: { bytesRequested: new Uint8Array(2) } },
      { name: 'an argument that the function does not have', args: { bytesRequested: 1, more: 1 } },
    ]
    for (const { name, args } of misuse) {
      it(`refuses ${name} before anything is called`, async () => {
        const c = await connect('sync')
        await assert.rejects(c.call('Esys_GetRandom', args), TypeError)
        assert.equal((await tss.getRandom(c, 4)).length, 4)
      })
    }

    const wire: { name: string; digests: Uint8Array | null; error: object }[] = [
      { name: 'empty wire bytes', digests: new Uint8Array(0), error: { code: 'TSS_BAD_VALUE' } },
      { name: 'a truncated structure', digests: hex('00000001000b1111'), error: { code: 'TSS_BAD_VALUE' } },
      {
        name: 'a byte after the structure',
        digests: hex(`00000001000b${'11'.repeat(33)}`),
        error: { code: 'TSS_BAD_VALUE' },
      },
      { name: 'a count above the maximum', digests: hex('ffffffff000b'), error: { code: 'TSS_BAD_VALUE' } },
      { name: 'a NULL where a structure is needed', digests: null, error: { code: 'TSS_COMMAND_FAILED', rc: 0x80005 } },
      { name: 'more bytes than any structure has', digests: new Uint8Array(9000), error: { name: 'RangeError' } },
    ]
    for (const { name, digests, error } of wire) {
      it(`refuses ${name} and stays usable`, async () => {
        const c = await connect('sync')
        const auth = [tss.ESYS_TR_PASSWORD]
        await assert.rejects(c.call('Esys_PCR_Extend', { pcrHandle: 16, digests }, auth), error)
        await tss.extendPcr(c, PCR, DIGEST)
      })
    }

    it('refuses calls after close, and closes twice without harm', async () => {
      const c = await connect('sync')
      await tss.getRandom(c, 4)
      await c.close()
      await c.close().catch((err: unknown) => assert.fail(String(err)))
      await assert.rejects(tss.getRandom(c, 4), { code: 'TSS_CLOSED' })
    })

    it('lets calls that were made before close finish', async () => {
      const c = await connect('async')
      const last = tss.getRandom(c, 4)
      await Promise.all([c.close(), last])
      assert.equal((await last).length, 4)
    })

    it('leaves no session and no key behind after commands that fail', async () => {
      const c = await connect('sync')
      for (let i = 0; i < 8; i++) {
        await assert.rejects(tss.resetPcr(c, pcrIndex(0), await c.session()), { rc: 0x907 }) // bad locality
        await assert.rejects(
          c.withPolicySession('sha256', async () => {
            throw new Error('the caller gave up')
          }),
          /gave up/,
        )
        const bad = { ...SRK_TEMPLATE_P256, attributes: objectAttributes('restricted', 'sign', 'decrypt') }
        await assert.rejects(tss.createPrimary(c, tss.ESYS_TR_RH_OWNER, bad, await c.session()), {
          code: 'TSS_BAD_VALUE',
        })
      }
      assert.deepEqual(await tss.listHandles(c, tss.HANDLE_RANGES.transient), [])
      assert.deepEqual(await tss.listHandles(c, tss.HANDLE_RANGES.loadedSession), [])
    })

    it('sweeps what an earlier process left behind, and reports a full TPM before', async () => {
      const earlier = await connect('sync')
      for (let i = 0; i < 3; i++) await tss.createPrimary(earlier, tss.ESYS_TR_RH_OWNER, SRK_TEMPLATE_P256)
      const full = tss.createPrimary(earlier, tss.ESYS_TR_RH_OWNER, SRK_TEMPLATE_P256)
      await assert.rejects(full, { code: 'TSS_NO_ROOM', rc: 0x902 })
      await earlier.esys.close() // as a process that ends without cleaning up
      const later = await connect('sync')
      assert.equal(await tss.sweepLeakedHandles(later), 3)
      assert.deepEqual(await tss.listHandles(later, tss.HANDLE_RANGES.transient), [])
      assert.equal(await tss.sweepLeakedHandles(later), 0)
    })

    it('encrypts secrets on their way to the TPM and back', async () => {
      const seen: Uint8Array[] = []
      proxy.rules = {
        beforeCommand: (command) => {
          seen.push(command.bytes)
          return 'pass'
        },
        afterResponse: (_, response) => {
          seen.push(response)
          return 'pass'
        },
      }
      // The proxy needs this thread's event loop: only asynchronous calls can pass through it.
      const through = await connect('async', proxy.tcti)
      const secret = randomBytes(32)
      const parent = await tss.createPrimary(through, tss.ESYS_TR_RH_OWNER, SRK_TEMPLATE_P256, await through.session())
      const template = {
        type: 'keyedhash' as const,
        nameAlg: 'sha256' as const,
        attributes: objectAttributes('fixedTPM', 'fixedParent', 'noDA', 'userWithAuth'),
        authPolicy: new Uint8Array(0),
        scheme: { alg: 'null' as const },
        unique: new Uint8Array(0),
      }
      const sealed = await tss.create(through, parent.tr, template, [await through.session()], { data: secret })
      const object = await tss.load(through, parent.tr, sealed, [await through.session()])
      await parent.release()
      const unsealed = await tss.unseal(through, object.tr, [await through.session()])
      await object.release()
      assert.deepEqual(Buffer.from(unsealed), secret)
      assert.ok(seen.length > 10)
      assert.ok(!seen.some((bytes) => Buffer.from(bytes).includes(secret)))
    })

    const broken: { name: string; change: (response: Uint8Array) => Uint8Array; code: RegExp }[] = [
      {
        name: 'a changed byte in an authenticated response',
        change: (r) => withByte(r, 30, 0xff),
        code: /^TSS_BAD_RESPONSE$/,
      },
      {
        name: 'a response cut short, with a size that agrees',
        change: (r) => resized(r.slice(0, 12)),
        code: /^TSS_(BAD_RESPONSE|NO_TPM)$/,
      },
      {
        name: 'a response that is only a header of success',
        change: (r) => resized(r.slice(0, 10)),
        code: /^TSS_(BAD_RESPONSE|NO_TPM|COMMAND_FAILED)$/,
      },
      {
        name: 'an inner size beyond the response',
        change: (r) => withByte(withByte(r, 14, 0xff), 15, 0xff),
        code: /^TSS_BAD_RESPONSE$/,
      },
    ]
    for (const { name, change, code } of broken) {
      it(`reports ${name}; a new connection sweeps and works`, async () => {
        const c = await connect('async', proxy.tcti)
        await c.session()
        proxy.rules = {
          afterResponse: (command, response) =>
            command.code === TPM_CC.GetRandom ? { instead: change(response) } : 'pass',
        }
        await assert.rejects(tss.getRandom(c, 16, await c.session()), (err: tss.TssError) => {
          assert.ok(err instanceof tss.TssError, String(err))
          assert.match(err.code, code, err.message)
          return true
        })
        proxy.rules = {}
        await c.close() // its context is of no more use, also for flushing the session
        const again = await connect('async', proxy.tcti)
        await tss.sweepLeakedHandles(again)
        assert.equal((await tss.getRandom(again, 16, await again.session())).length, 16)
      })
    }

    it('reports a connection that breaks during a command as TSS_NO_TPM, and a new connection works', async () => {
      const c = await connect('async', proxy.tcti)
      proxy.rules = { beforeCommand: (command) => (command.code === TPM_CC.GetRandom ? 'drop' : 'pass') }
      await assert.rejects(tss.getRandom(c, 16), { code: 'TSS_NO_TPM' })
      await assert.rejects(tss.readClock(c), { code: 'TSS_NO_TPM' })
      proxy.rules = {}
      assert.equal((await tss.getRandom(await connect('async', proxy.tcti), 16)).length, 16)
    })

    it('a TPM that was restarted does not know the protected session: nothing happens unnoticed', async () => {
      const c = await connect('sync')
      await tss.extendPcr(c, PCR, DIGEST)
      await tpm.powerCycle()
      await assert.rejects(tss.extendPcr(c, PCR, DIGEST), { code: 'TSS_SESSION_LOST', rc: 0x918 })
      await tss.extendPcr(c, PCR, DIGEST) // with a new session
    })

    it('a TPM that nobody has started says so', async () => {
      await tpm.kill()
      await tpm.powerOn('none')
      const c = await connect('sync')
      await assert.rejects(tss.getRandom(c, 4), { code: 'TSS_NOT_STARTED', rc: 0x100 })
      await tss.startup(c)
      await tss.startup(c) // once more is no error
      assert.equal((await tss.getRandom(c, 4)).length, 4)
    })

    const unreachable: { name: string; tcti: string }[] = [
      { name: 'a port where nothing listens', tcti: 'swtpm:host=127.0.0.1,port=1' },
      { name: 'a device that is not there', tcti: 'device:/dev/tpm-that-is-not-there' },
      { name: 'a TCTI that does not exist', tcti: 'nonsense:x=1' },
    ]
    for (const { name, tcti } of unreachable) {
      it(`reports ${name} as TSS_NO_TPM and names the setting`, () => {
        const opening = connect('sync', tcti)
        return assert.rejects(opening, (err: tss.TssError) => err.code === 'TSS_NO_TPM' && err.message.includes(tcti))
      })
    }

    for (const tcti of ['', 'x'.repeat(2000), 'device\0']) {
      it(`refuses a TCTI string of ${tcti.length} characters that cannot name a transport`, () =>
        assert.rejects(connect('sync', tcti), RangeError))
    }

    it('a missing library names the Debian package to install', async () => {
      const libraries = new tss.TssLibraries(tss.loadFfi(ffi), { mu: 'libtss2-mu-not-there.so.0' })
      const context = await tss.EsysContext.open({ tcti: tpm.tcti, mode: 'sync', libraries })
      const extend = context.call('Esys_PCR_Extend', { pcrHandle: 16, digests: hex('00000000') }, [
        tss.ESYS_TR_PASSWORD,
      ])
      await assert.rejects(extend, /TssError: libtss2-mu-not-there.*apt-get install libtss2-mu0/)
      await context.close()
    })

    it('a library without the function that is needed says which version is', () => {
      const libraries = new tss.TssLibraries(tss.loadFfi(ffi), { esys: 'libtss2-mu.so.0' })
      const opening = tss.EsysContext.open({ tcti: tpm.tcti, mode: 'sync', libraries })
      return assert.rejects(opening, { code: 'TSS_LIBRARY_MISSING' })
    })
  })
}

describe('who is the sole user of a TPM', () => {
  for (const tcti of ['swtpm', 'swtpm:port=1', 'mssim:host=::1', 'device:/dev/tpm0']) {
    it(`${tcti} has no resource manager`, () => assert.ok(tss.isSoleUser(tcti)))
  }
  for (const tcti of [
    'device',
    'device:/dev/tpmrm0',
    'tabrmd',
    'tabrmd:bus_type=session',
    'cmd:swtpm',
    'swtpmx',
    '/dev/tpm0',
  ]) {
    it(`${tcti} may be shared`, () => assert.ok(!tss.isSoleUser(tcti)))
  }
})

describe('the choice of the foreign function interface', () => {
  const forced = process.env['HOLDFAST_FFI']
  before(() => {
    delete process.env['HOLDFAST_FFI']
  })
  after(() => {
    if (forced !== undefined) process.env['HOLDFAST_FFI'] = forced
  })

  it('is ffi-napi where it can be loaded', () => assert.equal(tss.loadFfi(undefined).name, 'ffi-napi'))
  it('takes an empty setting as none', () => assert.equal(tss.loadFfi('').name, 'ffi-napi'))
  it('can be forced', () => assert.equal(tss.loadFfi('koffi').name, 'koffi'))
  it('refuses a name that it does not know', () => {
    assert.throws(() => tss.loadFfi('python'), { code: 'TSS_FFI_UNAVAILABLE' })
  })
})

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

function withByte(bytes: Uint8Array, at: number, xor: number): Uint8Array {
  const out = new Uint8Array(bytes)
  out[at] = (out[at] ?? 0) ^ xor
  return out
}

function resized(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer).setUint32(2, bytes.length)
  return bytes
}

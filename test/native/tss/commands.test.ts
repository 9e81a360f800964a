import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from 'node:crypto'
import { concatBytes } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  decodeCertifyAttest,
  decodeCreationAttest,
  decodeNvAttest,
  decodePublic,
  decodeQuoteAttest,
  decodeSignature,
  decodeTimeAttest,
  type EccPublic,
  EK_TEMPLATES,
  encodePcrSelections,
  encodePublic,
  encodeSignature,
  makeCredential,
  makeDigest,
  type NvPublic,
  objectAttributes,
  objectName,
  pcrIndex,
  policyAuthorizeMessage,
  policySignedMessage,
  qualifiedName,
  SRK_TEMPLATE_P256,
  startPolicy,
  TIME_INFO_OFFSET,
  TPM_EO_EQ,
  TPM_EO_UNSIGNED_LE,
  TPM_RH_ENDORSEMENT,
  TPMA_NV,
  type TpmPublic,
} from '../../../attestation/tpm2/index.ts'
import * as tss from '../../../native/tss/index.ts'
import { type Swtpm, startSwtpm, swtpmMissing } from '../../support/swtpm.ts'
import { openConnection } from '../../support/tpm-connection.ts'

const EXTRA = Uint8Array.from({ length: 32 }, (_, i) => i)
const NV_INDEX = 0x01500001
const SELECTION = [{ bank: 'sha256' as const, pcrs: [0, 7, 15].map(pcrIndex) }]

for (const ffi of ['ffi-napi', 'koffi'] as const) {
  for (const mode of ['sync', 'async'] as const) {
    describe(`TPM commands through ${ffi}, ${mode}`, () => {
      let tpm: Swtpm
      let c: tss.TpmConnection

      before(async function () {
        const missing = swtpmMissing()
        if (missing !== undefined) {
          console.log(`      skipped: ${missing}`)
          this.skip()
        }
        tpm = await startSwtpm({ banks: ['sha1', 'sha256', 'sha384'] })
        c = await openConnection(tpm.tcti, { ffi, mode })
      })
      after(async () => {
        await c?.close()
        await tpm?.stop()
      })
      afterEach('nothing is left in the TPM but the two sessions', async () => {
        assert.deepEqual(await tss.listHandles(c, tss.HANDLE_RANGES.transient), [])
        assert.ok((await tss.listHandles(c, tss.HANDLE_RANGES.loadedSession)).length <= 2)
      })

      async function withKey<T>(template: TpmPublic, use: (key: tss.LoadedKey) => Promise<T>): Promise<T> {
        const key = await tss.createPrimary(c, tss.ESYS_TR_RH_ENDORSEMENT, template, await c.session())
        try {
          return await use(key)
        } finally {
          await key.release()
        }
      }

      it('GetRandom gives as many bytes as asked for, also more than one command gives', async () => {
        const bytes = await tss.getRandom(c, 100, await c.session())
        assert.equal(bytes.length, 100)
        assert.notDeepEqual(bytes, await tss.getRandom(c, 100))
        assert.equal((await tss.getRandom(c, 0)).length, 0)
        await assert.rejects(tss.getRandom(c, -1), RangeError)
      })

      it('SelfTest, ReadClock, properties and the PCR allocation are read', async () => {
        await tss.selfTest(c)
        const clock = await tss.readClock(c)
        assert.ok(clock.clockInfo.resetCount > 0)
        assert.equal(await tss.getTpmProperty(c, tss.TPM_PT.MANUFACTURER), 0x49424d00) // 'IBM' and a zero
        assert.equal(await tss.getTpmProperty(c, 0x1ff), undefined)
        const allocated = (await tss.getPcrAllocation(c)).selections.filter((s) => s.pcrs.length > 0)
        assert.deepEqual(
          allocated.map((s) => s.bank),
          ['sha1', 'sha256', 'sha384'],
        )
      })

      it('PCR_Extend, PCR_Event and PCR_Reset do what the hash says', async () => {
        const pcr = pcrIndex(16)
        const selection = [{ bank: 'sha256' as const, pcrs: [pcr] }]
        await tss.resetPcr(c, pcr, await c.session())
        const d = digest('sha256', EXTRA)
        await tss.extendPcr(c, pcr, [makeDigest('sha256', d)])
        const extended = digest('sha256', new Uint8Array(32), d)
        assert.deepEqual((await tss.readPcrs(c, selection))[0]?.value, extended)
        const digests = await tss.eventPcr(c, pcr, EXTRA, await c.session())
        assert.deepEqual(digests.find((one) => one.alg === 'sha256')?.bytes, d)
        assert.deepEqual((await tss.readPcrs(c, selection))[0]?.value, digest('sha256', extended, d))
        await tss.resetPcr(c, pcr, tss.ESYS_TR_PASSWORD)
        assert.deepEqual((await tss.readPcrs(c, selection))[0]?.value, new Uint8Array(32))
      })

      it('PCR_Read gives more registers than one command does, in the order asked for', async () => {
        const pcrs = Array.from({ length: 24 }, (_, i) => pcrIndex(i))
        const values = await tss.readPcrs(c, [
          { bank: 'sha384', pcrs },
          { bank: 'sha1', pcrs: [pcrIndex(3)] },
        ])
        assert.deepEqual(
          values.map((v) => `${v.bank}:${v.pcr}:${v.value.length}`),
          [...pcrs.map((p) => `sha384:${p}:48`), 'sha1:3:20'],
        )
      })

      it('PCR_Read refuses a bank that is not allocated instead of giving nothing', async () => {
        await assert.rejects(tss.readPcrs(c, [{ bank: 'sha512', pcrs: [pcrIndex(0)] }]), { code: 'TSS_BAD_VALUE' })
      })

      it('the EKs of all TCG templates that this TPM knows can be made; the persistent ones are among them', async () => {
        const made: string[] = []
        for (const t of EK_TEMPLATES.filter((one) => ['L-1', 'L-2', 'H-2', 'H-3'].includes(one.id))) {
          await withKey(t.public, async (key) => made.push(Buffer.from(key.public).toString('hex')))
        }
        for (const handle of [0x81010001, 0x81010016]) {
          const lease = await c.handles.lease(handle)
          const { public: area, name } = await tss.readPublic(c, lease.tr)
          assert.ok(made.includes(Buffer.from(area).toString('hex')))
          assert.deepEqual(name, objectName(area))
          assert.deepEqual(await tss.readName(c, lease.tr), name)
          await lease.release()
        }
      })

      it('ReadPublic tells the qualified Name, by which a child of the EK is known', async () => {
        await withKey(SRK_TEMPLATE_P256, async (parent) => {
          const ak = await childOf(parent, AK_TEMPLATE_P256)
          try {
            const parentName = qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(parent.public))
            const expected = qualifiedName({ qualifiedName: parentName }, objectName(ak.public))
            assert.deepEqual((await tss.readPublic(c, ak.tr)).qualifiedName, expected)
          } finally {
            await ak.release()
          }
        })
      })

      for (const [name, template] of [
        ['P-256', AK_TEMPLATE_P256],
        ['RSA-2048', AK_TEMPLATE_RSA2048],
      ] as const) {
        it(`Quote by an AK on ${name} carries the extra data and verifies`, async () => {
          await withKey(template, async (ak) => {
            const quoted = await tss.quote(c, ak, EXTRA, SELECTION)
            const attest = decodeQuoteAttest(quoted.attest)
            assert.deepEqual(attest.extraData, EXTRA)
            const values = await tss.readPcrs(c, SELECTION)
            assert.deepEqual(attest.pcrDigest, digest('sha256', ...values.map((v) => v.value)))
            assertSigned(ak.public, quoted)
          })
        })
      }

      it('Quote over three banks verifies', async () => {
        const selection = (['sha1', 'sha256', 'sha384'] as const).map((bank) => ({ bank, pcrs: [pcrIndex(15)] }))
        await withKey(AK_TEMPLATE_P256, async (ak) => {
          const quoted = await tss.quote(c, ak, EXTRA, selection)
          assert.deepEqual(decodeQuoteAttest(quoted.attest).pcrSelections, selection)
          assertSigned(ak.public, quoted)
        })
      })

      it('an AK is persisted, found again by handle, and evicted', async () => {
        const handle = 0x81010030
        await withKey(AK_TEMPLATE_P256, async (ak) => tss.persist(c, ak.tr, handle, await c.session()))
        const first = await c.handles.lease(handle)
        const second = await c.handles.lease(handle)
        assert.equal(first.tr, second.tr)
        await first.release()
        await first.release() // a second release of the same lease counts once
        const { public: area } = await tss.readPublic(c, second.tr)
        assertSigned(area, await tss.quote(c, { tr: second.tr, public: area }, EXTRA, SELECTION))
        await second.release()
        await tss.evict(c, handle, await c.session())
        await assert.rejects(c.handles.lease(handle), { code: 'TSS_BAD_HANDLE' })
      })

      for (const id of ['L-1', 'L-2', 'H-3'] as const) {
        it(`ActivateCredential opens what MakeCredential made for EK ${id}, in the TPM and outside it`, async () => {
          await withKey(AK_TEMPLATE_P256, async (ak) => {
            await withEk(id, async (ek, auth) => {
              const secret = randomBytes(32)
              const outside = makeCredential(ek.public, objectName(ak.public), secret, (n) => randomBytes(n))
              const inside = await tss.makeCredential(c, ek.tr, secret, objectName(ak.public))
              for (const credential of [outside, inside]) {
                const { idObject, encryptedSecret } = credential
                const object = { tr: ak.tr, auth: await c.session() }
                const opened = await auth((keyAuth) =>
                  tss.activateCredential(c, object, { tr: ek.tr, auth: keyAuth }, idObject, encryptedSecret),
                )
                assert.deepEqual(Buffer.from(opened), secret)
              }
            })
          })
        })
      }

      it('ActivateCredential refuses a credential for another AK', async () => {
        await withKey(AK_TEMPLATE_P256, async (ak) => {
          await withEk('H-3', async (ek) => {
            const other = objectName(ek.public)
            const { idObject, encryptedSecret } = makeCredential(ek.public, other, randomBytes(16), (n) =>
              randomBytes(n),
            )
            const object = { tr: ak.tr, auth: await c.session() }
            const key = { tr: ek.tr, auth: tss.ESYS_TR_PASSWORD }
            await assert.rejects(tss.activateCredential(c, object, key, idObject, encryptedSecret), {
              code: 'TSS_BAD_VALUE',
              rc: 0x1df, // TPM_RC_INTEGRITY of parameter 1
            })
          })
        })
      })

      it('Certify, CertifyCreation and GetTime sign what they say', async () => {
        await withKey(AK_TEMPLATE_P256, async (ak) => {
          await withKey(SRK_TEMPLATE_P256, async (parent) => {
            const certified = await tss.certify(c, parent.tr, ak.tr, EXTRA, [await c.session(), tss.ESYS_TR_PASSWORD])
            assert.deepEqual(decodeCertifyAttest(certified.attest).name, objectName(parent.public))
            assertSigned(ak.public, certified)
          })
          const time = await tss.getTime(c, ak.tr, EXTRA, [await c.session(), tss.ESYS_TR_PASSWORD])
          assert.deepEqual(decodeTimeAttest(time.attest).extraData, EXTRA)
          assertSigned(ak.public, time)
        })
        await withKey(SRK_TEMPLATE_P256, async (parent) => {
          const created = await tss.create(c, parent.tr, AK_TEMPLATE_P256, [await c.session()])
          const key = await tss.load(c, parent.tr, created, [await c.session()])
          try {
            const certified = await tss.certifyCreation(c, key.tr, key.tr, created, EXTRA, await c.session())
            assert.deepEqual(decodeCreationAttest(certified.attest).objectName, objectName(created.public))
            assertSigned(created.public, certified)
          } finally {
            await key.release()
          }
        })
      })

      it('an audit session counts its commands, and its digest is signed', async () => {
        await withKey(AK_TEMPLATE_P256, async (ak) => {
          const audited = (await c.session()).tr
          const read = () =>
            c.call('Esys_PCR_Read', { pcrSelectionIn: encodePcrSelections(SELECTION) }, [
              { tr: audited, protect: false, audit: true },
            ])
          await read()
          const auths = [tss.ESYS_TR_PASSWORD, tss.ESYS_TR_PASSWORD] as const
          const before = await tss.getSessionAuditDigest(c, ak.tr, audited, EXTRA, auths)
          await read()
          const after = await tss.getSessionAuditDigest(c, ak.tr, audited, EXTRA, auths)
          assert.notDeepEqual(before.attest, after.attest)
          assertSigned(ak.public, after)
        })
      })

      it('Sign and VerifySignature agree with each other and with node:crypto', async () => {
        const template: EccPublic = {
          ...AK_TEMPLATE_P256,
          attributes: objectAttributes(
            'fixedTPM',
            'fixedParent',
            'sensitiveDataOrigin',
            'userWithAuth',
            'noDA',
            'sign',
          ),
        }
        await withKey(template, async (key) => {
          const signature = await tss.sign(c, key.tr, digest('sha256', EXTRA), await c.session())
          assertSigned(key.public, { attest: EXTRA, signature })
          assert.ok((await tss.verifySignature(c, key.tr, digest('sha256', EXTRA), signature)).length > 0)
          const other = digest('sha256', new Uint8Array(1))
          await assert.rejects(tss.verifySignature(c, key.tr, other, signature), { code: 'TSS_BAD_VALUE', rc: 0x2db })
        })
      })

      it('ContextSave and ContextLoad move a key out of the TPM and back', async () => {
        const saved = await withKey(AK_TEMPLATE_P256, async (ak) => ({
          context: await tss.contextSave(c, ak.tr),
          public: ak.public,
        }))
        const loaded = await tss.contextLoad(c, saved.context)
        try {
          const key = { tr: loaded.tr, public: saved.public }
          assertSigned(saved.public, await tss.quote(c, key, EXTRA, SELECTION))
        } finally {
          await loaded.release()
        }
      })

      it('TR_Serialize gives the bytes that other users of ESYS read', async () => {
        const lease = await c.handles.lease(0x81010001)
        const bytes = await c.esys.serialize(lease.tr)
        assert.equal(new DataView(bytes.buffer).getUint32(0), 0x81010001)
        await lease.release()
      })

      it('a sealed secret comes back while the PCRs are as sealed, and not after an extend', async () => {
        const pcr = pcrIndex(23)
        const selection = [{ bank: 'sha256' as const, pcrs: [pcr] }]
        const policy = startPolicy('sha256').pcr(selection, await tss.readPcrs(c, selection))
        const secret = randomBytes(64)
        await withKey(SRK_TEMPLATE_P256, async (parent) => {
          const sealed = await tss.create(c, parent.tr, sealedBy(policy.digest), [await c.session()], { data: secret })
          const object = await tss.load(c, parent.tr, sealed, [await c.session()])
          try {
            const unseal = () =>
              c.withPolicySession('sha256', async (session) => {
                await tss.policyPcr(c, session, selection)
                return await tss.unseal(c, object.tr, [session, await c.session()])
              })
            assert.deepEqual(Buffer.from(await unseal()), secret)
            await tss.extendPcr(c, pcr, [makeDigest('sha256', EXTRA)])
            await assert.rejects(unseal, { code: 'TSS_AUTH_FAILED', rc: 0x99d })
          } finally {
            await object.release()
          }
        })
      })

      it('PolicySigned, PolicyAuthorize, PolicyOR, PolicyCommandCode and PolicyCounterTimer give the computed digests', async () => {
        const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
        const external: EccPublic = {
          ...AK_TEMPLATE_P256,
          attributes: objectAttributes('userWithAuth', 'noDA', 'sign'),
          unique: pointOf(publicKey),
        }
        const name = objectName(encodePublic(external))
        const ref = Uint8Array.of(1, 2, 3)
        const key = await tss.loadExternal(c, encodePublic(external), tss.ESYS_TR_RH_OWNER)
        try {
          await c.withPolicySession('sha256', async (session) => {
            const nonce = await tss.policyNonce(c, session)
            const signature = ecdsa(privateKey, policySignedMessage(nonce, -60, new Uint8Array(0), ref))
            await tss.policySigned(c, session, key.tr, { nonce, policyRef: ref, expiration: -60, signature })
            const signed = startPolicy('sha256').signed(name, ref)
            assert.deepEqual(await tss.policyDigest(c, session), signed.digest)
            const branches = [new Uint8Array(32), signed.digest]
            await tss.policyOr(c, session, branches)
            await tss.policyCommandCode(c, session, 0x15e)
            const operand = new Uint8Array(4)
            new DataView(operand.buffer).setUint32(0, 0xfffffff)
            const compare = { operand, offset: TIME_INFO_OFFSET.resetCount, operation: TPM_EO_UNSIGNED_LE }
            await tss.policyCounterTimer(c, session, compare)
            const expected = signed
              .or(branches)
              .commandCode(0x15e)
              .counterTimer(operand, compare.offset, compare.operation)
            assert.deepEqual(await tss.policyDigest(c, session), expected.digest)
            const ticket = await tss.verifySignature(
              c,
              key.tr,
              digest('sha256', policyAuthorizeMessage(expected.digest, ref)),
              ecdsa(privateKey, policyAuthorizeMessage(expected.digest, ref)),
            )
            await tss.policyAuthorize(c, session, { policy: expected.digest, policyRef: ref, keyName: name, ticket })
            assert.deepEqual(await tss.policyDigest(c, session), startPolicy('sha256').authorize(name, ref).digest)
            await tss.policyAuthValue(c, session)
          })
        } finally {
          await key.release()
        }
      })

      it('NV indices are defined, written in chunks, read, counted, extended, certified and removed', async () => {
        const owner = await c.session()
        const data = randomBytes(1500)
        await tss.nvDefine(c, nvIndex({ dataSizeBytes: data.length }), new Uint8Array(0), owner)
        await tss.nvWrite(c, NV_INDEX, data, owner)
        assert.deepEqual(Buffer.from(await tss.nvRead(c, NV_INDEX, owner)), data)
        await withKey(AK_TEMPLATE_P256, async (ak) => {
          const lease = await c.handles.lease(NV_INDEX)
          const auths = [await c.session(), tss.ESYS_TR_PASSWORD] as const
          const certified = await tss.nvCertify(c, ak.tr, lease.tr, lease.tr, 512, EXTRA, auths)
          assert.deepEqual(Buffer.from(decodeNvAttest(certified.attest).contents), data.subarray(0, 512))
          assertSigned(ak.public, certified)
          await lease.release()
        })
        await c.withPolicySession('sha256', async (session) => {
          const lease = await c.handles.lease(NV_INDEX)
          const compare = { operand: data.subarray(8, 16), offset: 8, operation: TPM_EO_EQ }
          await tss.policyNv(c, session, lease.tr, { tr: lease.tr, auth: await c.session() }, compare)
          await lease.release()
        })
        await tss.nvUndefine(c, NV_INDEX, await c.session())
        await assert.rejects(tss.nvReadPublic(c, NV_INDEX), { code: 'TSS_BAD_HANDLE' })

        await tss.nvDefine(c, nvIndex({ dataSizeBytes: 8, attributes: TPMA_NV.NT_COUNTER }))
        await tss.nvIncrement(c, NV_INDEX, await c.session())
        const [one, two] = [
          await tss.nvRead(c, NV_INDEX),
          await tss.nvIncrement(c, NV_INDEX).then(() => tss.nvRead(c, NV_INDEX)),
        ]
        assert.equal(new DataView(two.buffer).getBigUint64(0) - new DataView(one.buffer).getBigUint64(0), 1n)
        await tss.nvUndefine(c, NV_INDEX)

        await tss.nvDefine(c, nvIndex({ dataSizeBytes: 32, attributes: TPMA_NV.NT_EXTEND }))
        await tss.nvExtend(c, NV_INDEX, EXTRA, await c.session())
        assert.deepEqual(await tss.nvRead(c, NV_INDEX), digest('sha256', new Uint8Array(32), EXTRA))
        await tss.nvUndefine(c, NV_INDEX)
      })

      it('a wrong authorization value is told apart from everything else', async () => {
        await tss.nvDefine(c, nvIndex({ dataSizeBytes: 8 }), randomBytes(16))
        await assert.rejects(tss.nvRead(c, NV_INDEX), { code: 'TSS_AUTH_FAILED', rc: 0x9a2 })
        await tss.nvUndefine(c, NV_INDEX)
      })

      it('Clear removes what owner and endorsement had made; Shutdown is accepted', async () => {
        const handle = 0x81010031
        await withKey(AK_TEMPLATE_P256, (ak) => tss.persist(c, ak.tr, handle))
        await tss.clear(c, await c.session())
        assert.ok(!(await tss.listHandles(c, tss.HANDLE_RANGES.persistent)).includes(handle))
        await tss.shutdown(c)
      })

      async function childOf(parent: tss.LoadedKey, template: TpmPublic): Promise<tss.LoadedKey> {
        const created = await tss.create(c, parent.tr, template, [await c.session()])
        return await tss.load(c, parent.tr, created, [await c.session()])
      }

      type WithAuth = <T>(use: (auth: tss.SessionUse | tss.EsysTr) => Promise<T>) => Promise<T>
      async function withEk(id: string, use: (ek: tss.LoadedKey, auth: WithAuth) => Promise<void>): Promise<void> {
        const template = EK_TEMPLATES.find((t) => t.id === id)
        assert.ok(template)
        const byPolicy: WithAuth = (run) =>
          c.withPolicySession('sha256', async (session) => {
            await tss.policySecret(c, session, tss.ESYS_TR_RH_ENDORSEMENT, await c.session())
            return await run(session)
          })
        const byPassword: WithAuth = (run) => run(tss.ESYS_TR_PASSWORD)
        await withKey(template.public, (ek) => use(ek, id.startsWith('L') ? byPolicy : byPassword))
      }
    })
  }
}

function nvIndex(given: { dataSizeBytes: number; attributes?: number }): NvPublic {
  const { AUTHREAD, AUTHWRITE, OWNERREAD, OWNERWRITE, NO_DA } = TPMA_NV
  return {
    index: NV_INDEX,
    nameAlg: 'sha256',
    attributes: AUTHREAD | AUTHWRITE | OWNERREAD | OWNERWRITE | NO_DA | (given.attributes ?? 0),
    authPolicy: new Uint8Array(0),
    dataSizeBytes: given.dataSizeBytes,
  }
}

function sealedBy(authPolicy: Uint8Array): TpmPublic {
  const attributes = objectAttributes('fixedTPM', 'fixedParent', 'noDA')
  const common = { nameAlg: 'sha256' as const, attributes, authPolicy, unique: new Uint8Array(0) }
  return { type: 'keyedhash', scheme: { alg: 'null' }, ...common }
}

function pointOf(key: KeyObject): { x: Uint8Array; y: Uint8Array } {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return { x: Buffer.from(x, 'base64url'), y: Buffer.from(y, 'base64url') }
}

function ecdsa(key: KeyObject, message: Uint8Array): Uint8Array {
  const raw = sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' })
  return encodeSignature({ alg: 'ecdsa', hash: 'sha256', r: raw.subarray(0, 32), s: raw.subarray(32) })
}

/** By node:crypto alone, so that TPM and verifier cannot agree on the same mistake. */
function assertSigned(publicArea: Uint8Array, { attest, signature }: tss.Attestation): void {
  const area = decodePublic(publicArea)
  const sig = decodeSignature(signature)
  const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  if (area.type === 'ecc' && sig.alg === 'ecdsa') {
    const jwk = { kty: 'EC', crv: area.curve, x: b64(pad(area.unique.x)), y: b64(pad(area.unique.y)) }
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    assert.ok(verify('sha256', attest, { key, dsaEncoding: 'ieee-p1363' }, concatBytes(pad(sig.r), pad(sig.s))))
  } else if (area.type === 'rsa' && sig.alg === 'rsassa') {
    const key = createPublicKey({ key: { kty: 'RSA', n: b64(area.unique), e: 'AQAB' }, format: 'jwk' })
    assert.ok(verify('sha256', attest, key, sig.sig))
  } else assert.fail(`${area.type} key with ${sig.alg} signature`)
}

function pad(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(32)
  out.set(bytes.subarray(Math.max(0, bytes.length - 32)), Math.max(0, 32 - bytes.length))
  return out
}

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { concatBytes } from '../../../attestation/base/index.ts'
import { hashSize } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  attributeNames,
  decodeQuoteAttest,
  decodeSizedPublic,
  type EccPublic,
  EK_TEMPLATES,
  type EkTemplate,
  encodeSizedPublic,
  handleName,
  makeCredential,
  nvName,
  objectName,
  type PcrValue,
  pcrIndex,
  type RsaPublic,
  SRK_TEMPLATE_P256,
  startPolicy,
  TIME_INFO_OFFSET,
  TPM_EO_EQ,
  TPM_EO_UNSIGNED_LE,
  TPM_RH_ENDORSEMENT,
  TPMA_NV,
  verifyAkPublic,
  verifyQuote,
} from '../../../attestation/tpm2/index.ts'
import { type Swtpm, startSwtpm, swtpmMissing } from '../../support/swtpm.ts'

describe('what is computed here, against a simulated TPM and tpm2-tools', () => {
  let tpm: Swtpm
  let dir: string
  const path = (name: string): string => join(dir, name)
  const read = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(path(name)))

  before(async function () {
    const missing = swtpmMissing() ?? (existsSync('/usr/bin/tpm2_quote') ? undefined : 'not installed: tpm2-tools')
    if (missing !== undefined) {
      console.log(`      skipped: ${missing}`)
      this.skip()
    }
    dir = await mkdtemp(join(tmpdir(), 'holdfast-tpm2-'))
    tpm = await startSwtpm({ banks: ['sha1', 'sha256', 'sha384'] })
  })
  after(async () => {
    await tpm?.stop()
    if (dir !== undefined) await rm(dir, { recursive: true, force: true })
  })
  /** One of tpm2-tools, which leave what they loaded: the simulator has three slots for objects. */
  async function tool(name: string, ...args: string[]): Promise<void> {
    await tpm.tool(name, ...args)
    await tpm.tool('tpm2_flushcontext', '-t')
  }

  /** TPM2_CreatePrimary from a template of ours; what the TPM made of it is compared with what we asked for. */
  async function createPrimary(hierarchy: string, template: RsaPublic | EccPublic, name: string): Promise<Uint8Array> {
    await writeFile(path(`${name}.policy`), template.authPolicy)
    const sym = template.symmetric
    const cipher = sym.alg === 'null' ? 'null' : `${sym.alg}${sym.keyBits}${sym.mode}`
    const { scheme } = template
    const signing = 'hash' in scheme ? `${scheme.alg}-${scheme.hash}` : 'null'
    const kind = template.type === 'rsa' ? `rsa${template.keyBits}` : `ecc${template.curve.slice(2)}`
    const unique = template.type === 'rsa' ? template.unique : eccUnique(template)
    await writeFile(path(`${name}.unique`), unique)
    await tool(
      'tpm2_createprimary',
      ...['-C', hierarchy, '-c', path(`${name}.ctx`), '-g', template.nameAlg, '-G', `${kind}:${signing}:${cipher}`],
      ...['-a', attributeNames(template.attributes).join('|').toLowerCase()],
      ...(template.authPolicy.length > 0 ? ['-L', path(`${name}.policy`)] : []),
      ...(unique.length > 0 ? ['-u', path(`${name}.unique`)] : []),
    )
    await tool('tpm2_readpublic', '-c', path(`${name}.ctx`), '-f', 'tss', '-o', path(`${name}.pub`))
    await tool('tpm2_readpublic', '-c', path(`${name}.ctx`), '-n', path(`${name}.name`))
    const sized = await read(`${name}.pub`)
    const made = decodeSizedPublic(sized)
    assert.deepEqual({ ...made, unique: template.unique }, template)
    assert.deepEqual(encodeSizedPublic(made), sized)
    assert.deepEqual(objectName(sized.slice(2)), await read(`${name}.name`))
    return sized.slice(2)
  }

  const ek = (id: EkTemplate['id']): EkTemplate => {
    const template = EK_TEMPLATES.find((t) => t.id === id)
    assert.ok(template)
    return template
  }

  for (const [id, handle] of [
    ['L-1', '0x81010001'],
    ['H-3', '0x81010016'],
  ] as const) {
    it(`EK template ${id} is that of the key the manufacturer certified`, async () => {
      await tool('tpm2_readpublic', '-c', handle, '-f', 'tss', '-o', path('ek.pub'))
      const made = decodeSizedPublic(await read('ek.pub'))
      assert.deepEqual({ ...made, unique: ek(id).public.unique }, ek(id).public)
    })
  }

  // H-4 and H-6 are beyond what this simulator makes (no P-521, no RSA-3072 by default).
  for (const id of ['L-1', 'L-2', 'H-1', 'H-2', 'H-3'] as const) {
    it(`a credential for an EK of template ${id} is activated, and for another AK is not`, async () => {
      const template = ek(id).public
      const ekPublic = await createPrimary('e', template, `ek-${id}`)
      const akPublic = await createPrimary('e', AK_TEMPLATE_P256, `ak-${id}`)
      const secret = new Uint8Array(randomBytes(hashSize(template.nameAlg)))
      const activate = async (name: Uint8Array): Promise<Uint8Array> => {
        const credential = makeCredential(ekPublic, name, secret, (size) => new Uint8Array(randomBytes(size)))
        const header = Uint8Array.of(0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1) // tpm2-tools' frame around the two TPM2B
        await writeFile(path('credential'), concatBytes(header, credential.idObject, credential.encryptedSecret))
        await tool('tpm2_startauthsession', '--policy-session', '-S', path('session'), '-g', template.nameAlg)
        try {
          await tool('tpm2_policysecret', '-S', path('session'), '-c', 'e')
          await tool(
            'tpm2_activatecredential',
            ...['-c', path(`ak-${id}.ctx`), '-C', path(`ek-${id}.ctx`), '-i', path('credential'), '-o', path('secret')],
            ...(id.startsWith('L') ? ['-P', `session:${path('session')}`] : []),
          )
        } finally {
          await tool('tpm2_flushcontext', path('session'))
        }
        return read('secret')
      }
      assert.deepEqual(await activate(objectName(akPublic)), secret)
      const other = objectName(akPublic).with(33, 0x5a ^ 0xff)
      await assert.rejects(activate(other), /integrity/)
    })
  }

  for (const [what, template] of [
    ['P-256', AK_TEMPLATE_P256],
    ['RSA-2048', AK_TEMPLATE_RSA2048],
  ] as const) {
    it(`a quote of three banks by the ${what} AK template verifies, right under the hierarchy`, async () => {
      const akPublic = await createPrimary('e', template, 'ak')
      await tool('tpm2_pcrextend', `15:sha256=${'ab'.repeat(32)}`)
      const challenge = new Uint8Array(randomBytes(32))
      await tool(
        'tpm2_quote',
        ...[
          '-c',
          path('ak.ctx'),
          '-l',
          'sha1:0,15+sha256:0,7,15+sha384:15',
          '-q',
          Buffer.from(challenge).toString('hex'),
        ],
        ...['-m', path('quote'), '-s', path('sig'), '-o', path('values'), '-F', 'values', '-f', 'tss'],
      )
      const attest = await read('quote')
      const { pcrSelections: selection } = decodeQuoteAttest(attest)
      const raw = await read('values')
      let at = 0
      const claimedValues: PcrValue[] = []
      for (const { bank, pcrs } of selection) {
        for (const pcr of pcrs) {
          claimedValues.push({ bank, pcr, value: raw.slice(at, at + hashSize(bank)) })
          at += hashSize(bank)
        }
      }
      const quote = verifyQuote({
        attest,
        signature: await read('sig'),
        ak: verifyAkPublic(akPublic, { name: await read('ak.name') }),
        expectedExtraData: challenge,
        selection: [
          { bank: 'sha1', pcrs: [0, 15].map(pcrIndex) },
          { bank: 'sha256', pcrs: [0, 7, 15].map(pcrIndex) },
          { bank: 'sha384', pcrs: [15].map(pcrIndex) },
        ],
        required: [{ bank: 'sha256', pcrs: [15].map(pcrIndex) }],
        claimedValues,
        akParent: { hierarchy: TPM_RH_ENDORSEMENT },
      })
      assert.ok(quote.findings.some((f) => f.code === 'QUOTE_BANK_UNUSED' && f.bank === 'sha256'))
    })
  }

  it('the SRK template makes a storage key', async () => {
    await createPrimary('o', SRK_TEMPLATE_P256, 'srk')
  })

  describe('policy sessions come to the same digest', () => {
    /** Runs policy commands in a trial session and gives its digest. */
    async function trial(...commands: readonly (readonly [tool: string, ...args: string[]])[]): Promise<Uint8Array> {
      await tool('tpm2_startauthsession', '-S', path('trial'), '-g', 'sha256')
      try {
        for (const [name, ...args] of commands) await tool(name, '-S', path('trial'), ...args)
        await tool('tpm2_getpolicydigest', '-S', path('trial'), '-o', path('digest'))
      } finally {
        await tool('tpm2_flushcontext', path('trial'))
      }
      return read('digest')
    }
    const start = startPolicy('sha256')
    const u32 = (value: number): Uint8Array => Uint8Array.of(0, 0, 0, value)

    it('PolicySecret, PolicyCommandCode', async () => {
      const expected = start.secret(handleName(TPM_RH_ENDORSEMENT)).commandCode(0x15e)
      assert.deepEqual(
        await trial(['tpm2_policysecret', '-c', 'e'], ['tpm2_policycommandcode', 'TPM2_CC_Unseal']),
        expected.digest,
      )
    })

    it('PolicyCounterTimer on both counters', async () => {
      const expected = start
        .counterTimer(u32(1), TIME_INFO_OFFSET.resetCount, TPM_EO_UNSIGNED_LE)
        .counterTimer(u32(0), TIME_INFO_OFFSET.restartCount, TPM_EO_EQ)
      assert.deepEqual(
        await trial(
          ['tpm2_policycountertimer', '--ule', 'resets=1'],
          ['tpm2_policycountertimer', '--eq', 'restarts=0'],
        ),
        expected.digest,
      )
    })

    it('PolicyPCR, PolicyOR', async () => {
      const selection = [{ bank: 'sha256' as const, pcrs: [pcrIndex(16), pcrIndex(23)] }]
      const values = [16, 23].map((pcr) => ({
        bank: 'sha256' as const,
        pcr: pcrIndex(pcr),
        value: new Uint8Array(32),
      }))
      const pcr = start.pcr(selection, values)
      assert.deepEqual(await trial(['tpm2_policypcr', '-l', 'sha256:16,23']), pcr.digest)
      const other = start.commandCode(0x15e)
      await writeFile(path('a'), pcr.digest)
      await writeFile(path('b'), other.digest)
      const branches = [pcr.digest, other.digest]
      assert.deepEqual(
        await trial(['tpm2_policyor', '-l', `sha256:${path('a')},${path('b')}`]),
        pcr.or(branches).digest,
      )
    })

    it('PolicyNV on a counter, whose Name changes when it is written', async () => {
      const index = '0x1500010'
      await tool('tpm2_nvdefine', index, '-C', 'o', '-a', 'nt=counter|ownerread|ownerwrite|authread|authwrite')
      await tool('tpm2_nvincrement', index, '-C', 'o')
      const nv = nvName({
        index: 0x1500010,
        nameAlg: 'sha256',
        attributes:
          TPMA_NV.NT_COUNTER |
          TPMA_NV.OWNERREAD |
          TPMA_NV.OWNERWRITE |
          TPMA_NV.AUTHREAD |
          TPMA_NV.AUTHWRITE |
          TPMA_NV.WRITTEN,
        authPolicy: new Uint8Array(0),
        dataSizeBytes: 8,
      })
      const operand = new Uint8Array(8).fill(0xff)
      await writeFile(path('operand'), operand)
      const expected = start.nv(operand, 0, TPM_EO_UNSIGNED_LE, nv)
      assert.deepEqual(await trial(['tpm2_policynv', index, 'ule', '-C', 'o', '-i', path('operand')]), expected.digest)
    })
  })
})

/** tpm2_createprimary -u takes TPM-internal fields: each size little-endian in front of its coordinate. */
function eccUnique(template: EccPublic): Uint8Array {
  const { x, y } = template.unique
  if (x.length === 0) return x
  return concatBytes(Uint8Array.of(x.length, 0), x, Uint8Array.of(y.length, 0), y)
}

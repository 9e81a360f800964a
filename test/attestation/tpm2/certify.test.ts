import assert from 'node:assert/strict'
import { concatBytes, fromHex, toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  ATTEST_ERRORS,
  type CertifyCreationInput,
  type CertifyInput,
  type CreationData,
  clearCounters,
  decodeCertifyAttest,
  decodeCreationAttest,
  decodeCreationData,
  decodeNvAttest,
  decodeQuoteAttest,
  decodeTimeAttest,
  encodeCertifyAttest,
  encodeCreationAttest,
  encodeCreationData,
  encodeNvAttest,
  encodePublic,
  encodeSignature,
  type NvCertifyInput,
  type NvPublic,
  nvName,
  objectAttributes,
  objectName,
  pcrDigest,
  pcrIndex,
  QUOTE_ERRORS,
  qualifiedName,
  type SignedAttest,
  TPM_RH_ENDORSEMENT,
  TPM_RH_OWNER,
  TPMA_NV,
  unwrapCreationData,
  verifyAkPublic,
  verifyCertify,
  verifyCertifyCreation,
  verifyNvCertify,
  verifyTime,
} from '../../../attestation/tpm2/index.ts'
import { softwareAk } from '../../support/software-ak.ts'
import { copiedVectors } from '../../support/vectors.ts'

const swtpm = copiedVectors('swtpm')
const publicOf = (path: string): Uint8Array => swtpm.read(`${path}.tpm2b_public`).slice(2)
const ekName = objectName(publicOf('ek/ek-rsa'))
const akParent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, ekName) }

const software = softwareAk()
const ak = verifyAkPublic(software.akPublic, {})
const parent = { hierarchy: TPM_RH_ENDORSEMENT }
const challenge = new Uint8Array(32).fill(0xc5)
const header = {
  qualifiedSigner: qualifiedName(parent, ak.name),
  extraData: challenge,
  clockInfo: { clockMs: 1n, resetCount: 1, restartCount: 0, safe: true },
  firmwareVersion: 1n,
}
const signed = (attest: Uint8Array): SignedAttest => ({
  attest,
  signature: software.sign(attest),
  ak,
  expectedExtraData: challenge,
  akParent: parent,
})
const provoked = new Set<string>()
const refuses = (name: string, code: string, verify: () => unknown): void => {
  provoked.add(code)
  it(`refuses ${name} with ${code}`, () => assert.throws(verify, { name: 'AttestError', code }))
}

describe('verifyCertify', () => {
  const vector = (over: Partial<CertifyInput> = {}): CertifyInput => ({
    attest: swtpm.read('objects/app-certify.attest'),
    signature: swtpm.read('objects/app-certify.sig'),
    ak: verifyAkPublic(publicOf('ak/ak-rsa'), {}),
    expectedExtraData: fromHex('00ff55aa'),
    akParent,
    subjectPublic: publicOf('objects/app'),
    ...over,
  })

  it('verifies a key that swtpm certified, under its storage key', () => {
    const verified = verifyCertify(vector())
    assert.equal(verified.subject.type, 'ecc')
    assert.deepEqual(verified.subjectName, objectName(publicOf('objects/app')))
    // The creation data of a sibling tells the qualified Name of the parent they share.
    const sibling = decodeCreationData(unwrapCreationData(swtpm.read('objects/app2.creation_data')))
    verifyCertify(vector({ subjectParent: { qualifiedName: sibling.parentQualifiedName } }))
  })

  refuses('another key', 'CERTIFY_NAME_MISMATCH', () =>
    verifyCertify(vector({ subjectPublic: publicOf('objects/app2') })),
  )
  refuses('bytes that are no key', 'CERTIFY_KEY_MALFORMED', () =>
    verifyCertify(vector({ subjectPublic: new Uint8Array(9) })),
  )
  refuses('a key under another parent', 'CERTIFY_QUALIFIED_NAME_MISMATCH', () =>
    verifyCertify(vector({ subjectParent: parent })),
  )
  refuses('the answer to another challenge', 'ATTEST_EXTRA_DATA_MISMATCH', () =>
    verifyCertify(vector({ expectedExtraData: fromHex('00ff55ab') })),
  )
  refuses('a quote', 'ATTEST_TYPE', () => verifyCertify(vector({ attest: swtpm.read('quotes/good-rsa-pod.attest') })))
  refuses('the signature of another structure', 'ATTEST_SIGNATURE_INVALID', () =>
    verifyCertify(vector({ signature: swtpm.read('objects/gettime.sig') })),
  )

  const certified = (attributes: number): CertifyInput => {
    const subjectPublic = encodePublic({ ...AK_TEMPLATE_P256, attributes })
    const name = objectName(subjectPublic)
    const attest = encodeCertifyAttest({ ...header, name, qualifiedName: qualifiedName(parent, name) })
    return { ...signed(attest), subjectPublic }
  }
  const RESIDENT = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin'] as const
  for (const [missing, code] of [
    ['fixedTPM', 'CERTIFY_NOT_FIXED_TPM'],
    ['fixedParent', 'CERTIFY_NOT_FIXED_PARENT'],
    ['sensitiveDataOrigin', 'CERTIFY_NOT_TPM_GENERATED'],
  ] as const) {
    const attributes = objectAttributes(...RESIDENT.filter((a) => a !== missing), 'sign')
    refuses(`a key without ${missing}`, code, () => verifyCertify(certified(attributes)))
  }
  for (const [name, attributes] of [
    ['a key for signing and decrypting', objectAttributes(...RESIDENT, 'sign', 'decrypt')],
    ['a key for decrypting', objectAttributes(...RESIDENT, 'decrypt')],
    ['a key for nothing', objectAttributes(...RESIDENT)],
  ] as const) {
    refuses(name, 'CERTIFY_USE', () => verifyCertify(certified(attributes)))
  }

  it('accepts a signing key, and a restricted storage key', () => {
    verifyCertify(certified(objectAttributes(...RESIDENT, 'sign')))
    verifyCertify(certified(objectAttributes(...RESIDENT, 'restricted', 'decrypt')))
  })
})

describe('verifyCertifyCreation', () => {
  const vector = (over: Partial<CertifyCreationInput> = {}): CertifyCreationInput => ({
    attest: swtpm.read('objects/app2-certifycreation.attest'),
    signature: swtpm.read('objects/app2-certifycreation.sig'),
    ak: verifyAkPublic(publicOf('ak/ak-rsa'), {}),
    expectedExtraData: fromHex(swtpm.text('quotes/nonce.hex').trim()),
    akParent,
    subjectPublic: publicOf('objects/app2'),
    creationData: unwrapCreationData(swtpm.read('objects/app2.creation_data')),
    ...over,
  })

  it('verifies an object that swtpm made, and how', () => {
    const { creation, subjectName } = verifyCertifyCreation(vector())
    assert.equal(creation.locality, 1)
    assert.deepEqual(creation.pcrSelections, [])
    assert.deepEqual(subjectName, objectName(publicOf('objects/app2')))
    const { creationHash } = decodeCreationAttest(swtpm.read('objects/app2-certifycreation.attest'))
    assert.deepEqual(creationHash, swtpm.read('objects/app2.creation_hash').slice(2))
    verifyCertifyCreation(vector({ pcrsAtCreation: { selection: [], values: [] } }))
  })

  const data: CreationData = {
    pcrSelections: [{ bank: 'sha256', pcrs: [pcrIndex(15)] }],
    pcrDigest: digest('sha256', new Uint8Array(32).fill(1)),
    locality: 1,
    parentNameAlg: 'null',
    parentName: new Uint8Array(4),
    parentQualifiedName: new Uint8Array(4),
    outsideInfo: new Uint8Array(0),
  }
  const made = (creationData: Uint8Array, over: Partial<CertifyCreationInput> = {}): CertifyCreationInput => {
    const subjectPublic = encodePublic(AK_TEMPLATE_P256)
    const attest = encodeCreationAttest({
      ...header,
      objectName: objectName(subjectPublic),
      creationHash: digest('sha256', creationData),
    })
    return { ...signed(attest), subjectPublic, creationData, ...over }
  }
  const state = (pcr: number, fill: number) => ({
    selection: [{ bank: 'sha256' as const, pcrs: [pcrIndex(pcr)] }],
    values: [{ bank: 'sha256' as const, pcr: pcrIndex(pcr), value: new Uint8Array(32).fill(fill) }],
  })

  it('holds the object to the registers in which it must have been made', () => {
    verifyCertifyCreation(made(encodeCreationData(data), { pcrsAtCreation: state(15, 1) }))
  })

  refuses('another object', 'CERTIFY_NAME_MISMATCH', () =>
    verifyCertifyCreation(vector({ subjectPublic: publicOf('objects/app') })),
  )
  refuses('other creation data', 'CREATION_HASH_MISMATCH', () =>
    verifyCertifyCreation(vector({ creationData: new Uint8Array(80) })),
  )
  refuses('creation data that is none', 'CREATION_DATA_MALFORMED', () => verifyCertifyCreation(made(new Uint8Array(3))))
  refuses('other values in the registers', 'CREATION_PCR_MISMATCH', () =>
    verifyCertifyCreation(made(encodeCreationData(data), { pcrsAtCreation: state(15, 2) })),
  )
  refuses('other registers', 'CREATION_PCR_MISMATCH', () =>
    verifyCertifyCreation(made(encodeCreationData(data), { pcrsAtCreation: state(14, 1) })),
  )

  it('takes expected values that are not those of their selection for our own mistake', () => {
    const pcrsAtCreation = { ...state(15, 1), values: [] }
    assert.throws(() => verifyCertifyCreation(made(encodeCreationData(data), { pcrsAtCreation })), RangeError)
    assert.throws(() => pcrDigest('sha256', pcrsAtCreation.selection, []), RangeError)
  })
})

describe('verifyNvCertify', () => {
  const EXTEND_INDEX: NvPublic = {
    index: 0x01d10210,
    nameAlg: 'sha256',
    attributes: 0x20060046,
    authPolicy: new Uint8Array(0),
    dataSizeBytes: 32,
  }
  const vector = (over: Partial<NvCertifyInput> = {}): NvCertifyInput => ({
    attest: swtpm.read('nv/nvpcr-certify.attest'),
    signature: encodeSignature({ alg: 'rsassa', hash: 'sha256', sig: swtpm.read('nv/nvpcr-certify.sig') }),
    ak: verifyAkPublic(publicOf('ak/ak-rsa'), {}),
    expectedExtraData: fromHex(swtpm.text('quotes/nonce.hex').trim()),
    akParent,
    nvPublic: EXTEND_INDEX,
    ...over,
  })
  const certified = (nvPublic: NvPublic, offset: number, contents: Uint8Array): NvCertifyInput => ({
    ...signed(encodeNvAttest({ ...header, indexName: nvName(nvPublic), offset, contents })),
    nvPublic,
  })

  it('verifies an extend index that swtpm certified', () => {
    assert.match(swtpm.text('nv/nvpcr.public.yaml'), new RegExp(`name: ${toHex(nvName(EXTEND_INDEX))}`))
    assert.deepEqual(verifyNvCertify(vector()).contents, swtpm.read('nv/nvpcr.value'))
  })

  refuses('an index with other attributes', 'NV_NAME_MISMATCH', () =>
    verifyNvCertify(
      vector({ nvPublic: { ...EXTEND_INDEX, attributes: EXTEND_INDEX.attributes | TPMA_NV.CLEAR_STCLEAR } }),
    ),
  )
  const unwritten = { ...EXTEND_INDEX, attributes: EXTEND_INDEX.attributes & ~TPMA_NV.WRITTEN }
  refuses('an index that was never written', 'NV_NOT_WRITTEN', () =>
    verifyNvCertify(certified(unwritten, 0, new Uint8Array(32))),
  )
  refuses('a part of the index', 'NV_PARTIAL', () => verifyNvCertify(certified(EXTEND_INDEX, 0, new Uint8Array(31))))
  refuses('the end of the index', 'NV_PARTIAL', () => verifyNvCertify(certified(EXTEND_INDEX, 1, new Uint8Array(32))))
  refuses('a changed byte', 'ATTEST_SIGNATURE_INVALID', () => {
    const attest = swtpm.read('nv/nvpcr-certify.attest')
    attest[attest.length - 1] = (attest[attest.length - 1] as number) ^ 1
    return verifyNvCertify(vector({ attest }))
  })
})

describe('verifyTime', () => {
  const dir = 'owner-gettime'
  const expected = JSON.parse(swtpm.text(`${dir}/expected.json`))
  const vector = (over: Partial<SignedAttest> = {}): SignedAttest => ({
    attest: swtpm.read(`${dir}/gettime.attest`),
    signature: swtpm.read(`${dir}/gettime.sig`),
    ak: verifyAkPublic(publicOf(`${dir}/ak`), {}),
    expectedExtraData: fromHex(expected.gettime.extraData),
    ...over,
  })

  it('finds what a TPM adds to the counters of a key of its owner', () => {
    const verified = verifyTime(vector())
    assert.deepEqual(verified.addend, {
      resetCount: expected.reset_offset,
      restartCount: expected.restart_offset,
      firmwareVersion: BigInt(expected.fw_offset),
    })
    const { attested_time: body } = expected.gettime
    assert.equal(verified.firmwareVersion, BigInt(body.firmwareVersion))
    assert.equal(verified.time.timeMs, BigInt(body.time))
    assert.equal(verified.time.clockInfo.resetCount, body.resetCount)
  })

  it('reads the true counters of later quotes by that key, over a reboot too', () => {
    const { addend, firmwareVersion } = verifyTime(vector())
    const same = clearCounters(decodeQuoteAttest(swtpm.read(`${dir}/quote.attest`)), addend)
    assert.deepEqual([same.clockInfo.resetCount, same.clockInfo.restartCount], [1, 0])
    assert.equal(same.firmwareVersion, firmwareVersion)
    const next = clearCounters(decodeQuoteAttest(swtpm.read(`${dir}/quote-next-boot.attest`)), addend)
    assert.deepEqual([next.clockInfo.resetCount, next.clockInfo.restartCount], [2, 0])
    assert.equal(next.firmwareVersion, firmwareVersion)
  })

  it('finds nothing added for a key of the endorsement hierarchy', () => {
    const input = {
      attest: swtpm.read('objects/gettime.attest'),
      signature: swtpm.read('objects/gettime.sig'),
      ak: verifyAkPublic(publicOf('ak/ak-rsa'), {}),
      expectedExtraData: fromHex(swtpm.text('quotes/nonce.hex').trim()),
      akParent,
    }
    assert.deepEqual(verifyTime(input).addend, { resetCount: 0, restartCount: 0, firmwareVersion: 0n })
  })

  refuses('the answer to another challenge', 'ATTEST_EXTRA_DATA_MISMATCH', () =>
    verifyTime(vector({ expectedExtraData: fromHex('aabc') })),
  )
  refuses('a quote', 'ATTEST_TYPE', () => verifyTime(vector({ attest: swtpm.read(`${dir}/quote.attest`) })))
  refuses('a key of the owner where the endorsement hierarchy is expected', 'ATTEST_SIGNER_MISMATCH', () =>
    verifyTime(vector({ akParent: parent })),
  )
  refuses("another structure's signature", 'ATTEST_SIGNATURE_INVALID', () =>
    verifyTime(vector({ signature: swtpm.read(`${dir}/quote.sig`) })),
  )
})

describe('attest structures of each kind', () => {
  it('provoke each code that is not of a quote somewhere above', () => {
    const quoteCodes = new Set(Object.keys(QUOTE_ERRORS))
    for (const code of Object.keys(ATTEST_ERRORS)) assert.ok(quoteCodes.has(code) || provoked.has(code), code)
  })

  const decoders = {
    'objects/app-certify': decodeCertifyAttest,
    'objects/app2-certifycreation': decodeCreationAttest,
    'objects/gettime': decodeTimeAttest,
    'nv/nvpcr-certify': decodeNvAttest,
  }
  for (const [path, decode] of Object.entries(decoders)) {
    it(`refuse every strict prefix of ${path}, and every other decoder refuses it whole`, () => {
      const attest = swtpm.read(`${path}.attest`)
      decode(attest)
      for (let size = 0; size < attest.length; size++) {
        assert.throws(() => decode(attest.slice(0, size)), { name: 'WireError' }, `${size} bytes`)
      }
      assert.throws(() => decode(concatBytes(attest, Uint8Array.of(0))), { code: 'WIRE_TRAILING_BYTES' })
      for (const other of Object.values(decoders)) {
        if (other !== decode) assert.throws(() => other(attest), { code: 'WIRE_BAD_VALUE', field: 'type' })
      }
    })
  }

  it('tell keys of the owner from keys of the endorsement hierarchy by qualifiedSigner', () => {
    const { qualifiedSigner } = decodeQuoteAttest(swtpm.read('owner-gettime/quote.attest'))
    const { name } = verifyAkPublic(publicOf('owner-gettime/ak'), {})
    assert.notDeepEqual(qualifiedSigner, qualifiedName({ hierarchy: TPM_RH_OWNER }, name), 'it is under a storage key')
    assert.notDeepEqual(qualifiedSigner, qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, name))
  })
})

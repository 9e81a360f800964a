import assert from 'node:assert/strict'
import { concatBytes } from '../../../attestation/base/index.ts'
import { digest, hashSize } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  type ClaimedQuote,
  decodeSignature,
  encodeQuoteAttest,
  encodeSignature,
  MAX_ATTEST_BYTES,
  MAX_SIGNATURE_BYTES,
  type PcrSelection,
  type PcrValue,
  pcrDigest,
  pcrIndex,
  provenPcr,
  QUOTE_ERRORS,
  type QualifiedParent,
  type QuoteInput,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  TPM_RH_OWNER,
  verifyAkPublic,
  verifyQuote,
  verifyQuoteInPool,
} from '../../../attestation/tpm2/index.ts'
import { fixedRsaAk, type SoftwareAk, softwareAk } from '../../support/software-ak.ts'

type Bank = PcrSelection['bank']
const select = (bank: Bank, ...pcrs: number[]): PcrSelection => ({ bank, pcrs: pcrs.map(pcrIndex) })
const valuesOf = (...selections: PcrSelection[]): PcrValue[] =>
  selections.flatMap(({ bank, pcrs }) =>
    pcrs.map((pcr) => ({ bank, pcr, value: new Uint8Array(hashSize(bank)).fill(pcr + 1) })),
  )

const software = softwareAk()
const ak = verifyAkPublic(software.akPublic, {})
const parent: QualifiedParent = { hierarchy: TPM_RH_ENDORSEMENT }
const challenge = new Uint8Array(32).fill(0xc5)
const asked = [select('sha256', 0, 7, 15)]
const good: ClaimedQuote = {
  qualifiedSigner: qualifiedName(parent, ak.name),
  extraData: challenge,
  clockInfo: { clockMs: 5000n, resetCount: 3, restartCount: 1, safe: true },
  firmwareVersion: 0x2019102300163636n,
  pcrSelections: asked,
  pcrDigest: pcrDigest('sha256', asked, valuesOf(...asked)),
}

/** A quote signed by the software AK: of `claims` over the good one, or of `bytes` as they are. */
function quoteOf(change: {
  readonly claims?: Partial<ClaimedQuote>
  readonly bytes?: (good: Uint8Array) => Uint8Array
  readonly signature?: (good: Uint8Array) => Uint8Array
  readonly input?: Partial<QuoteInput>
}): QuoteInput {
  const encoded = encodeQuoteAttest({ ...good, ...change.claims })
  const attest = change.bytes?.(encoded) ?? encoded
  const signature = change.signature?.(software.sign(attest)) ?? software.sign(attest)
  const claimedValues = valuesOf(...(change.claims?.pcrSelections ?? asked))
  return {
    attest,
    signature,
    ak,
    expectedExtraData: challenge,
    selection: asked,
    required: asked,
    claimedValues,
    akParent: parent,
    ...change.input,
  }
}

/** Quoted and asked for alike, with the right digest. */
const about = (...selections: PcrSelection[]) => ({
  claims: {
    pcrSelections: selections,
    pcrDigest: digest('sha256', ...valuesOf(...selections).map((v) => v.value)),
  },
  input: { selection: selections, required: [] as PcrSelection[], claimedValues: valuesOf(...selections) },
})
const set =
  (at: number, ...values: number[]) =>
  (bytes: Uint8Array): Uint8Array => {
    const out = Uint8Array.from(bytes)
    out.set(values, at)
    return out
  }
const more = (bytes: Uint8Array): Uint8Array => concatBytes(bytes, Uint8Array.of(0))
// The selection begins 2 + 32 bytes of digest and 10 bytes of list before the end: count, hash, sizeofSelect, bitmap.
const SELECTION_FROM_END = 34 + 10
const [first, second, third] = valuesOf(...asked) as [PcrValue, PcrValue, PcrValue] // three are selected

const refused: readonly { name: string; quote: QuoteInput; code: string }[] = [
  {
    name: 'an attest structure too large',
    quote: quoteOf({ bytes: () => new Uint8Array(MAX_ATTEST_BYTES + 1) }),
    code: 'ATTEST_TOO_LARGE',
  },
  {
    name: 'a signature too large',
    quote: quoteOf({ signature: () => new Uint8Array(MAX_SIGNATURE_BYTES + 1) }),
    code: 'ATTEST_TOO_LARGE',
  },
  { name: 'no attest structure', quote: quoteOf({ bytes: () => new Uint8Array(0) }), code: 'ATTEST_MALFORMED' },
  { name: 'a cut one', quote: quoteOf({ bytes: (b) => b.slice(0, -1) }), code: 'ATTEST_MALFORMED' },
  {
    name: 'a clock that is neither safe nor not',
    quote: quoteOf({ bytes: (b) => set(b.length - SELECTION_FROM_END - 9, 2)(b) }),
    code: 'ATTEST_MALFORMED',
  },
  { name: 'a byte after the attest structure', quote: quoteOf({ bytes: more }), code: 'ATTEST_TRAILING_BYTES' },
  { name: 'a byte after the signature', quote: quoteOf({ signature: more }), code: 'ATTEST_TRAILING_BYTES' },
  { name: 'another magic, though the AK signed it', quote: quoteOf({ bytes: set(0, 0) }), code: 'ATTEST_MAGIC' },
  { name: 'a certified key instead of a quote', quote: quoteOf({ bytes: set(5, 0x17) }), code: 'ATTEST_TYPE' },
  { name: 'no signature', quote: quoteOf({ signature: () => new Uint8Array(0) }), code: 'ATTEST_SIGNATURE_MALFORMED' },
  { name: 'a cut signature', quote: quoteOf({ signature: (s) => s.slice(0, -1) }), code: 'ATTEST_SIGNATURE_MALFORMED' },
  { name: 'an HMAC as signature', quote: quoteOf({ signature: set(0, 0x00, 0x05) }), code: 'ATTEST_SCHEME_UNKNOWN' },
  { name: 'an ECDAA signature', quote: quoteOf({ signature: set(0, 0x00, 0x1a) }), code: 'ATTEST_SCHEME_UNKNOWN' },
  { name: 'a signature over SM3', quote: quoteOf({ signature: set(2, 0x00, 0x12) }), code: 'ATTEST_HASH_UNKNOWN' },
  { name: 'a signature over SHA-1', quote: quoteOf({ signature: set(2, 0x00, 0x04) }), code: 'ATTEST_HASH_WEAK' },
  {
    name: 'a signature over another hash than the AK has',
    quote: quoteOf({ signature: set(2, 0x00, 0x0c) }),
    code: 'ATTEST_HASH_MISMATCH',
  },
  {
    name: 'an RSA signature for an ECC key',
    quote: quoteOf({ signature: () => encodeSignature({ alg: 'rsassa', hash: 'sha256', sig: new Uint8Array(256) }) }),
    code: 'ATTEST_SCHEME_MISMATCH',
  },
  {
    name: "another key's signature",
    quote: quoteOf({ input: { ak: verifyAkPublic(softwareAk().akPublic, {}), akParent: parent }, claims: {} }),
    code: 'ATTEST_SIGNER_MISMATCH',
  },
  {
    name: 'a signature over other bytes',
    quote: quoteOf({ signature: () => software.sign(new Uint8Array(8)) }),
    code: 'ATTEST_SIGNATURE_INVALID',
  },
  {
    name: 'r and s of zero',
    quote: quoteOf({
      signature: () => encodeSignature({ alg: 'ecdsa', hash: 'sha256', r: new Uint8Array(32), s: new Uint8Array(0) }),
    }),
    code: 'ATTEST_SIGNATURE_INVALID',
  },
  {
    name: 'a quote without a challenge',
    quote: quoteOf({ claims: { extraData: new Uint8Array(0) } }),
    code: 'ATTEST_EXTRA_DATA_EMPTY',
  },
  {
    name: 'a quote without a challenge though none was expected',
    quote: quoteOf({ claims: { extraData: new Uint8Array(0) }, input: { expectedExtraData: new Uint8Array(0) } }),
    code: 'ATTEST_EXTRA_DATA_EMPTY',
  },
  {
    name: 'a challenge padded with zeros',
    quote: quoteOf({ claims: { extraData: concatBytes(challenge, new Uint8Array(32)) } }),
    code: 'ATTEST_EXTRA_DATA_LENGTH',
  },
  {
    name: 'a challenge cut short',
    quote: quoteOf({ claims: { extraData: challenge.slice(1) } }),
    code: 'ATTEST_EXTRA_DATA_LENGTH',
  },
  {
    name: 'the answer to another challenge',
    quote: quoteOf({ claims: { extraData: new Uint8Array(32) } }),
    code: 'ATTEST_EXTRA_DATA_MISMATCH',
  },
  {
    name: 'a quote of the null hierarchy, which names no signer',
    quote: quoteOf({ claims: { qualifiedSigner: new Uint8Array(0) } }),
    code: 'ATTEST_SIGNER_UNQUALIFIED',
  },
  {
    name: 'the bare Name as qualifiedSigner',
    quote: quoteOf({ claims: { qualifiedSigner: ak.name } }),
    code: 'ATTEST_SIGNER_UNQUALIFIED',
  },
  {
    name: 'a qualifiedSigner of another hash',
    quote: quoteOf({ claims: { qualifiedSigner: new Uint8Array(50) } }),
    code: 'ATTEST_SIGNER_UNQUALIFIED',
  },
  {
    name: 'a key that hangs elsewhere',
    quote: quoteOf({ claims: { qualifiedSigner: qualifiedName({ hierarchy: TPM_RH_OWNER }, ak.name) } }),
    code: 'ATTEST_SIGNER_MISMATCH',
  },
  {
    name: 'a bitmap of two bytes',
    quote: quoteOf({ bytes: (b) => set(b.length - SELECTION_FROM_END + 6, 2)(b) }),
    code: 'QUOTE_SELECTION_FORM',
  },
  {
    name: 'a bank of SM3',
    quote: quoteOf({ bytes: (b) => set(b.length - SELECTION_FROM_END + 4, 0, 0x12)(b) }),
    code: 'QUOTE_BANK_UNKNOWN',
  },
  { name: 'a quote of nothing', quote: quoteOf(about()), code: 'QUOTE_SELECTION_EMPTY' },
  {
    name: 'a bank without registers',
    quote: quoteOf(about(select('sha256', 0), select('sha384'))),
    code: 'QUOTE_SELECTION_EMPTY',
  },
  {
    name: 'a bank too many',
    quote: quoteOf({ claims: { pcrSelections: [...asked, select('sha384', 0)] } }),
    code: 'QUOTE_SELECTION_COUNT',
  },
  {
    name: 'another bank',
    quote: quoteOf({ claims: { pcrSelections: [select('sha384', 0, 7, 15)] } }),
    code: 'QUOTE_SELECTION_BANK',
  },
  {
    name: 'banks in another order',
    quote: quoteOf({
      claims: { pcrSelections: [select('sha384', 0), select('sha256', 0)] },
      input: { selection: [select('sha256', 0), select('sha384', 0)] },
    }),
    code: 'QUOTE_SELECTION_ORDER',
  },
  {
    name: 'a register less',
    quote: quoteOf({ claims: { pcrSelections: [select('sha256', 0, 7)] } }),
    code: 'QUOTE_SELECTION_BITMAP',
  },
  {
    name: 'a register more',
    quote: quoteOf({ claims: { pcrSelections: [select('sha256', 0, 1, 7, 15)] } }),
    code: 'QUOTE_SELECTION_BITMAP',
  },
  {
    name: 'another register',
    quote: quoteOf({ claims: { pcrSelections: [select('sha256', 0, 7, 14)] } }),
    code: 'QUOTE_SELECTION_BITMAP',
  },
  { name: 'nothing but SHA-1', quote: quoteOf(about(select('sha1', 0, 7))), code: 'QUOTE_BANK_WEAK' },
  {
    name: 'a policy that reads SHA-1 registers',
    quote: quoteOf({
      ...about(select('sha1', 0), select('sha256', 0)),
      input: { ...about(select('sha1', 0), select('sha256', 0)).input, required: [select('sha1', 0)] },
    }),
    code: 'QUOTE_BANK_WEAK',
  },
  {
    name: 'a policy that reads what was not quoted',
    quote: quoteOf({ input: { required: [select('sha256', 4)] } }),
    code: 'QUOTE_PCR_NOT_SELECTED',
  },
  {
    name: 'a policy that reads a bank not quoted',
    quote: quoteOf({ input: { required: [select('sha384', 0)] } }),
    code: 'QUOTE_PCR_NOT_SELECTED',
  },
  ...[16, 23].map((pcr) => ({
    name: `a policy that reads PCR ${pcr}`,
    quote: quoteOf({
      ...about(select('sha256', pcr)),
      input: { ...about(select('sha256', pcr)).input, required: [select('sha256', pcr)] },
    }),
    code: 'QUOTE_PCR_RESETTABLE',
  })),
  ...[17, 18, 19, 20, 21, 22].map((pcr) => ({
    name: `a policy that reads PCR ${pcr}`,
    quote: quoteOf({
      ...about(select('sha256', pcr)),
      input: { ...about(select('sha256', pcr)).input, required: [select('sha256', pcr)] },
    }),
    code: 'QUOTE_PCR_DRTM',
  })),
  {
    name: 'a value missing',
    quote: quoteOf({ input: { claimedValues: [first, second] } }),
    code: 'QUOTE_PCR_VALUE_MISSING',
  },
  { name: 'no values', quote: quoteOf({ input: { claimedValues: [] } }), code: 'QUOTE_PCR_VALUE_MISSING' },
  {
    name: 'a value twice',
    quote: quoteOf({ input: { claimedValues: [first, second, third, first] } }),
    code: 'QUOTE_PCR_VALUE_DUPLICATE',
  },
  {
    name: 'a value that nothing proves',
    quote: quoteOf({ input: { claimedValues: [first, second, third, ...valuesOf(select('sha256', 8))] } }),
    code: 'QUOTE_PCR_VALUE_UNSELECTED',
  },
  {
    name: 'a value of another size',
    quote: quoteOf({ input: { claimedValues: [first, second, { ...third, value: new Uint8Array(48) }] } }),
    code: 'QUOTE_PCR_VALUE_SIZE',
  },
  {
    name: 'a bit that moved from one value to the next',
    quote: quoteOf({ input: { claimedValues: [{ ...first, value: first.value.with(31, 2) }, second, third] } }),
    code: 'QUOTE_PCR_DIGEST_MISMATCH',
  },
  {
    name: "a digest by the bank's hash instead of the scheme's",
    quote: quoteOf({
      ...about(select('sha384', 0)),
      claims: {
        pcrSelections: [select('sha384', 0)],
        pcrDigest: digest('sha384', ...valuesOf(select('sha384', 0)).map((v) => v.value)),
      },
    }),
    code: 'QUOTE_PCR_DIGEST_MISMATCH',
  },
  {
    name: 'values of registers swapped',
    quote: quoteOf({
      input: { claimedValues: [{ ...first, value: second.value }, { ...second, value: first.value }, third] },
    }),
    code: 'QUOTE_PCR_DIGEST_MISMATCH',
  },
]

describe('verifyQuote', () => {
  for (const { name, quote, code } of refused) {
    it(`refuses ${name} with ${code}`, async () => {
      assert.throws(() => verifyQuote(quote), { name: 'AttestError', code })
      await assert.rejects(verifyQuoteInPool(quote), { name: 'AttestError', code })
    })
  }

  it('provokes each code somewhere above', () => {
    assert.deepEqual([...new Set(refused.map((r) => r.code))].sort(), Object.keys(QUOTE_ERRORS).sort())
  })

  it('gives what the TPM vouched for, and nothing that changes with the buffers it came in', () => {
    const input = quoteOf({})
    const quote = verifyQuote(input)
    const proven = structuredClone({ ...quote })
    for (const v of input.claimedValues) v.value.fill(0xee)
    input.attest.fill(0)
    assert.deepEqual({ ...quote }, proven)
    assert.deepEqual(quote.clockInfo, good.clockInfo)
    assert.equal(quote.firmwareVersion, good.firmwareVersion)
    assert.deepEqual(quote.akName, ak.name)
    assert.deepEqual(provenPcr(quote, 'sha256', pcrIndex(7)), new Uint8Array(32).fill(8))
    assert.equal(provenPcr(quote, 'sha256', pcrIndex(8)), undefined)
    assert.equal(provenPcr(quote, 'sha384', pcrIndex(7)), undefined)
    assert.deepEqual(quote.findings, [])
  })

  it('takes values in any order and gives them in the order of the selection', () => {
    const quote = verifyQuote(quoteOf({ input: { claimedValues: [third, first, second] } }))
    assert.deepEqual(
      quote.pcrs.map((v) => v.pcr),
      [0, 7, 15],
    )
  })

  it('checks only the form of qualifiedSigner where the parent is not known', () => {
    const { akParent: _, ...input } = quoteOf({
      claims: { qualifiedSigner: qualifiedName({ hierarchy: TPM_RH_OWNER }, ak.name) },
    })
    verifyQuote(input)
  })

  it('finds an unused bank, a SHA-1 bank and an unsafe clock, and still accepts', () => {
    const selections = [select('sha1', 0), select('sha256', 0, 1, 7), select('sha384', 0, 15)]
    const claimedValues = valuesOf(...selections).map((v) =>
      v.bank === 'sha384' && v.pcr === 0 ? { ...v, value: new Uint8Array(48) } : v,
    )
    const quote = verifyQuote(
      quoteOf({
        claims: {
          pcrSelections: selections,
          pcrDigest: pcrDigest('sha256', selections, claimedValues),
          clockInfo: { ...good.clockInfo, safe: false },
        },
        input: { selection: selections, required: [select('sha256', 0)], claimedValues },
      }),
    )
    assert.deepEqual(quote.findings, [
      { code: 'QUOTE_BANK_UNUSED', bank: 'sha384' },
      { code: 'QUOTE_BANK_SHA1' },
      { code: 'QUOTE_CLOCK_UNSAFE' },
    ])
  })

  const templates = [
    ...(['sha256', 'sha384', 'sha512'] as const).flatMap((hash) => [
      ...(['P-256', 'P-384', 'P-521'] as const).map((curve) => ({
        name: `ECDSA over ${curve} with ${hash}`,
        template: { ...AK_TEMPLATE_P256, curve, scheme: { alg: 'ecdsa', hash } as const },
      })),
      ...(['rsassa', 'rsapss'] as const).map((alg) => ({
        name: `${alg} with ${hash}`,
        template: { ...AK_TEMPLATE_RSA2048, scheme: { alg, hash } as const },
      })),
    ]),
  ]
  for (const { name, template } of templates) {
    it(`accepts ${name}, with the PCR digest in that hash`, () => {
      const key: SoftwareAk = softwareAk(template)
      const verified = verifyAkPublic(key.akPublic, {})
      const attest = encodeQuoteAttest({
        ...good,
        qualifiedSigner: qualifiedName(parent, verified.name),
        pcrDigest: pcrDigest(template.scheme.hash, asked, valuesOf(...asked)),
      })
      const input = { ...quoteOf({}), attest, signature: key.sign(attest), ak: verified }
      verifyQuote(input)
      assert.throws(() => verifyQuote({ ...input, signature: key.sign(attest.slice(1)) }), {
        code: 'ATTEST_SIGNATURE_INVALID',
      })
    })
  }

  it('accepts ECDSA numbers with zeros in front, and without', () => {
    for (let i = 0; i < 300; i++) {
      const input = quoteOf({})
      const signature = decodeSignature(input.signature)
      assert.equal(signature.alg, 'ecdsa')
      const { hash, r, s } = signature
      const zeros = new Uint8Array(i % 3)
      const shortest = (n: Uint8Array): Uint8Array => n.slice(n.findIndex((b) => b !== 0))
      const padded = { alg: 'ecdsa', hash, r: concatBytes(zeros, r), s: concatBytes(zeros, s) } as const
      verifyQuote({ ...input, signature: encodeSignature(padded) })
      const bare = { alg: 'ecdsa', hash, r: shortest(r), s: shortest(s) } as const
      verifyQuote({ ...input, signature: encodeSignature(bare) })
      if (r[0] === 0 || s[0] === 0) break // seldom: about 1 in 128
    }
  })

  it('refuses an RSA signature of another scheme than the key has', () => {
    const key = fixedRsaAk()
    const verified = verifyAkPublic(key.akPublic, {})
    const attest = encodeQuoteAttest({ ...good, qualifiedSigner: qualifiedName(parent, verified.name) })
    const signature = key.sign(attest)
    const input = { ...quoteOf({}), attest, signature, ak: verified }
    verifyQuote(input)
    assert.throws(() => verifyQuote({ ...input, signature: set(0, 0x00, 0x16)(signature) }), {
      code: 'ATTEST_SCHEME_MISMATCH',
    })
  })
})

import assert from 'node:assert/strict'
import { equalBytes, fromHex, toHex, utf8 } from '../../../attestation/base/index.ts'
import { ecdsaDer, hashSize, importSpki, verifySignature } from '../../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_RSA2048,
  decodePublic,
  decodeQuoteAttest,
  decodeSignature,
  decodeSizedPublic,
  encodePublic,
  encodeSignature,
  hashFromId,
  objectName,
  type PcrSelection,
  type PcrValue,
  pcrIndex,
  publicKeyOf,
  type QualifiedParent,
  type QuoteInput,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  verifyAkPublic,
  verifyQuote,
  verifyQuoteInPool,
  WireError,
} from '../../../attestation/tpm2/index.ts'
import { copiedVectors, externalVectors, skipWithoutVectors, type VectorSet } from '../../support/vectors.ts'

/**
 * tpm2_quote -F serialized: the C structures TPML_PCR_SELECTION, a count, and that many TPML_DIGEST,
 * little-endian. Other bytes are given back as they are: raw values.
 */
function valuesOfSerialized(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 136 || (bytes.length - 136) % 532 !== 0) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const lists = view.getUint32(132, true)
  const values: number[] = []
  for (let l = 0; l < lists; l++) {
    const list = 136 + l * 532
    for (let d = 0; d < view.getUint32(list, true); d++) {
      const at = list + 4 + d * 66
      values.push(...bytes.subarray(at + 2, at + 2 + view.getUint16(at, true)))
    }
  }
  return Uint8Array.from(values)
}

/** Values as tpm2_quote writes them, one after another in selection order. */
function splitValues(selections: readonly PcrSelection[], file: Uint8Array): readonly PcrValue[] {
  const raw = valuesOfSerialized(file)
  let at = 0
  const values: PcrValue[] = []
  for (const { bank, pcrs } of selections) {
    for (const pcr of pcrs) {
      values.push({ bank, pcr, value: raw.slice(at, at + hashSize(bank)) })
      at += hashSize(bank)
    }
  }
  assert.equal(at, raw.length, 'the file has exactly the selected values')
  return values
}

/** Whatever the quote selects, as if the verifier had asked for it and read all of it that may be read. */
function inputFor(
  attest: Uint8Array,
  signature: Uint8Array,
  akPublic: Uint8Array,
  nonce: Uint8Array,
  values: Uint8Array | readonly PcrValue[],
  akParent?: QualifiedParent,
): QuoteInput {
  const selection = decodeQuoteAttest(attest).pcrSelections
  const readable = selection
    .filter((s) => s.bank !== 'sha1')
    .map(({ bank, pcrs }) => ({ bank, pcrs: pcrs.filter((p) => p <= 15) }))
  return {
    attest,
    signature,
    ak: verifyAkPublic(akPublic, {}),
    expectedExtraData: nonce,
    selection,
    required: readable,
    claimedValues: values instanceof Uint8Array ? splitValues(selection, values) : values,
    ...(akParent === undefined ? {} : { akParent }),
  }
}

/** By the port alone: what a verifier that forgets every other check would do. */
function isSignedBy(akPublic: Uint8Array, signature: Uint8Array, attest: Uint8Array): boolean {
  const { alg, hash, ...rest } = decodeSignature(signature)
  const key = publicKeyOf(decodePublic(akPublic))
  if (hash === 'sha1' || (key.kind === 'ec') !== (alg === 'ecdsa')) return false
  const bytes = 'r' in rest ? ecdsaDer(rest.r, rest.s) : rest.sig
  return verifySignature(key, { alg, hash, bytes }, attest)
}

/** Every way of changing an accepted quote by a byte, or cutting it, is refused with a code. */
function refusesEveryChange(input: QuoteInput): void {
  const refused = (changed: QuoteInput, what: string): void => {
    assert.throws(() => verifyQuote(changed), { name: 'AttestError' }, what)
  }
  const flips = (bytes: Uint8Array, use: (changed: Uint8Array) => QuoteInput, what: string): void => {
    for (let i = 0; i < bytes.length; i++) {
      const changed = Uint8Array.from(bytes)
      changed[i] = (changed[i] as number) ^ (1 << (i % 8))
      refused(use(changed), `${what} with byte ${i} changed`)
      refused(use(bytes.slice(0, i)), `${what} cut to ${i} bytes`)
    }
    refused(use(Uint8Array.of(...bytes, 0)), `${what} with a byte more`)
  }
  flips(input.attest, (attest) => ({ ...input, attest }), 'attest')
  flips(input.signature, (signature) => ({ ...input, signature }), 'signature')
  flips(input.expectedExtraData, (expectedExtraData) => ({ ...input, expectedExtraData }), 'challenge')
  for (const [i, v] of input.claimedValues.entries()) {
    const value = Uint8Array.from(v.value)
    value[i % value.length] = (value[i % value.length] as number) ^ 1
    refused(
      { ...input, claimedValues: input.claimedValues.with(i, { ...v, value }) },
      `value ${v.bank}:${v.pcr} changed`,
    )
  }
}

function refusesEveryPrefix(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  for (let size = 0; size < bytes.length; size++) {
    assert.throws(() => decode(bytes.slice(0, size)), WireError, `first ${size} bytes`)
  }
}

describe('quotes of swtpm', () => {
  const set = copiedVectors('swtpm')
  const refusals: Readonly<Record<string, string>> = JSON.parse(set.text('refused.json'))
  const publicsIn = (dir: string): Uint8Array[] =>
    set.list(dir).flatMap((f) => (f.endsWith('.tpm2b_public') ? [set.read(`${dir}/${f}`)] : []))
  const ekName = objectName(set.read('ek/ek-rsa.tpm2b_public').slice(2))
  const underEk: QualifiedParent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, ekName) }

  for (const dir of set.list().filter((d) => !d.includes('.'))) {
    const files = set.list(dir)
    for (const file of files.filter((f) => f.endsWith('.attest'))) {
      const name = file.slice(0, -'.attest'.length)
      const sigFile = files.find((f) => f.startsWith(`${name}.`) && f.endsWith('.sig'))
      const attest = set.read(`${dir}/${file}`)
      const isQuote = toHex(attest.slice(2, 6)) === '43478018' // also where the magic was changed
      if (sigFile === undefined || !isQuote) continue
      const signature = set.read(`${dir}/${sigFile}`)
      const nonce = fromHex(
        dir === 'owner-gettime'
          ? JSON.parse(set.text(`${dir}/expected.json`)).quote.extraData
          : set.text(`${set.has(`${dir}/nonce.hex`) ? dir : 'quotes'}/nonce.hex`).trim(),
      )
      // The directory's own keys first, else those that the sets share.
      const akPublic = [...publicsIn(dir), ...publicsIn('ak')]
        .map((sized) => sized.slice(2))
        .find((p) => isSignedBy(p, signature, attest))
      assert.ok(akPublic, `${dir}/${sigFile} is by none of the keys, though even attacks are signed`)
      const refusal = refusals[`${dir}/${name}`]
      if (refusal !== undefined || dir === 'attack') {
        it(`refuses ${dir}/${name} with ${refusal ?? 'any code'}`, () => {
          assert.throws(
            () => {
              const ak = verifyAkPublic(akPublic, {})
              const readable = Uint8Array.from(attest)
              readable.set([0xff, 0x54, 0x43, 0x47]) // what the forger would have liked to write
              const selection = decodeQuoteAttest(readable).pcrSelections
              const claimedValues = set.has(`${dir}/${name}.pcrs`)
                ? splitValues(selection, set.read(`${dir}/${name}.pcrs`))
                : []
              verifyQuote({ attest, signature, ak, expectedExtraData: nonce, selection, required: [], claimedValues })
            },
            refusal === undefined ? { name: /^(AttestError|AkError)$/ } : { code: refusal },
          )
        })
        continue
      }
      if (!set.has(`${dir}/${name}.pcrs`)) continue
      const values = set.read(`${dir}/${name}.pcrs`)
      const parent = dir === 'quotes' ? underEk : undefined
      it(`verifies ${dir}/${name} and refuses every change of it`, async () => {
        const input = inputFor(attest, signature, akPublic, nonce, values, parent)
        const quote = verifyQuote(input)
        assert.deepEqual(quote.pcrs, input.claimedValues)
        assert.deepEqual(await verifyQuoteInPool(input), quote)
        refusesEveryChange(input)
        refusesEveryPrefix(decodeQuoteAttest, attest)
        refusesEveryPrefix(decodeSignature, signature)
        refusesEveryPrefix((b) => decodeSizedPublic(Uint8Array.of(1, 0, ...b)), akPublic)
        if (set.has(`${dir}/expected.json`)) {
          const expected = JSON.parse(set.text(`${dir}/expected.json`))[name]
          assert.equal(quote.clockInfo.resetCount, expected.resetCount)
          assert.equal(quote.clockInfo.restartCount, expected.restartCount)
          assert.equal(quote.clockInfo.clockMs, BigInt(expected.clock))
          assert.equal(quote.clockInfo.safe, expected.safe === 1)
          assert.equal(quote.firmwareVersion, BigInt(expected.firmwareVersion))
        }
      })
    }
  }

  it('refuses a quote without PCR 15 when the policy reads PCR 15', () => {
    const attest = set.read('quotes/subset-without-15-rsa.attest')
    const values = set.read('quotes/subset-without-15-rsa.pcrs')
    const signature = set.read('quotes/subset-without-15-rsa.sig')
    const nonce = fromHex(set.text('quotes/nonce.hex').trim())
    const input = inputFor(attest, signature, set.read('ak/ak-rsa.tpm2b_public').slice(2), nonce, values)
    const required = [{ bank: 'sha256', pcrs: [pcrIndex(15)] }] as const
    assert.throws(() => verifyQuote({ ...input, required }), { code: 'QUOTE_PCR_NOT_SELECTED' })
    const asked = [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 15].map(pcrIndex) }] as const
    assert.throws(() => verifyQuote({ ...input, selection: asked }), { code: 'QUOTE_SELECTION_BITMAP' })
  })

  it('gives a reboot with a replayed log away by resetCount alone, and a TPM restart by restartCount alone', () => {
    const counters = (dir: string, name: string) => {
      const { clockInfo, pcrDigest } = decodeQuoteAttest(set.read(`${dir}/${name}.attest`))
      return { reset: clockInfo.resetCount, restart: clockInfo.restartCount, digest: toHex(pcrDigest) }
    }
    const [pod, replayed] = [counters('reboot', '2-after-pod'), counters('reboot', '5-after-reboot-replayed-log')]
    assert.deepEqual({ ...replayed, reset: pod.reset }, pod)
    assert.equal(replayed.reset, pod.reset + 1)
    const [first, restarted] = [
      counters('tpm-restart', '1-after-pod'),
      counters('tpm-restart', '3-tpm-restart-replayed'),
    ]
    assert.deepEqual({ ...restarted, restart: first.restart }, first)
    assert.equal(restarted.restart, first.restart + 1)
  })
})

describe('quotes of Debian guests under QEMU', () => {
  const vm = copiedVectors('vm')
  for (const boot of vm.list()) {
    const file = (name: string): Uint8Array => vm.read(`${boot}/${name}`)
    const akPublic = file('ak.pub.tss').slice(2)
    const nonce = fromHex(vm.text(`${boot}/nonce.hex`).trim())
    const ekName = objectName(file('ek.pub.tss').slice(2))
    const parent: QualifiedParent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, ekName) }
    const expected = JSON.parse(vm.text(`${boot}/expected.json`)).quote

    it(`verifies ${boot} and reads what another implementation read`, () => {
      assert.deepEqual(objectName(akPublic), file('ak.name'))
      assert.deepEqual(ekName, file('ek.name'))
      const input = inputFor(file('quote.msg'), file('quote.sig.tss'), akPublic, nonce, file('quote.pcrs'), parent)
      const quote = verifyQuote(input)
      assert.equal(toHex(quote.qualifiedSigner), expected.signer)
      assert.equal(toHex(quote.extraData), expected.extra)
      assert.equal(quote.clockInfo.clockMs, BigInt(expected.clock))
      assert.equal(quote.clockInfo.resetCount, expected.resetCount)
      assert.equal(quote.clockInfo.restartCount, expected.restartCount)
      assert.equal(quote.firmwareVersion, BigInt(expected.fw))
      assert.deepEqual(
        input.selection,
        expected.sel.map(([bank, pcrs]: [string, number[]]) => ({ bank, pcrs })),
      )
      assert.deepEqual(quote.findings, [])
      refusesEveryChange(input)
    })

    it(`verifies the second quote of ${boot}, whose signature is bare`, () => {
      const { scheme } = verifyAkPublic(akPublic, {})
      assert.notEqual(scheme.alg, 'ecdsa', 'these guests have RSA keys')
      const alg = scheme.alg === 'rsapss' ? 'rsapss' : 'rsassa'
      const signature = encodeSignature({ alg, hash: scheme.hash, sig: file('quote2.sig.plain') })
      verifyQuote(inputFor(file('quote2.msg'), signature, akPublic, nonce, file('quote2.pcrs'), parent))
    })
  }
})

describe('quotes of a keylime agent on swtpm', () => {
  const NAME = 'keylime/bundles'
  const bundles = externalVectors(NAME)
  if (bundles === undefined) {
    it('verifies every bundle', function () {
      skipWithoutVectors(this, NAME)
    })
    return
  }
  for (const bundle of bundles.list()) {
    const nonces = bundles.text(`${bundle}/nonces.txt`).trim().split('\n')
    for (const file of bundles.list(bundle).filter((f) => f.endsWith('.msg'))) {
      const [kind = '', number = ''] = file.split('.')
      it(`verifies ${bundle}/${file}`, () => {
        const attest = bundles.read(`${bundle}/${file}`)
        const akPublic = bundles.read(`${bundle}/ak_${kind}.pub`).slice(2)
        assert.deepEqual(objectName(akPublic), bundles.read(`${bundle}/ak_${kind}.name`))
        const nonce = nonces.find((line) => line.startsWith(`${kind} ${number} `))?.split(' ')[2]
        assert.ok(nonce)
        const { pcrSelections } = decodeQuoteAttest(attest)
        const values = splitValues(pcrSelections, bundles.read(`${bundle}/${file.replace('.msg', '.pcrs')}`))
        const ekName = objectName(bundles.read(`${bundle}/ek_rsa.pub`).slice(2))
        const parent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, ekName) }
        const signature = bundles.read(`${bundle}/${file.replace('.msg', '.sig')}`)
        const input = inputFor(attest, signature, akPublic, utf8(nonce), values, parent)
        verifyQuote(input)
        refusesEveryChange(input)
      })
    }
  }
})

describe('quotes of other projects', () => {
  const NAME = 'quotes'
  const quotes = externalVectors(NAME)
  if (quotes === undefined) {
    it('verifies every decoded attestation', function () {
      skipWithoutVectors(this, NAME)
    })
    return
  }
  for (const file of quotes.list().filter((f) => f.endsWith('.decoded.json'))) {
    const decoded = JSON.parse(quotes.text(file))
    for (const quote of decoded.quotes) {
      const bank = hashFromId(quote.bank)
      assert.ok(bank)
      const code = file.includes('no-nonce')
        ? 'ATTEST_EXTRA_DATA_EMPTY'
        : bank === 'sha1'
          ? 'QUOTE_BANK_WEAK'
          : undefined
      it(`${code === undefined ? 'verifies' : `refuses with ${code}`} ${file}, bank ${bank}`, () => {
        const attest = fromHex(quote.quote)
        const values = Object.entries<string>(quote.pcrs).map(([pcr, value]) => ({
          bank,
          pcr: pcrIndex(Number(pcr)),
          value: fromHex(value),
        }))
        const input = inputFor(attest, fromHex(quote.sig), fromHex(decoded.ak_pub), fromHex('9009'), values)
        assert.equal(toHex(input.ak.name), decoded.ak.name)
        assert.ok(contains(quotes.read(file.replace('.decoded.json', '.pb')), attest))
        if (code === undefined) {
          verifyQuote(input)
          refusesEveryChange(input)
        } else {
          assert.throws(() => verifyQuote(input), { code })
          // Nothing else is wrong with it: another challenge is all that a changed one would show.
          const { extraData } = decodeQuoteAttest(attest)
          if (bank !== 'sha1') assert.equal(extraData.length, 0)
        }
      })
    }
  }

  for (const file of quotes.list().filter((f) => f.endsWith('tpm_evidence.json'))) {
    it(`verifies ${file} and finds its firmware registers unused`, () => {
      const evidence = JSON.parse(quotes.text(file))
      const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))
      // Only the bare key is given, so the public area around it is ours.
      const { n } = importSpki(bytes(evidence.ak_public)).keyObject.export({ format: 'jwk' })
      const unique = new Uint8Array(Buffer.from(n ?? '', 'base64url'))
      const attest = bytes(evidence.tpm_quote.message)
      const { extraData } = decodeQuoteAttest(attest)
      const values = evidence.tpm_quote.pcrs.map((value: string, pcr: number) => ({
        bank: 'sha256',
        pcr: pcrIndex(pcr),
        value: fromHex(value),
      }))
      const akPublic = encodePublic({ ...AK_TEMPLATE_RSA2048, unique })
      const quote = verifyQuote(inputFor(attest, bytes(evidence.tpm_quote.signature), akPublic, extraData, values))
      assert.ok(quote.findings.some((f) => f.code === 'QUOTE_BANK_UNUSED' && f.bank === 'sha256'))
    })
  }
})

function contains(haystack: Uint8Array, needle: Uint8Array): boolean {
  for (let at = 0; at + needle.length <= haystack.length; at++) {
    if (equalBytes(haystack.subarray(at, at + needle.length), needle)) return true
  }
  return false
}

// Kept here so that a set that loses its files does not pass by having nothing to check.
describe('the copied vectors', () => {
  it('are all there', () => {
    const sets: readonly (readonly [VectorSet, number])[] = [
      [copiedVectors('swtpm'), 12],
      [copiedVectors('vm'), 5],
    ]
    for (const [set, least] of sets) assert.ok(set.list().length >= least, set.name)
  })
})

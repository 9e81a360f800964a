import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { parse } from 'yaml'
import { fromHex, toHex, utf8 } from '../../../attestation/base/index.ts'
import { digest, exportSpki, hashSize } from '../../../attestation/crypto/index.ts'
import {
  decodePublic,
  decodeQuoteAttest,
  objectName,
  publicKeyOf,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
} from '../../../attestation/tpm2/index.ts'
import { copiedVectors, externalVectors, skipWithoutVectors, type VectorSet } from '../../support/vectors.ts'

// Beside the TPM's own structures lies what tpm2-tools printed of them: the same, read by another program.

const pemOf = (pem: string): string => toHex(createPublicKey(pem).export({ format: 'der', type: 'spki' }))
const spkiOf = (tpm2bPublic: Uint8Array): string => toHex(exportSpki(publicKeyOf(decodePublic(tpm2bPublic.slice(2)))))
const hexOf = (text: string): string => text.replace(/^0x/i, '').toLowerCase()

/** Registers of `0 : 0x...` or `0 ...` lines, by number. */
function printedRegisters(text: string): Map<number, string> {
  const lines = [...text.matchAll(/^\s*(\d+)\s*:?\s+(?:0x)?([0-9A-Fa-f]{64})$/gm)]
  return new Map(lines.map(([, register, value = '']) => [Number(register), value.toLowerCase()]))
}

/** Registers of a quote over SHA-256 alone, by number. */
function quotedRegisters(attest: Uint8Array, values: Uint8Array): Map<number, string> {
  const { pcrSelections, pcrDigest } = decodeQuoteAttest(attest)
  assert.deepEqual(digest('sha256', values), pcrDigest)
  const [selection, ...others] = pcrSelections
  assert.ok(selection?.bank === 'sha256' && others.length === 0)
  const size = hashSize('sha256')
  return new Map(selection.pcrs.map((pcr, i) => [pcr, toHex(values.subarray(i * size, (i + 1) * size))]))
}

describe('what tpm2-tools printed', () => {
  it('of the keys of swtpm: each PEM is the key of the public area', () => {
    const swtpm = copiedVectors('swtpm')
    for (const key of ['ak/ak-ecc', 'ak/ak-rsa', 'ek/ek-rsa']) {
      assert.equal(pemOf(swtpm.text(`${key}.pem`)), spkiOf(swtpm.read(`${key}.tpm2b_public`)), key)
    }
  })
  it('of the keys of a keylime agent: each PEM is the key of the public area', function () {
    const set = externalVectors('keylime/bundles') ?? skipWithoutVectors(this, 'keylime/bundles')
    for (const bundle of set.list()) {
      for (const key of ['ak_ecc', 'ak_rsa']) {
        assert.equal(pemOf(set.text(`${bundle}/${key}.pem`)), spkiOf(set.read(`${bundle}/${key}.pub`)), key)
      }
    }
  })
  it('of the registers of swtpm: those it quotes after the pods', function () {
    const set = externalVectors('swtpm/node') ?? skipWithoutVectors(this, 'swtpm/node')
    const printed = printedRegisters(set.text('pcrread.txt'))
    assert.equal(printed.size, 24)
    for (const [register, value] of quotedRegisters(set.read('quote-pods.attest'), set.read('quote-pods.pcrs'))) {
      assert.equal(printed.get(register), value, `register ${register}`)
    }
  })
  it('of the node of swtpm: its EK certificate is of the EK', function () {
    const set = externalVectors('swtpm') ?? skipWithoutVectors(this, 'swtpm')
    const { publicKey } = new X509Certificate(set.read('node/ek.der'))
    const spki = toHex(publicKey.export({ format: 'der', type: 'spki' }))
    assert.equal(spki, spkiOf(set.read('ek/ek-rsa.tpm2b_public')))
    assert.deepEqual(set.read('node/ek.der'), set.read('ek/ek-rsa.der'))
  })
  it('of the verifier of swtpm: its private key belongs to its public one', function () {
    const set = externalVectors('swtpm/policy') ?? skipWithoutVectors(this, 'swtpm/policy')
    const key = createPublicKey(createPrivateKey(set.text('verifier-TESTONLY.key.pem')))
    assert.equal(toHex(key.export({ format: 'der', type: 'spki' })), pemOf(set.text('verifier.pub.pem')))
  })
  it('of the pods of swtpm: its four events make register 15, which is zero after a reboot', () => {
    const quotes = copiedVectors('swtpm/quotes')
    let register: Uint8Array = new Uint8Array(32)
    for (const line of quotes.text('pod-events.txt').trim().split('\n')) {
      const [event = '', text = ''] = line.split('\t')
      assert.equal(toHex(digest('sha256', utf8(text))), event)
      register = digest('sha256', register, fromHex(event))
    }
    assert.deepEqual(register, quotes.read('pcr15-before-reboot.bin'))
    for (const key of ['ecc', 'rsa']) {
      const after = quotedRegisters(quotes.read(`good-${key}-pod.attest`), quotes.read(`good-${key}-pod.pcrs`))
      assert.equal(after.get(15), toHex(register))
    }
  })
})

describe('what tpm2-tools printed in Debian guests under QEMU', () => {
  const set = externalVectors('vm')
  if (set === undefined) {
    it('is what the TPM’s structures say', function () {
      skipWithoutVectors(this, 'vm')
    })
    return
  }
  for (const guest of set.list().filter((name) => set.has(`${name}/quote.msg`))) describeGuest(set, guest)
})

function describeGuest(set: VectorSet, guest: string): void {
  const text = (file: string): string => set.text(`${guest}/${file}`)
  const bytes = (file: string): Uint8Array => set.read(`${guest}/${file}`)
  const yaml = (file: string) => parse(text(file), { schema: 'failsafe' })
  const attest = decodeQuoteAttest(bytes('quote.msg'))
  const ekName = objectName(bytes('ek.pub.tss').slice(2))

  for (const key of ['ak', 'ek']) {
    it(`${guest}: ${key}.pub.pem is the key of its public area, and ${key}.readpublic.yaml names it`, () => {
      const publicArea = bytes(`${key}.pub.tss`)
      assert.equal(pemOf(text(`${key}.pub.pem`)), spkiOf(publicArea))
      const printed = yaml(`${key}.readpublic.yaml`)
      const name = objectName(publicArea.slice(2))
      assert.equal(printed.name, toHex(name))
      const parent = key === 'ek' ? { hierarchy: TPM_RH_ENDORSEMENT } : { qualifiedName: qualifiedEk() }
      assert.equal(printed['qualified name'], toHex(qualifiedName(parent, name)))
      assert.equal(Number(printed.attributes.raw), decodePublic(publicArea.slice(2)).attributes)
    })
  }
  function qualifiedEk(): Uint8Array {
    return qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, ekName)
  }
  it(`${guest}: ak.create.yaml names the key that quotes`, () => {
    const loaded = yaml('ak.create.yaml')['loaded-key']
    assert.equal(loaded.name, toHex(bytes('ak.name')))
    assert.equal(loaded['qualified name'], toHex(attest.qualifiedSigner))
  })
  for (const quote of ['quote', 'quote2']) {
    it(`${guest}: ${quote}.yaml is the quote, its signature and the values quoted`, () => {
      const printed = yaml(`${quote}.yaml`)
      const message = bytes(`${quote}.msg`)
      assert.equal(printed.quoted, toHex(message))
      const signature = quote === 'quote' ? bytes('quote.sig.tss').subarray(6) : bytes('quote2.sig.plain')
      assert.equal(printed.signature.sig, toHex(signature))
      const values = bytes(`${quote}.pcrs`)
      assert.equal(printed.calcDigest, toHex(decodeQuoteAttest(message).pcrDigest))
      const registers = Object.entries(printed.pcrs.sha256).map(([n, value]) => [Number(n), hexOf(String(value))])
      assert.deepEqual(registers, [...quotedRegisters(message, values)])
    })
  }
  it(`${guest}: pcrread.yaml has the values quoted, and registers 17 to 22 as no boot changes them`, () => {
    const printed = printedRegisters(text('pcrread.yaml'))
    assert.deepEqual(
      [...printed.keys()].sort((a, b) => a - b),
      Array.from({ length: 24 }, (_, i) => i),
    )
    for (const [register, value] of quotedRegisters(bytes('quote.msg'), bytes('quote.pcrs'))) {
      assert.equal(printed.get(register), value, `register ${register}`)
    }
    for (let register = 17; register <= 22; register++) assert.equal(printed.get(register), 'ff'.repeat(32))
    for (const register of [16, 23]) assert.equal(printed.get(register), '00'.repeat(32))
  })
  it(`${guest}: tpm-pcr-banks.txt has one bank, SHA-256, which is the one quoted`, () => {
    const banks: Record<string, string[]>[] = yaml('tpm-pcr-banks.txt')['selected-pcrs']
    const used = banks.flatMap((bank) => Object.entries(bank)).filter(([, registers]) => registers.length > 0)
    assert.deepEqual(used, [['sha256', Array.from({ length: 24 }, (_, i) => String(i))]])
  })
  it(`${guest}: readclock.yaml is of the same boot, later than the quotes`, () => {
    const printed = yaml('readclock.yaml').clock_info
    const { clockInfo } = decodeQuoteAttest(bytes('quote2.msg'))
    assert.equal(Number(printed.reset_count), clockInfo.resetCount)
    assert.equal(Number(printed.restart_count), clockInfo.restartCount)
    assert.equal(printed.safe, 'yes')
    assert.ok(BigInt(printed.clock) >= clockInfo.clockMs && clockInfo.clockMs >= attest.clockInfo.clockMs)
  })
  it(`${guest}: tpm-properties.txt has the maker and the firmware version that the quote has`, () => {
    const properties = yaml('tpm-properties.txt')
    const [high, low] = [1, 2].map((i) => BigInt(properties[`TPM2_PT_FIRMWARE_VERSION_${i}`].raw))
    assert.equal(((high ?? 0n) << 32n) | (low ?? 0n), attest.firmwareVersion)
    assert.equal(properties.TPM2_PT_MANUFACTURER.value, 'IBM')
    assert.equal(Number(properties.TPM2_PT_PCR_COUNT.raw), 24)
  })
  it(`${guest}: handles-persistent.txt has the two endorsement keys`, () => {
    assert.deepEqual(yaml('handles-persistent.txt'), ['0x81010001', '0x81010016'])
  })
  it(`${guest}: its nonce is that of both quotes`, () => {
    const nonce = fromHex(text('nonce.hex').trim())
    assert.deepEqual(attest.extraData, nonce)
    assert.deepEqual(decodeQuoteAttest(bytes('quote2.msg')).extraData, nonce)
    assert.notDeepEqual(bytes('quote.msg'), bytes('quote2.msg'))
  })
}

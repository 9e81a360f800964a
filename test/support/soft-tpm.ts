import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { fromHex } from '../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  type ClockInfo,
  EK_TEMPLATES,
  encodePublic,
  encodeQuoteAttest,
  encodeSignature,
  objectName,
  openCredential,
  type PcrSelection,
  type PcrValue,
  pcrIndex,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
} from '../../attestation/tpm2/index.ts'

/**
 * Holds keys and registers as a TPM does, and, unlike one, signs whatever a test wants to forge. It is here to attack
 * the verifier with; that real TPMs are understood is for the tests with swtpm.
 */
export class SoftTpm {
  readonly ekPublic: Uint8Array
  readonly ekPrivate: KeyObject
  ak: SoftAk
  clock: ClockInfo = { clockMs: 100_000n, resetCount: 7, restartCount: 0, safe: true }
  readonly banks: readonly HashAlgorithm[]
  /** What is measured at each start before anything else. */
  firmware: (tpm: SoftTpm) => void = measureSomething
  readonly #registers = new Map<string, Uint8Array>()

  constructor(banks: readonly HashAlgorithm[] = ['sha256']) {
    this.banks = banks
    const ek = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.ekPrivate = ek.privateKey
    this.ekPublic = encodePublic({ ...ekTemplate(), unique: point(ek.publicKey) })
    this.ak = newAk()
    this.start()
  }

  /** SubjectPublicKeyInfo of the EK, for a certificate. */
  ekSpki(): Uint8Array {
    return new Uint8Array(createPublicKey(this.ekPrivate).export({ type: 'spki', format: 'der' }))
  }

  /** TPM Reset: registers to zero, counters on. The firmware then measures something. */
  reset(): void {
    this.clock = { ...this.clock, resetCount: this.clock.resetCount + 1, restartCount: 0 }
    this.start()
  }

  /** TPM2_Shutdown(STATE) and Startup(CLEAR): registers to zero, only restartCount on. */
  restart(): void {
    this.clock = { ...this.clock, restartCount: this.clock.restartCount + 1 }
    this.start()
  }

  start(): void {
    for (const bank of this.banks) {
      for (let pcr = 0; pcr < 24; pcr++) this.#registers.set(`${bank}:${pcr}`, new Uint8Array(hashSize(bank)))
    }
    this.firmware(this)
  }

  /** Extends every bank with its own hash of the data. */
  extend(pcr: number, data: Uint8Array): void {
    for (const bank of this.banks) {
      this.#registers.set(`${bank}:${pcr}`, digest(bank, this.register(bank, pcr), digest(bank, data)))
    }
  }

  register(bank: HashAlgorithm, pcr: number): Uint8Array {
    return this.#registers.get(`${bank}:${pcr}`) ?? new Uint8Array(hashSize(bank))
  }

  /** What TPM2_ActivateCredential gives back. */
  activate(credential: { idObject: Uint8Array; encryptedSecret: Uint8Array }): Uint8Array {
    return openCredential(this.ekPublic, this.ekPrivate, this.ak.name, credential)
  }

  values(selection: readonly PcrSelection[]): PcrValue[] {
    return selection.flatMap(({ bank, pcrs }) => pcrs.map((pcr) => ({ bank, pcr, value: this.register(bank, pcr) })))
  }

  /** TPM2_Quote, over these values rather than the registers where a test says so. The clock goes on by a second. */
  quote(
    extraData: Uint8Array,
    selection: readonly PcrSelection[],
    values: readonly PcrValue[] = this.values(selection),
  ): { attest: Uint8Array; signature: Uint8Array } {
    this.clock = { ...this.clock, clockMs: this.clock.clockMs + 1000n }
    const attest = encodeQuoteAttest({
      qualifiedSigner: qualifiedName(
        { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(this.ekPublic)) },
        this.ak.name,
      ),
      extraData,
      clockInfo: this.clock,
      firmwareVersion: 0x2019_1023_0016_3636n,
      pcrSelections: selection,
      pcrDigest: digest('sha256', ...values.map((v) => v.value)),
    })
    return { attest, signature: this.ak.sign(attest) }
  }
}

/** Firmware of which no log is kept. */
function measureSomething(tpm: SoftTpm): void {
  for (let pcr = 0; pcr < 8; pcr++) tpm.extend(pcr, new TextEncoder().encode(`firmware ${pcr}`))
}

export interface SoftAk {
  readonly public: Uint8Array
  readonly name: Uint8Array
  sign(attest: Uint8Array): Uint8Array
}

/** @param attributes other TPMA_OBJECT bits than an attestation key has, to be refused */
export function newAk(attributes: number = AK_TEMPLATE_P256.attributes): SoftAk {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const akPublic = encodePublic({ ...AK_TEMPLATE_P256, attributes, unique: point(publicKey) })
  return {
    public: akPublic,
    name: objectName(akPublic),
    sign: (attest) => {
      const raw = sign('sha256', attest, { key: privateKey, dsaEncoding: 'ieee-p1363' })
      return encodeSignature({ alg: 'ecdsa', hash: 'sha256', r: raw.subarray(0, 32), s: raw.subarray(32) })
    },
  }
}

/** Random bytes, as a TPM's or verifier's. */
export function random(size: number): Uint8Array {
  return new Uint8Array(randomBytes(size))
}

/** The selection that a verifier asks for: boot registers in SHA-256 and the log's register in every bank. */
export function selectionOf(banks: readonly HashAlgorithm[], pcr: number): PcrSelection[] {
  return banks.map((bank) => ({
    bank,
    pcrs: (bank === 'sha256' ? [0, 1, 2, 3, 4, 5, 6, 7, pcr] : [pcr]).map(pcrIndex),
  }))
}

function ekTemplate() {
  const template = EK_TEMPLATES.find((t) => t.public.type === 'ecc' && t.public.curve === 'P-256')?.public
  if (template?.type !== 'ecc') throw new TypeError('there is a template for P-256 EKs')
  return template
}

function point(key: KeyObject): { x: Uint8Array; y: Uint8Array } {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return { x: fromBase64(x), y: fromBase64(y) }
}

function fromBase64(text: string): Uint8Array {
  return fromHex(Buffer.from(text, 'base64url').toString('hex'))
}

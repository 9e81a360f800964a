import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { digest } from '../../attestation/crypto/index.ts'
import {
  AK_TEMPLATE_P256,
  AK_TEMPLATE_RSA2048,
  type EccPublic,
  encodeQuoteAttest,
  pcrIndex,
  type QuoteInput,
  qualifiedName,
  type RsaPublic,
  TPM_RH_ENDORSEMENT,
  verifyAkPublic,
  verifyQuote,
} from '../../attestation/tpm2/index.ts'
import { softwareAk } from '../support/software-ak.ts'
import { type BenchRow, median } from './rows.ts'

const run = promisify(execFile)
const ROUNDS = 5
/**
 * As few as stay in a core's cache beside what verifying them allocates, some 13 KB each: a verifier checks a quote it
 * has just decoded, and `openssl speed` one signature all the time.
 */
const QUOTES = 20
/** Over all of them, so often: a verifier that runs is compiled by then. */
const REPEATS = 800
const PCRS = [0, 1, 2, 3, 4, 5, 6, 7, 10, 15].map(pcrIndex)

interface Kind {
  readonly name: string
  readonly template: RsaPublic | EccPublic
  /** Algorithm of `openssl speed`. */
  readonly openssl: string
  /** Smallest share of it that meets the target. */
  readonly share: number
}
const RSA: Kind = { name: 'quote-rsa', template: AK_TEMPLATE_RSA2048, openssl: 'rsa2048', share: 0.6 }
const P256: Kind = { name: 'quote-p256', template: AK_TEMPLATE_P256, openssl: 'ecdsap256', share: 0.8 }

export const measureRsa = (): Promise<readonly BenchRow[]> => measureKind(RSA)
export const measureP256 = (): Promise<readonly BenchRow[]> => measureKind(P256)

/**
 * Quotes of ten registers, each with another nonce, verified with all rules (structure, magic, type, AK, qualified
 * signer, nonce, selection, signature, values) on one core, against `openssl speed` verifying bare signatures. CPU time
 * of this process; openssl counts its own.
 */
async function measureKind({ name, template, openssl, share }: Kind): Promise<readonly BenchRow[]> {
  const inputs = makeQuotes(template)
  const ours: number[] = []
  const bare: number[] = []
  for (let round = -1; round < ROUNDS; round++) {
    const rate = quotesPerSecond(inputs)
    const limit = await opensslVerifies(openssl)
    if (round < 0) continue // it warms up
    ours.push(rate)
    bare.push(limit)
  }
  const row = { name, ours: median(ours), reference: median(bare) }
  const ratio = row.ours / row.reference
  return [
    {
      ...row,
      referenceWhat: `openssl speed ${openssl}, bare verifications`,
      unit: 'quotes/s',
      ratio,
      target: `at least ${share}`,
      met: ratio >= share,
    },
  ]
}

function makeQuotes(template: RsaPublic | EccPublic): QuoteInput[] {
  const key = softwareAk(template)
  const ak = verifyAkPublic(key.akPublic, {})
  const selection = [{ bank: 'sha256', pcrs: PCRS }] as const
  const akParent = { hierarchy: TPM_RH_ENDORSEMENT }
  return Array.from({ length: QUOTES }, (_, i) => {
    const claimedValues = PCRS.map((pcr) => ({ bank: 'sha256', pcr, value: new Uint8Array(randomBytes(32)) }) as const)
    const expectedExtraData = new Uint8Array(randomBytes(32))
    const attest = encodeQuoteAttest({
      qualifiedSigner: qualifiedName(akParent, ak.name),
      extraData: expectedExtraData,
      clockInfo: { clockMs: BigInt(i), resetCount: 1, restartCount: 0, safe: true },
      firmwareVersion: 1n,
      pcrSelections: selection,
      pcrDigest: digest('sha256', ...claimedValues.map((v) => v.value)),
    })
    const signature = key.sign(attest)
    return { attest, signature, ak, akParent, expectedExtraData, selection, required: selection, claimedValues }
  })
}

function quotesPerSecond(inputs: readonly QuoteInput[]): number {
  const before = process.cpuUsage()
  for (let i = 0; i < REPEATS; i++) for (const input of inputs) verifyQuote(input)
  const { user, system } = process.cpuUsage(before)
  return (REPEATS * inputs.length) / ((user + system) / 1e6)
}

/**
 * `openssl speed` prints its rates for machines: `+F2:2:2048:<sign>:<verify>`, seconds for each or operations a second.
 */
async function opensslVerifies(algorithm: string): Promise<number> {
  const { stdout } = await run('openssl', ['speed', '-seconds', '1', '-mr', algorithm])
  const line = stdout.split('\n').find((l) => /^\+F[24]:/.test(l))
  const value = Number(line?.trim().split(':').at(-1))
  if (!(value > 0)) throw new Error(`openssl speed printed no rate: ${stdout}`)
  return value > 1 ? value : 1 / value
}

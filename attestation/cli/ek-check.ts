import { existsSync, readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { formatTable, messageOf, printable, UsageError } from '../base/index.ts'
import {
  type Certificate,
  decodeSubjectPublicKey,
  describe,
  EndorsementError,
  isSelfIssued,
  type KnownEk,
  makeRootStore,
  modulusBits,
  type PlatformResult,
  parseCertificateBundle,
  type RootStore,
  reportEk,
  signatureName,
  type ValidityPolicy,
  verifyPlatform,
} from '../endorsement/index.ts'
import { decodePublic, decodeSizedPublic, type TpmPublic, WireError } from '../tpm2/index.ts'
import { readRootStore, readSources, readVerifierConfig } from '../verifier/index.ts'
import { DEFAULT_CONFIG, formatOption } from './options.ts'

interface CheckOptions {
  readonly roots?: readonly string[]
  readonly ekPublic?: string
  readonly chain?: readonly string[]
  readonly platform?: string
  readonly time?: string
  readonly validity: ValidityPolicy
  readonly sha1: 'warn' | 'refuse'
  readonly config: string
  readonly format: 'table' | 'json'
}

/** `holdfast nodes ek-check`: why an EK certificate is believed, or what is missing. Needs no verifier and no TPM. */
export function ekCheckCommand(): Command {
  return new Command('ek-check')
    .argument('<file>', 'the EK certificate: DER, PEM, or as read from NV with its padding')
    .description('Check an EK certificate by every rule, and say what is missing.')
    .option('--roots <path...>', "whom to believe: directories or files (default: the verifier's roots)")
    .option('--ek-public <file>', "the TPM's EK: TPM2B_PUBLIC or TPMT_PUBLIC (tpm2_readpublic -o), or a PEM public key")
    .option('--chain <file...>', 'intermediates that came with it')
    .option('--platform <file>', 'a platform certificate to check beside it (needs --ek-public as public area)')
    .option('--time <time>', 'check as if it were this time (ISO 8601)')
    .addOption(
      new Option('--validity <policy>', 'as enrolment.ekCertificateValidity')
        .choices(['ignore-expiry', 'at-issue', 'strict'])
        .default('ignore-expiry'),
    )
    .addOption(
      new Option('--sha1 <policy>', 'as enrolment.ekSha1Signatures').choices(['warn', 'refuse']).default('warn'),
    )
    .addOption(formatOption())
    .addOption(new Option('--config <file>', "the verifier's configuration, for its roots").default(DEFAULT_CONFIG))
    .addHelpText('after', HELP)
    .action((file: string, options: CheckOptions) => check(file, options))
}

const HELP = `
Exit status 0: endorsed. 1: not. 254: something could not be read.

Examples:
  tpm2_nvread -C o 0x1c00002 > ek.bin; tpm2_createek -c ek.ctx -G rsa -u ek.pub
  holdfast nodes ek-check ek.bin --ek-public ek.pub --roots tpm-maker-bundle.pem
`

function check(file: string, options: CheckOptions): void {
  const original = readBytes(file)
  const [certificate, ...following] = certificatesOf(original, file)
  if (certificate === undefined) throw new UsageError(`${file}: there is no certificate in it`)
  const supplied = [...following, ...(options.chain ?? []).flatMap((f) => certificatesOf(readBytes(f), f))]
  const ek = options.ekPublic === undefined ? undefined : readEk(options.ekPublic)
  const trust = {
    roots: rootsOf(options),
    policy: { validity: options.validity, sha1: options.sha1 },
    now: timeOf(options.time),
  }
  const report = reportEk({ certificate, original, ek, supplied, ...trust })
  const platform =
    options.platform === undefined
      ? undefined
      : verifyPlatform(readBytes(options.platform), { ek: areaOf(ek), ekCertificate: certificate }, supplied, trust)
  if (options.format === 'json') {
    const certificateJson = { sha256: hex(certificate.fingerprint), ...Object.fromEntries(facts(certificate)) }
    process.stdout.write(
      `${JSON.stringify({ certificate: certificateJson, ...report, platform: platform ?? null }, null, 2)}\n`,
    )
  } else print(certificate, report, platform)
  process.exitCode = report.endorsed && platform?.kind !== 'refused' ? 0 : 1
}

function print(
  certificate: Certificate,
  report: ReturnType<typeof reportEk>,
  platform: PlatformResult | undefined,
): void {
  const { vendor, manufacturer, model, version } = report.identity
  const tpm = [vendor ?? manufacturer, model, version].filter((name) => name !== undefined).join(' ')
  const lines = [
    ['certificate', describe(certificate)],
    ['of', tpm || `no TPM (${report.purpose})`],
    ...facts(certificate),
  ]
  process.stdout.write(formatTable(undefined, lines))
  process.stdout.write('\n')
  const rows = report.rules.map(({ rule, outcome, message }) => [outcome, rule, message])
  if (platform !== undefined) rows.push(platformRow(platform))
  process.stdout.write(formatTable(['', 'RULE', ''], rows))
  process.stdout.write(`\n${printable(conclusion(report))}\n`)
}

function platformRow(platform: PlatformResult): string[] {
  if (platform.kind === 'refused') return ['fail', 'platform', `${platform.message} (${platform.code})`]
  const { manufacturer, model, version, serial } = platform.platform
  const names = [manufacturer, model, version, serial].filter((name) => name !== undefined)
  return ['pass', 'platform', `binds this TPM to ${names.join(' ')}; its root is ${platform.root.subject}`]
}

function conclusion({ endorsed, missing, rules }: ReturnType<typeof reportEk>): string {
  if (endorsed) return 'Endorsed: a verifier with these roots and settings believes this certificate.'
  if (missing === undefined) {
    const failed = rules.filter((r) => r.outcome === 'fail').map((r) => r.rule)
    return `Not endorsed: ${failed.join(', ')}. If you know the machine, you can vouch for it: enrolment.listed.`
  }
  const where = missing.publishedAt.length === 0 ? "the maker's site" : missing.publishedAt.join(' or ')
  const key = missing.keyId === undefined ? '' : ` (key identifier ${missing.keyId})`
  return (
    `Not endorsed: the certificate of ${missing.subject || 'a CA without name'}${key} is missing. Get it from ${where}, make sure that it is ` +
    'genuine, and import it: holdfast roots import FILE'
  )
}

function facts(c: Certificate): [string, string][] {
  const key =
    c.publicKey.kind === 'rsa'
      ? `RSA-${modulusBits(c.publicKey.modulus)}`
      : c.publicKey.kind === 'ec'
        ? c.publicKey.curve
        : c.publicKey.reason
  return [
    ['issuer', c.issuer.text],
    ['serial', hex(c.serial)],
    ['key', key],
    ['signed with', signatureName(c.signatureOid)],
    ['valid', `${c.notBefore.toISOString()} to ${c.notAfter.toISOString()}`],
  ]
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** @throws UsageError */
function readBytes(file: string): Uint8Array {
  try {
    return new Uint8Array(readFileSync(file))
  } catch (cause) {
    throw new UsageError(`${file}: ${messageOf(cause)}`)
  }
}

/** @throws UsageError when something in it cannot be read */
function certificatesOf(bytes: Uint8Array, file: string): readonly Certificate[] {
  try {
    const { certificates, problems } = parseCertificateBundle(bytes)
    const [problem] = problems
    if (problem !== undefined && certificates.length === 0) throw new UsageError(`${file}: ${problem.message}`)
    return certificates
  } catch (err) {
    if (err instanceof EndorsementError) throw new UsageError(`${file}: ${err.message} (${err.code})`)
    throw err
  }
}

const PEM_KEY = /-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----/

function readEk(file: string): KnownEk {
  const bytes = readBytes(file)
  try {
    const pem = PEM_KEY.exec(Buffer.from(bytes).toString('latin1'))?.[1]
    if (pem !== undefined)
      return { kind: 'key', key: decodeSubjectPublicKey(new Uint8Array(Buffer.from(pem, 'base64'))) }
    return { kind: 'public-area', area: readArea(bytes) }
  } catch (err) {
    if (!(err instanceof EndorsementError || err instanceof WireError)) throw err
    throw new UsageError(`${file}: neither TPM2B_PUBLIC, TPMT_PUBLIC nor a PEM public key: ${err.message}`)
  }
}

/** TPMT_PUBLIC starts with its type, TPM2B_PUBLIC with its size. */
function readArea(bytes: Uint8Array): TpmPublic {
  const size = 256 * (bytes[0] ?? 0) + (bytes[1] ?? 0)
  return size === bytes.length - 2 ? decodeSizedPublic(bytes) : decodePublic(bytes)
}

function areaOf(ek: KnownEk | undefined): TpmPublic {
  if (ek?.kind === 'public-area') return ek.area
  throw new UsageError('--platform needs --ek-public with the public area of the EK: tpm2_readpublic -o FILE')
}

function rootsOf({ roots, config }: CheckOptions): RootStore {
  if (roots === undefined) {
    if (existsSync(config)) return readRootStore(readVerifierConfig(config).enrolment.roots)
    throw new UsageError(`name whom to believe with --roots; there is no verifier's configuration ${config}`)
  }
  const items = readSources(roots).candidates.map((candidate) => candidate.item)
  const certificates = items.flatMap((item) => (item.kind === 'certificate' ? [item.certificate] : []))
  return makeRootStore(
    certificates.filter((c) => isSelfIssued(c)),
    certificates.filter((c) => !isSelfIssued(c)),
    items.flatMap((item) => (item.kind === 'crl' ? [item.crl] : [])),
  )
}

function timeOf(text: string | undefined): Date {
  const time = text === undefined ? new Date() : new Date(text)
  if (Number.isNaN(time.getTime())) throw new UsageError(`--time ${text}: write it as 2026-11-24T00:00:00Z`)
  return time
}
